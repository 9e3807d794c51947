package store

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// schema is the main schema as of the last DDL.
type schema struct {
	list   []*Table
	byName map[string]*Table // lower case
	shadow map[string]*Table // shadow tables of a virtual one, lower case
}

// owner returns the table that changes of the named one count for: itself, or
// the virtual table that it is a shadow of. It is nil for Heddle's and
// SQLite's own.
func (s *schema) owner(name string) *Table {
	if s == nil {
		return nil
	}
	name = strings.ToLower(name)
	if t := s.byName[name]; t != nil {
		return t
	}
	return s.shadow[name]
}

// loadSchema reads the schema through c and keeps it. It is called inside SQLite.
func (db *DB) loadSchema(c *conn) error {
	s, err := db.readSchema(c)
	if err != nil {
		return err
	}
	// An open transaction keeps what it has noted so far.
	if cp := c.capture; cp != nil {
		cp.renew(s)
	}
	db.schema = s
	return db.loadTemp(c)
}

// readSchema reads the schema through c. It is called inside SQLite.
func (db *DB) readSchema(c *conn) (*schema, error) {
	s := &schema{byName: map[string]*Table{}, shadow: map[string]*Table{}}
	var shadows []string
	err := c.each(`SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY name`,
		func(st *sqlite3.Stmt) error {
			name, kind := st.ColumnText(0), st.ColumnText(1)
			switch {
			case ours(name) || strings.HasPrefix(strings.ToLower(name), "sqlite_") || kind == "view":
			case kind == "shadow":
				shadows = append(shadows, name)
			default:
				t := &Table{Name: name, WithoutRowID: st.ColumnBool(2), Strict: st.ColumnBool(3), Virtual: kind == "virtual",
					Synced: db.isSynced(name)}
				s.list = append(s.list, t)
				s.byName[strings.ToLower(name)] = t
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for _, t := range s.list {
		if t.Virtual {
			continue
		}
		if err := t.load(c); err != nil {
			return nil, err
		}
	}
	for _, name := range shadows {
		lower := strings.ToLower(name)
		for _, t := range s.list {
			if p := strings.ToLower(t.Name) + "_"; t.Virtual && strings.HasPrefix(lower, p) {
				if old := s.shadow[lower]; old == nil || len(old.Name) < len(t.Name) {
					s.shadow[lower] = t
				}
			}
		}
	}
	return s, db.loadMigrations(c, s)
}

// renew makes the capture look tables up again after DDL. Rows already noted keep
// the table description they were read with: DDL on synced tables is refused outside
// migrations, so theirs has not changed.
func (cp *capture) renew(s *schema) {
	cp.tables = map[string]*touched{}
	cp.lastName, cp.last = "", nil
	for _, tt := range cp.order {
		if t := s.owner(tt.t.Name); t != nil && !tt.full {
			tt.t = t
		}
	}
}

// load reads the columns of t.
func (t *Table) load(c *conn) error {
	names := map[string]bool{}
	key := map[int]int{}
	err := c.each(`SELECT cid, name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main')`,
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
					col.Default = &[]Value{expr}[0] // evaluated below, outside this statement
				}
			}
			if pk := st.ColumnInt(5); pk > 0 {
				key[pk] = len(t.Columns)
			}
			t.cids = append(t.cids, st.ColumnInt(0))
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
		_, coll, _, _, _, err := c.c.TableColumnMetadata("main", t.Name, col.Name)
		if err != nil {
			return err
		}
		if col.Collation = strings.ToUpper(coll); col.Collation == "" {
			col.Collation = "BINARY"
		}
		if col.Default != nil {
			v, err := c.scalar(`SELECT ` + (*col.Default).(string))
			if err != nil {
				return err
			}
			v = col.store(v)
			col.Default = &v
		}
	}
	if !t.WithoutRowID {
		for _, name := range []string{"rowid", "_rowid_", "oid"} {
			if t.rowid == "" && !names[name] {
				t.rowid = name
			}
		}
		if len(t.Key) == 1 && equalFold(t.Columns[t.Key[0]].Decl, "INTEGER") {
			// INTEGER PRIMARY KEY DESC, a historical exception, is not the rowid.
			n, err := c.scalar(`SELECT count(*) FROM pragma_index_list(?, 'main') WHERE origin = 'pk'`, t.Name)
			if err != nil {
				return err
			}
			if t.RowIDKey = n == int64(0); t.RowIDKey && t.rowid == "" {
				t.rowid = sqlite3.QuoteIdentifier(t.Columns[t.Key[0]].Name)
			}
		}
	}
	return nil
}
