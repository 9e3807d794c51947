package client

import (
	"maps"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle/store"
	"heddle/sync/fold"
	"heddle/sync/wire"
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
func (c *Client) adapt(r *rows, meta map[string]wire.Value, local []*store.Table) error {
	before, err := readKnown(meta[metaTables])
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		columns, t := before[name], c.tables[name]
		if t == nil {
			if err := c.forget(r, name, local); err != nil {
				return err
			}
			continue
		}
		if err := c.checkDropped(r, t, columns); err != nil {
			return err
		}
	}
	version, err := schemaVersion(r.conn)
	if err != nil {
		return err
	}
	for _, t := range sortedTables(c.tables) {
		columns, was := before[t.name]
		if !was {
			if err := c.takeUp(r, t); err != nil {
				return err
			}
		}
		grown := !was || !slices.Equal(columns, t.columns)
		if r.overflow[t.name] != 0 && (grown || meta[metaTried] != version) {
			if err := c.moveIn(r, t, grown); err != nil {
				return err
			}
		}
	}
	if meta[metaTried] != version {
		if err := setMeta(r.conn, metaTried, version); err != nil {
			return err
		}
	}
	return setMeta(r.conn, metaTables, writeKnown(c.tables))
}

// checkDropped refuses a table that has lost columns which the space has, or
// will have once what is pending is sent.
func (c *Client) checkDropped(r *rows, t *table, before []string) error {
	for _, column := range before {
		if _, ok := t.known[column]; ok {
			continue
		}
		_, told := c.state.schema.Column(t.name, column)
		if !told {
			some, err := r.scanBased(basedRow{table: t.name}, 1)
			if err != nil {
				return err
			}
			told = len(some) > 0 && some[0].table == t.name
		}
		if told {
			return schemaError(t.name, "column "+quoted(column)+" was dropped or renamed, and the space has it: keep it, unused, and add a new one")
		}
	}
	return nil
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

func sortedTables(tables map[string]*table) []*table {
	var all []*table
	for _, t := range tables {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *table) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// writeKnown encodes which columns of which tables are synced here.
func writeKnown(tables map[string]*table) []byte {
	var all []wire.TableSchema
	for _, t := range sortedTables(tables) {
		all = append(all, t.schema)
	}
	return (&wire.Body{Schema: all}).Marshal()
}

func readKnown(v wire.Value) (map[string][]string, error) {
	known := map[string][]string{}
	data, _ := v.([]byte)
	body, err := wire.UnmarshalBody(data)
	if err != nil {
		return nil, damaged("heddle_meta")
	}
	for _, t := range body.Schema {
		columns := []string{}
		for _, c := range t.Columns {
			columns = append(columns, c.Name)
		}
		known[t.Table] = columns
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
func (c *Client) moveIn(r *rows, t *table, cells bool) error {
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
			if err := c.moveRow(r, t, &some[i]); err != nil {
				return err
			}
			after = some[i].bytes
		}
		if len(some) < portion {
			return nil
		}
	}
}

func (c *Client) moveRow(r *rows, t *table, o *overflowRow) (err error) {
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
	quarantined, err := r.place(t, o.rowKey, before, after, c.state.schema)
	if err != nil || quarantined {
		return err
	}
	return r.keepUnknown(o.rowKey, t.unknown(after))
}

// takeUp records the rows of a table that was not synced before, where the log
// does not have them.
func (c *Client) takeUp(r *rows, t *table) error {
	b := newBuilder(r.tables, c.state.schema)
	var all []brought
	flush := func() error {
		all = append(all, b.brought...)
		if len(b.body.Ops) == 0 {
			return nil
		}
		id, err := nextID(r.conn, c.state.last)
		if err != nil {
			return err
		}
		err = b.store(r, id, c.cfg.Now().UnixMilli())
		b = newBuilder(r.tables, c.state.schema)
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
		if err := r.bring(&b, c.state.schema); err != nil {
			return err
		}
	}
	return nil
}

// bring writes a cell as the fold has it, where the table can hold that.
func (r *rows) bring(b *brought, s *fold.Schema) error {
	k := rowKey{b.table.name, b.key, wire.EncodeKey(b.key)}
	before, err := r.visible(k)
	if err != nil {
		return err
	}
	after := &fold.Row{Cells: maps.Clone(before.Cells)}
	after.Cells[b.column] = b.value
	return r.show(k, before, after, s)
}

// forget keeps what the log says of a table that is synced no longer.
func (c *Client) forget(r *rows, name string, local []*store.Table) error {
	key := c.state.schema.Key(name)
	if key == nil {
		return nil // the log has never heard of it
	}
	gone := schemaError(name, "it was dropped or changed in a migration, and the space has it: leave the table as it is, also when it is not synced any more")
	at := slices.IndexFunc(local, func(info *store.Table) bool { return info.Name == name })
	if at < 0 {
		return gone
	}
	t := newTable(local[at])
	if !slices.Equal(t.key, key) {
		return gone
	}
	return t.scan(r.conn, func(values []wire.Value) error {
		k := rowKey{table: name}
		for _, at := range t.keyAt {
			k.key = append(k.key, values[at])
		}
		k.bytes = wire.EncodeKey(k.key)
		row := t.image(values, c.state.schema, true)
		more, _, err := r.overflowed(k)
		if err != nil {
			return err
		}
		if more != nil {
			maps.Copy(row.Cells, more.Cells)
		}
		return r.putOverflow(k, true, row.Cells, nil)
	})
}

// scan calls f with each row of the table, in the order of info.Columns.
func (t *table) scan(c *conn, f func(values []wire.Value) error) error {
	all := append(slices.Clone(t.key), t.columns...)
	return c.query("SELECT "+idents(all, "", ", ")+" FROM main."+ident(t.name), nil, func(s *sqlite3.Stmt) error {
		values := make([]wire.Value, len(t.info.Columns))
		for i, at := range t.keyAt {
			values[at] = column(s, i)
		}
		for i, at := range t.at {
			values[at] = column(s, len(t.key)+i)
		}
		return f(values)
	})
}
