package replica

import (
	"slices"
	"strings"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Merge gives columns their merge policy, by name: how what two replicas wrote
// joins. A write of a column with a policy other than "last" becomes what the
// policy makes of it when it is committed: after writing 3 to a "max" column
// that holds 10 it holds 10.
//
//   - "last": the later write in the log wins.
//   - "counter": differences add up. What is no number is written as by "last".
//   - "max", "min": the greatest, the smallest stays, in SQLite's order; NULL
//     loses to everything.
//   - "set": a JSON array as a set: elements are added and removed one by one.
type Merge map[string]string

// merge says how what replicas write to a column joins. It is looked at when a
// transaction is recorded and never after: the joins travel with the cells.
type merge byte

const (
	mergeLast merge = iota
	mergeCounter
	mergeMax
	mergeMin
	mergeSet
)

// merges are the names that a Merge may give.
var merges = map[string]merge{"": mergeLast, "last": mergeLast, "counter": mergeCounter, "max": mergeMax, "min": mergeMin, "set": mergeSet}

// written is what becomes of a cell that the app has written.
type written struct {
	set    bool // cell and join travel; else nothing is to be set
	join   wire.Join
	cell   wire.Value
	remove string     // elements that travel in an operation of their own
	result wire.Value // what the fold has then
}

// write turns the difference of a cell into what travels. before is what the
// fold joins to: the cell, or the column's default where the row is new. An
// insert may meet a row that another replica has inserted.
func (p merge) write(before, after wire.Value, kind wire.Kind) written {
	if p == mergeSet {
		w := written{result: before}
		remove, add := fold.SetDelta(before, after)
		if kind == wire.Insert { // all that is meant to be there, whatever is
			_, add = fold.SetDelta(nil, after)
		}
		if add != "" {
			w.set, w.join, w.cell, w.result = true, wire.JoinSetAdd, add, fold.Join(wire.JoinSetAdd, before, add)
		}
		if remove != "" {
			w.remove, w.result = remove, fold.Join(wire.JoinSetRemove, w.result, remove)
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
	if w.result = before; w.set {
		w.result = fold.Join(w.join, before, w.cell)
	}
	return w
}

// setMerges takes the merges of a table's columns.
func (t *table) setMerges(columns Merge) error {
	for name, how := range columns {
		p := merges[how]
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
		if t.merges == nil {
			t.merges = make([]merge, len(t.columns))
		}
		t.merges[i] = p
	}
	return nil
}

// adjustment is a cell that a transaction wrote otherwise than its merge gives.
type adjustment struct {
	table  *table
	key    []wire.Value
	column string
	value  wire.Value
}

// adjustCells writes cells as the fold has them.
func adjustCells(c *conn, cells []adjustment) error {
	for _, b := range cells {
		err := c.exec(b.table.updateSQL+ident(b.column)+" = ?"+b.table.whereSQL, append([]any{b.value}, b.key...)...)
		if err != nil {
			return err
		}
	}
	return nil
}
