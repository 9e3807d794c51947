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

// bodyCache keeps the decoded bodies of pending transactions while entries are
// applied: each key that others touch asks for the operations on it.
type bodyCache struct {
	bodies map[int64]*wire.Body
	order  []int64
	size   int
}

// cacheSize bounds what a bodyCache keeps, in operations; the body asked for
// last always stays.
const cacheSize = 200_000

func (c *bodyCache) put(id int64, b *wire.Body) {
	if c.bodies == nil {
		c.bodies = map[int64]*wire.Body{}
	}
	for len(c.order) > 0 && c.size+len(b.Ops) > cacheSize {
		c.drop(c.order[0])
	}
	c.bodies[id] = b
	c.order = append(c.order, id)
	c.size += len(b.Ops)
}

// add is put, unless the body is there.
func (c *bodyCache) add(id int64, b *wire.Body) {
	if _, known := c.bodies[id]; !known {
		c.put(id, b)
	}
}

func (c *bodyCache) drop(id int64) {
	b, ok := c.bodies[id]
	if !ok {
		return
	}
	delete(c.bodies, id)
	c.size -= len(b.Ops)
	for i, o := range c.order {
		if o == id {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
}

// body returns a pending transaction's operations.
func (a *applier) body(id int64) (*wire.Body, error) {
	if b, ok := a.bodies.bodies[id]; ok {
		return b, nil
	}
	data, _, err := a.marshalled(id)
	if err != nil {
		return nil, err
	}
	b, err := wire.UnmarshalBody(data)
	if err != nil {
		return nil, damaged("heddle_pending")
	}
	a.bodies.put(id, b)
	return b, nil
}

// marshalled returns a pending transaction as it was recorded, and when.
func (r *rows) marshalled(id int64) (data []byte, created int64, err error) {
	parts := int64(0)
	err = r.Query(`SELECT part, total, bytes, created FROM heddle_pending WHERE id = ? ORDER BY part`, []any{id},
		func(stmt *sqlite3.Stmt) error {
			if stmt.ColumnInt64(0) != parts {
				return damaged("heddle_pending")
			}
			parts++
			if data == nil {
				data = make([]byte, 0, int(stmt.ColumnInt64(1))*len(stmt.ColumnRawBlob(2)))
			}
			data = append(data, stmt.ColumnRawBlob(2)...)
			created = stmt.ColumnInt64(3)
			return nil
		})
	if err == nil && parts == 0 {
		err = damaged("heddle_pending")
	}
	return data, created, err
}

// addPending stores a transaction as it will be sent.
func (r *rows) addPending(id, created int64, body []byte) error {
	for _, p := range wire.SplitBody(0, body) {
		err := r.Exec(`INSERT INTO heddle_pending(id, part, total, hash, bytes, created) VALUES(?, ?, ?, ?, ?, ?)`,
			id, int64(p.Index), int64(p.Total), p.BodyHash[:], p.Bytes, created)
		if err != nil {
			return err
		}
	}
	return nil
}

// Parts calls f with the parts of the pending transactions, in the order in which
// they are sent, until f returns false. It begins with part number first of the
// transaction after. Their counters are not set: id minus View.Offset is one.
func (rep *Replica) Parts(ctx context.Context, after, first int64, f func(id int64, p wire.Part) bool) error {
	err := rep.db.Query(ctx, `SELECT id, part, total, hash, bytes FROM heddle_pending
		WHERE id > ?1 + 1 OR id = ?1 + 1 AND part >= ?2 ORDER BY id, part`,
		store.Args(after, first), nil, func(stmt *sqlite3.Stmt) error {
			p := wire.Part{
				Index: uint32(stmt.ColumnInt64(1)),
				Total: uint32(stmt.ColumnInt64(2)),
				Bytes: stmt.ColumnBlob(4, nil),
			}
			copy(p.BodyHash[:], stmt.ColumnRawBlob(3))
			if !f(stmt.ColumnInt64(0), p) {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// PendingBytes is the size of the parts of the pending transactions from an id on.
func (rep *Replica) PendingBytes(ctx context.Context, from int64) (n uint64, err error) {
	err = rep.db.Query(ctx, `SELECT coalesce(sum(length(bytes)), 0) FROM heddle_pending WHERE id >= ?`,
		store.Args(from), nil, func(stmt *sqlite3.Stmt) error {
			n = uint64(stmt.ColumnInt64(0))
			return nil
		})
	return n, err
}

// errEnough ends a query early.
var errEnough = errors.New("enough")

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
	err := rep.db.Query(ctx, `SELECT id, part, total, created, bytes FROM heddle_pending ORDER BY id, part`,
		store.Params{}, nil, func(s *sqlite3.Stmt) error {
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
	err := rep.db.Query(ctx, `SELECT id, seq, counter, code, created, body FROM heddle_rejected ORDER BY id`,
		store.Params{}, nil, func(s *sqlite3.Stmt) error {
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
	if err := r.Exec(`DELETE FROM heddle_rejected WHERE id = ?`, id); err != nil {
		return false, err
	}
	return r.SQLite.Changes() > 0, nil
}

// Retry commits a rejected transaction's operations again, as a transaction of
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
		if err := a.inside(func() error { again, body, err = a.retried(id); return err }); err != nil {
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
		return a.inside(a.finish)
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
	err = a.Query(`SELECT body FROM heddle_rejected WHERE id = ?`, []any{id}, func(s *sqlite3.Stmt) error {
		data = s.ColumnBlob(0, []byte{})
		return nil
	})
	if err != nil || data == nil {
		return 0, nil, err
	}
	if body, err = wire.UnmarshalBody(data); err != nil {
		return 0, nil, damaged("heddle_rejected")
	}
	if again, err = a.nextID(a.Conn); err != nil {
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
			known = append(known, t.Schema)
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

// oldest returns the pending transaction whose entry comes next, id 0 if there
// is none.
func (a *applier) oldest() (id int64, hash wire.Hash, err error) {
	err = a.Query(`SELECT id, hash FROM heddle_pending ORDER BY id, part LIMIT 1`, nil, func(stmt *sqlite3.Stmt) error {
		id = stmt.ColumnInt64(0)
		copy(hash[:], stmt.ColumnRawBlob(1))
		return nil
	})
	return id, hash, err
}

func (a *applier) isLast(id int64) (last bool, err error) {
	more, err := a.Has(`SELECT 1 FROM heddle_pending WHERE id > ? LIMIT 1`, id)
	return !more, err
}

// reject keeps what the server has refused.
func (a *applier) reject(id int64, e *wire.Entry, body *wire.Body) error {
	data, created, err := a.marshalled(id)
	if err != nil {
		return err
	}
	err = a.Exec(`INSERT INTO heddle_rejected(id, seq, counter, code, body, created) VALUES(?, ?, ?, ?, ?, ?)`,
		id, int64(e.Seq), int64(e.Counter), e.Outcome, data, created)
	if err != nil {
		return err
	}
	a.events = append(a.events, Rejected{ID: id, Seq: e.Seq, Counter: e.Counter, Code: e.Outcome, Created: created,
		Ops: body.Ops})
	return nil
}
