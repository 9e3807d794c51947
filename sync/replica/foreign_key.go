package replica

import (
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// foreignKey is a foreign key of a synced table.
type foreignKey struct {
	child  *table
	parent string
	at     []int // for each column that is referred to, its place in the parent's key; nil if it is not the key

	allSQL    string // keys of all rows that dangle
	childSQL  string // the same, of one row
	parentSQL string // the same, of rows that name one parent
}

// loadForeignKeys finds the foreign keys of all synced tables.
func loadForeignKeys(c *conn, tables map[string]*table) ([]*foreignKey, error) {
	var all []*foreignKey
	for _, t := range sortedTables(tables) {
		type column struct{ parent, from, to string }
		keys := map[int64][]column{}
		var ids []int64
		err := c.query(`SELECT id, "table", "from", coalesce("to", '') FROM pragma_foreign_key_list(?) ORDER BY id, seq`, []any{t.name}, func(s *sqlite3.Stmt) error {
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
			err := c.query(`SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk`, []any{columns[0].parent}, func(s *sqlite3.Stmt) error {
				key = append(key, s.ColumnText(0))
				return nil
			})
			if err != nil {
				return nil, err
			}
			f := &foreignKey{child: t, parent: columns[0].parent}
			for i := range columns {
				if columns[i].to == "" && i < len(key) {
					columns[i].to = key[i] // no columns are named: the key's
				}
				f.at = append(f.at, slices.IndexFunc(key, func(k string) bool { return strings.EqualFold(k, columns[i].to) }))
			}
			if slices.Contains(f.at, -1) || len(f.at) != len(key) {
				f.at = nil
			}
			var from, to []string
			for _, column := range columns {
				from, to = append(from, "c."+ident(column.from)), append(to, "p."+ident(column.to))
			}
			f.allSQL = "SELECT c." + strings.ReplaceAll(idents(t.key, "", "\x00"), "\x00", ", c.") + " FROM main." + ident(t.name) + " AS c WHERE "
			match := ""
			for i := range from {
				f.allSQL += from[i] + " IS NOT NULL AND "
				if i > 0 {
					match += " AND "
				}
				match += to[i] + " = " + from[i]
			}
			f.allSQL += "NOT EXISTS (SELECT 1 FROM main." + ident(f.parent) + " AS p WHERE " + match + ")"
			f.childSQL = f.allSQL + " AND c." + strings.ReplaceAll(idents(t.key, " = ?", "\x00"), "\x00", " AND c.")
			f.parentSQL = f.allSQL + " AND " + strings.Join(from, " = ? AND ") + " = ?"
			if _, err := c.prepare(f.allSQL); err != nil {
				continue // the parent is not there: SQLite refuses the app's writes already
			}
			all = append(all, f)
		}
	}
	return all, nil
}
