//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/wire"
)

// get returns a status and a body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// The listener of --admin has what operating needs, and that of devices has none of it.
func TestServe_admin(t *testing.T) {
	url, admin, _ := starting(t, &env{bounds: unhurried}, func(string) {}, "--dev", "--data", t.TempDir(), "--admin",
		"127.0.0.1:0")
	device(t, url, "garden", filepath.Join(t.TempDir(), "x.db"), true, "")
	status, text := get(t, admin+"metrics")
	if status != 200 {
		t.Fatalf("got %d\n%s", status, text)
	}
	for _, part := range []string{"heddle_requests_total{action=\"push\",code=\"ok\"}",
		"heddle_transactions_total{outcome=\"ok\"} 1\n", "heddle_store_calls_total{call=\"commit\",result=\"ok\"} 1\n",
		"heddle_connections ", "heddle_connections_refused_total 0\n", "go_goroutines ", "process_open_fds ",
		"go_build_info{"} {
		if !strings.Contains(text, part) {
			t.Errorf("/metrics lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "garden") {
		t.Error("/metrics has the name of a space")
	}
	for _, path := range []string{"livez", "readyz", "debug/pprof/", "debug/pprof/goroutine?debug=1"} {
		if status, text := get(t, admin+path); status != 200 {
			t.Errorf("%s: got %d\n%s", path, status, text)
		}
	}
	for _, path := range []string{"metrics", "livez", "readyz", "debug/pprof/"} {
		if status, _ := get(t, url+path); status != 404 {
			t.Errorf("devices get %d for %s", status, path)
		}
	}
}

// A store that does not answer: not ready, requests end with 503 and Retry-After, and
// all goes on when it answers again.
func TestServe_storeDoesNotAnswer(t *testing.T) {
	b := unhurried
	b.store, b.ready = 50*time.Millisecond, 50*time.Millisecond
	t.Run("files", func(t *testing.T) {
		var hangs atomic.Bool
		e := &env{bounds: b, store: func(s logstore.Store) logstore.Store {
			return &storetest.Faulty{Store: s, Fault: func(ctx context.Context, _ string, after bool) error {
				if !hangs.Load() {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}}
		}}
		testNoAnswer(t, e, func() func() {
			hangs.Store(true)
			return func() { hangs.Store(false) }
		}, "--data", t.TempDir())
	})
	t.Run("a database, whose connections stay open", func(t *testing.T) {
		url := pgtest.Database(t)
		database, err := neturl.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		way := newProxy(t, database.Host)
		testNoAnswer(t, &env{bounds: b}, way.stall, "--store", strings.Replace(url, database.Host, way.addr, 1))
	})
}

// testNoAnswer is that test for a store; hang has it not answer until it is told to.
func testNoAnswer(t *testing.T, e *env, hang func() (answer func()), args ...string) {
	url, admin, _ := starting(t, e, func(string) {}, append(args, "--dev", "--admin", "127.0.0.1:0", "--log", "error")...)
	becomes(t, "a push", 200, func() int { return push(t, url, "") })
	answer := hang()
	if status, text := get(t, admin+"readyz"); status != 503 || !strings.Contains(text, "not ready") {
		t.Errorf("readyz: got %d %s", status, text)
	}
	if status, _ := get(t, admin+"livez"); status != 200 {
		t.Errorf("livez: got %d", status)
	}
	req := bytes.NewReader((&wire.PushRequest{Client: wire.ClientID{1}}).Marshal())
	res, err := http.Post(url+"v1/spaces/s/push", wire.MediaType, req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a push: got %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	answer()
	becomes(t, "readyz", 200, func() int { status, _ := get(t, admin+"readyz"); return status })
	becomes(t, "a push", 200, func() int { return push(t, url, "") })
}

// A request under way when the server ends has its answer.
func TestServe_endsWithARequestUnderWay(t *testing.T) {
	var held atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	e := &env{bounds: unhurried, store: func(s logstore.Store) logstore.Store {
		return &storetest.Faulty{Store: s, Fault: func(_ context.Context, call string, after bool) error {
			if call == "Commit" && !after && held.CompareAndSwap(false, true) {
				close(reached)
				<-release
			}
			return nil
		}}
	}}
	url, _, stop := starting(t, e, func(string) {}, "--dev", "--data", t.TempDir(), "--grace", "24h")
	type answer struct {
		status int
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		b := (&wire.Body{}).Marshal()
		req := &wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(1, b)}
		res, err := http.Post(url+"v1/spaces/s/push", wire.MediaType, bytes.NewReader(req.Marshal()))
		if err != nil {
			answered <- answer{0, err}
			return
		}
		res.Body.Close()
		answered <- answer{res.StatusCode, nil}
	}()
	await.Event(t, reached, "the commit")
	ended := make(chan int, 1)
	go func() { ended <- stop() }()
	select {
	case <-ended:
		t.Fatal("the server ended without the request")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if got := await.Event(t, answered, "the answer"); got.err != nil || got.status != 200 {
		t.Errorf("got %+v", got)
	}
	if code := await.Event(t, ended, "the server's end"); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// process runs the command as a process of its own.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, url, admin string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(binary, append([]string{"serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data",
		t.TempDir()}, args...)...)
	cmd.Env = append(os.Environ(), asHeddle+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "admin at "); ok {
			admin = rest
		}
		if _, rest, ok := strings.Cut(lines.Text(), "serving "); ok {
			url, _, _ = strings.Cut(rest, " ")
			return cmd, url, admin
		}
	}
	t.Fatalf("the process says nothing: %v", lines.Err())
	return
}

// SIGTERM: first the server is not ready, its streams are told to connect again, and
// pushes are taken; then the process ends.
func TestServe_drains(t *testing.T) {
	cmd, url, admin := process(t, "--dev", "--drain", "100ms")
	frames := stream(t, t.Context(), url, "s")
	if status, _ := get(t, admin+"readyz"); status != 200 {
		t.Errorf("readyz: got %d", status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ends(t, frames, errcode.Closed)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// While it drains a server takes pushes and no new streams; a second SIGTERM ends it
// at once.
func TestServe_secondSignal(t *testing.T) {
	cmd, url, admin := process(t, "--dev", "--drain", "24h")
	frames := stream(t, t.Context(), url, "s")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	becomes(t, "readyz", 503, func() int { status, _ := get(t, admin+"readyz"); return status })
	if got := push(t, url, ""); got != 200 {
		t.Errorf("a push: got %d", got)
	}
	res, err := http.Post(url+"v1/spaces/s/pull", wire.MediaType, bytes.NewReader((&wire.PullRequest{}).Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a new stream: got %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err == nil {
		t.Error("it has drained")
	} else if exit, _ = err.(*exec.ExitError); exit == nil || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("got %v", err)
	}
	if f, err := frames.Next(); err == nil && f.Error != nil {
		t.Errorf("the stream ended with %+v", f.Error)
	}
}
