package client

import (
	"context"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Foreign keys bind the author of a write alone: a row that names one that was
// deleted elsewhere dangles. It stays, and the app is told.

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

// touchedKeys are the rows that an apply has written and that foreign keys
// speak of.
type touchedKeys struct {
	children, parents [][]wire.Value
	all               bool // too many parents to look at one by one
}

// manyParents is from how many deleted rows on the whole table of the children
// is looked at: it may have no index, so that each takes as long.
const manyParents = 32

// write writes a row and notes it for the foreign keys. One that its table
// refuses is not there for those that name it.
func (a *applier) write(k rowKey, before, after *fold.Row, s *fold.Schema) error {
	n := len(a.refused)
	if err := a.rows.writeRow(k, before, after, s); err != nil {
		return err
	}
	if len(a.refused) > n {
		after = nil
	}
	for _, f := range a.foreign {
		child := after != nil && f.child.name == k.table
		parent := after == nil && before != nil && f.at != nil && strings.EqualFold(f.parent, k.table)
		if child || parent {
			a.touch(f, k, child, parent)
		}
	}
	return nil
}

func (a *applier) touch(f *foreignKey, k rowKey, child, parent bool) {
	if a.touched == nil {
		a.touched = map[*foreignKey]*touchedKeys{}
	}
	t := a.touched[f]
	if t == nil {
		t = &touchedKeys{}
		a.touched[f] = t
	}
	if child {
		t.children = append(t.children, k.key)
	}
	switch {
	case !parent || t.all:
	case len(t.parents) >= manyParents:
		t.parents, t.all = nil, true
	default:
		values := make([]wire.Value, len(f.at))
		for i, at := range f.at {
			values[i] = k.key[at]
		}
		t.parents = append(t.parents, values)
	}
}

// dangling looks at the touched rows and makes a conflict of those that dangle.
func (a *applier) dangling() error {
	found := Conflict{Seq: a.pos.Seq, Reason: ConflictDangling}
	seen := map[string]bool{}
	for _, f := range a.foreign {
		t := a.touched[f]
		if t == nil {
			continue
		}
		look := func(sql string, args []wire.Value) error {
			return a.query(sql, args, func(s *sqlite3.Stmt) error {
				key := Key{Table: f.child.name}
				for i := range f.child.key {
					key.Key = append(key.Key, column(s, i))
				}
				id := key.Table + "\x00" + string(wire.EncodeKey(key.Key))
				if !seen[id] && len(found.Keys) < maxConflictKeys {
					found.Keys = append(found.Keys, key)
				}
				seen[id] = true
				return nil
			})
		}
		if t.all {
			t.parents = [][]wire.Value{nil}
		}
		if err := a.inBatches(len(t.children), func(i int) error { return look(f.childSQL, t.children[i]) }); err != nil {
			return err
		}
		err := a.inBatches(len(t.parents), func(i int) error {
			if t.all {
				return look(f.allSQL, nil)
			}
			return look(f.parentSQL, t.parents[i])
		})
		if err != nil {
			return err
		}
	}
	if len(found.Keys) > 0 {
		a.events = append(a.events, found)
	}
	return nil
}

// Dangling returns the rows of synced tables whose foreign keys name rows that
// are not there, at most limit of them.
func (c *Client) Dangling(ctx context.Context, limit int) ([]Key, error) {
	var keys []Key
	for _, f := range c.foreign {
		err := c.db.Query(ctx, f.allSQL+" LIMIT ?", store.Args(limit-len(keys)), nil, func(s *sqlite3.Stmt) error {
			key := Key{Table: f.child.name}
			for i := range f.child.key {
				key.Key = append(key.Key, column(s, i))
			}
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}
