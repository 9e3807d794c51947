package replica

import (
	"maps"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// adapt brings what is kept to the tables and columns that this version of the
// app syncs, when the one before it synced others:
//
//   - What was in heddle_overflow and is known now moves into its table.
//   - A table that is synced no longer keeps its rows, as they are now, for the
//     app; what the log says of them goes on in heddle_overflow.
//   - Rows of a table that was not synced before become pending inserts, unless
//     the log has a row of that key: then the log's is taken.
//
// A table or column of the log that was dropped cannot be brought back.
//
// A table that is disputed is left as it is.
func (rep *Replica) adapt(
	r *rows, meta map[string]wire.Value, before map[string]wire.TableSchema, local []*store.Table, kept map[string]*keptTable,
) error {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		t := r.tables[name]
		if t == nil && rep.tables[name] != nil {
			continue
		}
		if t == nil {
			if err := rep.forget(r, before[name], local, kept[name]); err != nil {
				return err
			}
			continue
		}
		if err := rep.checkDropped(r, t, before[name]); err != nil {
			return err
		}
		if err := rep.restore(r, t, before[name], kept[name]); err != nil {
			return err
		}
	}
	version, err := schemaVersion(r.conn)
	if err != nil {
		return err
	}
	for _, t := range sortedTables(r.tables) {
		schema, was := before[t.name]
		if !was {
			up := rep.takeUp
			if rep.fresh {
				up = rep.empty
			}
			if err := up(r, t); err != nil {
				return err
			}
		}
		grown := !was || !slices.EqualFunc(schema.Columns, t.schema.Columns, sameName)
		if r.overflow[t.name] != 0 && (grown || meta[metaTried] != version) {
			if err := rep.moveIn(r, t, grown); err != nil {
				return err
			}
		}
	}
	if meta[metaTried] != version {
		if err := setMeta(r.conn, metaTried, version); err != nil {
			return err
		}
	}
	return setMeta(r.conn, metaTables, writeKnown(rep.tables))
}

func sameName(a, b wire.ColumnSchema) bool { return a.Name == b.Name }

// checkDropped refuses a table that has lost columns, or its key, where the space
// has them, or will have them once what is pending is sent.
func (rep *Replica) checkDropped(r *rows, t *table, before wire.TableSchema) error {
	pending, err := r.anyBased(t.name)
	if err != nil {
		return err
	}
	if pending && !slices.Equal(before.Key, t.key) {
		return keyError(t, before.Key)
	}
	for _, column := range before.Columns {
		if _, ok := t.known[column.Name]; ok {
			continue
		}
		if _, told := rep.state.schema.Column(t.name, column.Name); told || pending {
			return schemaError(t.name, "column "+quoted(column.Name)+" was dropped or renamed, and the space has it: keep it, unused, and add a new one")
		}
	}
	return nil
}

// restore makes a table hold the rows that it held before the migrations, and
// columns of which the log has no cells their default.
func (rep *Replica) restore(r *rows, t *table, before wire.TableSchema, kept *keptTable) error {
	if kept != nil {
		if err := r.putBack(kept, t, rep.state.schema); err != nil {
			return err
		}
	}
	again := kept != nil
	for _, column := range t.schema.Columns {
		old := slices.ContainsFunc(before.Columns, func(b wire.ColumnSchema) bool { return b.Name == column.Name })
		told, ok := rep.state.schema.Column(t.name, column.Name)
		switch {
		case old && (ok || kept == nil):
			continue // it holds what it held
		case kept == nil && (!ok || identical(told.Default, column.Default)):
			continue // ADD COLUMN has filled it
		}
		again = true
		if err := r.refit(t, column.Name, ok, rep.state.schema); err != nil {
			return err
		}
	}
	if !again {
		return nil
	}
	return rep.rebaseTable(r, t.name)
}

// rebaseTable puts the pending operations on a table's rows again.
func (rep *Replica) rebaseTable(r *rows, table string) error {
	a := &applier{rows: *r, state: rep.state, merged: mergedSchema(rep.state.schema, r.tables)}
	return a.rebaseTable(table)
}

func (a *applier) rebaseTable(table string) error {
	for after := (basedRow{table: table}); ; {
		some, err := a.scanBased(after, chunk)
		if err != nil {
			return err
		}
		for _, b := range some {
			if b.table != table {
				return nil
			}
			k := rowKey{table: table, bytes: b.bytes}
			if k.key, err = wire.DecodeKey(b.bytes); err != nil {
				return damaged("heddle_row")
			}
			if err := a.recompute(k, b.based); err != nil {
				return err
			}
		}
		if len(some) < chunk {
			return nil
		}
		after = some[len(some)-1]
	}
}

// schemaVersion changes with each change of the schema.
func schemaVersion(c *conn) (version int64, err error) {
	err = c.query(`PRAGMA schema_version`, nil, func(s *sqlite3.Stmt) error {
		version = s.ColumnInt64(0)
		return nil
	})
	return version, err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// writeKnown encodes which columns of which tables are synced here.
func writeKnown(tables map[string]*table) []byte {
	var all []wire.TableSchema
	for _, t := range sortedTables(tables) {
		all = append(all, t.schema)
	}
	return (&wire.Body{Schema: all}).Marshal()
}

func readKnown(v wire.Value) (map[string]wire.TableSchema, error) {
	known := map[string]wire.TableSchema{}
	data, _ := v.([]byte)
	body, err := wire.UnmarshalBody(data)
	if err != nil {
		return nil, damaged("heddle_meta")
	}
	for _, t := range body.Schema {
		known[t.Table] = t
	}
	return known, nil
}

// overflowRow is a row of heddle_overflow.
type overflowRow struct {
	rowKey
	whole bool // the table was not known at all, or could not hold it
	cells map[string]wire.Value
}

// moveIn moves what a table knows now, and rows that it can hold now, out of
// heddle_overflow. Without cells it looks at whole rows alone.
func (rep *Replica) moveIn(r *rows, t *table, cells bool) error {
	const portion = 500 // what is read is written, so never both at once
	after := []byte{}
	for {
		var some []overflowRow
		err := r.query(`SELECT key, whole, cells FROM heddle_overflow WHERE tbl = ? AND key > ? AND (whole OR ?) ORDER BY key LIMIT ?`,
			[]any{t.name, after, bit(cells), portion}, func(s *sqlite3.Stmt) (err error) {
				o := overflowRow{whole: s.ColumnBool(1)}
				o.table, o.bytes = t.name, s.ColumnBlob(0, nil)
				if o.key, err = wire.DecodeKey(o.bytes); err == nil {
					o.cells, err = wire.DecodeRow(s.ColumnBlob(2, nil))
				}
				some = append(some, o)
				return err
			})
		if err != nil {
			return err
		}
		for i := range some {
			if err := rep.moveRow(r, t, &some[i]); err != nil {
				return err
			}
			after = some[i].bytes
		}
		if len(some) < portion {
			return nil
		}
	}
}

func (rep *Replica) moveRow(r *rows, t *table, o *overflowRow) (err error) {
	var before *fold.Row
	if t.keepsKey(o.key) {
		if before, err = t.read(r.conn, o.key); err != nil {
			return err
		}
	}
	after := &fold.Row{Cells: o.cells}
	if !o.whole {
		if before == nil {
			return damaged("heddle_overflow")
		}
		after.Cells = maps.Clone(before.Cells)
		maps.Copy(after.Cells, o.cells)
	}
	quarantined, err := r.place(t, o.rowKey, before, after, rep.state.schema)
	if err != nil || quarantined {
		return err
	}
	return r.keepUnknown(o.rowKey, t.unknown(after))
}

// empty takes out what migrations have put into a table of a file that they have
// made: each device would have rows of its own mind.
func (rep *Replica) empty(r *rows, t *table) error {
	return r.each(t.every("true"), nil, t.order(), func(key []wire.Value) error { return r.remove(t, key) })
}

// takeUp records the rows of a table that was not synced before, where the log
// does not have them.
func (rep *Replica) takeUp(r *rows, t *table) error {
	b := newBuilder(r.tables, rep.state.schema)
	var all []adjustment
	flush := func() error {
		all = append(all, b.adjustments...)
		if len(b.body.Ops) == 0 {
			return nil
		}
		id, err := nextID(r.conn, rep.state.last)
		if err != nil {
			return err
		}
		err = b.store(r, id, rep.cfg.Now().UnixMilli())
		b = newBuilder(r.tables, rep.state.schema)
		return err
	}
	err := t.scan(r.conn, func(values []wire.Value) error {
		ch := store.Change{Table: t.info, After: values}
		for _, at := range t.keyAt {
			ch.Key = append(ch.Key, values[at])
		}
		if r.overflow[t.name] != 0 {
			k := rowKey{t.name, ch.Key, wire.EncodeKey(ch.Key)}
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
func (r *rows) adjust(b *adjustment, s *fold.Schema) error {
	k := rowKey{b.table.name, b.key, wire.EncodeKey(b.key)}
	before, err := r.visible(k)
	if err != nil {
		return err
	}
	after := &fold.Row{Cells: maps.Clone(before.Cells)}
	after.Cells[b.column] = b.value
	return r.writeRow(k, before, after, s)
}

// forget keeps what the log says of a table that is synced no longer, and will
// say of it once what is pending is sent. kept has its rows where a migration may
// have changed them.
func (rep *Replica) forget(r *rows, before wire.TableSchema, local []*store.Table, kept *keptTable) error {
	name := before.Table
	key := rep.state.schema.Key(name)
	if key == nil {
		return rep.rebaseTable(r, name) // there is nothing but what is pending
	}
	at := slices.IndexFunc(local, func(info *store.Table) bool { return info.Name == name })
	if at < 0 || !slices.Equal(newTable(local[at]).key, key) {
		return schemaError(name, "it was dropped or changed in a migration, and the space has it: leave the table as it is, also when it is not synced any more")
	}
	put := func(key []wire.Value, row *fold.Row) error {
		k := rowKey{name, key, wire.EncodeKey(key)}
		more, whole, err := r.overflowed(k)
		if err != nil || whole {
			return err
		}
		if more != nil {
			maps.Copy(row.Cells, more.Cells)
		}
		return r.putOverflow(k, true, row.Cells, nil)
	}
	var err error
	if kept == nil {
		t := newTable(local[at])
		err = t.scan(r.conn, func(values []wire.Value) error {
			key := make([]wire.Value, len(t.keyAt))
			for i, at := range t.keyAt {
				key[i] = values[at]
			}
			return put(key, t.image(values, rep.state.schema, true))
		})
	} else {
		told := func(column string) bool {
			_, ok := rep.state.schema.Column(name, column)
			return ok
		}
		err = r.each(kept.all()+" WHERE true", nil, kept.order(), func(key []wire.Value) error {
			row, err := r.keptRow(kept, key, told)
			if err != nil {
				return err
			}
			return put(key, row)
		})
	}
	if err != nil {
		return err
	}
	return rep.rebaseTable(r, name)
}
