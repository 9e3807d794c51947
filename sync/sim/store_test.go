package sim

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/wire"
)

// shared is the store under all servers, which may be put back to what it was while
// they run.
type shared struct {
	logstore.Store
	s   *sim
	now atomic.Pointer[sqlitestore.Store]
}

func (s *shared) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	return s.now.Load().Create(ctx, space, epoch)
}

func (s *shared) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return s.now.Load().Read(ctx, space, f)
}

func (s *shared) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	err := s.now.Load().Commit(ctx, space, w)
	switch { // how often a server's memory was wrong
	case errors.Is(err, logstore.ErrMoved):
		s.s.hit("decided on an old head")
	case errors.Is(err, logstore.ErrNotNew):
		s.s.hit("row not new")
	}
	return err
}

func (s *shared) Cut(ctx context.Context, space string, seq uint64) error {
	s.s.hit("sealed log cut")
	return s.now.Load().Cut(ctx, space, seq)
}

func (s *shared) Heads(ctx context.Context, spaces []string) ([]logstore.Head, error) {
	return s.now.Load().Heads(ctx, spaces)
}

func (s *shared) Watch(ctx context.Context, f func(logstore.Hint)) error {
	return s.now.Load().Watch(ctx, f)
}

// way is a server's way to the store: it may be frozen, refuse, and lose answers and
// hints.
type way struct {
	s      *sim
	server int

	mu      sync.Mutex
	open    chan struct{} // closed; while the server is frozen one that is not
	waiting int           // calls that wait for it
	commits uint64
}

func newWay(s *sim, server int) *way {
	w := &way{s: s, server: server, open: make(chan struct{})}
	close(w.open)
	return w
}

// freeze stops all calls until thaw.
func (w *way) freeze() (thaw func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := make(chan struct{})
	w.open, w.waiting = open, 0
	return func() { close(open) }
}

var errStore = errors.New("the store does not answer")

// fault is storetest.Faulty's question.
func (w *way) fault(ctx context.Context, call string, after bool) error {
	w.mu.Lock()
	open := w.open
	n := 0
	select {
	case <-open:
	default:
		w.waiting++
		n = w.waiting
	}
	if call == "Commit" && !after {
		w.commits++
	}
	commit := w.commits
	w.mu.Unlock()
	if n > 0 {
		select {
		case <-open:
			time.Sleep(time.Duration(n) * time.Microsecond) // one after the other, as they came
		case <-ctx.Done():
			time.Sleep(time.Duration(n) * time.Microsecond)
			return ctx.Err()
		}
	}
	if call != "Commit" || w.s.isCalm() {
		return nil
	}
	rng := w.s.rng("store", uint64(w.server), commit)
	hit, lost := rng.IntN(100) < w.s.p.storeFaults, rng.IntN(2) == 0
	switch {
	case !hit, lost != after:
		return nil
	case lost && !w.s.p.off("store answer lost"):
		w.s.hit("store answer lost")
		return errStore
	case !lost && !w.s.p.off("store refuses"):
		w.s.hit("store refuses")
		return errStore
	}
	return nil
}

// lose loses every other hint, where there are servers that need them.
func (w *way) lose(h logstore.Hint) bool {
	if w.s.p.servers == 1 || w.s.isCalm() || w.s.p.off("hint lost") ||
		w.s.rng("hint", uint64(w.server), h.Seq).IntN(2) == 0 {
		return false
	}
	w.s.hit("hint lost")
	return true
}

// over is the host's store as the server sees it.
func (w *way) over(h *host) logstore.Store {
	return &distant{Faulty: &storetest.Faulty{Store: &h.store, Fault: w.fault, Lose: w.lose}, way: w, host: h}
}

// distant is a store beyond a network, whose commits may be undone because of others
// though the head is still the base, and may take effect after the server has given up
// on them and has read the space again.
type distant struct {
	*storetest.Faulty
	way   *way
	host  *host
	tries atomic.Uint64
}

func (d *distant) Commit(ctx context.Context, space string, set *logstore.WriteSet) error {
	s := d.way.s
	rng := s.rng("distant", uint64(d.way.server), d.tries.Add(1))
	if s.p.servers == 1 || s.isCalm() || rng.IntN(200) >= s.p.storeFaults {
		return d.Faulty.Commit(ctx, space, set)
	}
	if rng.IntN(2) == 0 {
		if s.p.off("commit undone") {
			return d.Faulty.Commit(ctx, space, set)
		}
		s.hit("commit undone")
		return logstore.ErrMoved
	}
	if s.p.off("commit late") {
		return d.Faulty.Commit(ctx, space, set)
	}
	late, kept := *set, d.host.store.now.Load()
	s.later(time.Duration(1+rng.IntN(int(3*time.Second))), func() {
		if !d.host.isUp() || d.host.store.now.Load() != kept {
			return
		}
		if err := kept.Commit(context.Background(), space, &late); err == nil {
			s.hit("commit late")
			s.event("a commit of server %d to %d takes effect late", d.way.server, late.Head.Seq)
		}
	})
	return errStore
}
