package server_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// fault is a call that does not answer, before it takes effect or after.
type fault struct {
	call  string
	after bool
}

// faults are those that the test has to hit.
var faults = map[fault]bool{{"Read", false}: true, {"Read", true}: true, {"Commit", false}: true,
	{"Commit", true}: true, {"Spaces", false}: true, {"Spaces", true}: true}

// A store that does not answer, before its calls take effect or after: requests end
// with 503 and Retry-After, also those that wait behind others; the server is not
// ready. What was acknowledged is there, and what is sent again is there once.
func TestServer_storeDoesNotAnswer(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			const answers, hangs, hangsAfter = 0, 1, 2
			var mode atomic.Int32
			var mu sync.Mutex
			hit := map[fault]int{}
			inner := open(t)
			store := &storetest.Faulty{Store: inner, Fault: func(ctx context.Context, call string, after bool) error {
				if m := mode.Load(); m == answers || (m == hangsAfter) != after {
					return nil
				}
				mu.Lock()
				if f := (fault{call, after}); faults[f] {
					hit[f]++
				}
				mu.Unlock()
				<-ctx.Done()
				return ctx.Err()
			}}
			h := over(t, store, func(o *server.Options) { o.Limits.Store = 50 * time.Millisecond })
			authors := []*author{newAuthor(h, "s", 1), newAuthor(h, "s", 2), newAuthor(h, "s", 3)}
			rounds := uint64(0)
			for ; rounds < 3 || len(hit) < len(faults); rounds++ { // a slow machine needs more to hit each
				acknowledged(authors)
				mode.Store([]int32{hangs, hangsAfter}[rounds%2])
				if err := h.srv.Ready(t.Context()); err == nil {
					t.Error("it is ready")
				}
				var group sync.WaitGroup
				for _, a := range authors {
					group.Go(func() { unavailable(t, a.try(wire.SplitBody(a.counter+1, body("x", "2"))...)) })
				}
				group.Wait()
				pull := (&wire.PullRequest{}).Marshal()
				unavailable(t, h.do("GET", "/v1/spaces/s/digest", nil))
				unavailable(t, h.post("s", "pull", pull))
				unavailable(t, h.post("new", "pull?wait=1", pull))
				mode.Store(answers)
				for h.srv.Ready(t.Context()) != nil { // a slow machine may need longer than the bound
				}
				acknowledged(authors) // the same once more, and a next one
			}
			t.Logf("%d rounds, calls that did not answer: %v", rounds, hit)
			checkLog(t, over(t, inner, nil), map[wire.ClientID]uint64{{1}: 2 * rounds, {2}: 2 * rounds, {3}: 2 * rounds})
		})
	}
}

// A push that memory has no answer to, while the store cannot be reached: it is to be
// made again.
func TestServer_unavailableBesideMemory(t *testing.T) { synctest.Test(t, testUnavailableBesideMemory) }

func testUnavailableBesideMemory(t *testing.T) {
	var down atomic.Bool
	store := &storetest.Faulty{Store: storetest.NewModel(), Fault: func(context.Context, string, bool) error {
		if down.Load() {
			return logstore.ErrUnavailable
		}
		return nil
	}}
	h := over(t, store, nil)
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("x", "1"))...)
	down.Store(true)
	part := wire.SplitBody(2, body("x", "2"))[0]
	part.Total = 2 // memory does not know of parts
	unavailable(t, a.try(part))
	down.Store(false)
	a.push(a.write(body("x", "2"))...)
}

// acknowledged has each author push its next transaction, until it is acknowledged.
func acknowledged(authors []*author) {
	for _, a := range authors {
		parts := a.write(body("x", "2"))
		for {
			res := a.try(parts...)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
	}
}

// unavailable demands that a request is to be made again.
func unavailable(t *testing.T, res *http.Response) {
	t.Helper()
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
}

// A server that drains is not ready and takes no new streams, while it goes on to
// take pushes. Its streams are told to connect again, one after the other over the
// whole time.
func TestServer_drainOver(t *testing.T) { synctest.Test(t, testDrainOver) }

func testDrainOver(t *testing.T) {
	const streams, over10 = 9, 10 * time.Second
	h := over(t, storetest.NewModel(), nil)
	a := newAuthor(h, "s", 1)
	ends := make(chan time.Duration, streams)
	began := time.Now()
	for i := range streams {
		frames, res := newAuthor(h, "s", byte(10+i)).pull(t.Context(), "")
		next(t, frames, nil, func(f *wire.Frame) bool { return f.CaughtUp != nil })
		go func() {
			defer res.Body.Close()
			if f := until(t, frames); f == nil || f.Error == nil || f.Error.Code != errcode.Closed {
				t.Errorf("a stream ended with %+v", f)
			}
			ends <- time.Since(began)
		}()
	}
	if err := h.srv.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	go h.srv.DrainOver(t.Context(), over10)
	synctest.Wait()
	if err := h.srv.Ready(t.Context()); errcode.Of(err) != errcode.Closed {
		t.Errorf("it is ready: %v", err)
	}
	h.refused(h.post("s", "pull", (&wire.PullRequest{}).Marshal()), 503, errcode.Closed)
	res := h.do("GET", "/healthz", nil)
	if res.Body.Close(); res.StatusCode != 503 {
		t.Errorf("/healthz: got %s", res.Status)
	}
	a.push(a.write(body("x", "1"))...)
	var at []time.Duration
	for range streams {
		at = append(at, <-ends)
	}
	for i := range at {
		if want := over10 / (streams + 1) * time.Duration(i+1); at[i] != want {
			t.Errorf("stream %d ended after %v, want %v", i, at[i], want)
		}
	}
	if s := h.srv.Stats(); s.Streams != 0 || !s.Draining || s.OKTotal != 1 {
		t.Errorf("got %+v", s)
	}
}

// watcher is an observer that keeps what it is told.
type watcher struct {
	mu       sync.Mutex
	answered []server.Answered
	streamed int
}

func (w *watcher) Answered(_ context.Context, a *server.Answered) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = append(w.answered, *a)
}

func (w *watcher) Streamed(time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streamed++
}

// An observer hears of each request, with the steps of a push, and of each commit
// that a stream brings.
func TestServer_observer(t *testing.T) { synctest.Test(t, testObserver) }

func testObserver(t *testing.T) {
	w := &watcher{}
	h := over(t, storetest.NewModel(), func(o *server.Options) { o.Observer = w })
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	frames, res := b.pull(t.Context(), "")
	next(t, frames, b.take, func(f *wire.Frame) bool { return f.CaughtUp != nil })
	for i := range 3 {
		a.push(a.write(body("x", i))...)
		next(t, frames, b.take, func(f *wire.Frame) bool { return b.at.Seq == uint64(i+1) })
	}
	h.do("GET", "/v1/spaces/none/digest", nil).Body.Close()
	h.do("GET", "/elsewhere", nil).Body.Close()
	res.Body.Close()
	h.srv.Drain()
	synctest.Wait()
	count := map[string]int{}
	for _, one := range w.answered {
		count[one.Action+" "+one.Code]++
		if one.Action != "push" {
			continue
		}
		var names []string
		for _, s := range one.Steps {
			names = append(names, s.Name)
		}
		if !slices.Contains(names, "wait") || !slices.Contains(names, "decide") || names[len(names)-1] != "commit" ||
			one.Space != "s" {
			t.Errorf("got %+v", one)
		}
	}
	want := map[string]int{"push ": 3, "pull ": 1, "digest " + errcode.NotFound: 1, " " + errcode.NotFound: 1}
	if !maps.Equal(count, want) {
		t.Errorf("got %v, want %v", count, want)
	}
	if w.streamed != 3 {
		t.Errorf("%d commits came by the stream, want 3", w.streamed)
	}
}

// brokenRows is a store of which one read of rows fails, with rows as an answer.
type brokenRows struct {
	logstore.Store
	fails atomic.Bool
	hit   atomic.Int32
}

func (s *brokenRows) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return s.Store.Read(ctx, space, func(v logstore.View) error { return f(&brokenView{v, s}) })
}

type brokenView struct {
	logstore.View
	s *brokenRows
}

func (v *brokenView) Rows(ids []logstore.RowID) ([][]byte, error) {
	if v.s.fails.CompareAndSwap(true, false) {
		v.s.hit.Add(1)
		return make([][]byte, len(ids)), errFault
	}
	return v.View.Rows(ids)
}

// Where the rows of one push cannot be read, the others of its turn do not take them
// for absent.
func TestServer_rowsThatCannotBeRead(t *testing.T) { synctest.Test(t, testRowsThatCannotBeRead) }

func testRowsThatCannotBeRead(t *testing.T) {
	inner := &brokenRows{Store: storetest.NewModel()}
	held, commits := make(chan struct{}), 0
	store := &storetest.Faulty{Store: inner, Fault: func(_ context.Context, call string, after bool) error {
		if call != "Commit" || after {
			return nil
		}
		switch commits++; commits {
		case 4:
			<-held // two others come meanwhile
		case 5:
			inner.fails.Store(true)
			return logstore.ErrMoved // so that their rows are read
		}
		return nil
	}}
	h := over(t, store, nil)
	authors := []*author{newAuthor(h, "s", 1), newAuthor(h, "s", 2), newAuthor(h, "s", 3)}
	acknowledged(authors)
	var group sync.WaitGroup
	for _, a := range authors {
		group.Go(func() { acknowledged([]*author{a}) })
		synctest.Wait()
	}
	close(held)
	group.Wait()
	if inner.hit.Load() != 1 {
		t.Errorf("the fault was hit %d times", inner.hit.Load())
	}
	checkLog(t, h, map[wire.ClientID]uint64{{1}: 2, {2}: 2, {3}: 2})
	if d := h.digest("s", ""); d.Rows != 1 {
		t.Errorf("%d rows, want 1", d.Rows)
	}
}
