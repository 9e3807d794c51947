package leader

import (
	"context"

	"heddle.dev/heddle/internal/rpc"
)

// try does a call at once, if it can be done without a wait, and reports whether it was.
// A write waits for those that came with it, to share their transaction.
func (s *Session) try(q rpc.Request, more bool) bool {
	switch {
	case q.Method != rpc.MethodQuery && (q.Method != rpc.MethodExec || more), !s.order.idle():
		return false
	case q.Method == rpc.MethodExec:
		return s.tryExec(q)
	}
	return s.tryQuery(q)
}

// quick makes a call that ends, or has its snapshot, before the next one arrives: order
// need not count it.
func (s *Session) quick(q rpc.Request) *call {
	return &call{Request: q, s: s, method: &methods[q.Method], ctx: s.shortContext(q), begun: true, started: true}
}

// tryExec does a write of rows in a transaction of its own, if the writer is free.
func (s *Session) tryExec(q rpc.Request) bool {
	c := s.quick(q)
	if s.taken(q) || !c.isGroupable() {
		return false
	}
	tx := s.l.db.TryBegin(s.origin(), q.Stmt.SQL)
	if tx == nil {
		return false
	}
	err := recovering(c, func(c *call) error {
		defer tx.Rollback()
		return s.once(tx, c, execIn)
	})
	if err != nil {
		c.fail(err)
	}
	return true
}

// taken reports whether the id of a request is in use, or the session has ended.
func (s *Session) taken(q rpc.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, twice := s.calls[q.ID]
	return twice || s.closed
}

// tryQuery answers a query at once, without a queue and its goroutine, if no call of
// the tab is before it and the store need not wait. It reports whether it took the
// call. A long result goes on in a goroutine.
func (s *Session) tryQuery(q rpc.Request) bool {
	if q.Lane() == rpc.LaneWrite || s.taken(q) {
		return false
	}
	c := s.quick(q)
	r := newRows(c)
	var rest func(context.Context) error
	did := false
	err := unlessCancelled(c, func(c *call) (err error) {
		rest, did, err = s.l.db.TryQuery(c.ctx, q.Stmt.SQL, q.Stmt.Params, r.columns, r.row)
		return err
	})
	switch {
	case !did && err == nil:
		return false
	case rest == nil:
		s.answer(r, err)
		return true
	}
	c.ctx, c.cancel = s.cancelable(c.ctx)
	s.mu.Lock()
	s.calls[q.ID] = c
	s.mu.Unlock()
	s.l.spawn(func() {
		// Also if the call was cancelled by now: the statement is open.
		s.answer(r, recovering(c, func(c *call) error { return rest(c.ctx) }))
		c.finish()
	})
	return true
}

// answer ends a result, with its last block or with err.
func (s *Session) answer(r *rows, err error) {
	answer, err := r.end(err)
	if err != nil {
		r.c.fail(err)
		return
	}
	r.c.reply(answer)
}
