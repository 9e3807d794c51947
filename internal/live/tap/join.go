package tap

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Join is a statement of inner joins, to run with changed rows of one table in the
// place of that table, and with the rows of the others as they are. If it gives no row
// for what the rows were and none for what they are, the result is the same.
//
// With its parameters left open it gives them instead: those values for which the
// statement would read the changed rows. So one run tells which of all queries of the
// statement they concern.
type Join struct {
	Table string // whose rows change
	Free  *Free  // nil if the parameters cannot be left open

	t     *Tap
	sql   string
	plan  *joinPlan
	s     *sqlite3.Stmt
	bound *Join // the same with parameters, for a single query; nil if Free is
}

// Free is where a statement's parameters stand, each once: as equal to a column at one
// of its places. The values of one of the columns tell its queries apart.
type Free struct {
	Place  int // in Statement.Places
	Column int // among the stored columns
}

// Lookup reads rows of the database: see [store.ReadTx.Lookup].
type Lookup func(sql string, row func(*sqlite3.Stmt) error, args ...value.Value) error

// maxLooked bounds the rows that a run reads of the tables that did not change.
const maxLooked = 20000

var errLooked = errors.New("tap: a join reads too many rows")

// joinPlan plans a join from the changed rows on.
type joinPlan struct {
	changed *store.MirrorTable
	open    *store.MirrorTable // whose parameters are left open; nil if they are bound
	columns []int              // of open, that they are compared with: stored
	calls   []joinCall

	unstored bool // it reads a virtual generated column of the changed rows

	rows   []Image
	lookup Lookup
	looked int
	found  func(value.Value) // is told of the values of the first of columns
}

// joinCall is what xBestIndex took of an offer.
type joinCall struct {
	table       *store.MirrorTable
	constraints []Constraint // by argument; those of open columns are not tested
	open        bool
}

// joins compiles the statement for each table that it reads once. It has places of
// several.
func (t *Tap) joins(sql string, places []Place) (joins []*Join) {
	times := map[string]int{}
	for _, p := range places {
		times[p.Table]++
	}
	for _, p := range places {
		if times[p.Table] != 1 {
			continue
		}
		if j := t.join(sql, places, p.Table); j != nil {
			joins = append(joins, j)
		}
	}
	return joins
}

func (t *Tap) join(sql string, places []Place, table string) *Join {
	changed := t.tables[table]
	bound := &joinPlan{changed: changed}
	if !t.inner(sql, bound, nil) {
		return nil
	}
	j := &Join{Table: table, t: t, sql: sql, plan: bound}
	for i := range places {
		at := &places[i]
		if at.Table == table {
			continue
		}
		columns := at.parameters()
		if columns == nil {
			continue
		}
		open := &joinPlan{changed: changed, open: t.tables[at.Table], columns: columns}
		if t.inner(sql, open, columns) {
			return &Join{Table: table, Free: &Free{i, columns[0]}, t: t, sql: sql, plan: open, bound: j}
		}
	}
	return j
}

// parameters returns the columns that are equal to a parameter.
func (p *Place) parameters() (columns []int) {
	for _, k := range p.Constraints {
		if k.Op == Eq && k.Column >= 0 && k.Values[0].Param > 0 {
			columns = append(columns, k.Column)
		}
	}
	return columns
}

// inner compiles the statement, and reports whether it is inner joins from the changed
// rows on. If columns are open, all parameters are theirs.
func (t *Tap) inner(sql string, plan *joinPlan, columns []int) bool {
	defer t.planned(plan)()
	prog, err := t.explain(sql)
	if err != nil {
		return false
	}
	at, ok := prog.nest(columns != nil)
	if !ok || plan.unstored {
		return false
	}
	seen, opened := 0, 0
	for _, i := range at {
		n, err := strconv.Atoi(prog[i].p4)
		if err != nil || n >= len(plan.calls) {
			return false // a table-valued function
		}
		call := &plan.calls[n]
		if call.table == plan.changed {
			seen++
		}
		if call.open {
			opened++
			for j, k := range call.constraints {
				if slices.Contains(columns, k.Column) && (!prog.operands(&k, i, prog[i].p3+2+j) || k.Values[0].Param == 0) {
					return false
				}
			}
		}
	}
	if columns == nil {
		return seen == 1
	}
	variables := 0
	for _, in := range prog {
		if in.op == "Variable" {
			variables++
		}
	}
	return seen == 1 && opened == 1 && variables == len(columns)
}

// nest returns the VFilters of a program of nested loops, from the outermost on. If
// all is set, no loop is left early: the cursors see every match.
func (p program) nest(all bool) (at []int, ok bool) {
	var ends []int
	tables := map[int]bool{}
	opened, results := 0, 0
	for i, in := range p {
		switch in.op {
		case "VOpen":
			if opened++; len(at) > 0 {
				return nil, false // a subquery
			}
		case "VFilter":
			at = append(at, i)
			tables[in.p1] = true
			if len(ends) > 0 {
				return nil, false
			}
		case "VNext":
			if k := len(at) - 1 - len(ends); k < 0 || p[at[k]].p1 != in.p1 {
				return nil, false
			}
			ends = append(ends, i)
		case "ResultRow":
			results++
		case "AggStep", "AggFinal":
			return nil, false // it gives a row in any case
		}
		if !plain(in.op) || in.op == "NullRow" && tables[in.p1] {
			return nil, false
		}
	}
	if len(at) < 2 || opened != len(at) || len(ends) != len(at) || len(tables) != len(at) || results != 1 {
		return nil, false
	}
	slices.Reverse(ends)
	return at, !all || p.complete(at, ends)
}

// complete reports whether no jump leaves a loop before its end.
func (p program) complete(at, ends []int) bool {
	level := -1
	for i := at[0]; i <= ends[0]; i++ {
		if level+1 < len(at) && i == at[level+1] {
			level++
			continue // it goes to the outer loop's end if there are no rows
		}
		for level > 0 && i > ends[level] {
			level--
		}
		in := p[i]
		if in.op == "Goto" || in.op == "DecrJumpZero" {
			return false
		}
		if (jumps.has(in.op) || in.op == "IdxLE") && in.op != "Gosub" && (in.p2 <= at[level] || in.p2 > ends[level]) {
			return false
		}
	}
	return true
}

// best takes the equalities of the tables that did not change.
func (plan *joinPlan) best(v *vtab, info *sqlite3.IndexInfo) {
	taken := joinCall{table: v.table}
	equal := 0
	plan.unstored = plan.unstored || v.table == plan.changed && v.unstored(info)
	for i, c := range info.Constraint {
		if v.table == plan.changed || !c.Usable {
			continue
		}
		k := v.constraint(info, i)
		if k.Op != Eq && k.Op != Is || k.unstored || !k.compares() {
			continue // a list's values come one by one otherwise
		}
		open := v.table == plan.open && slices.Contains(plan.columns, k.Column) && k.Op == Eq
		if open {
			taken.open = true
		} else {
			equal++
		}
		taken.constraints = append(taken.constraints, k)
		info.ConstraintUsage[i] = sqlite3.IndexConstraintUsage{ArgvIndex: len(taken.constraints), Omit: open}
	}
	info.IdxStr = strconv.Itoa(len(plan.calls))
	plan.calls = append(plan.calls, taken)
	switch {
	case v.table == plan.changed:
		info.EstimatedRows = 1
	case equal > 0:
		info.EstimatedRows = 10
	default:
		info.EstimatedRows = 1 << 20
	}
	info.EstimatedCost = float64(info.EstimatedRows)
}

// begin answers an xFilter.
func (plan *joinPlan) begin(c *cursor, idx string, args []sqlite3.Value) error {
	n, err := strconv.Atoi(idx)
	if err != nil || n >= len(plan.calls) {
		return errStale
	}
	call := &plan.calls[n]
	if call.table == plan.changed {
		c.rows = plan.rows
		return nil
	}
	c.all, c.rows = true, nil
	if call.open {
		c.stands = plan.stands
	}
	where, values := plan.where(call, args)
	err = plan.lookup(read(call.table, where), func(s *sqlite3.Stmt) error {
		if plan.looked++; plan.looked > maxLooked {
			return errLooked
		}
		row := make([]value.Value, s.ColumnCount())
		if err := store.Scan(s, row); err != nil {
			return err
		}
		im := Image{Values: row[:len(call.table.All)]}
		if len(row) > len(im.Values) {
			im.RowID, _ = row[len(row)-1].(int64)
		}
		c.rows = append(c.rows, im)
		return nil
	}, values...)
	return err
}

// where is what a lookup tests: no more than the join does. A text may equal a number
// where the comparison is numeric, which that of a text column is not.
func (plan *joinPlan) where(call *joinCall, args []sqlite3.Value) (where string, values []value.Value) {
	for i, k := range call.constraints {
		if call.open && slices.Contains(plan.columns, k.Column) {
			continue
		}
		v := valueOf(args[i])
		switch v.(type) {
		case int64, float64:
			if k.affinity.class() != Numeric {
				continue
			}
		}
		name := call.table.RowID
		if k.Column >= 0 {
			name = sqlite3.QuoteIdentifier(call.table.Columns[k.Column].Name)
		}
		if where += " AND "; where == " AND " {
			where = " WHERE "
		}
		where += name
		if k.Op == Is {
			where += " IS ?"
		} else {
			where += " = ?"
		}
		where += " COLLATE " + k.Collation
		values = append(values, v)
	}
	return where, values
}

func valueOf(v sqlite3.Value) value.Value {
	switch v.Type() {
	case sqlite3.INTEGER:
		return v.Int64()
	case sqlite3.FLOAT:
		return v.Float()
	case sqlite3.TEXT:
		return v.Text()
	case sqlite3.BLOB:
		return v.Blob(nil)
	}
	return nil
}

// stands is told of each row that a cursor with open parameters stands on.
func (plan *joinPlan) stands(c *cursor) {
	for i := range c.v.table.All {
		if c.v.table.All[i].Stored == plan.columns[0] {
			plan.found(c.rows[c.at].Values[i])
		}
	}
}

// Values runs the join with its parameters left open over the rows: what they were and
// what they are. It tells found which values of the open column they concern.
func (j *Join) Values(t *Tap, rows []Image, lookup Lookup, found func(value.Value)) error {
	_, err := j.run(t, value.Params{}, rows, lookup, found, true)
	return err
}

// Concerns reports whether rows concern the query with these parameters.
func (j *Join) Concerns(t *Tap, params value.Params, rows []Image, lookup Lookup) (bool, error) {
	if j.bound != nil {
		j = j.bound
	}
	return j.run(t, params, rows, lookup, nil, false)
}

func (j *Join) run(
	t *Tap, params value.Params, rows []Image, lookup Lookup, found func(value.Value), all bool,
) (any bool, err error) {
	if t != j.t {
		return false, errStale
	}
	plan := j.plan
	plan.rows, plan.lookup, plan.looked, plan.found = rows, lookup, 0, found
	defer func() { plan.rows, plan.lookup, plan.found = nil, nil, nil }()
	defer t.planned(plan)()
	if j.s == nil {
		plan.calls = nil
	}
	if err := t.compile(&j.s, j.sql); err != nil {
		return false, err
	}
	defer j.s.Reset()
	if !all {
		if err := bind(j.s, params); err != nil {
			return false, err
		}
	}
	for j.s.Step() {
		if any = true; !all {
			return true, nil
		}
	}
	return any, j.s.Err()
}

// read is the statement that reads rows of a table: all its columns, then the rowid.
func read(t *store.MirrorTable, where string) string {
	names := make([]string, len(t.All))
	for i, c := range t.All {
		names[i] = sqlite3.QuoteIdentifier(c.Name)
	}
	if !t.WithoutRowID && t.RowID != "" {
		names = append(names, t.RowID)
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM main." + sqlite3.QuoteIdentifier(t.Name) + where
}
