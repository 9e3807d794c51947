package replica

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Key names a row.
type Key = value.Key

// Op is an operation of a transaction: of one row.
type Op = wire.Op

// Pending is a transaction of this replica's that the log does not hold yet.
type Pending struct {
	ID      int64
	Created int64 // when it was committed, Unix milliseconds
	Ops     []Op
}

// Rejected is a transaction of this replica's that the server has decided void.
// Its effects are gone from the tables; its operations are kept until Retry or
// Discard.
type Rejected struct {
	ID      int64 // names it to Retry and Discard
	Seq     uint64
	Counter uint64
	Code    string // why
	Created int64  // when it was committed, Unix milliseconds
	Ops     []Op
}

// Pending returns the transactions that the log does not hold yet, oldest first.
func (rep *Replica) Pending(ctx context.Context) ([]Pending, error) {
	var all []Pending
	var data []byte
	err := rep.db.Query(ctx, `SELECT id, part, total, created, bytes FROM heddle_pending ORDER BY id, part`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
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
func (rep *Replica) Rejected(ctx context.Context) ([]Rejected, error) {
	var all []Rejected
	err := rep.db.Query(ctx, `SELECT id, seq, counter, code, created, body FROM heddle_rejected ORDER BY id`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
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
func (rep *Replica) Discard(ctx context.Context, id int64) (found bool, err error) {
	err = rep.inside(ctx, func(r *rows) error {
		found, err = r.dropRejected(id)
		return err
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
func (rep *Replica) Retry(ctx context.Context, id int64) (found bool, err error) {
	var a *applier
	var again int64
	err = rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		if a, err = rep.begin(tx); err != nil {
			return err
		}
		a.foreign = rep.foreign
		var body *wire.Body
		if err := tx.Inside(func(*sqlite3.Conn) error { again, body, err = a.retried(id); return err }); err != nil {
			return err
		}
		if found = body != nil; !found {
			return errNothing
		}
		if err := a.rebase(again, body); err != nil {
			return err
		}
		if err := a.dangling(); err != nil {
			return err
		}
		return tx.Inside(func(*sqlite3.Conn) error { return a.finish() })
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rep.validate(a.invalidation)
	rep.recorded.Store(again)
	rep.observer.Events(a.events...)
	rep.observer.Committed()
	return true, nil
}

// retried makes a rejected transaction a pending one under a new id. body is nil
// if there is none of that id.
func (a *applier) retried(id int64) (again int64, body *wire.Body, err error) {
	var data []byte
	err = a.query(`SELECT body FROM heddle_rejected WHERE id = ?`, []any{id}, func(s *sqlite3.Stmt) error {
		data = s.ColumnBlob(0, []byte{})
		return nil
	})
	if err != nil || data == nil {
		return 0, nil, err
	}
	if body, err = wire.UnmarshalBody(data); err != nil {
		return 0, nil, damaged("heddle_rejected")
	}
	if again, err = nextID(a.conn, a.last); err != nil {
		return 0, nil, err
	}
	a.describe(body)
	if err := a.addPending(again, a.rep.cfg.Now().UnixMilli(), body.Marshal()); err != nil {
		return 0, nil, err
	}
	_, err = a.dropRejected(id)
	return again, body, err
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
