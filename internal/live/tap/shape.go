package tap

import "strings"

// A program over one table is a single loop. Its opcodes are these and no others: then
// each row of the table passes or fails by itself. An opcode that is not known here
// costs a run of the statement and no more.
//
// https://sqlite.org/opcode.html
const (
	// straight are opcodes that compute, from the row and from constants.
	straight = opcodes(" Explain Noop ReleaseReg Transaction Halt Integer Int64 Real String8 Blob Null Variable Copy " +
		"SCopy Move VColumn Rowid Affinity RealAffinity Cast CollSeq Function Add Subtract Multiply Divide Remainder " +
		"Concat BitAnd BitOr BitNot ShiftLeft ShiftRight And Or Not IsTrue MustBeInt MakeRecord ZeroOrNull VOpen " +
		"VFilter ResultRow OpenEphemeral IdxInsert AggStep AggFinal ")
	// jumps are opcodes that go to p2, now and then.
	jumps = opcodes(" Init Goto Eq Ne Lt Le Gt Ge ElseEq If IfNot IsNull NotNull Once Found NotFound Gosub VNext ")
	// lists are opcodes on a table of the statement's own that holds an IN list.
	lists = opcodes(" BeginSubrtn Return Column Rewind NullRow ")
	// sorts are opcodes of an ORDER BY, with and without a LIMIT.
	sorts = opcodes(" SorterOpen SorterInsert SorterSort SorterData SorterNext OpenPseudo Sequence IfNotZero Last " +
		"IdxLE Delete Sort Next DecrJumpZero ")
)

// opcodes is a set of them, with a space before and after each.
type opcodes string

func (o opcodes) has(op string) bool { return strings.Contains(string(o), " "+op+" ") }

// plain reports whether an opcode is one of those of programs that run here.
func plain(op string) bool {
	return straight.has(op) || jumps.has(op) || lists.has(op) || sorts.has(op)
}

// reason says in SQL what an opcode means that is not plain.
func reason(op string) string {
	switch op {
	case "OffsetLimit":
		return "OFFSET"
	case "IfPos", "Compare":
		return "GROUP BY, or DISTINCT with ORDER BY"
	case "Yield", "InitCoroutine", "OpenDup":
		return "a subquery"
	case "AggInverse", "AggValue":
		return "a window function"
	}
	return "the opcode " + op
}

// loop is the part of a program that reads the rows of its table.
type loop struct{ begin, end int } // of the VFilter and the VNext

// loop finds the single loop of a program in which each row is taken by itself. It
// returns why there is none.
func (p program) loop() (l loop, why string) {
	opened, filters, results := 0, 0, 0
	for i, in := range p {
		switch in.op {
		case "VOpen":
			opened++
		case "VFilter":
			filters++
			l.begin = i
		case "VNext":
			l.end = i
		case "ResultRow":
			results++
		}
	}
	switch {
	case opened != 1 || filters != 1:
		return l, "several tables, or one twice"
	case results != 1 || l.end < l.begin:
		return l, "several results"
	}
	for _, in := range p {
		if !plain(in.op) || in.op == "NullRow" && in.p1 == p[l.begin].p1 {
			return l, reason(in.op)
		}
	}
	for i := l.begin + 1; i <= l.end; i++ {
		if jumps.has(p[i].op) && p[i].op != "Init" && (p[i].p2 <= l.begin || p[i].p2 > l.end) {
			return l, "the loop ends early"
		}
	}
	return l, ""
}

// distinct reports whether rows are noted and looked up again, so that equal ones come
// once. An IN list is complete where it is looked up.
func (p program) distinct() bool {
	looked := map[int]bool{}
	for _, in := range p {
		switch in.op {
		case "Found", "NotFound":
			looked[in.p1] = true
		case "IdxInsert":
			if looked[in.p1] {
				return true
			}
		}
	}
	return false
}

// has reports whether the program has one of the opcodes.
func (p program) has(ops ...string) bool {
	for _, in := range p {
		for _, op := range ops {
			if in.op == op {
				return true
			}
		}
	}
	return false
}

// limit finds what the LIMIT is, if there is one. It reports false where that is
// neither a literal nor a parameter.
func (p program) limit() (limit *Operand, ok bool) {
	reg := 0
	for _, in := range p {
		if in.op == "DecrJumpZero" || in.op == "IfNotZero" {
			if reg != 0 && reg != in.p1 {
				return nil, false
			}
			reg = in.p1
		}
	}
	if reg == 0 {
		return nil, true
	}
	for _, in := range p {
		if from, to, known := in.sets(); known && from <= reg && reg <= to {
			v, ok := in.operand()
			if !ok || limit != nil {
				return nil, false
			}
			limit = &v
		}
	}
	return limit, limit != nil
}

// Aggregate is a result column that is an aggregate of all rows.
type Aggregate struct {
	Function  string // in lower case
	Collation string // of what it compares
}

// aggregates finds the aggregates that are the result's columns. It reports false if
// they are something else too.
func (p program) aggregates(l loop) (all []Aggregate, ok bool) {
	collations := map[int]string{}
	for i, in := range p {
		if in.op == "AggStep" {
			collations[in.p3] = "BINARY"
			if i > 0 && p[i-1].op == "CollSeq" {
				name, _, _ := strings.Cut(p[i-1].p4, "-")
				collations[in.p3] = strings.ToUpper(name)
			}
		}
	}
	made := map[int]Aggregate{} // by register
	for _, in := range p[l.end+1:] {
		switch in.op {
		case "AggFinal":
			name, _, _ := strings.Cut(in.p4, "(")
			made[in.p1] = Aggregate{strings.ToLower(name), collations[in.p1]}
		case "Copy", "SCopy":
			n := 0
			if in.op == "Copy" {
				n = in.p3
			}
			for j := range n + 1 {
				a, is := made[in.p1+j]
				if !is {
					return nil, false
				}
				made[in.p2+j] = a
			}
		case "ResultRow":
			for j := range in.p2 {
				a, is := made[in.p1+j]
				if !is {
					return nil, false
				}
				all = append(all, a)
			}
		case "Halt":
			return all, len(all) > 0
		default:
			return nil, false
		}
	}
	return nil, false
}
