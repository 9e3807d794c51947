package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// next reads frames until one is of the kind that want says.
func next(t *testing.T, frames *wire.FrameReader, take func(*wire.Frame), want func(*wire.Frame) bool) {
	t.Helper()
	for {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		if take != nil {
			take(f)
		}
		if want(f) {
			return
		}
	}
}

func TestPull_streams(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Heartbeat = 10 * time.Millisecond })
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	frames, res := b.pull(ctx, "")
	defer res.Body.Close()
	caughtUp := func(f *wire.Frame) bool { return f.CaughtUp != nil }
	next(t, frames, b.take, caughtUp) // of an empty log
	for i := range 5 {
		a.push(a.write(body("x", fmt.Sprint(i)))...)
		next(t, frames, b.take, func(f *wire.Frame) bool { return f.CaughtUp != nil && b.at.Seq == uint64(i+1) })
		next(t, frames, b.take, func(f *wire.Frame) bool { return f.Heartbeat != nil && f.Heartbeat.Head == uint64(i+1) })
	}
	res.Body.Close() // the line breaks
	a.push(a.write(body("x", "later"))...)
	frames, res = b.pull(ctx, "") // and the stream resumes where it was
	defer res.Body.Close()
	next(t, frames, b.take, caughtUp)
	if b.at.Seq != 6 || len(b.log) != 6 {
		t.Errorf("got %d entries up to %d, want 6", len(b.log), b.at.Seq)
	}
}

// Devices that follow a space get the same entries, one by one, in bursts and
// large ones; only authors get theirs without bodies.
func TestPull_manyFollow(t *testing.T) {
	h := start(t, nil)
	writers := []*author{newAuthor(h, "s", 1), newAuthor(h, "s", 2)}
	var followers []*author
	for i := range 6 {
		f := newAuthor(h, "s", byte(3+i))
		if i < len(writers) {
			f.id, f.sent = writers[i].id, writers[i].sent // a writer's own stream
		}
		followers = append(followers, f)
	}
	large := strings.Repeat("x", 40<<10)
	var pushes [][]wire.Part
	from := []int{}
	total := 0
	for round := range 30 {
		w := round % len(writers)
		var parts []wire.Part
		for range []int{1, 1, 3, 8, 20}[round%5] {
			text := fmt.Sprint("text ", total)
			if round%7 == 6 {
				text = large
			}
			parts = append(parts, writers[w].write(body(fmt.Sprint(total%50), text))...)
			total++
		}
		pushes, from = append(pushes, parts), append(from, w)
	}
	var group sync.WaitGroup
	for _, f := range followers {
		frames, res := f.pull(t.Context(), "")
		defer res.Body.Close()
		next(t, frames, f.take, func(fr *wire.Frame) bool { return fr.CaughtUp != nil })
		group.Go(func() {
			for f.at.Seq < uint64(total) {
				fr, err := frames.Next()
				if err != nil {
					t.Error(err)
					return
				}
				f.take(fr)
			}
		})
	}
	for i, parts := range pushes {
		writers[from[i]].push(parts...)
	}
	group.Wait()
	want := h.digest("s", "").Digest
	for i, f := range followers {
		if len(f.log) != total || f.digest.Sum() != want {
			t.Errorf("follower %d has %d entries of %d, or another digest", i, len(f.log), total)
		}
	}
}

// A reader of batches that no frame holds whole is caught up at the end of a commit
// alone: only there is a digest.
func TestPull_caughtUpAtCommits(t *testing.T) {
	h := start(t, nil)
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	const batches, size = 8, 1100
	var pushed [batches][]wire.Part
	for i := range pushed {
		for n := range size {
			pushed[i] = append(pushed[i], a.write(body(fmt.Sprint(n%7), 1))...)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, parts := range pushed {
			a.push(parts...)
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		b.catchUp()
		if b.at.Seq%size != 0 {
			t.Fatalf("caught up at %d, and commits have %d entries", b.at.Seq, size)
		}
	}
	if b.at.Seq != batches*size {
		t.Errorf("caught up at %d of %d", b.at.Seq, batches*size)
	}
}

// A backlog larger than a batch arrives whole and in order.
func TestPull_inBatches(t *testing.T) {
	h := start(t, nil)
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	text := string(bytes.Repeat([]byte("x"), 700<<10))
	for i := range 5 {
		a.push(a.write(body(fmt.Sprint(i), text))...)
	}
	var small []wire.Part
	for range 2500 {
		small = append(small, a.write(body("n", 1))...)
	}
	a.push(small...)
	b.catchUp()
	if len(b.log) != 2505 || b.digest.Sum() != h.digest("s", "").Digest {
		t.Errorf("got %d entries", len(b.log))
	}
}

func TestPull_endsWhenTheTokenExpires(t *testing.T) { synctest.Test(t, testTokenExpires) }

func testTokenExpires(t *testing.T) {
	key := mustKey(t, secret)
	h := startInMemory(t, func(o *server.Options) { o.Dev, o.Tokens = false, key })
	token, err := key.Mint(auth.Grant{Spaces: auth.Spaces(auth.ReadWrite, "s"), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthor(h, "s", 1)
	frames, res := a.pull(context.Background(), "", "Authorization", "Bearer "+token)
	defer res.Body.Close()
	next(t, frames, nil, func(f *wire.Frame) bool { return f.Error != nil && f.Error.Code == errcode.Unauthorized })
	if _, err := frames.Next(); err != io.EOF {
		t.Errorf("after the error: got %v, want io.EOF", err)
	}
}

// Closing the server ends streams cleanly, and what was acknowledged while it
// went down is there when it comes back.
func TestShutdown_losesNoAcknowledgedWrite(t *testing.T) {
	h := start(t, nil)
	reader := newAuthor(h, "s", 99)
	frames, res := reader.pull(context.Background(), "")
	defer res.Body.Close()
	var mu sync.Mutex
	acked := map[wire.ClientID]uint64{}
	var writers sync.WaitGroup
	started := make(chan struct{}, 4)
	for id := range 4 {
		writers.Go(func() {
			a := newAuthor(h, "s", byte(id+1))
			for n := 0; ; n++ {
				a.counter++
				req := (&wire.PushRequest{Client: a.id, Parts: wire.SplitBody(a.counter, body(fmt.Sprint(id), n))}).Marshal()
				res, err := http.Post(h.http.URL+"/v1/spaces/s/push", wire.MediaType, bytes.NewReader(req))
				if err != nil {
					return // the server is gone
				}
				data, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 {
					return
				}
				answer, err := wire.UnmarshalPushResponse(data)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[a.id] = answer.Decided
				mu.Unlock()
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	h.srv.Drain()
	if err := errors.Join(h.srv.Close(), h.store.Close()); err != nil { // while the writers write
		t.Error(err)
	}
	for {
		if _, err := frames.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Errorf("the stream ended with %v", err)
			break
		}
	}
	h.http.CloseClientConnections()
	h.http.Close()
	writers.Wait()
	h.srv = nil
	h.up()
	late := newAuthor(h, "s", 98)
	late.catchUp()
	found := map[wire.ClientID]uint64{}
	for _, e := range late.log {
		if e.Counter != found[e.Client]+1 {
			t.Errorf("client %x: counter %d after %d", e.Client[:1], e.Counter, found[e.Client])
		}
		found[e.Client] = e.Counter
	}
	for id, n := range acked {
		if n < 4 || found[id] < n {
			t.Errorf("client %x: %d acknowledged, %d there", id[:1], n, found[id])
		}
	}
	if late.digest.Sum() != h.digest("s", "").Digest {
		t.Error("the digest differs")
	}
}

// After a failure of the disk nothing is half there, and the server goes on.
func TestPush_failsWhole(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("x", "1"))...)
	before := h.digest("s", "")
	c, err := sqlite3.Open("file:" + filepath.ToSlash(h.file()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The last thing that a push writes fails.
	if err := c.Exec(`CREATE TRIGGER broken BEFORE UPDATE ON space BEGIN SELECT raise(ABORT, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	second := a.write(body("x", 1, "y", "2"))
	h.t = discard{t}
	h.refused(a.try(second...), 500, errcode.Server)
	h.t = t
	if got := h.digest("s", ""); !reflect.DeepEqual(got, before) {
		t.Errorf("after the failure: got %+v, want %+v", got, before)
	}
	if err := c.Exec(`DROP TRIGGER broken`); err != nil {
		t.Fatal(err)
	}
	if res := a.push(second...); res.Decided != 2 || res.Head != 2 {
		t.Errorf("again: got %+v", res)
	}
	a.catchUp()
	if got := h.digest("s", ""); got.Digest != a.digest.Sum() || got.Rows != 2 {
		t.Errorf("got %+v, want %x", got, a.digest.Sum())
	}
}

// A hook that panics is a failed request and nothing else.
func TestPush_hookPanics(t *testing.T) {
	broken := true
	h := start(t, func(o *server.Options) {
		o.Decide = func(_ context.Context, d *server.Decision) error {
			if broken {
				panic("the app's fault")
			}
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	parts := a.write(body("x", "1"))
	h.t = discard{t}
	h.refused(a.try(parts...), 500, errcode.Internal)
	h.t = t
	broken = false
	if res := a.push(parts...); res.Decided != 1 || res.Head != 1 {
		t.Errorf("again: got %+v", res)
	}
}

// A decision that takes too long is none.
func TestPush_timeIsUp(t *testing.T) {
	slow := true
	h := start(t, func(o *server.Options) {
		o.Limits.Decision = 50 * time.Millisecond
		o.Decide = func(ctx context.Context, d *server.Decision) error {
			if slow {
				<-ctx.Done()
				return errcode.New("APP_LATE", "app", "too late to be a decision")
			}
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	parts := a.write(body("x", "1"))
	res := a.try(parts...)
	if res.Body.Close(); res.StatusCode != 503 {
		t.Errorf("got %d, want 503", res.StatusCode)
	}
	slow = false
	h.o.Limits.Decision = await.Long
	h.restart()
	if res := a.push(parts...); res.Decided != 1 || res.Head != 1 {
		t.Errorf("again: got %+v", res)
	}
}

// A client may leave before its large transaction is decided, and come back with it:
// the decision must not begin again each time.
func TestPush_clientLeaves(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	h := start(t, func(o *server.Options) {
		o.Decide = func(_ context.Context, d *server.Decision) error {
			close(begun)
			<-goOn
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	ctx, leave := context.WithCancel(context.Background())
	served := make(chan struct{})
	inner := h.http.Config.Handler
	h.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/push") {
			inner.ServeHTTP(w, r)
			return
		}
		go func() { // the hook waits until the server knows
			<-begun
			leave()
			<-r.Context().Done()
			close(goOn)
		}()
		inner.ServeHTTP(w, r)
		close(served)
	})
	req, _ := http.NewRequestWithContext(ctx, "POST", h.http.URL+"/v1/spaces/s/push",
		bytes.NewReader((&wire.PushRequest{Client: a.id, Parts: a.write(body("x", "1"))}).Marshal()))
	req.Header.Set("Content-Type", wire.MediaType)
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Fatal("the asker was to be gone")
	}
	<-served
	if got := h.digest("s", ""); got.Seq != 1 {
		t.Errorf("the log ends at %d, want 1", got.Seq)
	}
}

// discard is a TB whose log is not of interest.
type discard struct{ *testing.T }

func (discard) Log(...any) {}

// Many authors push at once while others read: one order, one state.
func TestServer_concurrentAuthors(t *testing.T) {
	h := start(t, nil)
	const authors, each = 6, 25
	var group sync.WaitGroup
	var readers [2]*author
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range readers {
		readers[i] = newAuthor(h, "s", byte(100+i))
		frames, res := readers[i].pull(ctx, "")
		defer res.Body.Close()
		group.Go(func() {
			for readers[i].at.Seq < authors*each {
				f, err := frames.Next()
				if err != nil {
					t.Error(err)
					return
				}
				readers[i].take(f)
			}
		})
	}
	for i := range authors {
		group.Go(func() {
			a := newAuthor(h, "s", byte(1+i))
			for n := range each {
				a.push(a.write(body(fmt.Sprint(n%5), fmt.Sprint(i, n), fmt.Sprint(n%3), 1))...)
			}
		})
	}
	group.Wait()
	d := h.digest("s", "")
	for _, r := range readers {
		if d.Seq != authors*each || r.digest.Sum() != d.Digest {
			t.Errorf("at %d: got %x, want %x at %d", r.at.Seq, r.digest.Sum(), d.Digest, d.Seq)
		}
	}
}
