package replica

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// A migration changes schemas and never the rows of synced tables: each device
// runs it once, at another place in the log. So the rows of a table that a
// migration rebuilds, or may write, are kept before it does, and the table is
// made to hold the same rows again afterwards. What it cannot hold any more is
// quarantined, as everywhere.

// keptTable has the rows of a synced table as they were before a migration.
type keptTable struct {
	schema wire.TableSchema // of the table
	name   string           // of what has the rows: columns k0, k1, … and c0, c1, …
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return names
}

func (k *keptTable) keys() []string  { return numbered("k", len(k.schema.Key)) }
func (k *keptTable) cells() []string { return numbered("c", len(k.schema.Columns)) }

// all is a query for the keys.
func (k *keptTable) all() string { return "SELECT " + k.order() + " FROM " + k.name + " AS k" }

func (k *keptTable) order() string { return "k." + strings.Join(k.keys(), ", k.") }

// keep copies a table's rows. Its columns have no types: values stay what they are.
func (r *rows) keep(schema wire.TableSchema, number int) (*keptTable, error) {
	k := &keptTable{schema: schema, name: "heddle_kept_" + strconv.Itoa(number)}
	from := slices.Clone(schema.Key)
	for _, c := range schema.Columns {
		from = append(from, c.Name)
	}
	keys := strings.Join(k.keys(), ", ")
	all := strings.Join(append(k.keys(), k.cells()...), ", ")
	for _, sql := range []string{
		"CREATE TABLE " + k.name + "(" + all + ", PRIMARY KEY(" + keys + ")) WITHOUT ROWID",
		"INSERT INTO " + k.name + " SELECT " + synced.Idents(from, "", ", ") + " FROM main." + synced.Ident(schema.Table) +
			" ORDER BY " + synced.Idents(schema.Key, "", ", "),
	} {
		if err := r.SQLite.Exec(sql); err != nil {
			return nil, synced.SQLError(err, sql)
		}
	}
	return k, nil
}

// match compares the key of a row of t, as n, with that of a kept one, as k.
// Only the side named by bare is left with its affinity, so that its index serves.
func (k *keptTable) match(t *synced.Table, bare string) string {
	var all []string
	for i, name := range k.keys() {
		a, b := "n."+synced.Ident(t.Key[i]), "k."+name
		if bare == "n" {
			b = "+" + b
		} else {
			a = "+" + a
		}
		all = append(all, a+" = "+b, "typeof("+a+") = typeof("+b+")")
	}
	return strings.Join(all, " AND ")
}

// putBack makes t hold the rows that were kept of it, as far as the log knows
// their columns: others have their default.
func (r *rows) putBack(k *keptTable, t *synced.Table, s *fold.Schema) error {
	remove := func(key []wire.Value) error { return r.remove(t, key) }
	if !slices.Equal(k.schema.Key, t.Key) { // no transaction has written the table: it would have been refused
		return r.each(t.Every("true"), nil, t.Order(), remove)
	}
	invented := t.Every("NOT EXISTS (SELECT 1 FROM " + k.name + " AS k WHERE " + k.match(t, "k") + ")")
	if err := r.each(invented, nil, t.Order(), remove); err != nil {
		return err
	}
	differ := []string{"n." + synced.Ident(t.Key[0]) + " IS NULL"}
	for i, c := range k.schema.Columns {
		if t.Told(c.Name, s) {
			differ = append(differ, synced.Unlike("n."+synced.Ident(c.Name), "+k.c"+strconv.Itoa(i)))
		}
	}
	changed := k.all() + " LEFT JOIN main." + synced.Ident(t.Name) + " AS n ON " + k.match(t, "n") +
		" WHERE (" + strings.Join(differ, " OR ") + ")"
	return r.each(changed, nil, k.order(), func(key []wire.Value) error { return r.putBackRow(k, t, key, s) })
}

// each calls f with the keys that a query gives, in portions: f writes. The query
// has a WHERE, and gives keys in this order.
func (r *rows) each(sql string, args []wire.Value, order string, f func(key []wire.Value) error) error {
	const portion = 500
	tail := " ORDER BY " + order + " LIMIT " + strconv.Itoa(portion)
	for query, last := sql+tail, []wire.Value(nil); ; {
		var keys [][]wire.Value
		err := r.Query(query, append(slices.Clip(args), last...), func(s *sqlite3.Stmt) error {
			key := make([]wire.Value, s.ColumnCount())
			for i := range key {
				key[i] = synced.Column(s, i)
			}
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := f(key); err != nil {
				return err
			}
		}
		if len(keys) < portion {
			return nil
		}
		last = keys[len(keys)-1]
		query = sql + " AND (" + order + ") > (" + strings.Repeat("?, ", len(last)-1) + "?)" + tail
	}
}

// refit gives a column the log's default in all rows without a cell. A column that
// the log does not have has only the cells of pending operations, which the caller
// puts on the rows again.
func (r *rows) refit(t *synced.Table, column string, told bool, s *fold.Schema) error {
	v := t.DefaultOf(column, s)
	other := t.Every("(" + synced.Unlike("n."+synced.Ident(column), "?") + ")")
	err := r.each(other, []wire.Value{v, v}, t.Order(), func(key []wire.Value) error {
		k := rowKey{t.Name, key, wire.EncodeKey(key)}
		if more, _, err := r.overflowed(k); err != nil || told && more != nil && hasCell(more, column) {
			return err // it moves in
		}
		before, err := r.visible(k)
		if err != nil {
			return err
		}
		after := &fold.Row{Cells: maps.Clone(before.Cells)}
		delete(after.Cells, column)
		_, err = r.place(t, k, before, after, s)
		return err
	})
	if err != nil || told {
		return err
	}
	return r.dropCells(t, column)
}

func hasCell(row *fold.Row, column string) bool {
	_, ok := row.Cells[column]
	return ok
}

// dropCells takes the cells of a column out of quarantined rows and base images,
// which had it from the table, where it had another default, and out of what waits
// for the column: while a snapshot comes, such a cell is of the log before it.
func (r *rows) dropCells(t *synced.Table, column string) error {
	for _, from := range []struct{ table, cells, where string }{
		{"heddle_overflow", "cells", "true"}, {"heddle_row", "base", "base IS NOT NULL"},
	} {
		read := "SELECT " + from.cells + " FROM " + from.table + " WHERE tbl = ? AND key = ?"
		write := "UPDATE " + from.table + " SET " + from.cells + " = ? WHERE tbl = ? AND key = ?"
		keys := "SELECT key FROM " + from.table + " WHERE tbl = ? AND " + from.where
		err := r.each(keys, []wire.Value{t.Name}, "key", func(key []wire.Value) error {
			var row fold.Row
			err := r.Query(read, []any{t.Name, key[0]}, func(s *sqlite3.Stmt) (err error) {
				row.Cells, err = wire.DecodeRow(s.ColumnBlob(0, nil))
				return err
			})
			if err != nil || !hasCell(&row, column) {
				return err
			}
			delete(row.Cells, column)
			return r.Exec(write, wire.EncodeRow(row.Cells), t.Name, key[0])
		})
		if err != nil {
			return err
		}
	}
	return r.Exec("DELETE FROM heddle_overflow WHERE tbl = ? AND NOT whole AND cells = ?",
		t.Name, wire.EncodeRow(nil))
}

// putBackRow makes the row of a key what was kept, or quarantines that.
func (r *rows) putBackRow(k *keptTable, t *synced.Table, key []wire.Value, s *fold.Schema) error {
	id := rowKey{t.Name, key, wire.EncodeKey(key)}
	after, err := r.keptRow(k, key, func(column string) bool { return t.Told(column, s) })
	if err != nil {
		return err
	}
	more, _, err := r.overflowed(id)
	if err != nil {
		return err
	}
	if more != nil {
		maps.Copy(after.Cells, more.Cells)
	}
	var held *fold.Row
	if t.KeepsKey(key) {
		if held, err = t.Read(r.Conn, key); err != nil {
			return err
		}
	}
	_, err = r.place(t, id, held, after, s)
	return err
}

// keptRow returns what was kept of a row, of the columns that are wanted.
func (r *rows) keptRow(k *keptTable, key []wire.Value, wanted func(column string) bool) (*fold.Row, error) {
	row := &fold.Row{Cells: map[string]wire.Value{}}
	if len(k.schema.Columns) == 0 {
		return row, nil
	}
	sql := "SELECT " + strings.Join(k.cells(), ", ") + " FROM " + k.name + " WHERE " +
		synced.Idents(k.keys(), " = ?", " AND ")
	return row, r.Query(sql, key, func(s *sqlite3.Stmt) error {
		for i, c := range k.schema.Columns {
			if wanted(c.Name) {
				row.Cells[c.Name] = synced.Column(s, i)
			}
		}
		return nil
	})
}

// without calls run while a table has no rows, and puts back the rows that it can
// hold then. No trigger runs.
func (r *rows) without(name string, run func() error) (err error) {
	columns, rowid, err := r.stored(name)
	if err != nil {
		return err
	}
	if _, err := r.SQLite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, false); err != nil {
		return synced.SQLError(err, "")
	}
	defer func() {
		_, on := r.SQLite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, true)
		err = errors.Join(err, synced.SQLError(on, ""))
	}()
	all := columns
	if rowid != "" {
		all = append([]string{rowid}, columns...)
	}
	aside := numbered("c", len(all))
	for _, sql := range []string{
		"CREATE TABLE heddle_aside(" + strings.Join(aside, ", ") + ")",
		"INSERT INTO heddle_aside SELECT " + synced.Idents(all, "", ", ") + " FROM main." + synced.Ident(name),
		"DELETE FROM main." + synced.Ident(name),
	} {
		if err := r.SQLite.Exec(sql); err != nil {
			return synced.SQLError(err, sql)
		}
	}
	if err := run(); err != nil {
		return err
	}
	back := "INSERT OR ABORT INTO main." + synced.Ident(name) + "(" + synced.Idents(all, "", ", ") + ") SELECT " +
		strings.Join(aside, ", ") + " FROM heddle_aside"
	if err := r.SQLite.Exec(back); err != nil {
		if synced.Refused(synced.SQLError(err, back)) == nil {
			return synced.SQLError(err, back)
		}
		if err := r.giveBack(back); err != nil {
			return err
		}
	}
	const drop = "DROP TABLE heddle_aside"
	return synced.SQLError(r.SQLite.Exec(drop), drop)
}

// giveBack gives rows back one by one, and leaves out those that are refused.
func (r *rows) giveBack(sql string) error {
	last, err := r.Int(`SELECT max(rowid) FROM heddle_aside`)
	for id := int64(1); err == nil && id <= last; id++ {
		if err = r.Exec(sql+" WHERE rowid = ?", id); synced.Refused(err) != nil {
			err = nil
		}
	}
	return err
}

// stored returns the columns that a table stores, and a name of its rowid if
// that is no column.
func (r *rows) stored(name string) (columns []string, rowid string, err error) {
	taken := map[string]bool{}
	integerKey, keys := false, 0
	const columnsSQL = `SELECT name, hidden, type, pk FROM pragma_table_xinfo(?, 'main')`
	err = r.Query(columnsSQL, []any{name}, func(s *sqlite3.Stmt) error {
		taken[strings.ToLower(s.ColumnText(0))] = true
		if s.ColumnInt(1) == 0 {
			columns = append(columns, s.ColumnText(0))
		}
		if s.ColumnInt(3) > 0 {
			keys++
			integerKey = strings.EqualFold(s.ColumnText(2), "INTEGER")
		}
		return nil
	})
	if err != nil || keys == 1 && integerKey {
		return columns, "", err
	}
	const rowidSQL = `SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE AND NOT wr`
	err = r.Query(rowidSQL, []any{name}, func(*sqlite3.Stmt) error {
		for _, alias := range []string{"rowid", "_rowid_", "oid"} {
			if rowid == "" && !taken[alias] {
				rowid = alias
			}
		}
		return nil
	})
	return columns, rowid, err
}

// learnSchema adds an accepted entry's descriptors.
func (a *applier) learnSchema(descriptors []wire.TableSchema) error {
	if len(a.schema.Missing(descriptors)) == 0 { // a device that was offline says the same in each transaction
		return nil
	}
	before := a.schema
	a.schema = a.schema.Clone()
	a.schema.Apply(descriptors)
	a.dispute()
	for _, d := range descriptors {
		if t := a.tables[d.Table]; t != nil {
			if err := a.learnDefaults(t, d.Columns, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// learnDefaults takes over the defaults of new columns where this app's version
// declares others.
func (a *applier) learnDefaults(t *synced.Table, columns []wire.ColumnSchema, before *fold.Schema) error {
	again := false
	for _, column := range columns {
		at, known := t.Known[column.Name]
		if _, told := before.Column(t.Name, column.Name); told || !known ||
			synced.Identical(a.schema.Default(t.Name, column.Name), t.Schema.Columns[at].Default) {
			continue
		}
		again = true
		if err := a.refit(t, column.Name, false, a.schema); err != nil {
			return err
		}
	}
	if !again {
		return nil
	}
	return a.rebaseTable(t.Name)
}
