package replica

import (
	"context"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Foreign keys bind the author of a write alone: a row whose parent was deleted by
// another replica dangles. It stays, and the app gets a Conflict.

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
		child := after != nil && f.Child.Name == k.table
		parent := after == nil && before != nil && f.At != nil && strings.EqualFold(f.Parent, k.table)
		if child || parent {
			a.touch(f, k, child, parent)
		}
	}
	return nil
}

func (a *applier) touch(f *synced.ForeignKey, k rowKey, child, parent bool) {
	if a.touched == nil {
		a.touched = map[*synced.ForeignKey]*touchedKeys{}
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
		values := make([]wire.Value, len(f.At))
		for i, at := range f.At {
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
			return a.Query(sql, args, func(s *sqlite3.Stmt) error {
				key := Key{Table: f.Child.Name}
				for i := range f.Child.Key {
					key.Key = append(key.Key, synced.Column(s, i))
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
		if err := a.inBatches(len(t.children), func(i int) error { return look(f.ChildSQL, t.children[i]) }); err != nil {
			return err
		}
		err := a.inBatches(len(t.parents), func(i int) error {
			if t.all {
				return look(f.AllSQL, nil)
			}
			return look(f.ParentSQL, t.parents[i])
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
func (rep *Replica) Dangling(ctx context.Context, limit int) ([]Key, error) {
	var keys []Key
	for _, f := range rep.foreign {
		err := rep.db.Query(ctx, f.AllSQL+" LIMIT ?", store.Args(limit-len(keys)), nil, func(s *sqlite3.Stmt) error {
			key := Key{Table: f.Child.Name}
			for i := range f.Child.Key {
				key.Key = append(key.Key, synced.Column(s, i))
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
