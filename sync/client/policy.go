package client

import (
	"slices"
	"strings"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// policy says how what replicas write to a column joins. It is looked at when a
// transaction is recorded and never after: the joins travel with the cells.
type policy byte

const (
	mergeLast policy = iota
	mergeCounter
	mergeMax
	mergeMin
	mergeSet
)

// policies are the names that a Merge may give.
var policies = map[string]policy{"": mergeLast, "last": mergeLast, "counter": mergeCounter, "max": mergeMax, "min": mergeMin, "set": mergeSet}

// written is what becomes of a cell that the app has written.
type written struct {
	set    bool // cell and join travel; else nothing is to be set
	join   wire.Join
	cell   wire.Value
	remove string     // elements that travel in an operation of their own
	gives  wire.Value // what the fold has then
}

// write turns the difference of a cell into what travels. before is what the
// fold joins to: the cell, or the column's default where the row is new. An
// insert may meet a row that another replica has inserted.
func (p policy) write(before, after wire.Value, kind wire.Kind) written {
	if p == mergeSet {
		w := written{gives: before}
		remove, add := fold.SetDelta(before, after)
		if kind == wire.Insert { // all that is meant to be there, whatever is
			_, add = fold.SetDelta(nil, after)
		}
		if add != "" {
			w.set, w.join, w.cell, w.gives = true, wire.JoinSetAdd, add, fold.Join(wire.JoinSetAdd, before, add)
		}
		if remove != "" {
			w.remove, w.gives = remove, fold.Join(wire.JoinSetRemove, w.gives, remove)
		}
		return w
	}
	w := written{set: true, join: wire.JoinLast, cell: after}
	switch p {
	case mergeCounter:
		if delta, ok := fold.Delta(before, after); ok {
			w.join, w.cell = wire.JoinAdd, delta
		}
		// Adding nothing to a number says nothing.
		w.set = !identical(after, before) && !(w.join == wire.JoinAdd && fold.Same(before, after))
	case mergeMax, mergeMin:
		w.join = wire.JoinMax
		if p == mergeMin {
			w.join = wire.JoinMin
		}
		w.set = after != nil // NULL loses to everything
	}
	if w.gives = before; w.set {
		w.gives = fold.Join(w.join, before, w.cell)
	}
	return w
}

// setPolicies takes the policies of a table's columns.
func (t *table) setPolicies(merge Merge) error {
	for name, how := range merge {
		p := policies[how]
		i := slices.IndexFunc(t.columns, func(c string) bool { return strings.EqualFold(c, name) })
		if i < 0 {
			if p == mergeLast {
				continue
			}
			return schemaError(t.name, "column "+quoted(name)+" cannot join by "+quoted(how)+": it is in the key, generated, or does not exist")
		}
		decl := t.info.Columns[t.at[i]].Decl
		switch a := columnAffinity(t.info, t.at[i]); {
		case p == mergeCounter && (a == affinityText || a == affinityNone && strings.Contains(strings.ToUpper(decl), "BLOB")):
			return schemaError(t.name, "column "+quoted(name)+" is "+decl+", and a counter holds numbers: declare it INTEGER or REAL")
		case p == mergeSet && a > affinityText:
			return schemaError(t.name, "column "+quoted(name)+" is "+decl+", and a set is the text of a JSON array: declare it TEXT")
		}
		if t.merge == nil {
			t.merge = make([]policy, len(t.columns))
		}
		t.merge[i] = p
	}
	return nil
}

// brought is a cell that a transaction wrote otherwise than its policy gives.
type brought struct {
	table  *table
	key    []wire.Value
	column string
	value  wire.Value
}

// bring writes cells as the fold has them.
func bring(c *conn, cells []brought) error {
	for _, b := range cells {
		err := c.exec(b.table.updateSQL+ident(b.column)+" = ?"+b.table.whereSQL, append([]any{b.value}, b.key...)...)
		if err != nil {
			return err
		}
	}
	return nil
}
