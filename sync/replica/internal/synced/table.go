package synced

import (
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Table is a synced table as this app's version has it.
type Table struct {
	Info    *store.Table
	Name    string
	Key     []string // the key's columns, in order
	KeyAt   []int    // and where they stand in info.Columns
	Columns []string // the other stored columns, without generated ones
	At      []int    // and where they stand in info.Columns
	Known   map[string]int
	Merges  []merge // how columns join; nil if all do by "last"
	Schema  wire.TableSchema

	KeyAffinity []affinity // of key
	Affinity    []affinity // of columns

	selectSQL, InsertSQL, updateSQL, DeleteSQL, whereSQL string
}

func NewTable(info *store.Table) *Table {
	t := &Table{Info: info, Name: info.Name, Known: map[string]int{}}
	for _, i := range info.Key {
		t.Key = append(t.Key, info.Columns[i].Name)
		t.KeyAt = append(t.KeyAt, i)
		t.KeyAffinity = append(t.KeyAffinity, columnAffinity(info, i))
	}
	t.Schema = wire.TableSchema{Table: t.Name, Key: t.Key}
	for i, col := range info.Columns {
		if col.Generated || slices.Contains(info.Key, i) {
			continue
		}
		t.Known[col.Name] = len(t.Columns)
		t.Columns = append(t.Columns, col.Name)
		t.At = append(t.At, i)
		t.Affinity = append(t.Affinity, columnAffinity(info, i))
		d := wire.ColumnSchema{Name: col.Name, Group: uint32(col.Migration)}
		if col.Default != nil {
			d.Default = *col.Default
		}
		t.Schema.Columns = append(t.Schema.Columns, d)
	}
	from := " FROM main." + Ident(t.Name)
	t.whereSQL = " WHERE " + Idents(t.Key, " = ?", " AND ")
	if len(t.Columns) == 0 {
		t.selectSQL = "SELECT 1" + from + t.whereSQL
	} else {
		t.selectSQL = "SELECT " + Idents(t.Columns, "", ", ") + from + t.whereSQL
	}
	all := append(slices.Clone(t.Key), t.Columns...)
	t.updateSQL = "UPDATE main." + Ident(t.Name) + " SET "
	t.InsertSQL = "INSERT INTO main." + Ident(t.Name) + "(" + Idents(all, "", ", ") + ") VALUES(" +
		strings.Repeat("?, ", len(all)-1) + "?)"
	t.DeleteSQL = "DELETE" + from + t.whereSQL
	return t
}

// writes returns a statement of each kind that changes the table.
func (t *Table) writes() []string {
	all := []string{t.InsertSQL, t.DeleteSQL}
	if len(t.Columns) > 0 {
		all = append(all, t.updateSQL+Idents(t.Columns, " = ?", ", ")+t.whereSQL)
	}
	return all
}

// overrule sets whether statements leave the ON CONFLICT clauses of the table's
// constraints out.
func (t *Table) overrule(clauses bool) {
	for _, sql := range []*string{&t.InsertSQL, &t.updateSQL} {
		verb, rest, _ := strings.Cut(strings.Replace(*sql, " OR ABORT ", " ", 1), " ")
		if *sql = verb + " " + rest; clauses {
			*sql = verb + " OR ABORT " + rest
		}
	}
}

// DefaultOf is the value of a row that has no cell of column: what the log
// declares, else what this app's version does.
func (t *Table) DefaultOf(column string, s *fold.Schema) wire.Value {
	if c, ok := s.Column(t.Name, column); ok {
		return c.Default
	}
	return t.Schema.Columns[t.Known[column]].Default
}

// Image makes a row of values in the order of info.Columns. Columns that s
// does not have are left out where prefix is set: the log knows nothing of
// them, so in its prefix they have their default.
func (t *Table) Image(values []wire.Value, s *fold.Schema, prefix bool) *fold.Row {
	if values == nil {
		return nil
	}
	row := &fold.Row{Cells: make(map[string]wire.Value, len(t.Columns))}
	for i, name := range t.Columns {
		if prefix {
			if _, ok := s.Column(t.Name, name); !ok {
				continue
			}
		}
		row.Cells[name] = values[t.At[i]]
	}
	return row
}

// Values is image the other way round.
func (t *Table) Values(key []wire.Value, row *fold.Row, s *fold.Schema) []wire.Value {
	values := make([]wire.Value, len(t.Info.Columns))
	for i, at := range t.KeyAt {
		values[at] = key[i]
	}
	for i, at := range t.At {
		values[at] = t.cell(row, t.Columns[i], s)
	}
	return values
}

// Read returns the row of a key as the app sees it, nil if it is missing.
func (t *Table) Read(c *Conn, key []wire.Value) (row *fold.Row, err error) {
	err = c.Query(t.selectSQL, key, func(stmt *sqlite3.Stmt) error {
		row = &fold.Row{Cells: make(map[string]wire.Value, len(t.Columns))}
		for i, name := range t.Columns {
			row.Cells[name] = Column(stmt, i)
		}
		return nil
	})
	return row, err
}

// Identical reports whether two values have one type and the same bytes: 2 and
// 2.0 are the same to the digest, but not to a division.
func Identical(a, b wire.Value) bool {
	x, isX := a.([]byte)
	y, isY := b.([]byte)
	if isX || isY {
		return isX && isY && string(x) == string(y)
	}
	return a == b
}

// KeepsKey reports whether the table can have a row of exactly this key. One
// that it cannot have names another row to SQLite.
func (t *Table) KeepsKey(key []wire.Value) bool {
	for i, v := range key {
		if !t.KeyAffinity[i].keepsKey(v) {
			return false
		}
	}
	return true
}

// Write changes the row of a key from before to after, which may be missing.
// Only columns that differ are written. The error is a violation, or has SQLite's
// code, where the table cannot hold the row: see [Refused]; then it is as before.
func (t *Table) Write(c *Conn, key []wire.Value, before, after *fold.Row, s *fold.Schema) error {
	switch {
	case after == nil && before == nil:
		return nil
	case after == nil:
		return c.Exec(t.DeleteSQL, key...)
	case before == nil:
		return t.insert(c, key, after, s)
	}
	var set []string
	var args []any
	for i, name := range t.Columns {
		v := t.cell(after, name, s)
		if Identical(v, before.Cells[name]) {
			continue
		}
		if !t.Affinity[i].keeps(v) {
			return t.mismatch(t.At[i])
		}
		set, args = append(set, name), append(args, v)
	}
	if set == nil {
		return nil
	}
	return c.Exec(t.updateSQL+Idents(set, " = ?", ", ")+t.whereSQL, append(args, key...)...)
}

func (t *Table) insert(c *Conn, key []wire.Value, row *fold.Row, s *fold.Schema) error {
	args := make([]any, 0, len(key)+len(t.Columns))
	for i, v := range key {
		if !t.KeyAffinity[i].keepsKey(v) {
			return t.mismatch(t.KeyAt[i])
		}
		args = append(args, v)
	}
	for i, name := range t.Columns {
		v := t.cell(row, name, s)
		if !t.Affinity[i].keeps(v) {
			return t.mismatch(t.At[i])
		}
		args = append(args, v)
	}
	return c.Exec(t.InsertSQL, args...)
}

// cell returns the value of a column in a row.
func (t *Table) cell(row *fold.Row, name string, s *fold.Schema) wire.Value {
	if v, ok := row.Cells[name]; ok {
		return v
	}
	return t.DefaultOf(name, s)
}

// mismatch refuses a value that a column would change.
func (t *Table) mismatch(i int) error {
	col := &t.Info.Columns[i]
	return &Violation{"SQLITE_MISMATCH", "datatype mismatch: " + t.Name + "." + col.Name + " is " + col.Decl +
		" and would store another value"}
}

// Unknown returns the cells of columns that the table does not have.
func (t *Table) Unknown(row *fold.Row) map[string]wire.Value {
	if row == nil {
		return nil
	}
	var cells map[string]wire.Value
	for name, v := range row.Cells {
		if _, ok := t.Known[name]; ok {
			continue
		}
		if cells == nil {
			cells = map[string]wire.Value{}
		}
		cells[name] = v
	}
	return cells
}

// Told reports whether both this app and the log have a column.
func (t *Table) Told(column string, s *fold.Schema) bool {
	_, known := t.Known[column]
	_, told := s.Column(t.Name, column)
	return known && told
}

// Every is a query for the keys of a table's rows, as n.
func (t *Table) Every(where string) string {
	return "SELECT n." + strings.Join(t.quotedKey(), ", n.") + " FROM main." + Ident(t.Name) + " AS n WHERE " + where
}

func (t *Table) Order() string { return "n." + strings.Join(t.quotedKey(), ", n.") }

func (t *Table) quotedKey() []string {
	names := make([]string, len(t.Key))
	for i, name := range t.Key {
		names[i] = Ident(name)
	}
	return names
}

// Scan calls f with each row of the table, in the order of info.Columns.
func (t *Table) Scan(c *Conn, f func(values []wire.Value) error) error {
	all := append(slices.Clone(t.Key), t.Columns...)
	return c.Query("SELECT "+Idents(all, "", ", ")+" FROM main."+Ident(t.Name), nil, func(s *sqlite3.Stmt) error {
		values := make([]wire.Value, len(t.Info.Columns))
		for i, at := range t.KeyAt {
			values[at] = Column(s, i)
		}
		for i, at := range t.At {
			values[at] = Column(s, len(t.Key)+i)
		}
		return f(values)
	})
}

// SizeOf is a lower bound of the encoded size of a row's synced columns.
func (t *Table) SizeOf(row []wire.Value) int {
	n := 0
	for i, at := range t.At {
		n += len(t.Columns[i]) + 1 + value.Size(row[at])
	}
	return n
}

func Sorted(tables map[string]*Table) []*Table {
	var all []*Table
	for _, t := range tables {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Table) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// MergedSchema is a schema with what this app's version declares beyond it.
func MergedSchema(s *fold.Schema, tables map[string]*Table) *fold.Schema {
	m := s.Clone()
	for _, t := range tables {
		m.Apply([]wire.TableSchema{t.Schema})
	}
	return m
}

// Unlike compares two values, which are equal if they have one type and the same
// bytes.
func Unlike(a, b string) string {
	return "typeof(" + a + ") <> typeof(" + b + ") OR " + a + " IS NOT (" + b + " COLLATE BINARY)"
}
