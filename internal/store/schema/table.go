// Package schema describes the tables of the main schema as they are after the last
// DDL: columns with their defaults, keys, and the names of rows.
package schema

import (
	"strings"

	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Table describes a table of the main schema. It does not change: after DDL
// there is another.
type Table struct {
	Name    string
	Columns []Column // the stored ones, in order; virtual generated columns are left out
	// indexes in Columns of the primary key's columns, in the key's order; none without an explicit key
	Key          []int
	WithoutRowID bool
	RowIDKey     bool // INTEGER PRIMARY KEY: the key is the rowid
	Strict       bool
	Virtual      bool // a virtual table: no columns of it are reported in commits
	Synced       bool

	CIDs  []int  // each column's index in the table as SQLite numbers them
	RowID string // a name for the rowid that no column takes; "" if there is none
}

// Column describes a stored column.
type Column struct {
	Name       string
	Decl       string // declared type, as written
	Collation  string // "BINARY" unless declared otherwise
	NotNull    bool
	HasDefault bool
	Default    *value.Value // the constant default as a row stores it; nil if there is none or it is an expression
	Generated  bool         // GENERATED ALWAYS … STORED
	Migration  int          // 1-based number of the migration that brought it; 0 if none did
}

// ColumnIndex returns the index of the named column, or -1. Case is ignored.
func (t *Table) ColumnIndex(name string) int {
	for i := range t.Columns {
		if sqlconn.SameName(t.Columns[i].Name, name) {
			return i
		}
	}
	return -1
}

// SameKey reports whether two images of rows have the same key.
func (t *Table) SameKey(a, b []value.Value) bool {
	for _, k := range t.Key {
		if !value.Equal(a[k], b[k]) {
			return false
		}
	}
	return true
}

// HasNullKey reports whether a row has NULL in its key.
func (t *Table) HasNullKey(row []value.Value) bool {
	for _, k := range t.Key {
		if row[k] == nil {
			return true
		}
	}
	return false
}

// KeyOf returns the key of a row's image.
func (t *Table) KeyOf(row []value.Value, rowid int64) []value.Value {
	if len(t.Key) == 0 {
		return []value.Value{rowid}
	}
	key := make([]value.Value, len(t.Key))
	for i, k := range t.Key {
		key[i] = row[k]
	}
	return key
}

// WhereKey is the condition that names a row by its key; "" if there is no way.
func (t *Table) WhereKey() string {
	if len(t.Key) == 0 || t.RowIDKey {
		if t.RowID == "" {
			return ""
		}
		return t.RowID + " = ?"
	}
	var b strings.Builder
	for i, k := range t.Key {
		if i > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(sqlite3.QuoteIdentifier(t.Columns[k].Name) + " IS ?")
	}
	return b.String()
}

// load reads the columns of t.
func (t *Table) load(c *sqlconn.Conn) error {
	names := map[string]bool{}
	key := map[int]int{}
	err := c.Each(`SELECT cid, name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main')`,
		func(st *sqlite3.Stmt) error {
			hidden := st.ColumnInt(6)
			name := st.ColumnText(1)
			names[strings.ToLower(name)] = true
			if hidden == 1 || hidden == 2 { // hidden columns of virtual tables, virtual generated ones
				return nil
			}
			col := Column{Name: name, Decl: st.ColumnText(2), NotNull: st.ColumnBool(3), Generated: hidden == 3}
			if st.ColumnType(4) != sqlite3.NULL && !col.Generated {
				col.HasDefault = true
				expr := st.ColumnText(4)
				if literal(expr) {
					col.Default = &[]value.Value{expr}[0] // evaluated below, outside this statement
				}
			}
			if pk := st.ColumnInt(5); pk > 0 {
				key[pk] = len(t.Columns)
			}
			t.CIDs = append(t.CIDs, st.ColumnInt(0))
			t.Columns = append(t.Columns, col)
			return nil
		}, t.Name)
	if err != nil {
		return err
	}
	for i := 1; i <= len(key); i++ {
		t.Key = append(t.Key, key[i])
	}
	for i := range t.Columns {
		col := &t.Columns[i]
		_, coll, _, _, _, err := c.TableColumnMetadata("main", t.Name, col.Name)
		if err != nil {
			return err
		}
		if col.Collation = strings.ToUpper(coll); col.Collation == "" {
			col.Collation = "BINARY"
		}
		if col.Default != nil {
			v, err := c.Scalar(`SELECT ` + (*col.Default).(string))
			if err != nil {
				return err
			}
			v = col.store(v)
			col.Default = &v
		}
	}
	if !t.WithoutRowID {
		for _, name := range []string{"rowid", "_rowid_", "oid"} {
			if t.RowID == "" && !names[name] {
				t.RowID = name
			}
		}
		if len(t.Key) == 1 && sqlconn.SameName(t.Columns[t.Key[0]].Decl, "INTEGER") {
			// INTEGER PRIMARY KEY DESC, a historical exception, is not the rowid.
			n, err := c.Scalar(`SELECT count(*) FROM pragma_index_list(?, 'main') WHERE origin = 'pk'`, t.Name)
			if err != nil {
				return err
			}
			if t.RowIDKey = n == int64(0); t.RowIDKey && t.RowID == "" {
				t.RowID = sqlite3.QuoteIdentifier(t.Columns[t.Key[0]].Name)
			}
		}
	}
	return nil
}
