package replica

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// recorder is the store's view of a Replica.
type recorder Replica

// Record implements store.Recorder: it writes what a transaction did to synced
// tables down as a pending transaction, inside that transaction.
func (rec *recorder) Record(tx *store.Tx, changes []store.Change) error {
	rep := (*Replica)(rec)
	r := rep.rowsOn(tx)
	s, err := rep.current(&r)
	if err != nil {
		return err
	}
	id, err := s.nextID(r.Conn)
	if err != nil {
		return err
	}
	b := newBuilder(r.tables, s.schema)
	b.whole = s.bootstrap != nil
	for i := range changes {
		ch := changes[i]
		if err := r.replace(&ch, s.schema); err != nil {
			return err
		}
		if err := b.add(&ch); err != nil {
			return err
		}
	}
	if tx == rep.seeding {
		return rep.keepSeed(&r, b, changes)
	}
	if len(b.body.Ops) > 0 {
		if err := b.store(&r, id, rep.cfg.Now().UnixMilli()); err != nil {
			return err
		}
		rep.recorded.Store(id)
	}
	if len(b.adjustments) == 0 {
		return nil
	}
	return tx.Applying(func() error { return synced.AdjustCells(r.Conn, b.adjustments) })
}

// replace describes the insert of a key whose row is quarantined as the log sees
// it: an insert of a row that exists.
func (r *rows) replace(ch *store.Change, s *fold.Schema) error {
	t := r.tables[ch.Table.Name]
	if t == nil || ch.Before != nil || r.overflow[t.Name]&wholeRows == 0 {
		return nil
	}
	row, whole, err := r.overflowed(rowKey{t.Name, ch.Key, wire.EncodeKey(ch.Key)})
	if err != nil || !whole {
		return err
	}
	ch.Before, ch.Reinserted = t.Values(ch.Key, row, s), true
	return nil
}

// nextID returns the number of the next transaction: gapless over all that were
// committed. One that was given out is not given out again, also while the replica
// starts over: a rejected transaction goes by it.
func (s *state) nextID(c *synced.Conn) (id int64, err error) {
	id, err = c.Int(`SELECT max(id) FROM heddle_pending`)
	return max(id, s.last, s.overLast) + 1, err
}

// builder makes a transaction's body of its changes.
type builder struct {
	tables map[string]*synced.Table
	schema *fold.Schema // of the prefix
	// Base images have the cells of all columns: while a snapshot comes, a row may be
	// of a log with more columns than the snapshot has named so far.
	whole  bool
	body   wire.Body
	bases  []*fold.Row // for each operation, the row before it
	shapes map[shapeKey]*wire.Shape
	used   map[string]bool // tables whose descriptors were looked at
	size   int             // a lower bound of the body's size
	mask   []byte
	cut    []byte // as mask, of an operation that removes elements of sets

	adjustments []synced.Adjustment // cells that are not what was written
}

// shapeKey tells shapes apart. mask has a byte for each column: 0 if it has no
// cell, else its join and 1.
type shapeKey struct {
	table *synced.Table
	kind  wire.Kind
	mask  string
}

func newBuilder(tables map[string]*synced.Table, s *fold.Schema) *builder {
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
				fmt.Sprintf("a row of the synced table %q has NULL in its key column %q: give each row a key, uuid7() makes one",
					t.Name, t.Key[i]))
		}
	}
	if !b.used[t.Name] {
		b.used[t.Name] = true
		b.body.Schema = append(b.body.Schema, b.schema.Missing([]wire.TableSchema{t.Schema})...)
	}
	kind := wire.Update
	switch {
	case ch.After == nil:
		kind = wire.Delete
	case ch.Before == nil || ch.Reinserted:
		kind = wire.Insert
	}
	b.mask, b.cut = b.mask[:0], b.cut[:0]
	op := wire.Op{Key: ch.Key}
	var removed []wire.Value
	if kind != wire.Delete {
		op.Cells, removed = b.cells(t, ch, kind)
	}
	base := t.Image(ch.Before, b.schema, !b.whole)
	if kind != wire.Update || len(op.Cells) > 0 { // else only generated columns differ
		op.Shape = b.shape(t, kind, b.mask, len(op.Cells))
		b.body.Ops, b.bases = append(b.body.Ops, op), append(b.bases, base)
	}
	if len(removed) > 0 {
		b.body.Ops = append(b.body.Ops, wire.Op{Key: ch.Key, Shape: b.shape(t, wire.Update, b.cut, len(removed)),
			Cells: removed})
		b.bases = append(b.bases, base)
	}
	b.size += value.Size(op.Key...) + value.Size(op.Cells...) + value.Size(removed...)
	switch {
	case b.size > wire.MaxBody || len(b.body.Ops) > wire.MaxOps || len(b.body.Shapes) > wire.MaxShapes:
		return tooBig(fmt.Sprintf("the transaction has more than %d rows or %d MiB: write it in several", wire.MaxOps,
			wire.MaxBody>>20))
	case ch.After != nil && t.SizeOf(ch.After) > wire.MaxRow:
		return tooBig(fmt.Sprintf("a row of table %q has more than %d MiB: keep its content in several rows", t.Name,
			wire.MaxRow>>20))
	case value.Size(op.Key...) > wire.MaxKey/2 && len(wire.EncodeKey(op.Key)) > wire.MaxKey:
		return tooBig(fmt.Sprintf("a key of table %q has more than %d KiB", t.Name, wire.MaxKey>>10))
	}
	return nil
}

// cells returns the cells of a row that was written, and those that take
// elements out of its sets, with their masks in b.
func (b *builder) cells(t *synced.Table, ch *store.Change, kind wire.Kind) (cells, removed []wire.Value) {
	cells = make([]wire.Value, 0, len(t.At))
	for i, at := range t.At {
		mask, cut := byte(0), byte(0)
		switch after := ch.After[at]; {
		case kind == wire.Update && synced.Identical(ch.Before[at], after):
		case t.Merges == nil || t.Merges[i] == synced.MergeLast:
			mask, cells = 1+byte(wire.JoinLast), append(cells, after)
		default:
			before := t.DefaultOf(t.Columns[i], b.schema)
			if ch.Before != nil {
				before = ch.Before[at]
			}
			w := t.Merges[i].Write(before, after, kind)
			if w.Set {
				mask, cells = 1+byte(w.Join), append(cells, w.Cell)
			}
			if w.Remove != "" {
				cut, removed = 1+byte(wire.JoinSetRemove), append(removed, w.Remove)
			}
			if !synced.Identical(w.Result, after) {
				b.adjustments = append(b.adjustments, synced.Adjustment{Table: t, Key: ch.Key, Column: t.Columns[i],
					Value: w.Result})
			}
		}
		b.mask, b.cut = append(b.mask, mask), append(b.cut, cut)
	}
	return cells, removed
}

func tooBig(msg string) error { return errcode.New(errcode.TooBig, "sync: commit", msg) }

// shape returns the shape of operations with the columns and joins of mask, n
// in number.
func (b *builder) shape(t *synced.Table, kind wire.Kind, mask []byte, n int) *wire.Shape {
	if s, ok := b.shapes[shapeKey{t, kind, string(mask)}]; ok {
		return s
	}
	s := &wire.Shape{Kind: kind, Table: t.Name}
	for i, m := range mask {
		if m != 0 && n > 0 {
			s.Columns, s.Joins = append(s.Columns, t.Columns[i]), append(s.Joins, wire.Join(m-1))
		}
	}
	b.shapes[shapeKey{t, kind, string(mask)}] = s
	b.body.Shapes = append(b.body.Shapes, s)
	return s
}

// store writes the transaction down under id.
func (b *builder) store(r *rows, id, created int64) error {
	if len(b.body.Schema) > 0 {
		next := b.schema.Clone()
		next.Apply(b.body.Schema)
		if err := next.Fits(b.schema, b.body.Schema); err != nil {
			return tooBig(errcode.From(err, "sync").Message())
		}
	}
	data := b.body.Marshal()
	if len(data) > wire.MaxBody {
		return tooBig(fmt.Sprintf("the transaction has %d MiB, at most %d are taken: write it in several", len(data)>>20,
			wire.MaxBody>>20))
	}
	if err := r.addPending(id, created, data); err != nil {
		return err
	}
	keys := make([]rowKey, len(b.body.Ops))
	order := make([]int, len(keys))
	for i := range keys {
		keys[i], order[i] = keyOf(&b.body.Ops[i]), i
	}
	var err error
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
		if r.overflow[k.table] != 0 {
			if base, err = r.uncover(k, base, op.Shape.Kind); err != nil {
				return err
			}
		}
		if err := r.addBased(k, base, ref{id, i}); err != nil {
			return err
		}
	}
	return nil
}

// uncover updates heddle_overflow after a write of the app, and returns the row
// before it, with all its cells.
func (r *rows) uncover(k rowKey, base *fold.Row, kind wire.Kind) (*fold.Row, error) {
	more, whole, err := r.overflowed(k)
	switch {
	case err != nil || more == nil:
		return base, err
	case whole: // the table could not hold it, and holds what has replaced it
		return more, r.keepUnknown(k, r.tables[k.table].Unknown(more))
	case base != nil:
		maps.Copy(base.Cells, more.Cells)
	}
	// A row that is gone, or new, has none of the cells unknown here; one that was
	// replaced keeps them, as an insert joins what is there.
	if kind == wire.Delete || base == nil {
		err = r.dropOverflow(k)
	}
	return base, err
}

// Seed lets run write the rows that an empty space begins with, if the database is
// new and was opened with store.Options.Seed. Rows of synced tables are taken out
// of the tables again and kept as one body, which is returned; nil for none. What
// run writes to other tables stays. If run fails, nothing has happened.
func (rep *Replica) Seed(ctx context.Context, run func(*store.Tx) error) (kept []byte, err error) {
	err = rep.db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		owed, err := tx.TakeSeed()
		if err != nil || !owed {
			return err
		}
		rep.seeding = tx
		return run(tx)
	})
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "sync: seed")
	}
	err = rep.inside(ctx, func(r *rows) error {
		meta, err := loadMeta(r.Conn)
		kept, _ = meta[metaSeed].([]byte)
		return err
	})
	return kept, err
}

// DropSeed forgets the body that Seed has kept: the space has a beginning.
func (rep *Replica) DropSeed(ctx context.Context) error {
	return rep.inside(ctx, func(r *rows) error { return r.Exec(`DELETE FROM heddle_meta WHERE name = ?`, metaSeed) })
}

// keepSeed is what Record does in Seed's transaction.
func (rep *Replica) keepSeed(r *rows, b *builder, changes []store.Change) error {
	if len(b.body.Ops) == 0 {
		return nil
	}
	data := b.body.Marshal()
	if len(data) > wire.MaxBody {
		return tooBig(fmt.Sprintf("the seed has %d MiB, at most %d are taken", len(data)>>20, wire.MaxBody>>20))
	}
	if err := setMeta(r.Conn, metaSeed, data); err != nil {
		return err
	}
	return rep.seeding.Applying(func() error {
		for _, ch := range slices.Backward(changes) { // children before their parents
			t := r.tables[ch.Table.Name]
			if t == nil {
				continue
			}
			if err := t.Write(r.Conn, ch.Key, t.Image(ch.After, b.schema, false), t.Image(ch.Before, b.schema, false),
				b.schema); err != nil {
				return err
			}
		}
		return nil
	})
}

// takeUp records the rows of a table that was not synced before, where the log
// does not have them.
func (rep *Replica) takeUp(r *rows, t *synced.Table) error {
	b := newBuilder(r.tables, rep.state.schema)
	var all []synced.Adjustment
	flush := func() error {
		all = append(all, b.adjustments...)
		if len(b.body.Ops) == 0 {
			return nil
		}
		id, err := rep.state.nextID(r.Conn)
		if err != nil {
			return err
		}
		err = b.store(r, id, rep.cfg.Now().UnixMilli())
		b = newBuilder(r.tables, rep.state.schema)
		return err
	}
	err := t.Scan(r.Conn, func(values []wire.Value) error {
		ch := store.Change{Table: t.Info, After: values}
		for _, at := range t.KeyAt {
			ch.Key = append(ch.Key, values[at])
		}
		if r.overflow[t.Name] != 0 {
			k := rowKey{t.Name, ch.Key, wire.EncodeKey(ch.Key)}
			if known, _, err := r.overflowed(k); err != nil || known != nil {
				return err
			}
		}
		if err := b.add(&ch); err != nil {
			return err
		}
		if b.size > wire.MaxBody/8 || len(b.body.Ops) >= 50_000 {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	for _, b := range all { // not before: the table was being read
		if err := r.adjust(&b, rep.state.schema); err != nil {
			return err
		}
	}
	return nil
}

// adjust writes a cell as the fold has it, where the table can hold that.
func (r *rows) adjust(b *synced.Adjustment, s *fold.Schema) error {
	k := rowKey{b.Table.Name, b.Key, wire.EncodeKey(b.Key)}
	before, err := r.visible(k)
	if err != nil {
		return err
	}
	after := &fold.Row{Cells: maps.Clone(before.Cells)}
	after.Cells[b.Column] = b.Value
	return r.writeRow(k, before, after, s)
}
