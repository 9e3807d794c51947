package leader

import (
	"context"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// maxGroup is how many writes share a transaction at most.
const maxGroup = 128

// isBrief reports whether a write changes rows and nothing else, so that it may
// share a transaction, and its flush, with others.
func (c *call) isBrief() bool {
	if c.method.share == nil || c.Method == rpc.MethodExec && c.s.l.db.Class(c.Stmt.SQL) != store.Rows {
		return false
	}
	for _, stmt := range c.Stmts {
		if c.s.l.db.Class(stmt.SQL) != store.Rows {
			return false
		}
	}
	return true
}

// brief serves a brief write and those that wait right behind it when its turn
// comes. next is what it took out of the line beside them.
func (s *Session) brief(c *call) (next *call) {
	var group []*call
	s.run(c, func(c *call) error {
		tx, err := s.begin(c.ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if group, next = s.alike(c); len(group) == 1 {
			return s.once(tx, c, c.method.share)
		}
		s.together(tx, group)
		return nil
	})
	s.order.writeDone(max(1, len(group)))
	return next
}

// alike takes the brief writes out of the line that stand right behind c.
func (s *Session) alike(c *call) (group []*call, next *call) {
	group = []*call{c}
	for len(group) < maxGroup {
		select {
		case n := <-s.writes:
			if !n.isBrief() || !s.order.mayWrite(n.after) {
				return group, n
			}
			group = append(group, n)
		default:
			return group, nil
		}
	}
	return group, nil
}

// together runs the writes of a group in tx, each a part of it with an outcome
// of its own. If the whole cannot be committed, nothing was written, and each
// runs by itself.
func (s *Session) together(tx *store.Tx, group []*call) {
	answers, outcomes, ok := s.parts(tx, group)
	if !ok {
		tx.Rollback()
	}
	for i, c := range group {
		switch {
		case answers[i] == nil && ok: // cancelled, or it has had its answer
		case answers[i] == nil:
			s.l.db.LogFailure(s.tab, outcomes[i]...) // it failed, before those that run again now
		case ok:
			c.reply(answers[i])
		default:
			if err := guarded(c, dispatch); err != nil {
				c.fail(err)
			}
		}
		if i > 0 { // run finishes the first
			c.finish()
		}
	}
}

// parts runs and commits a group. The answer of a write is nil if it has had one.
// Each has an outcome, unless it was known before, or has to run again.
func (s *Session) parts(tx *store.Tx, group []*call) (answers [][]byte, outcomes [][]store.Entry, ok bool) {
	answers = make([][]byte, len(group))
	outcomes = make([][]store.Entry, len(group))
	var all []store.Entry
	again := []byte{} // stands for the answer of a write that has to run again
	for i, c := range group {
		if !c.start() {
			continue
		}
		if !tx.Whole() {
			answers[i] = again
			continue
		}
		known := false
		err := guarded(c, func(c *call) (err error) {
			if known, err = s.replay(tx, c); known || err != nil {
				return err
			}
			return tx.Savepoint(c.ctx, func() (err error) {
				answers[i], err = c.method.share(tx, c)
				return err
			})
		})
		switch {
		case err != nil:
			answers[i] = nil
			outcomes[i] = c.failure(err)
			c.fail(err)
		case !known:
			outcomes[i] = c.success(answers[i])
		}
		all = append(all, outcomes[i]...)
	}
	tx.SetContext(context.Background())
	return answers, outcomes, tx.Whole() && tx.CommitOnce(s.tab, all...) == nil
}
