package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/wire"
)

// asHeddle in the environment makes the test's binary be the command.
const asHeddle = "HEDDLE_TEST_IS_THE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asHeddle) != "" {
		main()
	}
	os.Exit(pgtest.Run(m))
}

// A server that is killed while it decides has, when it comes back, everything
// that it acknowledged, and a sound file.
func TestServe_killedLosesNothingAcknowledged(t *testing.T) {
	data := t.TempDir()
	up := func() (url string, kill func()) {
		t.Helper()
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "serve", "--dev", "--addr", "127.0.0.1:0", "--data", data)
		cmd.Env = append(os.Environ(), asHeddle+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill = func() { cmd.Process.Kill(); cmd.Wait() }
		t.Cleanup(kill)
		line, err := bufio.NewReader(out).ReadString('\n')
		_, url, ok := strings.Cut(line, "serving ")
		if err != nil || !ok {
			t.Fatalf("got %q, %v", line, err)
		}
		url, _, _ = strings.Cut(url, " ")
		return url, kill
	}
	shape := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinAdd}}
	push := func(ctx context.Context, url string, counter uint64) error {
		b := &wire.Body{Schema: []wire.TableSchema{{Table: "t", Key: []string{"k"},
			Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}, Shapes: []*wire.Shape{shape}}
		for i := range 50 {
			b.Ops = append(b.Ops, wire.Op{Shape: shape, Key: []wire.Value{int64(i)}, Cells: []wire.Value{int64(1)}})
		}
		req := &wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(counter, b.Marshal())}
		hr, err := http.NewRequestWithContext(ctx, "POST", url+"v1/spaces/s/push", bytes.NewReader(req.Marshal()))
		if err != nil {
			return err
		}
		hr.Header.Set("Content-Type", wire.MediaType)
		res, err := http.DefaultClient.Do(hr)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		m, err := wire.UnmarshalPushResponse(answer)
		if res.StatusCode != 200 || err != nil || m.Decided != counter {
			return fmt.Errorf("status %d, %+v, %v", res.StatusCode, m, err)
		}
		return nil
	}
	counter := uint64(1) // the next to be acknowledged
	for round := range 4 {
		url, kill := up()
		var acked atomic.Int64
		enough := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for push(t.Context(), url, counter) == nil {
				counter++
				if acked.Add(1) == int64(5+round) {
					close(enough)
				}
			}
		}()
		select {
		case <-enough:
		case <-ended:
			t.Fatalf("round %d: the server took %d pushes only", round, acked.Load())
		}
		kill()
		<-ended
	}
	file := fileOf(t, data, "s")
	out := works(t, "inspect", file) // the chain, the digest, SQLite's own check
	c, err := sqlite3.Open("file:" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare(`SELECT max(counter), count(*) FROM log`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() {
		t.Fatal(s.Err())
	}
	last, entries := uint64(s.ColumnInt64(0)), uint64(s.ColumnInt64(1))
	// The push that was under way may have been decided; its answer was lost.
	if last < counter-1 || last > counter || entries != last {
		t.Errorf("%d acknowledged, %d entries up to %d\n%s", counter-1, entries, last, out)
	}
}

// A flipped row is found by inspect and repaired; the devices go on, and what they
// hold is again what the server holds.
func TestRepair_drill(t *testing.T) {
	dir := t.TempDir()
	url, stop := serving(t, "--dev", "--data", dir)
	addr := strings.Trim(strings.TrimPrefix(url, "http:"), "/")
	devices := t.TempDir()
	for i := range 2 {
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), true, "")
	}
	want := works(t, "digest", "--server", url, "--space", "s")
	if code, _, problems := heddle(t, "repair", "--data", dir, "--space", "s"); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_BLOCKED") {
		t.Errorf("beside a server: exit %d, %q", code, problems)
	}
	stop()
	file := fileOf(t, dir, "s")
	c, err := sqlite3.Open("file:" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Exec(`UPDATE row SET cells = x'01'`), c.Close()); err != nil {
		t.Fatal(err)
	}
	if code, _, problems := heddle(t, "inspect", file); code != exitFailed ||
		!strings.Contains(problems, "is not what was stored") {
		t.Errorf("exit %d, %q", code, problems)
	}
	if out := works(t, "repair", "--data", dir, "--space", "s"); !strings.Contains(out, "folded from the log") {
		t.Errorf("got %s", out)
	}
	works(t, "inspect", file)
	url, stop = serving(t, "--dev", "--data", dir, "--addr", addr)
	defer stop()
	if got := works(t, "digest", "--server", url, "--space", "s"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 3 { // the third is new
		device(t, url, "s", filepath.Join(devices, fmt.Sprint(i)), i == 1, "")
	}
}

// What SQLite's own check cannot see: a row or an entry that is not what it was.
func TestInspect_tampering(t *testing.T) {
	for name, sql := range map[string]string{
		"a row is gone":        `DELETE FROM row WHERE key = (SELECT min(key) FROM row)`,
		"a row is changed":     `UPDATE row SET cells = x'01'`,
		"a body is changed":    `UPDATE log SET body = CAST(body || x'00' AS BLOB) WHERE seq = 1`,
		"an entry is gone":     `DELETE FROM log WHERE seq = 1`,
		"an outcome is turned": `UPDATE log SET outcome = 'NO' WHERE seq = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			url, stop := serving(t, "--dev", "--data", dir)
			for i := range 2 {
				device(t, url, "s", filepath.Join(t.TempDir(), fmt.Sprint(i)), true, "")
			}
			stop()
			file := fileOf(t, dir, "s")
			works(t, "inspect", file)
			c, err := sqlite3.Open("file:" + file)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Exec(sql); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if code, _, problems := heddle(t, "inspect", file); code != exitFailed ||
				!strings.Contains(problems, "HEDDLE_DIVERGED") {
				t.Errorf("exit %d, %q", code, problems)
			}
		})
	}
}

// fileOf returns the file of a data directory that holds a space.
func fileOf(t *testing.T, dir, space string) string {
	t.Helper()
	file, err := sqlitestore.FileOf(dir, space)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
