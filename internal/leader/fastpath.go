package leader

import (
	"context"

	"heddle.dev/heddle/internal/rpc"
)

// tryQuery answers a query at once, without a queue and its goroutine, if no call of
// the tab is before it and the store need not wait. It reports whether it took the
// call. A long result goes on in a goroutine.
func (s *Session) tryQuery(q rpc.Request) bool {
	if q.Method != rpc.MethodQuery || q.Lane() == rpc.LaneWrite || !s.order.idle() {
		return false
	}
	s.mu.Lock()
	_, twice := s.calls[q.ID]
	closed := s.closed
	s.mu.Unlock()
	if twice || closed {
		return false
	}
	// It has its snapshot before the next call arrives: order need not count it.
	c := &call{Request: q, s: s, ctx: s.shortContext(q), begun: true, started: true}
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
