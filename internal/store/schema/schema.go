package schema

import (
	"strings"

	"heddle.dev/heddle/internal/store/sqlconn"

	"github.com/ncruces/go-sqlite3"
)

// Schema is the main schema as of the last DDL.
type Schema struct {
	Tables []*Table          // by name; Heddle's own, SQLite's and shadow tables are left out
	byName map[string]*Table // lower case
	shadow map[string]*Table // shadow tables of a virtual one, lower case
}

// Table returns the named table, nil if there is none. Case is ignored.
func (s *Schema) Table(name string) *Table { return s.byName[strings.ToLower(name)] }

// Owner returns the table that changes of the named one count for: itself, or
// the virtual table that it is a shadow of. It is nil for Heddle's and
// SQLite's own.
func (s *Schema) Owner(name string) *Table {
	if s == nil {
		return nil
	}
	name = strings.ToLower(name)
	if t := s.byName[name]; t != nil {
		return t
	}
	return s.shadow[name]
}

// Read reads the schema through c. It is called inside SQLite.
func Read(c *sqlconn.Conn) (*Schema, error) {
	s := &Schema{byName: map[string]*Table{}, shadow: map[string]*Table{}}
	var shadows []string
	err := c.Each(`SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY name`,
		func(st *sqlite3.Stmt) error {
			name, kind := st.ColumnText(0), st.ColumnText(1)
			switch {
			case sqlconn.Ours(name) || strings.HasPrefix(strings.ToLower(name), "sqlite_") || kind == "view":
			case kind == "shadow":
				shadows = append(shadows, name)
			default:
				t := &Table{Name: name, WithoutRowID: st.ColumnBool(2), Strict: st.ColumnBool(3), Virtual: kind == "virtual",
					Synced: c.Names.Synced(name)}
				s.Tables = append(s.Tables, t)
				s.byName[strings.ToLower(name)] = t
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for _, t := range s.Tables {
		if t.Virtual {
			continue
		}
		if err := t.load(c); err != nil {
			return nil, err
		}
	}
	for _, name := range shadows {
		lower := strings.ToLower(name)
		for _, t := range s.Tables {
			if p := strings.ToLower(t.Name) + "_"; t.Virtual && strings.HasPrefix(lower, p) {
				if old := s.shadow[lower]; old == nil || len(old.Name) < len(t.Name) {
					s.shadow[lower] = t
				}
			}
		}
	}
	return s, s.loadMigrations(c)
}

// loadMigrations fills Column.Migration.
func (s *Schema) loadMigrations(c *sqlconn.Conn) error {
	return c.Each(`SELECT "table", "column", migration FROM heddle_column`, func(st *sqlite3.Stmt) error {
		if t := s.byName[st.ColumnText(0)]; t != nil {
			if i := t.ColumnIndex(st.ColumnText(1)); i >= 0 {
				t.Columns[i].Migration = st.ColumnInt(2)
			}
		}
		return nil
	})
}
