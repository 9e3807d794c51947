package live

import (
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// place is where a query reads a table, with the conditions that a row there must meet
// to matter. Without conditions every row matters.
type place struct {
	id         uint64  // tells places apart
	q          *query  // nil if it is a family's
	family     *family // nil if it is a query's
	deps       *store.Deps
	table      string
	conditions []condition

	// The index's own.
	by    int    // which equality finds it; -1 if none does
	round uint64 // of the last lookup that found it: a row may find it twice
}

// condition is a constraint with the values of a query's parameters.
type condition struct {
	column    int // index of the stored column; -1 for the rowid
	op        tap.Op
	collation string
	values    []value.Value
	literal   bool // the values are the same for all queries of this text
}

// of is the value that a condition tests; nil stands for a column that came later.
func (c *condition) of(row []value.Value, rowid int64) value.Value {
	switch {
	case c.column < 0:
		return rowid
	case c.column < len(row):
		return row[c.column]
	}
	return nil
}

// holds reports whether v meets the condition. What is not compared counts as meeting
// it.
func (c *condition) holds(v value.Value) bool {
	if tap.Opaque(v) {
		return true
	}
	switch c.op {
	case tap.IsNull:
		return v == nil
	case tap.IsNotNull:
		return v != nil
	}
	for _, w := range c.values {
		if (v == nil || w == nil) && c.op != tap.Is {
			continue
		}
		d := tap.Compare(v, w, c.collation)
		switch c.op {
		case tap.Eq, tap.Is, tap.In:
			if d == 0 {
				return true
			}
		case tap.Lt:
			return d < 0
		case tap.Le:
			return d <= 0
		case tap.Gt:
			return d > 0
		case tap.Ge:
			return d >= 0
		}
	}
	return false
}

// admits reports whether a row may matter at this place.
func (p *place) admits(row []value.Value, rowid int64) bool {
	if row == nil {
		return false
	}
	for i := range p.conditions {
		c := &p.conditions[i]
		if !c.holds(c.of(row, rowid)) {
			return false
		}
	}
	return true
}

// concerns reports whether a changed row may change what the query reads here.
func (p *place) concerns(table *store.Table, r *store.RowChange) bool {
	if !reads(p.deps, table, r) {
		return false
	}
	return p.admits(r.Old, r.RowID) || p.admits(r.New, r.RowID)
}

// reads reports whether a query reads a column that differs, or whether there is a
// row.
func reads(deps *store.Deps, table *store.Table, r *store.RowChange) bool {
	cols, read := deps.Reads[table.Name]
	if !read {
		return false
	}
	if r.Old == nil || r.New == nil || deps.Volatile || len(r.Old) != len(r.New) ||
		len(r.Old) != len(table.Columns) {
		return true
	}
	for i := range r.Old {
		if cols[table.Columns[i].Name] && !value.Equal(r.Old[i], r.New[i]) {
			return true
		}
	}
	return false
}

// readsAny is reads for a commit that names columns and no rows.
func readsAny(deps *store.Deps, t *store.TableCommit) bool {
	cols, read := deps.Reads[t.Table]
	if !read || t.HasInsertOrDelete || len(t.Columns) == 0 || deps.Volatile {
		return read
	}
	for _, name := range t.Columns {
		if cols[name] {
			return true
		}
	}
	return false
}
