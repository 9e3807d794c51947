package leader

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// side serves what needs no place in a line.
func (s *Session) side(c *call) error {
	switch c.Method {
	case rpc.MethodPing:
		c.done()
		return nil
	case rpc.MethodClose:
		c.done()
		s.Close()
		return nil
	case rpc.MethodHealth:
		return s.health(c)
	case rpc.MethodExportPart:
		return s.exportPart(c)
	case rpc.MethodExportEnd:
		s.endExport(c.Target)
		c.done()
		return nil
	}
	return s.syncCall(c)
}

func (s *Session) readCall(c *call) error {
	switch c.Method {
	case rpc.MethodQuery:
		return s.query(c)
	case rpc.MethodExport:
		return s.export(c)
	case rpc.MethodExportFile:
		return s.exportFile(c)
	case rpc.MethodLiveStart:
		return s.startLive(c)
	}
	return errcode.New(errcode.Protocol, "leader: handle", "no such read")
}

func (s *Session) writeCall(c *call) error {
	switch c.Method {
	case rpc.MethodExec:
		return s.exec(c)
	case rpc.MethodQuery:
		return s.writeQuery(c)
	case rpc.MethodBatch:
		return s.update(c, work)
	case rpc.MethodOutcome:
		return s.outcome(c)
	case rpc.MethodTxBegin:
		return s.txBegin(c)
	case rpc.MethodBulkBegin:
		return s.bulk(c)
	case rpc.MethodImportBegin:
		return s.importFile(c)
	}
	return errcode.New(errcode.Protocol, "leader: handle", "no such write")
}

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
	return s.inside(tx, c, do)
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
	return s.update(c, work)
}

func batch(tx *store.Tx, stmts []rpc.Stmt) ([]rpc.Result, error) {
	list := make([]rpc.Result, 0, len(stmts))
	for _, stmt := range stmts {
		res, err := tx.Exec(stmt.SQL, stmt.Params)
		if err != nil {
			return nil, err
		}
		list = append(list, res)
	}
	return list, nil
}

func (s *Session) query(c *call) error {
	return s.stream(c, func(r *rows) error {
		return s.l.db.Query(c.ctx, c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
	})
}

// writeQuery serves a query that may write: INSERT … RETURNING, say.
func (s *Session) writeQuery(c *call) error {
	c.begun = true // no read, for the order
	if deps, err := s.l.db.Deps(c.ctx, c.Stmt.SQL); err != nil || deps.ReadOnly {
		return s.query(c)
	}
	return s.update(c, func(tx *store.Tx, c *call) ([]byte, error) {
		return s.gather(c, func(r *rows) error {
			return tx.Query(c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
		})
	})
}
