// Package fold is the meaning of a space's log: how an operation changes a row
// (Apply), what a table's columns are (Schema), and a digest of the state
// (Digest). It is pure and total: every replica, in the browser, in a server or
// in a program, folds one log to one state.
//
// docs/PROTOCOL.md states the rules; the model in model_test.go is their
// definition.
package fold

import (
	"maps"

	"heddle.dev/heddle/sync/wire"
)

// Row is a row's cells beside its key. A column without a cell has its declared
// default. A nil *Row is a missing row.
type Row struct {
	Cells map[string]wire.Value
}

// Apply returns what op makes of row, nil for a row that is not there. It
// changes neither its arguments nor the values in them; the result may share
// values with them.
//
// An insert gives a missing row the defaults that s declares, then joins each
// cell; an update leaves a missing row missing; a delete leaves nothing.
func Apply(op wire.Op, row *Row, s *Schema) *Row {
	switch op.Shape.Kind {
	case wire.Delete:
		return nil
	case wire.Update:
		if row == nil {
			return nil
		}
	}
	next := &Row{}
	if row == nil {
		next.Cells = make(map[string]wire.Value, len(op.Cells))
	} else {
		next.Cells = maps.Clone(row.Cells)
		if next.Cells == nil {
			next.Cells = make(map[string]wire.Value, len(op.Cells))
		}
	}
	for i, name := range op.Shape.Columns {
		join := op.Shape.Joins[i]
		if join == wire.JoinLast {
			next.Cells[name] = op.Cells[i]
			continue
		}
		before, ok := next.Cells[name]
		if !ok {
			before = s.Default(op.Shape.Table, name)
		}
		next.Cells[name] = Join(join, before, op.Cells[i])
	}
	return next
}

// Equal reports whether two images of a row of table are the same row: both
// missing, or equal in every column, a missing cell counting as its default.
func Equal(table string, a, b *Row, s *Schema) bool {
	if a == nil || b == nil {
		return a == b
	}
	return covers(table, a, b, s) && covers(table, b, a, s)
}

func covers(table string, a, b *Row, s *Schema) bool {
	for name, v := range a.Cells {
		w, ok := b.Cells[name]
		if !ok {
			w = s.Default(table, name)
		}
		if !Same(v, w) {
			return false
		}
	}
	return true
}
