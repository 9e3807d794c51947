package metrics

import (
	"context"
	"errors"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// measured is a store whose calls of a server's are counted.
type measured struct {
	logstore.Store
	m *Metrics
}

// Store returns a store whose calls are counted and timed.
func (m *Metrics) Store(s logstore.Store) logstore.Store { return &measured{s, m} }

// resultLabel says what has come of a call.
func resultLabel(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, logstore.ErrMoved), errors.Is(err, logstore.ErrNotNew):
		return "moved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	case errors.Is(err, logstore.ErrUnavailable):
		return "unavailable"
	case errcode.Of(err) == errcode.Damaged:
		return "damaged"
	}
	switch code := errcode.Of(err); code {
	case errcode.Internal, errcode.Server, errcode.Timeout:
	default:
		if codes[code] {
			return "ok" // it has answered, and what it said is the reason
		}
	}
	return "error"
}

func (s *measured) call(name string, f func() error) error {
	began := time.Now()
	err := f()
	s.m.callTook.WithLabelValues(name).Observe(time.Since(began).Seconds())
	s.m.calls.WithLabelValues(name, resultLabel(err)).Inc()
	return err
}

// Create implements logstore.Store, as do the others of that interface.
func (s *measured) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	return s.call("create", func() error { return s.Store.Create(ctx, space, epoch) })
}

func (s *measured) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return s.call("read", func() error { return s.Store.Read(ctx, space, f) })
}

func (s *measured) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	err := s.call("commit", func() error { return s.Store.Commit(ctx, space, w) })
	if err == nil {
		s.m.batch.Observe(float64(len(w.Entries)))
	}
	return err
}

func (s *measured) Heads(ctx context.Context, spaces []string) (heads []logstore.Head, err error) {
	err = s.call("heads", func() (err error) {
		heads, err = s.Store.Heads(ctx, spaces)
		return err
	})
	return heads, err
}

func (s *measured) Spaces(ctx context.Context, after string, n int) (all []logstore.Info, err error) {
	err = s.call("spaces", func() (err error) {
		all, err = s.Store.Spaces(ctx, after, n)
		return err
	})
	return all, err
}
