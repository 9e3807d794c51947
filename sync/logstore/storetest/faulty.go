package storetest

import (
	"context"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Faulty is a store whose calls fail: before they take effect, or after, when the
// answer is lost.
type Faulty struct {
	logstore.Store
	// Fault is asked about each call, by its method's name: before it, and after it
	// has succeeded. An error of it is that of the call. It may block.
	Fault func(ctx context.Context, call string, after bool) error
	// Lose, if there is one, says whether a hint is lost.
	Lose func(logstore.Hint) bool
}

// around calls f between the two questions.
func (s *Faulty) around(ctx context.Context, call string, f func() error) error {
	if err := s.Fault(ctx, call, false); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return s.Fault(ctx, call, true)
}

// Create implements logstore.Store, as do the others of that interface.
func (s *Faulty) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	return s.around(ctx, "Create", func() error { return s.Store.Create(ctx, space, epoch) })
}

func (s *Faulty) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return s.around(ctx, "Read", func() error { return s.Store.Read(ctx, space, f) })
}

func (s *Faulty) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	return s.around(ctx, "Commit", func() error { return s.Store.Commit(ctx, space, w) })
}

func (s *Faulty) Heads(ctx context.Context, spaces []string) (heads []logstore.Head, err error) {
	err = s.around(ctx, "Heads", func() (err error) {
		heads, err = s.Store.Heads(ctx, spaces)
		return err
	})
	return heads, err
}

func (s *Faulty) Watch(ctx context.Context, f func(logstore.Hint)) error {
	return s.Store.Watch(ctx, func(h logstore.Hint) {
		if s.Lose == nil || !s.Lose(h) {
			f(h)
		}
	})
}

func (s *Faulty) Spaces(ctx context.Context, after string, n int) (all []logstore.Info, err error) {
	err = s.around(ctx, "Spaces", func() (err error) {
		all, err = s.Store.Spaces(ctx, after, n)
		return err
	})
	return all, err
}
