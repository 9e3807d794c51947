package client

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/store"
	"heddle/sync/fold"
	"heddle/sync/wire"
)

// recorder is the store's view of a Client.
type recorder Client

// Record implements store.Recorder: it writes what a transaction did to synced
// tables down as a pending transaction, inside that transaction.
func (rec *recorder) Record(tx *store.Tx, changes []store.Change) error {
	c := (*Client)(rec)
	r := c.rowsOn(tx)
	s, err := c.current(&r)
	if err != nil {
		return err
	}
	id, err := nextID(r.conn, s.last)
	if err != nil {
		return err
	}
	b := newBuilder(r.tables, s.schema)
	for i := range changes {
		if err := b.add(&changes[i]); err != nil {
			return err
		}
	}
	if len(b.body.Ops) == 0 {
		return nil
	}
	if err := b.store(&r, id); err != nil {
		return err
	}
	c.recorded.Store(id)
	return nil
}

// nextID returns the number of the next transaction: gapless over all that
// were committed.
func nextID(c *conn, last int64) (id int64, err error) {
	id = last
	err = c.query(`SELECT max(id) FROM heddle_pending`, nil, func(stmt *sqlite3.Stmt) error {
		id = max(id, stmt.ColumnInt64(0))
		return nil
	})
	return id + 1, err
}

// builder makes a transaction's body of its changes.
type builder struct {
	tables map[string]*table
	schema *fold.Schema // of the prefix
	body   wire.Body
	bases  []*fold.Row // for each operation, the row before it
	shapes map[shapeKey]*wire.Shape
	used   map[string]bool // tables whose descriptors were looked at
	size   int             // a lower bound of the body's size
	mask   []byte
}

// shapeKey tells shapes apart. mask has a byte for each column.
type shapeKey struct {
	table *table
	kind  wire.Kind
	mask  string
}

func newBuilder(tables map[string]*table, s *fold.Schema) *builder {
	return &builder{tables: tables, schema: s, shapes: map[shapeKey]*wire.Shape{}, used: map[string]bool{}}
}

// add takes a change of a row in. Changes of tables that are not synced are
// passed over.
func (b *builder) add(ch *store.Change) error {
	t := b.tables[ch.Table.Name]
	if t == nil {
		return nil
	}
	for i, v := range ch.Key {
		if v == nil {
			return errcode.New(errcode.NullKey, "sync: commit",
				fmt.Sprintf("a row of the synced table %q has NULL in its key column %q: give each row a key, uuid7() makes one", t.name, t.key[i]))
		}
	}
	if !b.used[t.name] {
		b.used[t.name] = true
		b.body.Schema = append(b.body.Schema, b.schema.Missing([]wire.TableSchema{t.schema})...)
	}
	kind := wire.Update
	switch {
	case ch.After == nil:
		kind = wire.Delete
	case ch.Before == nil || ch.Reinserted:
		kind = wire.Insert
	}
	b.mask = b.mask[:0]
	n := 0
	if kind != wire.Delete {
		for _, at := range t.at {
			if kind == wire.Update && identical(ch.Before[at], ch.After[at]) {
				b.mask = append(b.mask, 0)
				continue
			}
			b.mask = append(b.mask, 1)
			n++
		}
	}
	if kind == wire.Update && n == 0 {
		return nil // only generated columns differ
	}
	op := wire.Op{Shape: b.shape(t, kind, n), Key: ch.Key}
	if n > 0 {
		op.Cells = make([]wire.Value, 0, n)
		for i, at := range t.at {
			if b.mask[i] == 1 {
				op.Cells = append(op.Cells, ch.After[at])
			}
		}
	}
	b.body.Ops = append(b.body.Ops, op)
	b.bases = append(b.bases, t.image(ch.Before, b.schema, true))
	b.size += sizeOf(op.Key) + sizeOf(op.Cells)
	switch {
	case b.size > wire.MaxBody || len(b.body.Ops) > wire.MaxOps || len(b.body.Shapes) > wire.MaxShapes:
		return tooBig(fmt.Sprintf("the transaction has more than %d rows or %d MiB: write it in several", wire.MaxOps, wire.MaxBody>>20))
	case sizeOf(op.Key) > wire.MaxKey/2 && len(wire.EncodeKey(op.Key)) > wire.MaxKey:
		return tooBig(fmt.Sprintf("a key of table %q has more than %d KiB", t.name, wire.MaxKey>>10))
	}
	return nil
}

func tooBig(msg string) error { return errcode.New(errcode.TooBig, "sync: commit", msg) }

// shape returns the shape of operations on the columns of b.mask, n in number.
func (b *builder) shape(t *table, kind wire.Kind, n int) *wire.Shape {
	if s, ok := b.shapes[shapeKey{t, kind, string(b.mask)}]; ok {
		return s
	}
	s := &wire.Shape{Kind: kind, Table: t.name}
	if n > 0 {
		s.Joins = make([]wire.Join, n)
		for i, name := range t.columns {
			if b.mask[i] == 1 {
				s.Columns = append(s.Columns, name)
			}
		}
	}
	b.shapes[shapeKey{t, kind, string(b.mask)}] = s
	b.body.Shapes = append(b.body.Shapes, s)
	return s
}

// sizeOf is a lower bound of the encoded size of values.
func sizeOf(vs []wire.Value) int {
	n := len(vs)
	for _, v := range vs {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		case float64:
			n += 8
		}
	}
	return n
}

// store writes the transaction down under id.
func (b *builder) store(r *rows, id int64) error {
	data := b.body.Marshal()
	if len(data) > wire.MaxBody {
		return tooBig(fmt.Sprintf("the transaction has %d MiB, at most %d are taken: write it in several", len(data)>>20, wire.MaxBody>>20))
	}
	if err := r.addPending(id, data); err != nil {
		return err
	}
	keys := make([]rowKey, len(b.body.Ops))
	order := make([]int, len(keys))
	for i := range keys {
		keys[i], order[i] = keyOf(&b.body.Ops[i]), i
	}
	if len(order) > chunk {
		// In the order of the index, which is several times as fast where the
		// keys are random. A key's own operations keep theirs.
		slices.SortStableFunc(order, func(i, j int) int {
			return cmp.Or(cmp.Compare(keys[i].table, keys[j].table), bytes.Compare(keys[i].bytes, keys[j].bytes))
		})
	}
	for _, i := range order {
		op := &b.body.Ops[i]
		k, base := keys[i], b.bases[i]
		if r.overflow[k.table] {
			more, err := r.overflowed(k)
			if err != nil {
				return err
			}
			if more != nil && base != nil {
				for name, v := range more.Cells {
					base.Cells[name] = v
				}
			}
			// A row that is gone, or new, has none of the cells unknown here; one
			// that was replaced keeps them, as an insert joins what is there.
			if op.Shape.Kind == wire.Delete || base == nil {
				if err := r.dropOverflow(k); err != nil {
					return err
				}
			}
		}
		if err := r.addBased(k, base, ref{id, i}); err != nil {
			return err
		}
	}
	return nil
}
