package synced

import (
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// ForeignKey is a foreign key of a synced table.
type ForeignKey struct {
	Child  *Table
	Parent string
	At     []int // for each column that is referred to, its place in the parent's key; nil if it is not the key

	AllSQL    string // keys of all rows that dangle
	ChildSQL  string // the same, of one row
	ParentSQL string // the same, of rows that name one parent
}

// LoadForeignKeys finds the foreign keys of all synced tables.
func LoadForeignKeys(c *Conn, tables map[string]*Table) ([]*ForeignKey, error) {
	var all []*ForeignKey
	for _, t := range Sorted(tables) {
		type column struct{ parent, from, to string }
		keys := map[int64][]column{}
		var ids []int64
		err := c.Query(`SELECT id, "table", "from", coalesce("to", '') FROM pragma_foreign_key_list(?) ORDER BY id, seq`,
			[]any{t.Name}, func(s *sqlite3.Stmt) error {
				id := s.ColumnInt64(0)
				if keys[id] == nil {
					ids = append(ids, id)
				}
				keys[id] = append(keys[id], column{s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)})
				return nil
			})
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			columns := keys[id]
			var key []string // the parent's
			err := c.Query(`SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk`, []any{columns[0].parent},
				func(s *sqlite3.Stmt) error {
					key = append(key, s.ColumnText(0))
					return nil
				})
			if err != nil {
				return nil, err
			}
			f := &ForeignKey{Child: t, Parent: columns[0].parent}
			for i := range columns {
				if columns[i].to == "" && i < len(key) {
					columns[i].to = key[i] // no columns are named: the key's
				}
				f.At = append(f.At, slices.IndexFunc(key, func(k string) bool { return strings.EqualFold(k, columns[i].to) }))
			}
			if slices.Contains(f.At, -1) || len(f.At) != len(key) {
				f.At = nil
			}
			var from, to []string
			for _, column := range columns {
				from, to = append(from, "c."+Ident(column.from)), append(to, "p."+Ident(column.to))
			}
			f.AllSQL = "SELECT c." + strings.ReplaceAll(Idents(t.Key, "", "\x00"), "\x00", ", c.") + " FROM main." +
				Ident(t.Name) + " AS c WHERE "
			match := ""
			for i := range from {
				f.AllSQL += from[i] + " IS NOT NULL AND "
				if i > 0 {
					match += " AND "
				}
				match += to[i] + " = " + from[i]
			}
			f.AllSQL += "NOT EXISTS (SELECT 1 FROM main." + Ident(f.Parent) + " AS p WHERE " + match + ")"
			f.ChildSQL = f.AllSQL + " AND c." + strings.ReplaceAll(Idents(t.Key, " = ?", "\x00"), "\x00", " AND c.")
			f.ParentSQL = f.AllSQL + " AND " + strings.Join(from, " = ? AND ") + " = ?"
			if _, err := c.Prepare(f.AllSQL); err != nil {
				continue // the parent is not there: SQLite refuses the app's writes already
			}
			all = append(all, f)
		}
	}
	return all, nil
}
