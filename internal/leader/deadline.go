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
	// Aborted reports whether the page aborts that request. It is called often.
	Aborted(id uint32) bool
}

// callContext is the context of a call. SQLite asks for its error every few
// thousand steps. With one thread no timer runs meanwhile: so Err looks at the clock,
// and asks whether the page has aborted the call.
type callContext struct {
	context.Context
	end   time.Time // zero: no limit
	watch AbortWatcher
	id    uint32
}

func (l *callContext) Err() error {
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

// callContext makes the context of a call that waits in a queue.
func (s *Session) callContext(q rpc.Request) (context.Context, context.CancelFunc) {
	return s.cancelable(s.shortContext(q))
}

// shortContext makes the context of a call that ends before a cancel could arrive.
func (s *Session) shortContext(q rpc.Request) context.Context {
	watch, _ := s.peer.(AbortWatcher)
	if q.Time == 0 && watch == nil {
		return s.ctx
	}
	l := &callContext{Context: s.ctx, watch: watch, id: q.ID}
	if q.Time != 0 {
		l.end = time.Now().Add(q.Time)
	}
	return l
}

// cancelable makes a context of shortContext one that can be cancelled.
func (s *Session) cancelable(ctx context.Context) (context.Context, context.CancelFunc) {
	l, ok := ctx.(*callContext)
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

// explainTimeout gives err a clear message if the call's deadline has caused it.
func (c *call) explainTimeout(err error) error {
	if c.Time == 0 || errcode.Of(err) != errcode.Timeout || !errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	msg := fmt.Sprintf("the call's time, %v, is over", c.Time)
	if c.Lane() == rpc.LaneWrite {
		msg += "; nothing was written"
	}
	return &errcode.Error{Code: errcode.Timeout, Op: "leader: handle", Msg: msg, SQL: c.Stmt.SQL, Err: err}
}
