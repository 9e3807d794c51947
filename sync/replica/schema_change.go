package replica

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
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
	r *rows, meta map[string]wire.Value, before map[string]wire.TableSchema, local []*store.Table,
	kept map[string]*keptTable,
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
	version, err := schemaVersion(r.Conn)
	if err != nil {
		return err
	}
	for _, t := range synced.Sorted(r.tables) {
		schema, was := before[t.Name]
		if !was {
			up := rep.takeUp
			if rep.fresh {
				up = rep.empty
			}
			if err := up(r, t); err != nil {
				return err
			}
		}
		grown := !was || !slices.EqualFunc(schema.Columns, t.Schema.Columns, sameName)
		if r.overflow[t.Name] != 0 && (grown || meta[metaTried] != version) {
			if err := rep.moveIn(r, t, grown); err != nil {
				return err
			}
		}
	}
	return setMeta(r.Conn, metaTried, version, metaTables, writeKnown(rep.tables))
}

func sameName(a, b wire.ColumnSchema) bool { return a.Name == b.Name }

// checkDropped refuses a table that has lost columns, or its key, where the space
// has them, or will have them once what is pending is sent.
func (rep *Replica) checkDropped(r *rows, t *synced.Table, before wire.TableSchema) error {
	pending, err := r.anyBased(t.Name)
	if err != nil {
		return err
	}
	if pending && !slices.Equal(before.Key, t.Key) {
		return synced.KeyError(t, before.Key)
	}
	for _, column := range before.Columns {
		if _, ok := t.Known[column.Name]; ok {
			continue
		}
		if _, told := rep.state.schema.Column(t.Name, column.Name); told || pending {
			return synced.SchemaError(t.Name,
				"column "+synced.Quoted(column.Name)+" was dropped or renamed, and the space has it: keep it, unused, and add "+
					"a new one")
		}
	}
	return nil
}

// restore makes a table hold the rows that it held before the migrations, and
// columns of which the log has no cells their default.
func (rep *Replica) restore(r *rows, t *synced.Table, before wire.TableSchema, kept *keptTable) error {
	if kept != nil {
		if err := r.putBack(kept, t, rep.state.schema); err != nil {
			return err
		}
	}
	again := kept != nil
	for _, column := range t.Schema.Columns {
		old := slices.ContainsFunc(before.Columns, func(b wire.ColumnSchema) bool { return b.Name == column.Name })
		told, ok := rep.state.schema.Column(t.Name, column.Name)
		switch {
		case old && (ok || kept == nil):
			continue // it holds what it held
		case kept == nil && (!ok || synced.Identical(told.Default, column.Default)):
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
	return rep.rebaseTable(r, t.Name)
}

// rebaseTable puts the pending operations on a table's rows again.
func (rep *Replica) rebaseTable(r *rows, table string) error {
	a := &applier{rows: *r, state: rep.state, merged: synced.MergedSchema(rep.state.schema, r.tables)}
	return a.rebaseTable(table)
}

func (a *applier) rebaseTable(table string) error {
	return a.eachBased(table, a.recompute)
}

// schemaVersion changes with each change of the schema.
func schemaVersion(c *synced.Conn) (version int64, err error) {
	return c.Int(`PRAGMA schema_version`)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// writeKnown encodes which columns of which tables are synced here.
func writeKnown(tables map[string]*synced.Table) []byte {
	var all []wire.TableSchema
	for _, t := range synced.Sorted(tables) {
		all = append(all, t.Schema)
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
func (rep *Replica) moveIn(r *rows, t *synced.Table, cells bool) error {
	const portion = 500 // what is read is written, so never both at once
	after := []byte{}
	for {
		var some []overflowRow
		err := r.Query(`SELECT key, whole, cells FROM heddle_overflow WHERE tbl = ? AND key > ? AND (whole OR ?) ORDER BY
			key LIMIT ?`,
			[]any{t.Name, after, bit(cells), portion}, func(s *sqlite3.Stmt) (err error) {
				o := overflowRow{whole: s.ColumnBool(1)}
				o.table, o.bytes = t.Name, s.ColumnBlob(0, nil)
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

func (rep *Replica) moveRow(r *rows, t *synced.Table, o *overflowRow) (err error) {
	var before *fold.Row
	if t.KeepsKey(o.key) {
		if before, err = t.Read(r.Conn, o.key); err != nil {
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
	return r.keepUnknown(o.rowKey, t.Unknown(after))
}

// empty removes the rows that migrations have put into a table of a file that they
// have made: they would differ between devices.
func (rep *Replica) empty(r *rows, t *synced.Table) error {
	return r.each(t.Every("true"), nil, t.Order(), func(key []wire.Value) error { return r.remove(t, key) })
}

// forget keeps the log's rows of a table that is no longer synced, for entries and
// pending operations to come. kept has the rows where a migration may have changed
// them.
func (rep *Replica) forget(r *rows, before wire.TableSchema, local []*store.Table, kept *keptTable) error {
	name := before.Table
	key := rep.state.schema.Key(name)
	if key == nil {
		return rep.rebaseTable(r, name) // there is nothing but what is pending
	}
	at := slices.IndexFunc(local, func(info *store.Table) bool { return info.Name == name })
	if at < 0 || !slices.Equal(synced.NewTable(local[at]).Key, key) {
		return synced.SchemaError(name,
			"it was dropped or changed in a migration, and the space has it: leave the table as it is, also when it is not "+
				"synced any more")
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
		t := synced.NewTable(local[at])
		err = t.Scan(r.Conn, func(values []wire.Value) error {
			key := make([]wire.Value, len(t.KeyAt))
			for i, at := range t.KeyAt {
				key[i] = values[at]
			}
			return put(key, t.Image(values, rep.state.schema, true))
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

// MigrationHook makes what store.Options.MigrationHook takes: with it the
// migrations of a release and what sync makes of them are one transaction. A
// release that Open would refuse (HEDDLE_SYNC_SCHEMA) leaves the database as it
// was, for the release before and for a corrected one. cfg is what Open is given.
func MigrationHook(cfg *Config) func(*sqlite3.Conn) (store.MigrationHook, error) {
	return func(raw *sqlite3.Conn) (store.MigrationHook, error) {
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		rep := &Replica{cfg: *cfg, conn: synced.Conn{SQLite: raw}}
		m := &migration{Replica: rep, kept: map[string]*keptTable{}}
		return m, m.begin()
	}
}

// migration follows the migrations of one file. Its replica is not
// open: it only adapts the file to a schema.
type migration struct {
	*Replica
	before map[string]wire.TableSchema // what was synced, by the name in lower case
	kept   map[string]*keptTable       // of those, by the name
}

// begin finds what was synced before.
func (m *migration) begin() error {
	defer m.conn.Close()
	synced := false
	m.fresh = true
	const tables = `SELECT name = 'heddle_meta', name LIKE 'heddle\_%' ESCAPE '\' FROM sqlite_schema WHERE type = 'table'`
	err := m.conn.Query(tables, nil, func(s *sqlite3.Stmt) error {
		synced = synced || s.ColumnBool(0)
		m.fresh = m.fresh && s.ColumnBool(1)
		return nil
	})
	if err != nil || !synced {
		return err
	}
	meta, err := loadMeta(&m.conn)
	if err != nil {
		return err
	}
	known, err := readKnown(meta[metaTables])
	m.before = map[string]wire.TableSchema{}
	for name, t := range known {
		m.before[strings.ToLower(name)] = t
	}
	return err
}

// Touch implements store.MigrationHook.
func (m *migration) Touch(name string) (kept bool, err error) {
	t, ok := m.before[strings.ToLower(name)]
	if !ok {
		return false, nil
	}
	defer m.conn.Close()
	r := &rows{Conn: &m.conn}
	m.kept[t.Table], err = r.keep(t, len(m.kept))
	return true, err
}

// Without implements store.MigrationHook.
func (m *migration) Without(table string, run func() error) error {
	defer m.conn.Close()
	return (&rows{Conn: &m.conn}).without(table, run)
}

// Done implements store.MigrationHook.
func (m *migration) Done(local []*store.Table) (err error) {
	defer m.conn.Close()
	m.tables, err = m.cfg.resolve(func(name string) (*store.Table, bool) {
		for _, t := range local {
			if strings.EqualFold(t.Name, name) {
				return t, true
			}
		}
		return nil, false
	})
	if err != nil {
		return err
	}
	r := &rows{Conn: &m.conn, tables: m.tables}
	// No id is minted: it belongs to the place where the file is in the end.
	if _, err = m.agree(r, local, m.kept, nil); err != nil {
		return err
	}
	m.conn.Close()
	for _, k := range m.kept {
		if err := m.conn.Exec("DROP TABLE " + k.name); err != nil {
			return err
		}
	}
	version, err := schemaVersion(r.Conn)
	if err != nil {
		return err
	}
	number, err := r.migrations()
	if err != nil {
		return err
	}
	return setMeta(r.Conn, metaTried, version, metaMigrated, number)
}

// migrations is how many migrations the file has had.
func (r *rows) migrations() (number int64, err error) {
	return r.Int(`SELECT count(*) FROM heddle_migration`)
}

// agree checks the schema, makes Heddle's tables where there are none, loads
// the state and brings what is kept to the schema. Tables in kept get their rows
// back first.
func (rep *Replica) agree(
	r *rows, local []*store.Table, kept map[string]*keptTable, random io.Reader,
) (meta map[string]wire.Value, err error) {
	if err := synced.CheckSchema(r.Conn, rep.tables, rep.cfg.IntegerKey); err != nil {
		return nil, err
	}
	if err := r.SQLite.Exec(schemaSQL); err != nil {
		return nil, synced.SQLError(err, schemaSQL)
	}
	if err := addReason(r.Conn); err != nil {
		return nil, err
	}
	if meta, err = loadMeta(r.Conn); err != nil {
		return nil, err
	}
	if v, ok := meta[metaFormat]; ok && v != int64(formatVersion) {
		return nil, errcode.New(errcode.Unsupported, "sync: open",
			"a newer version of Heddle has written this database: update the app")
	}
	if v, ok := meta[metaSpace]; ok && v != rep.cfg.Space {
		return nil, errcode.New(errcode.BadParam, "sync: open",
			"this database belongs to another space: open one of another name")
	}
	if err := setMeta(r.Conn, metaFormat, formatVersion, metaSpace, rep.cfg.Space); err != nil {
		return nil, err
	}
	if rep.state, err = loadState(r.Conn, random); err != nil {
		return nil, err
	}
	if err := rep.loadSealing(r.Conn, rep.state); err != nil {
		return nil, err
	}
	if err := r.loadOverflow(); err != nil {
		return nil, err
	}
	rep.overflow = r.overflow
	before, err := readKnown(meta[metaTables])
	if err != nil {
		return nil, err
	}
	if err := synced.CheckKeys(rep.tables, before, rep.state.schema); err != nil {
		return nil, err
	}
	r.tables = synced.Undisputed(rep.tables, rep.state.schema)
	return meta, rep.adapt(r, meta, before, local, kept)
}
