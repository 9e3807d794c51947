package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"heddle/internal/errcode"
	"heddle/rpc"
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
	watch, _ := s.peer.(AbortWatcher)
	if q.Time == 0 {
		ctx, cancel := context.WithCancel(s.ctx)
		if watch == nil {
			return ctx, cancel
		}
		return &limited{Context: ctx, watch: watch, id: q.ID}, cancel
	}
	l := &limited{end: time.Now().Add(q.Time), watch: watch, id: q.ID}
	ctx, cancel := context.WithDeadline(s.ctx, l.end)
	l.Context = ctx
	return l, cancel
}

// late says in words that the call's time is over, if that is why it failed.
func (c *call) late(err error) error {
	if c.Time == 0 || errcode.Of(err) != errcode.Timeout || !errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	msg := fmt.Sprintf("the call's time, %v, is over", c.Time)
	if c.isWrite() {
		msg += "; nothing was written"
	}
	return &errcode.Error{Code: errcode.Timeout, Op: "leader: handle", Msg: msg, SQL: c.Stmt.SQL, Err: err}
}
