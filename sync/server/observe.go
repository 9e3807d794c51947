package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Observer is told what a server does, for metrics and traces. Its methods are called
// from many goroutines, and hold them up: they must be quick, and must not call the
// server.
type Observer interface {
	// Answered tells of a request that is over; of a pull, when its stream has ended.
	// ctx is the request's.
	Answered(ctx context.Context, a *Answered)
	// Streamed tells that a stream which had caught up has sent a commit, so long after
	// this server made it or learned of it.
	Streamed(after time.Duration)
}

// Observers returns one that tells each of some.
func Observers(all ...Observer) Observer { return observers(all) }

type observers []Observer

func (all observers) Answered(ctx context.Context, a *Answered) {
	for _, o := range all {
		o.Answered(ctx, a)
	}
}

func (all observers) Streamed(after time.Duration) {
	for _, o := range all {
		o.Streamed(after)
	}
}

// Answered is a request that is over.
type Answered struct {
	Action string // "push", "pull" and so on: see Actions; "" for any other address
	Waits  bool   // it lasts as long as there is something to wait for
	Space  string // "" where the request named none
	Code   string // of its error; "" where there was none
	Began  time.Time
	Took   time.Duration
	Steps  []Step // of a push, in order; those of a commit that failed come again
}

// Step is a part of a push.
type Step struct {
	Name  string // "wait" for its turn, "read", "decide" or "commit"
	Began time.Time
	Took  time.Duration
}

// Steps are the names that a Step may have.
var Steps = []string{"wait", "read", "decide", "commit"}

// Actions are those that an Answered may have.
func Actions() []string {
	all := []string{""}
	for name := range actions {
		all = append(all, name)
	}
	return all
}

// Stats are a server's numbers at a moment. Those that end in Total count from its
// beginning.
type Stats struct {
	Streams   int   // that are open
	Spaces    int   // that somebody uses, or that are in memory
	Warm      int   // of those: what deciding needs is in memory
	RowBytes  int64 // of rows that are kept there
	Draining  bool
	OKTotal   uint64 // transactions decided ok
	VoidTotal uint64 // and void
	SentTotal uint64 // bytes sent to streams before compression
	// SnapshotTotal is how much of SentTotal were snapshots.
	SnapshotTotal uint64
	HintsTotal    uint64 // of the store's
	// NewsTotal is how many of the hints carried a commit that streams were told of at
	// once: the store was not read.
	NewsTotal uint64
	// UnhintedTotal is how often a followed space was found to have moved without a
	// hint of it: Options.Recheck.
	UnhintedTotal uint64
}

// tally counts what of Stats only grows.
type tally struct{ ok, void, sent, snapshot, hints, news, unhinted atomic.Uint64 }

func (c *tally) decided(entries []wire.Entry) {
	for i := range entries {
		if entries[i].Outcome == "" {
			c.ok.Add(1)
		} else {
			c.void.Add(1)
		}
	}
}

// Stats returns the server's numbers.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.tally
	return Stats{Streams: len(s.streams), Spaces: len(s.spaces), Warm: s.warm.Len(), RowBytes: s.held,
		Draining: s.leaving.Load(), OKTotal: c.ok.Load(), VoidTotal: c.void.Load(), SentTotal: c.sent.Load(),
		SnapshotTotal: c.snapshot.Load(), HintsTotal: c.hints.Load(), NewsTotal: c.news.Load(),
		UnhintedTotal: c.unhinted.Load()}
}

// answered tells the observer of a request.
func (s *Server) answered(r *http.Request, c *caller, action string, began time.Time, err error) {
	if s.o.Observer == nil {
		return
	}
	a := &Answered{Action: action, Waits: actions[action].waits, Code: codeOf(err), Began: began, Took: time.Since(began)}
	if c != nil {
		a.Space, a.Steps = c.space, c.steps
	}
	s.o.Observer.Answered(r.Context(), a)
}

// codeOf is the code that a client gets for err.
func codeOf(err error) string {
	switch code := errcode.Of(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errcode.Timeout
	case code == errcode.Internal && errors.Is(err, logstore.ErrUnavailable):
		return errcode.Server
	default:
		return code
	}
}

// readiness asks the store whether it answers. One question at a time is under way,
// however many ask: a store that hangs may keep it longer than anybody waits.
type readiness struct {
	mu      sync.Mutex
	asking  chan struct{} // closed when the answer is there; nil: nothing is under way
	problem error         // the last answer
}

// Ready says why requests had better go to another server: HEDDLE_CLOSED while this
// one drains, an error of the store, or ctx's where that does not answer before ctx
// ends. It is nil for a server that is ready.
func (s *Server) Ready(ctx context.Context) error {
	if s.leaving.Load() {
		return errClosed
	}
	r := &s.ready
	r.mu.Lock()
	if r.asking == nil {
		if !s.beginRequest() {
			r.mu.Unlock()
			return errClosed
		}
		r.asking = make(chan struct{})
		go s.askStore()
	}
	asking := r.asking
	r.mu.Unlock()
	select {
	case <-asking:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.problem
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askStore brings the answer of r.asking. The server's Close waits for it.
func (s *Server) askStore() {
	defer s.active.Done()
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Limits.Store)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-stop:
		}
	}()
	_, err := s.store.Spaces(ctx, "", 1)
	r := &s.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = err
	close(r.asking)
	r.asking = nil
}
