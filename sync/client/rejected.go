package client

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Pending returns the transactions that the log does not hold yet, oldest first.
func (c *Client) Pending(ctx context.Context) ([]Pending, error) {
	var all []Pending
	var data []byte
	err := c.db.Query(ctx, `SELECT id, part, total, created, bytes FROM heddle_pending ORDER BY id, part`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		data = append(data, s.ColumnRawBlob(4)...)
		if s.ColumnInt64(1)+1 < s.ColumnInt64(2) {
			return nil
		}
		body, err := wire.UnmarshalBody(data)
		if err != nil {
			return damaged("heddle_pending")
		}
		data = nil // the body shares it
		all = append(all, Pending{ID: s.ColumnInt64(0), Created: s.ColumnInt64(3), Ops: body.Ops})
		return nil
	})
	return all, err
}

// Rejected returns the rejected transactions that are kept, oldest first.
func (c *Client) Rejected(ctx context.Context) ([]Rejected, error) {
	var all []Rejected
	err := c.db.Query(ctx, `SELECT id, seq, counter, code, created, body FROM heddle_rejected ORDER BY id`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		body, err := wire.UnmarshalBody(s.ColumnBlob(5, nil))
		if err != nil {
			return damaged("heddle_rejected")
		}
		all = append(all, Rejected{ID: s.ColumnInt64(0), Seq: uint64(s.ColumnInt64(1)), Counter: uint64(s.ColumnInt64(2)),
			Code: s.ColumnText(3), Created: s.ColumnInt64(4), Ops: body.Ops})
		return nil
	})
	return all, err
}

// Discard drops a rejected transaction and its operations. It is false if there
// is none of that id (any more).
func (c *Client) Discard(ctx context.Context, id int64) (found bool, err error) {
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			found, err = r.dropRejected(id)
			return err
		})
	})
	return found && err == nil, err
}

func (r *rows) dropRejected(id int64) (found bool, err error) {
	if err := r.exec(`DELETE FROM heddle_rejected WHERE id = ?`, id); err != nil {
		return false, err
	}
	return r.sqlite.Changes() > 0, nil
}

// Retry commits a rejected transaction's operations anew, as a transaction of
// its own on the rows as they are now, which is then sent like any other. Like
// entries of the log the operations are applied as they are: no CHECK and no
// foreign key binds them, and a row whose parent is gone dangles. It is false
// if there is no rejected transaction of that id (any more).
func (c *Client) Retry(ctx context.Context, id int64) (found bool, err error) {
	var a *applier
	var again int64
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		a = &applier{tx: tx, rows: c.rowsOn(tx), foreign: c.foreign}
		var body *wire.Body
		err := tx.Inside(func(*sqlite3.Conn) (err error) {
			if err := a.begin(c); err != nil {
				return err
			}
			var data []byte
			err = a.query(`SELECT body FROM heddle_rejected WHERE id = ?`, []any{id}, func(s *sqlite3.Stmt) error {
				data, found = s.ColumnBlob(0, nil), true
				return nil
			})
			if err != nil || !found {
				return err
			}
			if body, err = wire.UnmarshalBody(data); err != nil {
				return damaged("heddle_rejected")
			}
			if again, err = nextID(a.conn, a.last); err != nil {
				return err
			}
			a.describe(body)
			if err := a.addPending(again, c.cfg.Now().UnixMilli(), body.Marshal()); err != nil {
				return err
			}
			_, err = a.dropRejected(id)
			return err
		})
		if err == nil && !found {
			return errNothing
		}
		if err == nil {
			err = a.rebase(again, body)
		}
		if err == nil {
			err = a.dangling()
		}
		if err != nil {
			return err
		}
		return tx.Inside(func(*sqlite3.Conn) error { return a.finish(c) })
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.validate(a.invalidation)
	c.recorded.Store(again)
	for _, e := range a.events {
		c.events.put(e)
	}
	c.committed()
	return true, nil
}

// errNothing rolls back what found nothing to do.
var errNothing = errors.New("nothing to do")

// describe gives a body the descriptors that the prefix does not have.
func (a *applier) describe(body *wire.Body) {
	known := body.Schema
	for _, s := range body.Shapes {
		if t := a.tables[s.Table]; t != nil {
			known = append(known, t.schema)
		}
	}
	missing := a.schema.Clone()
	body.Schema = nil
	for i := range known {
		more := missing.Missing(known[i : i+1])
		missing.Apply(more)
		body.Schema = append(body.Schema, more...)
	}
}

// rebase puts a pending transaction on top of the rows as they are.
func (a *applier) rebase(id int64, body *wire.Body) error {
	merged := a.merged
	if len(body.Schema) > 0 {
		merged = merged.Clone()
		merged.Apply(body.Schema)
	}
	a.pending = true
	return a.inBatches(len(body.Ops), func(i int) error {
		op := &body.Ops[i]
		k := keyOf(op)
		before, err := a.visible(k)
		if err != nil {
			return err
		}
		if err := a.addBased(k, before, ref{id, i}); err != nil {
			return err
		}
		return a.write(k, before, fold.Apply(*op, before, merged), merged)
	})
}
