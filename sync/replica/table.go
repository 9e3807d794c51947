package replica

import (
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// table is a synced table as this app's version has it.
type table struct {
	info    *store.Table
	name    string
	key     []string // the key's columns, in order
	keyAt   []int    // and where they stand in info.Columns
	columns []string // the other stored columns, without generated ones
	at      []int    // and where they stand in info.Columns
	known   map[string]int
	merges  []merge // how columns join; nil if all do by "last"
	schema  wire.TableSchema

	keyAffinity []affinity // of key
	affinity    []affinity // of columns

	selectSQL, insertSQL, updateSQL, deleteSQL, whereSQL string
}

func newTable(info *store.Table) *table {
	t := &table{info: info, name: info.Name, known: map[string]int{}}
	for _, i := range info.Key {
		t.key = append(t.key, info.Columns[i].Name)
		t.keyAt = append(t.keyAt, i)
		t.keyAffinity = append(t.keyAffinity, columnAffinity(info, i))
	}
	t.schema = wire.TableSchema{Table: t.name, Key: t.key}
	for i, col := range info.Columns {
		if col.Generated || slices.Contains(info.Key, i) {
			continue
		}
		t.known[col.Name] = len(t.columns)
		t.columns = append(t.columns, col.Name)
		t.at = append(t.at, i)
		t.affinity = append(t.affinity, columnAffinity(info, i))
		d := wire.ColumnSchema{Name: col.Name, Group: uint32(col.Migration)}
		if col.Default != nil {
			d.Default = *col.Default
		}
		t.schema.Columns = append(t.schema.Columns, d)
	}
	from := " FROM main." + ident(t.name)
	t.whereSQL = " WHERE " + idents(t.key, " = ?", " AND ")
	if len(t.columns) == 0 {
		t.selectSQL = "SELECT 1" + from + t.whereSQL
	} else {
		t.selectSQL = "SELECT " + idents(t.columns, "", ", ") + from + t.whereSQL
	}
	all := append(slices.Clone(t.key), t.columns...)
	t.updateSQL = "UPDATE main." + ident(t.name) + " SET "
	t.insertSQL = "INSERT INTO main." + ident(t.name) + "(" + idents(all, "", ", ") + ") VALUES(" +
		strings.Repeat("?, ", len(all)-1) + "?)"
	t.deleteSQL = "DELETE" + from + t.whereSQL
	return t
}

// writes returns a statement of each kind that changes the table.
func (t *table) writes() []string {
	all := []string{t.insertSQL, t.deleteSQL}
	if len(t.columns) > 0 {
		all = append(all, t.updateSQL+idents(t.columns, " = ?", ", ")+t.whereSQL)
	}
	return all
}

// overrule sets whether statements leave the ON CONFLICT clauses of the table's
// constraints out.
func (t *table) overrule(clauses bool) {
	for _, sql := range []*string{&t.insertSQL, &t.updateSQL} {
		verb, rest, _ := strings.Cut(strings.Replace(*sql, " OR ABORT ", " ", 1), " ")
		if *sql = verb + " " + rest; clauses {
			*sql = verb + " OR ABORT " + rest
		}
	}
}

// defaultOf is the value of a row that has no cell of column: what the log
// declares, else what this app's version does.
func (t *table) defaultOf(column string, s *fold.Schema) wire.Value {
	if c, ok := s.Column(t.name, column); ok {
		return c.Default
	}
	return t.schema.Columns[t.known[column]].Default
}

// image makes a row of values in the order of info.Columns. Columns that s
// does not have are left out where prefix is set: the log knows nothing of
// them, so in its prefix they have their default.
func (t *table) image(values []wire.Value, s *fold.Schema, prefix bool) *fold.Row {
	if values == nil {
		return nil
	}
	row := &fold.Row{Cells: make(map[string]wire.Value, len(t.columns))}
	for i, name := range t.columns {
		if prefix {
			if _, ok := s.Column(t.name, name); !ok {
				continue
			}
		}
		row.Cells[name] = values[t.at[i]]
	}
	return row
}

// values is image the other way round.
func (t *table) values(key []wire.Value, row *fold.Row, s *fold.Schema) []wire.Value {
	values := make([]wire.Value, len(t.info.Columns))
	for i, at := range t.keyAt {
		values[at] = key[i]
	}
	for i, at := range t.at {
		values[at] = t.cell(row, t.columns[i], s)
	}
	return values
}

// read returns the row of a key as the app sees it, nil if it is missing.
func (t *table) read(c *conn, key []wire.Value) (row *fold.Row, err error) {
	err = c.query(t.selectSQL, key, func(stmt *sqlite3.Stmt) error {
		row = &fold.Row{Cells: make(map[string]wire.Value, len(t.columns))}
		for i, name := range t.columns {
			row.Cells[name] = column(stmt, i)
		}
		return nil
	})
	return row, err
}

// identical reports whether two values have one type and the same bytes: 2 and
// 2.0 are the same to the digest, but not to who divides by them.
func identical(a, b wire.Value) bool {
	x, isX := a.([]byte)
	y, isY := b.([]byte)
	if isX || isY {
		return isX && isY && string(x) == string(y)
	}
	return a == b
}

// keepsKey reports whether the table can have a row of exactly this key. One
// that it cannot have names another row to SQLite.
func (t *table) keepsKey(key []wire.Value) bool {
	for i, v := range key {
		if !t.keyAffinity[i].keepsKey(v) {
			return false
		}
	}
	return true
}

// write changes the row of a key from before to after, which may be missing.
// Only columns that differ are written. The error is a violation, or has SQLite's
// code, where the table cannot hold the row: see [refused]; then it is as before.
func (t *table) write(c *conn, key []wire.Value, before, after *fold.Row, s *fold.Schema) error {
	switch {
	case after == nil && before == nil:
		return nil
	case after == nil:
		return c.exec(t.deleteSQL, key...)
	case before == nil:
		return t.insert(c, key, after, s)
	}
	var set []string
	var args []any
	for i, name := range t.columns {
		v := t.cell(after, name, s)
		if identical(v, before.Cells[name]) {
			continue
		}
		if !t.affinity[i].keeps(v) {
			return t.mismatch(t.at[i])
		}
		set, args = append(set, name), append(args, v)
	}
	if set == nil {
		return nil
	}
	return c.exec(t.updateSQL+idents(set, " = ?", ", ")+t.whereSQL, append(args, key...)...)
}

func (t *table) insert(c *conn, key []wire.Value, row *fold.Row, s *fold.Schema) error {
	args := make([]any, 0, len(key)+len(t.columns))
	for i, v := range key {
		if !t.keyAffinity[i].keepsKey(v) {
			return t.mismatch(t.keyAt[i])
		}
		args = append(args, v)
	}
	for i, name := range t.columns {
		v := t.cell(row, name, s)
		if !t.affinity[i].keeps(v) {
			return t.mismatch(t.at[i])
		}
		args = append(args, v)
	}
	return c.exec(t.insertSQL, args...)
}

// cell returns the value of a column in a row.
func (t *table) cell(row *fold.Row, name string, s *fold.Schema) wire.Value {
	if v, ok := row.Cells[name]; ok {
		return v
	}
	return t.defaultOf(name, s)
}

// mismatch refuses a value that a column would change.
func (t *table) mismatch(i int) error {
	col := &t.info.Columns[i]
	return &violation{"SQLITE_MISMATCH", "datatype mismatch: " + t.name + "." + col.Name + " is " + col.Decl + " and would store another value"}
}

// unknown returns the cells of columns that the table does not have.
func (t *table) unknown(row *fold.Row) map[string]wire.Value {
	if row == nil {
		return nil
	}
	var cells map[string]wire.Value
	for name, v := range row.Cells {
		if _, ok := t.known[name]; ok {
			continue
		}
		if cells == nil {
			cells = map[string]wire.Value{}
		}
		cells[name] = v
	}
	return cells
}

// told reports whether a column is this app's and the log's.
func (t *table) told(column string, s *fold.Schema) bool {
	_, known := t.known[column]
	_, told := s.Column(t.name, column)
	return known && told
}

// every is a query for the keys of a table's rows, as n.
func (t *table) every(where string) string {
	return "SELECT n." + strings.Join(t.quotedKey(), ", n.") + " FROM main." + ident(t.name) + " AS n WHERE " + where
}

func (t *table) order() string { return "n." + strings.Join(t.quotedKey(), ", n.") }

func (t *table) quotedKey() []string {
	names := make([]string, len(t.key))
	for i, name := range t.key {
		names[i] = ident(name)
	}
	return names
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

// sizeOf is a lower bound of the encoded size of a row's synced columns.
func (t *table) sizeOf(row []wire.Value) int {
	n := 0
	for i, at := range t.at {
		n += len(t.columns[i]) + 1 + value.Size(row[at])
	}
	return n
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

// mergedSchema is a schema with what this app's version declares beyond it.
func mergedSchema(s *fold.Schema, tables map[string]*table) *fold.Schema {
	m := s.Clone()
	for _, t := range tables {
		m.Apply([]wire.TableSchema{t.schema})
	}
	return m
}

// unlike compares two values, which are equal if they have one type and the same
// bytes.
func unlike(a, b string) string {
	return "typeof(" + a + ") <> typeof(" + b + ") OR " + a + " IS NOT (" + b + " COLLATE BINARY)"
}
