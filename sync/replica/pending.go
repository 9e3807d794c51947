package replica

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
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
	err = r.query(`SELECT part, total, bytes, created FROM heddle_pending WHERE id = ? ORDER BY part`, []any{id}, func(stmt *sqlite3.Stmt) error {
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
		err := r.exec(`INSERT INTO heddle_pending(id, part, total, hash, bytes, created) VALUES(?, ?, ?, ?, ?, ?)`,
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
