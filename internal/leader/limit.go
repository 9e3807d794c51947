package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
)

// AbortWatcher is a Peer that learns of an abort while the engine is inside a
// statement, where no message reaches it.
type AbortWatcher interface {
	// Aborted reports whether the page aborts that request. It is asked often.
	Aborted(id uint32) bool
}

// limited is the context of a call. SQLite asks for its error every few
// thousand steps, and then no timer runs where there is one thread: so it looks
// at the clock, and at the page, itself.
type limited struct {
	context.Context
	end   time.Time // zero: no limit
	watch AbortWatcher
	id    uint32
}

func (l *limited) Err() error {
	if err := l.Context.Err(); err != nil {
		return err
	}
	if !l.end.IsZero() && !time.Now().Before(l.end) {
		return context.DeadlineExceeded
	}
	if l.watch != nil && l.watch.Aborted(l.id) {
		return context.Canceled
	}
	return nil
}

// limit makes the context of a call.
func (s *Session) limit(q rpc.Request) (context.Context, context.CancelFunc) {
	return s.cancelable(s.moment(q))
}

// moment makes the context of a call that ends before anybody could cancel it.
func (s *Session) moment(q rpc.Request) context.Context {
	watch, _ := s.peer.(AbortWatcher)
	if q.Time == 0 && watch == nil {
		return s.ctx
	}
	l := &limited{Context: s.ctx, watch: watch, id: q.ID}
	if q.Time != 0 {
		l.end = time.Now().Add(q.Time)
	}
	return l
}

// cancelable makes of such a context that of a call which lasts.
func (s *Session) cancelable(ctx context.Context) (context.Context, context.CancelFunc) {
	l, ok := ctx.(*limited)
	if !ok {
		return context.WithCancel(ctx)
	}
	var cancel context.CancelFunc
	if l.end.IsZero() {
		l.Context, cancel = context.WithCancel(s.ctx)
	} else {
		l.Context, cancel = context.WithDeadline(s.ctx, l.end)
	}
	return l, cancel
}

// late says in words that the call's time is over, if that is why it failed.
func (c *call) late(err error) error {
	if c.Time == 0 || errcode.Of(err) != errcode.Timeout || !errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	msg := fmt.Sprintf("the call's time, %v, is over", c.Time)
	if c.Lane() == rpc.LaneWrite {
		msg += "; nothing was written"
	}
	return &errcode.Error{Code: errcode.Timeout, Op: "leader: handle", Msg: msg, SQL: c.Stmt.SQL, Err: err}
}
