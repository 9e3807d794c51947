package leader

import (
	"context"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// begin waits for the writer. Reads behind this write see that it waits.
func (s *Session) begin(ctx context.Context) (*store.Tx, error) {
	s.order.setWaits(true)
	defer s.order.setWaits(false)
	return s.l.db.Begin(ctx, s.origin())
}

// update does a write in a transaction of its own, which ends with the call.
func (s *Session) update(c *call, do func(*store.Tx, *call) (answer []byte, err error)) error {
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return s.once(tx, c, do)
}

func (s *Session) exec(c *call) error {
	if s.l.db.Class(c.Stmt.SQL) == store.Vacuum {
		// SQLite does not allow it in a transaction. It may be done twice.
		res, err := s.l.db.Exec(c.ctx, c.Stmt.SQL, c.Stmt.Params)
		if err == nil {
			c.reply(rpc.ReplyResult(c.ID, res))
		}
		return err
	}
	return s.update(c, execIn)
}

func execIn(tx *store.Tx, c *call) (answer []byte, err error) {
	r := newRows(c)
	r.counts = true
	res, err := tx.ExecRows(c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
	if answer, err = r.end(err); err == nil {
		rpc.SetResult(answer, res)
	}
	return answer, err
}

func (s *Session) batch(c *call) error { return s.update(c, batchIn) }

func batchIn(tx *store.Tx, c *call) (answer []byte, err error) {
	list := make([]rpc.Result, 0, len(c.Stmts))
	for _, stmt := range c.Stmts {
		res, err := tx.Exec(stmt.SQL, stmt.Params)
		if err != nil {
			return nil, err
		}
		list = append(list, res)
	}
	return rpc.ReplyResults(c.ID, list), nil
}

func (s *Session) notify(c *call) error { return s.update(c, notifyIn) }

func notifyIn(tx *store.Tx, c *call) (answer []byte, err error) {
	return rpc.Reply(c.ID, rpc.KindResult), tx.Notify(c.Channel, c.Payload)
}

// query serves a query. One that the page names as a write may write: INSERT …
// RETURNING, for example.
func (s *Session) query(c *call) error {
	if c.Lane() == rpc.LaneWrite {
		if deps, err := s.l.db.Deps(c.ctx, c.Stmt.SQL); err == nil && !deps.ReadOnly {
			return s.update(c, func(tx *store.Tx, c *call) ([]byte, error) {
				return s.gather(c, func(r *rows) error {
					return tx.Query(c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
				})
			})
		}
	}
	return s.stream(c, func(r *rows) error {
		return s.l.db.Query(c.ctx, c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
	})
}
