package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/wire"
)

// stream opens a pull, and returns what it reads once it has caught up.
func stream(t *testing.T, ctx context.Context, url, space string) *wire.FrameReader {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", url+"v1/spaces/"+space+"/pull",
		bytes.NewReader((&wire.PullRequest{}).Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", wire.MediaType)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	frames := wire.NewFrameReader(res.Body)
	for {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.CaughtUp != nil {
			return frames
		}
	}
}

// ends demands that a stream ends with a code.
func ends(t *testing.T, frames *wire.FrameReader, code string) {
	t.Helper()
	for {
		f, err := frames.Next()
		if err != nil {
			t.Fatalf("the stream ends with %v, want %s", err, code)
		}
		if f.Error != nil {
			if f.Error.Code != code {
				t.Errorf("the stream ends with %+v, want %s", f.Error, code)
			}
			return
		}
	}
}

// What an operator does to spaces while the server runs: it notices, devices go on,
// and what is deleted is gone for good.
func TestSpaces_besideAServer(t *testing.T) {
	dir := t.TempDir()
	url, stop := serving(t, "--dev", "--data", dir)
	defer stop()
	ctx := await.Context(t)
	devices := t.TempDir()
	for i := range 2 {
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), true, "")
	}
	device(t, url, "other", filepath.Join(devices, "other"), true, "")
	for _, line := range []string{"other at 1, 3 rows of", "s at 2, 6 rows of", "2 spaces\n"} {
		if out := works(t, "spaces", "--data", dir); !strings.Contains(out, line) {
			t.Errorf("spaces: got %s, want %q in it", out, line)
		}
	}
	out := works(t, "show", "--data", dir, "--space", "s")
	digest := works(t, "digest", "--server", url, "--space", "s")
	for _, line := range []string{"log     1 to 2, ", "tables  notes\n", ", 1 decided"} {
		if !strings.Contains(out, line) {
			t.Errorf("show: got %s, want %q in it", out, line)
		}
	}
	for line := range strings.Lines(digest) {
		if strings.HasPrefix(line, "digest") && !strings.Contains(out, line) {
			t.Errorf("show: got %s, want %q in it", out, line)
		}
	}

	frames := stream(t, ctx, url, "s")
	works(t, "kick", "--data", dir, "--space", "s")
	ends(t, frames, "HEDDLE_CLOSED")

	if out := works(t, "cut", "--data", dir, "--space", "s"); !strings.Contains(out, "begins after 2 and ends at 2") {
		t.Errorf("cut: got %s", out)
	}
	for i := range 3 { // the third is new, and takes a snapshot
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), true, "")
	}
	works(t, "inspect", fileOf(t, dir, "s"))

	frames = stream(t, ctx, url, "other")
	works(t, "delete", "--data", dir, "--space", "other")
	ends(t, frames, "HEDDLE_GONE")
	res, err := http.Get(url + "v1/spaces/other/digest")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(res.Body)
	res.Body.Close()
	if e, _ := wire.UnmarshalError(data); err != nil || res.StatusCode != 410 || e.Code != "HEDDLE_GONE" {
		t.Errorf("got %d %+v, %v", res.StatusCode, e, err)
	}
	if out := works(t, "spaces", "--data", dir); !strings.Contains(out, "other deleted\n") {
		t.Errorf("got %s", out)
	}
	if code, _, problems := heddle(t, "show", "--data", dir, "--space", "other"); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_GONE") {
		t.Errorf("exit %d, %q", code, problems)
	}
}

// Spaces move to another directory, and their devices go on there.
func TestCopy(t *testing.T) {
	from, to, one := t.TempDir(), filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "one")
	url, stop := serving(t, "--dev", "--data", from)
	addr := strings.Trim(strings.TrimPrefix(url, "http:"), "/")
	devices := t.TempDir()
	for i := range 2 {
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), true, "")
	}
	device(t, url, "Other", filepath.Join(devices, "other"), true, "")
	device(t, url, "gone", filepath.Join(devices, "gone"), true, "")
	works(t, "delete", "--data", from, "--space", "gone")
	want := works(t, "digest", "--server", url, "--space", "s")
	if out := works(t, "copy", "--from", from, "--to", to); out != "Other at 1, 3 rows\ns at 2, 6 rows\n" {
		t.Errorf("got %s", out)
	}
	if out := works(t, "copy", "--from", from, "--to", one, "--space", "s"); out != "s at 2, 6 rows\n" {
		t.Errorf("got %s", out)
	}
	if out := works(t, "inspect", fileOf(t, one, "s")); !strings.Contains(out, "integrity  ok") {
		t.Errorf("got %s", out)
	}
	for _, args := range [][]string{{"--from", from, "--to", to}, {"--from", from, "--to", to, "--space", "none"},
		{"--from", filepath.Join(from, "none"), "--to", to}, {"--from", to, "--to", from}} {
		if code, _, problems := heddle(t, append([]string{"copy"}, args...)...); code != exitFailed || problems == "" {
			t.Errorf("%q: exit %d, %q", args, code, problems)
		}
	}
	for _, args := range [][]string{{"--from", from}, {"--from", from, "--to", "mysql://x"},
		{"--from", from, "--to", to, "--space", "*"}} {
		if code, _, _ := heddle(t, append([]string{"copy"}, args...)...); code != exitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
	}
	stop()
	_, stop = serving(t, "--dev", "--data", to, "--addr", addr)
	defer stop()
	if got := works(t, "digest", "--server", url, "--space", "s"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 3 {
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), true, "")
	}
}
