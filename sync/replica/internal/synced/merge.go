package synced

import (
	"slices"
	"strings"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// merge says how concurrent writes of a column join. It is applied when a
// transaction is recorded and never after: the joins travel with the cells.
type merge byte

const (
	MergeLast merge = iota
	mergeCounter
	mergeMax
	mergeMin
	mergeSet
)

// Merges are the names that a column may have.
var Merges = map[string]merge{"": MergeLast, "last": MergeLast, "counter": mergeCounter, "max": mergeMax,
	"min": mergeMin, "set": mergeSet}

// written is what becomes of a cell that the app has written.
type written struct {
	Set    bool // cell and join travel; else nothing is to be set
	Join   wire.Join
	Cell   wire.Value
	Remove string     // elements that travel in an operation of their own
	Result wire.Value // what the fold has then
}

// Write turns the difference of a cell into what travels. before is what the
// fold joins to: the cell, or the column's default where the row is new. An
// insert may meet a row that another replica has inserted.
func (p merge) Write(before, after wire.Value, kind wire.Kind) written {
	if p == mergeSet {
		w := written{Result: before}
		remove, add := fold.SetDelta(before, after)
		if kind == wire.Insert { // all that is meant to be there, whatever is
			_, add = fold.SetDelta(nil, after)
		}
		if add != "" {
			w.Set, w.Join, w.Cell, w.Result = true, wire.JoinSetAdd, add, fold.Join(wire.JoinSetAdd, before, add)
		}
		if remove != "" {
			w.Remove, w.Result = remove, fold.Join(wire.JoinSetRemove, w.Result, remove)
		}
		return w
	}
	w := written{Set: true, Join: wire.JoinLast, Cell: after}
	switch p {
	case mergeCounter:
		if delta, ok := fold.Delta(before, after); ok {
			w.Join, w.Cell = wire.JoinAdd, delta
		}
		// Adding zero to a number has no effect.
		w.Set = !Identical(after, before) && !(w.Join == wire.JoinAdd && fold.Same(before, after))
	case mergeMax, mergeMin:
		w.Join = wire.JoinMax
		if p == mergeMin {
			w.Join = wire.JoinMin
		}
		w.Set = after != nil // NULL loses to everything
	}
	if w.Result = before; w.Set {
		w.Result = fold.Join(w.Join, before, w.Cell)
	}
	return w
}

// SetMerges takes the merges of a table's columns.
func (t *Table) SetMerges(columns map[string]string) error {
	for name, how := range columns {
		p := Merges[how]
		i := slices.IndexFunc(t.Columns, func(c string) bool { return strings.EqualFold(c, name) })
		if i < 0 {
			if p == MergeLast {
				continue
			}
			return SchemaError(t.Name,
				"column "+Quoted(name)+" cannot join by "+Quoted(how)+": it is in the key, generated, or does not exist")
		}
		decl := t.Info.Columns[t.At[i]].Decl
		switch a := columnAffinity(t.Info, t.At[i]); {
		case p == mergeCounter && (a == affinityText || a == affinityNone && strings.Contains(strings.ToUpper(decl), "BLOB")):
			return SchemaError(t.Name,
				"column "+Quoted(name)+" is "+decl+", and a counter holds numbers: declare it INTEGER or REAL")
		case p == mergeSet && a > affinityText:
			return SchemaError(t.Name,
				"column "+Quoted(name)+" is "+decl+", and a set is the text of a JSON array: declare it TEXT")
		}
		if t.Merges == nil {
			t.Merges = make([]merge, len(t.Columns))
		}
		t.Merges[i] = p
	}
	return nil
}

// Adjustment is a cell for which the merge gives another value than the transaction wrote.
type Adjustment struct {
	Table  *Table
	Key    []wire.Value
	Column string
	Value  wire.Value
}

// AdjustCells writes cells as the fold has them.
func AdjustCells(c *Conn, cells []Adjustment) error {
	for _, b := range cells {
		err := c.Exec(b.Table.updateSQL+Ident(b.Column)+" = ?"+b.Table.whereSQL, append([]any{b.Value}, b.Key...)...)
		if err != nil {
			return err
		}
	}
	return nil
}
