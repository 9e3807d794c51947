package leader

import (
	"context"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// maxGroup is how many writes share a transaction at most.
const maxGroup = 128

// isGroupable reports whether a write changes rows and nothing else, so that it may
// share a transaction, and its flush, with others.
func (c *call) isGroupable() bool {
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

// groupCommit serves a groupable write, and those that wait directly behind it when
// its turn comes. next is the first other write, which it took from the queue.
func (s *Session) groupCommit(c *call) (next *call) {
	var group []*call
	s.run(c, func(c *call) error {
		tx, err := s.begin(c.ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if group, next = s.collect(c); len(group) == 1 {
			return s.once(tx, c, c.method.share)
		}
		s.commitGroup(tx, group)
		return nil
	})
	s.order.writeDone(max(1, len(group)))
	return next
}

// collect takes the groupable writes directly behind c from the queue.
func (s *Session) collect(c *call) (group []*call, next *call) {
	group = []*call{c}
	for len(group) < maxGroup {
		select {
		case n := <-s.writes:
			if !n.isGroupable() || !s.order.mayWrite(n.after) {
				return group, n
			}
			group = append(group, n)
		default:
			return group, nil
		}
	}
	return group, nil
}

// commitGroup runs the writes of a group in tx, each in a savepoint and with a reply
// of its own. If tx cannot be committed, nothing was written, and each runs in a
// transaction of its own.
func (s *Session) commitGroup(tx *store.Tx, group []*call) {
	answers, entries, ok := s.runEach(tx, group)
	if !ok {
		tx.Rollback()
	}
	for i, c := range group {
		switch {
		case answers[i] == nil && ok: // cancelled, or answered already
		case answers[i] == nil:
			s.l.db.LogFailure(s.tab, entries[i]...) // before the writes that run again now
		case ok:
			c.reply(answers[i])
		default:
			if err := unlessCancelled(c, dispatch); err != nil {
				c.fail(err)
			}
		}
		if i > 0 { // run finishes the first
			c.finish()
		}
	}
}

// runEach runs and commits a group. The answer of a write is nil if it was sent
// already. Each write has an entry for the log, unless it was logged before or has to
// run again.
func (s *Session) runEach(tx *store.Tx, group []*call) (answers [][]byte, entries [][]store.Entry, ok bool) {
	answers = make([][]byte, len(group))
	entries = make([][]store.Entry, len(group))
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
		err := unlessCancelled(c, func(c *call) (err error) {
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
			entries[i] = c.failure(err)
			c.fail(err)
		case !known:
			entries[i] = c.success(answers[i])
		}
		all = append(all, entries[i]...)
	}
	tx.SetContext(context.Background())
	return answers, entries, tx.Whole() && tx.CommitOnce(s.tab, all...) == nil
}
