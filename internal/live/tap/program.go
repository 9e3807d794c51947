package tap

import (
	"strconv"

	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Place is where a statement reads a table, with the conditions that a row there must
// meet to matter. All of them are on stored columns and compare with fixed values.
type Place struct {
	Table       string
	Constraints []Constraint
}

// instruction is a line of EXPLAIN.
//
// https://sqlite.org/opcode.html
type instruction struct {
	op         string
	p1, p2, p3 int
	p4         string
}

type program []instruction

// Statement is what the tap tells of an SQL text.
type Statement struct {
	Places []Place // where it reads tables
	Probe  *Probe  // nil if it cannot run over a part of the rows
	Why    string  // it cannot
	Joins  []*Join // of inner joins: one for each table whose rows may change
}

// KeyGiven reports whether a statement over one table gives the value of its key, so
// that it finds a single row.
func (s *Statement) KeyGiven() bool {
	if s.Probe == nil || len(s.Places) != 1 {
		return false
	}
	given := map[int]bool{}
	for _, k := range s.Places[0].Constraints {
		given[k.Column] = given[k.Column] || k.Op == Eq
	}
	key := s.Probe.table.Key
	for _, column := range key {
		if !given[column] {
			return given[-1]
		}
	}
	return len(key) > 0 || given[-1]
}

// Analyze compiles a statement. An error says that it does not compile here: it reads
// what is not a plain table, or calls a function of the app's.
func (t *Tap) Analyze(sql string) (*Statement, error) {
	places, err := t.places(sql)
	if err != nil {
		return nil, err
	}
	st := &Statement{Places: places}
	if st.Probe, st.Why, err = t.probe(sql); err != nil {
		return nil, err
	}
	if len(places) > 1 {
		st.Joins = t.joins(sql, places)
	}
	return st, nil
}

// explain compiles a statement and returns its program.
func (t *Tap) explain(sql string) (prog program, err error) {
	s, _, err := t.c.Prepare("EXPLAIN " + sql)
	if err != nil || s == nil {
		return nil, err
	}
	defer s.Close()
	for s.Step() {
		prog = append(prog, instruction{op: s.ColumnText(1), p1: s.ColumnInt(2), p2: s.ColumnInt(3), p3: s.ColumnInt(4),
			p4: s.ColumnText(5)})
	}
	for i := range prog {
		if prog[i].op == "Variable" {
			prog[i].p4 = s.BindName(prog[i].p1)
		}
	}
	return prog, s.Err()
}

// places returns the places where a statement reads tables.
func (t *Tap) places(sql string) (places []Place, err error) {
	collected := &collector{}
	defer t.planned(collected)()
	prog, err := t.explain(sql)
	if err != nil {
		return nil, err
	}
	for at, in := range prog {
		if in.op != "VFilter" {
			continue
		}
		i, err := strconv.Atoi(in.p4)
		if err != nil || i >= len(collected.calls) { // a table-valued function's
			continue
		}
		c := &collected.calls[i]
		if c.table == nil {
			continue
		}
		p := Place{Table: c.table.Name}
		for j, k := range c.constraints {
			if prog.operands(&k, at, in.p3+2+j) {
				p.Constraints = append(p.Constraints, k)
			}
		}
		places = append(places, p)
	}
	return places, nil
}

// operands finds what the constraint k compares with: the content of the register reg
// at the VFilter at. It reports false where that is not a fixed value that compares as
// [Compare] does.
func (p program) operands(k *Constraint, at, reg int) bool {
	if k.unstored || !k.compares() {
		return false
	}
	switch k.Op {
	case IsNull, IsNotNull:
		return true
	case In:
		list, ok := p.find(at, reg, k.affinity)
		if !ok || list.op != "VInitIn" {
			return false
		}
		return p.list(k, list.p1)
	}
	in, ok := p.find(at, reg, k.affinity)
	if !ok {
		return false
	}
	v, ok := in.operand()
	k.Values = []Operand{v}
	return ok
}

// find goes back from an instruction to the one that sets a register. Between them
// nothing may do anything to the register but apply an affinity of the column's own
// class: the planner puts a constant in the place of another column, and compares with
// that column's affinity.
func (p program) find(at, reg int, affinity Affinity) (instruction, bool) {
	for i := at - 1; i >= 0; i-- {
		in := p[i]
		from, to, straight := in.sets()
		if !straight {
			return in, false
		}
		if reg < from || reg > to {
			continue
		}
		if in.op != "Affinity" {
			return in, true
		}
		if !fits(in.p4, affinity) {
			return in, false
		}
	}
	return instruction{}, false
}

// sets returns which registers an instruction sets. straight is false if the
// instruction is not one of those that may stand before a VFilter with its arguments.
func (in instruction) sets() (from, to int, straight bool) {
	switch in.op {
	case "Integer", "Int64", "String8", "Variable", "Real", "Blob", "Rowid", "BeginSubrtn":
		return in.p2, in.p2, true
	case "Null":
		return in.p2, max(in.p2, in.p3), true
	case "Affinity":
		return in.p1, in.p1 + in.p2 - 1, true
	case "VInitIn":
		return in.p2, in.p2, true
	case "MakeRecord", "VColumn", "Column":
		return in.p3, in.p3, true
	case "SCopy":
		return in.p2, in.p2, true
	case "Copy":
		return in.p2, in.p2 + in.p3, true
	case "OpenEphemeral", "IdxInsert", "Once", "Return", "OpenDup", "NullRow", "Noop", "Explain":
		return 0, -1, true
	case "Gosub":
		return in.p1, in.p1, true
	}
	return 0, -1, false
}

// operand is the value that an instruction puts into its register.
func (in instruction) operand() (Operand, bool) {
	switch in.op {
	case "Variable":
		return Operand{Param: in.p1, Name: in.p4}, true
	case "Integer":
		return Operand{Value: int64(in.p1)}, true
	case "Int64":
		v, err := strconv.ParseInt(in.p4, 10, 64)
		return Operand{Value: v}, err == nil
	case "String8":
		return Operand{Value: in.p4}, true
	case "Null":
		return Operand{}, true
	}
	return Operand{}, false
}

// list finds the values of an IN list, which a table of the statement's own holds.
func (p program) list(k *Constraint, cursor int) bool {
	for again := true; again; { // a copy of a table is another cursor on it
		again = false
		for _, in := range p {
			if in.op == "OpenDup" && in.p1 == cursor && in.p2 != cursor {
				cursor, again = in.p2, true
				break
			}
		}
	}
	for i, in := range p {
		switch {
		case in.p1 != cursor:
		case in.op == "IdxInsert":
			if i < 2 {
				return false
			}
			record, set := p[i-1], p[i-2]
			v, ok := set.operand()
			from, to, _ := set.sets()
			if !ok || record.op != "MakeRecord" || record.p3 != in.p2 || record.p2 != 1 || from != record.p1 ||
				to != record.p1 || !fits(record.p4, k.affinity) {
				return false
			}
			k.Values = append(k.Values, v)
		case in.op == "Insert", in.op == "SorterInsert", in.op == "Delete", in.op == "IdxDelete":
			return false
		}
	}
	return len(k.Values) > 0
}

// fits reports whether applying an affinity, by SQLite's letter for it, makes of a
// value what comparing with a column of the given one does.
func fits(letters string, column Affinity) bool {
	for _, c := range letters {
		var a Affinity
		switch c {
		case '@', 'A':
			a = Blob
		case 'B':
			a = Text
		case 'C', 'D', 'E', 'F':
			a = Numeric
		}
		if a != column.class() {
			return false
		}
	}
	return letters != ""
}

// Bind gives the constraint's operands their values, as the column compares them. It
// reports false if the constraint cannot be tested: then it counts as holding.
func (t *Tap) Bind(k Constraint, p value.Params) (values []value.Value, ok bool) {
	for _, o := range k.Values {
		v := o.Value
		if o.Param > 0 {
			if v, ok = o.given(p); !ok {
				return nil, false
			}
		}
		if v, ok = t.convert(v, k); !ok || Opaque(v) || value.Size(v) > maxOperand {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// given is the value of a parameter. It reports false where the statement would not
// run, which then says why.
func (o Operand) given(p value.Params) (value.Value, bool) {
	var v any
	ok := o.Param <= len(p.Positional)
	switch {
	case p.Named != nil && o.Name != "":
		if v, ok = p.Named[o.Name]; !ok {
			v, ok = p.Named[o.Name[1:]]
		}
	case ok:
		v = p.Positional[o.Param-1]
	}
	if !ok {
		return nil, false
	}
	return value.Of(v)
}

// maxOperand bounds the values that are kept, in bytes.
const maxOperand = 4 << 10

// convert applies the column's affinity.
func (t *Tap) convert(v value.Value, k Constraint) (value.Value, bool) {
	column := ""
	switch v.(type) {
	case string:
		if k.affinity.class() == Numeric {
			column = "number"
		}
	case int64, float64:
		if k.affinity == Text {
			// The planner may have put the number in the place of another column
			// without an affinity. That compares as no text, which matters to an order.
			if k.Op != Eq && k.Op != Is && k.Op != In {
				return nil, false
			}
			column = "text"
		}
	}
	if column == "" {
		return v, true
	}
	s, _, err := t.c.Prepare(`UPDATE temp.heddle_affinity SET ` + column + ` = ? RETURNING ` + column)
	if err != nil {
		return nil, false
	}
	defer s.Close()
	switch v := v.(type) {
	case string:
		err = s.BindText(1, v)
	case int64:
		err = s.BindInt64(1, v)
	case float64:
		err = s.BindFloat(1, v)
	}
	if err != nil || !s.Step() {
		return nil, false
	}
	switch s.ColumnType(0) {
	case sqlite3.INTEGER:
		return s.ColumnInt64(0), true
	case sqlite3.FLOAT:
		return s.ColumnFloat(0), true
	case sqlite3.TEXT:
		return s.ColumnText(0), true
	}
	return nil, false
}
