package synced

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// A program is what SQLite has compiled a statement, or a trigger that it
// fires, to: EXPLAIN lists it. What triggers do is read from it and not from
// their text, which may name views, other triggers' tables and synonyms.
//
// https://sqlite.org/opcode.html
type program struct {
	trigger string // the name of the trigger, "" for the statement
	ops     []instruction
	calls   []int // for each Program instruction, the index of its program; -1: any
}

type instruction struct {
	code           string
	p1, p2, p3, p5 int
	p4             string
}

// Results of Halt, and what SQLite does about them: P1 and P2.
const (
	haltTrigger = 1811 // SQLITE_CONSTRAINT_TRIGGER: RAISE
	onRollback  = 1
	onFail      = 3
	onIgnore    = 4
)

// programs compiles a statement and returns its program, then those of the
// triggers that it fires, and of those that they fire.
func (c *Conn) programs(sql string) (all []program, err error) {
	calls := 0
	err = c.once("EXPLAIN "+sql, func(s *sqlite3.Stmt) {
		op := instruction{code: s.ColumnText(1), p1: s.ColumnInt(2), p2: s.ColumnInt(3), p3: s.ColumnInt(4),
			p4: s.ColumnText(5), p5: s.ColumnInt(6)}
		if s.ColumnInt(0) == 0 {
			name, _ := strings.CutPrefix(op.p4, "-- TRIGGER ")
			all = append(all, program{trigger: name})
		}
		p := &all[len(all)-1]
		p.ops = append(p.ops, op)
		if op.code == "Program" {
			calls++
			p.calls = append(p.calls, calls)
		}
	})
	if calls != len(all)-1 { // some are called more than once, and are listed once
		for i := range all {
			for j := range all[i].calls {
				all[i].calls[j] = -1
			}
		}
	}
	return all, err
}

// jumps are the instructions that may go on at P2, and those that do.
var jumps = func() map[string]bool {
	m := map[string]bool{}
	for _, code := range strings.Fields(`
		DecrJumpZero ElseEq Eq Filter FkIfZero Found Ge Gosub Gt IdxGE IdxGT IdxLE IdxLT If IfEmpty IfNoHope IfNot
		IfNotOpen IfNotZero IfNullRow IfPos IfSizeBetween IncrVacuum IsNull IsType Last Le Lt MustBeInt Ne Next NoConflict
		NotExists NotFound NotNull Once Prev Program Rewind RowSetRead RowSetTest SeekGE SeekGT SeekLE SeekLT SeekRowid
		SeekScan Sort SorterNext SorterSort VFilter VNext Yield`) {
		m[code] = true
	}
	return m
}()

// next returns where a program may go on after the instruction at i, while
// heddle_applying() is true.
func (p *program) next(i int) []int {
	switch op := &p.ops[i]; op.code {
	case "Halt", "EndCoroutine":
		return nil
	case "Goto":
		return []int{op.p2}
	case "Init":
		return []int{max(op.p2, 1)}
	case "InitCoroutine":
		return []int{op.p2, op.p3}
	case "Jump":
		return []int{op.p1, op.p2, op.p3}
	case "Function", "PureFunc":
		if op.p4 == "heddle_applying(0)" {
			return []int{p.tested(i)}
		}
	default:
		if jumps[op.code] {
			return []int{i + 1, op.p2}
		}
	}
	return []int{i + 1}
}

// tested follows the test of heddle_applying(), which is called at i, to where
// nothing more is known for certain.
func (p *program) tested(i int) int {
	known := map[int]bool{p.ops[i].p3: true}
	for i++; i < len(p.ops); {
		op := &p.ops[i]
		value, ok := known[op.p1]
		switch {
		case ok && op.code == "Not":
			known[op.p2] = !value
		case ok && op.code == "If" && value, ok && op.code == "IfNot" && !value:
			i = op.p2
			continue
		case ok && (op.code == "If" || op.code == "IfNot"):
		default:
			return i
		}
		i++
	}
	return i
}

// reached returns the instructions of a program that may run.
func (p *program) reached() []bool {
	seen := make([]bool, len(p.ops))
	todo := []int{0}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if i < 0 || i >= len(seen) || seen[i] {
			continue
		}
		seen[i] = true
		todo = append(todo, p.next(i)...)
	}
	return seen
}

// fired calls visit with each instruction of the triggers that may run when a
// statement does while entries are applied.
func fired(all []program, visit func(trigger string, op *instruction) error) error {
	done := make([]bool, len(all))
	todo := []int{0}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at < 0 { // one of those that are left
			for i := range all {
				todo = append(todo, i)
			}
			continue
		}
		if done[at] {
			continue
		}
		done[at] = true
		p, call := &all[at], 0
		reached := p.reached()
		for i := range p.ops {
			op := &p.ops[i]
			if op.code == "Program" {
				if reached[i] {
					todo = append(todo, p.calls[call])
				}
				call++
			}
			if at == 0 || !reached[i] {
				continue
			}
			if err := visit(p.trigger, op); err != nil {
				return err
			}
		}
	}
	return nil
}
