package server_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

// putBack is a store that is put back to before its first cut, as soon as that is done.
type putBack struct {
	logstore.Store
	older logstore.Store
	back  atomic.Bool
}

func (p *putBack) now() logstore.Store {
	if p.back.Load() {
		return p.older
	}
	return p.Store
}

func (p *putBack) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return p.now().Read(ctx, space, f)
}

func (p *putBack) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	if p.back.Load() {
		return p.older.Commit(ctx, space, w)
	}
	err := p.Store.Commit(ctx, space, w)
	switch {
	case err != nil:
		return err
	case w.Cut > 0:
		p.back.Store(true)
		return nil
	}
	return p.older.Commit(ctx, space, w)
}

func (p *putBack) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	return errors.Join(p.Store.Create(ctx, space, epoch), p.older.Create(ctx, space, epoch))
}

func (p *putBack) Cut(ctx context.Context, space string, seq uint64) error {
	return p.now().Cut(ctx, space, seq)
}

// TestCut_putBack: after a store was put back under its server, nothing is cut but with what is known of it.
func TestCut_putBack(t *testing.T) {
	store := &putBack{Store: storetest.NewModel(), older: storetest.NewModel()}
	h := over(t, store, small)
	s := found(h)
	for range 20 {
		s.write()
	}
	s.prove(1, s.upload("rows"))
	await.Poll(t, "the log is cut, and put back, and cut", func() bool {
		return store.back.Load() && s.meta().Horizon == s.head.Seq-4
	})
	m := s.meta()
	if err := store.older.Read(t.Context(), "s", func(v logstore.View) error {
		_, err := shelf.Base(v, &m)
		return err
	}); err != nil {
		t.Error(err)
	}
	s.writeOn()
}

// late is a store whose first cut takes effect when the test has it do so.
type late struct {
	logstore.Store
	first atomic.Pointer[logstore.WriteSet]
}

func (l *late) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	if w.Cut > 0 && l.first.CompareAndSwap(nil, w) {
		return errors.New("no answer")
	}
	return l.Store.Commit(ctx, space, w)
}

// TestCut_late: a cut that takes effect after another one changes nothing. The log's end, which each commit is
// compared with, is the same for both.
func TestCut_late(t *testing.T) {
	store := &late{Store: storetest.NewModel()}
	h := over(t, store, small)
	s := found(h)
	for range 10 {
		s.write()
	}
	first := s.upload("rows")
	for range 10 {
		s.write()
	}
	second := s.upload("rows, and others")
	s.prove(1, first)
	await.Poll(t, "a cut has no answer", func() bool { return store.first.Load() != nil })
	s.prove(2, second)
	await.Poll(t, "the log is cut", func() bool { return s.meta().Horizon == s.head.Seq-4 })
	w := store.first.Load()
	if w.Cut == 0 || w.Cut >= s.head.Seq-4 || w.Base.Seq != s.head.Seq {
		t.Fatalf("the first cut is to %d of %d, the second one to %d", w.Cut, w.Base.Seq, s.head.Seq-4)
	}
	if err := store.Store.Commit(t.Context(), "s", w); !errors.Is(err, logstore.ErrMoved) {
		t.Errorf("the first cut takes effect after the second one: %v", err)
	}
	s.writeOn()
}

// asking is a store after whose next read something happens.
type asking struct {
	logstore.Store
	then atomic.Pointer[func()]
}

func (a *asking) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	err := a.Store.Read(ctx, space, f)
	if then := a.then.Swap(nil); then != nil {
		(*then)()
	}
	return err
}

// TestCut_askedAtItsEnd: a snapshot that is proved when a cut has just found nothing to do has the log cut, though
// nobody writes any more.
func TestCut_askedAtItsEnd(t *testing.T) {
	store := &asking{Store: storetest.NewModel()}
	h := over(t, store, small)
	s := found(h)
	for range 20 {
		s.write()
	}
	id := s.upload("rows")
	proved := make(chan struct{})
	prove := func() {
		s.prove(1, id)
		close(proved)
	}
	store.then.Store(&prove)
	h.srv.CutLater("s")
	await.Event(t, proved, "the cut reads the log")
	await.Poll(t, "the log is cut", func() bool { return s.meta().Horizon == s.head.Seq-4 })
	s.writeOn()
}

// uncut is a store that cuts nothing.
type uncut struct {
	logstore.Store
	tries atomic.Int64
}

func (u *uncut) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	if w.Cut > 0 {
		u.tries.Add(1)
		return errors.New("no answer")
	}
	return u.Store.Commit(ctx, space, w)
}

// TestCut_fails: a cut that fails is tried again after the next entries, and not for ever.
func TestCut_fails(t *testing.T) {
	store := &uncut{Store: storetest.NewModel()}
	h := over(t, store, small)
	s := found(h)
	for range 20 {
		s.write()
	}
	s.prove(1, s.upload("rows"))
	await.Poll(t, "a cut fails", func() bool { return store.tries.Load() > 0 })
	const writes = 50
	for range writes {
		s.write()
	}
	if n := store.tries.Load(); n > 2+2*writes { // a write asks twice at most: for its push, and for its pull
		t.Errorf("a cut that fails was tried %d times in %d writes", n, writes)
	}
}

// TestCut_locks: a space whose log is cut, and the store's hints, which are of all spaces, do not wait for each other.
func TestCut_locks(t *testing.T) {
	store := storetest.NewModel()
	h := over(t, store, small)
	s := found(h)
	for range 20 {
		s.write()
	}
	stop, hinted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(hinted)
		for {
			select {
			case <-stop:
				return
			default:
				h.srv.Follow()
			}
		}
	}()
	for range 2000 {
		h.srv.CutLater("s")
	}
	close(stop)
	<-hinted
	s.writeOn()
}
