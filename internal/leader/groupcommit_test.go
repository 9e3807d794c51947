package leader

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// blockWriters makes every write wait until the function that it returns is called.
func blockWriters(t *testing.T, l *Leader) (free func()) {
	other := connect(t, l, "blocker")
	tx := other.begin()
	return func() { other.ask(rollback(tx)).ok() }
}

func TestGroup_eachWriteHasItsOwnOutcome(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong rpc.Request // among others, that are right
		code  string
	}{
		{"all are right", exec("DELETE FROM notes WHERE id = 'nobody'"), ""},
		{"a constraint", exec("INSERT INTO notes VALUES('n1', 'twice', 0)"), "SQLITE_CONSTRAINT_PRIMARYKEY"},
		{"a constraint that rolls back", exec("INSERT OR ROLLBACK INTO notes VALUES('n1', 'twice', 0)"),
			"SQLITE_CONSTRAINT_PRIMARYKEY"},
		{"a foreign key at the end", exec("INSERT INTO child VALUES('nobody')"), "SQLITE_CONSTRAINT_FOREIGNKEY"},
		{"no such table", exec("INSERT INTO nothing VALUES(1)"), "SQLITE_ERROR"},
		{"a savepoint left open", exec("INSERT INTO notes VALUES('x', '', 0); SAVEPOINT s; INSERT INTO nothing VALUES(1)"),
			"SQLITE_ERROR"},
		{"half a batch", rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{stmt("DELETE FROM notes"),
			stmt("INSERT INTO nothing VALUES(1)")}}, "SQLITE_ERROR"},
		{"the schema", exec("INSERT INTO notes VALUES('x', '', 0); CREATE TABLE nothing(a); INSERT INTO nowhere VALUES(1)"),
			"SQLITE_ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openLeader(t, nil)
			p := connect(t, l, "a")
			p.ask(exec("CREATE TABLE child(id TEXT REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED)")).ok()
			var numbers []uint64
			inserted := 0
			defer l.DB().OnCommit(func(c store.Commit) {
				numbers = append(numbers, c.Number)
				for _, tc := range c.Tables {
					inserted += len(tc.Inserted)
				}
			})()
			free := blockWriters(t, l)
			const n = 40
			ids := map[int]uint32{}
			wrong := uint32(0)
			for i := range n {
				if i == n/2 {
					wrong = p.send(c.wrong)
				}
				ids[i] = p.send(exec("INSERT INTO notes VALUES(?, ?, ?)", fmt.Sprint("n", i), "body", int64(i)))
			}
			read := p.send(query("SELECT count(*) FROM notes"))
			free()
			for i := range n {
				if res, err := p.wait(ids[i]).ok().last.Payload.Result(); err != nil || res.Changes != 1 ||
					res.LastInsertRowID != int64(i+1) {
					t.Errorf("write %d: got %+v, %v", i, res, err)
				}
			}
			if a := p.wait(wrong); c.code != "" {
				a.fails(c.code)
			} else {
				a.ok()
			}
			p.wait(read).ok()
			if got := p.value("SELECT count(*) || ' ' || count(DISTINCT id) FROM notes"); got != "40 40" {
				t.Errorf("got %v notes, want 40 40", got)
			}
			if got := p.value("SELECT count(*) FROM child"); got != int64(0) {
				t.Errorf("got %v children", got)
			}
			if len(numbers) != n || inserted != n {
				t.Errorf("%d commits with %d rows were announced, want %d", len(numbers), inserted, n)
			}
			for i := 1; i < len(numbers); i++ {
				if numbers[i] != numbers[i-1]+1 {
					t.Errorf("commit %d after %d", numbers[i], numbers[i-1])
				}
			}
		})
	}
}

func TestGroup_cancelAndOtherKinds(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	free := blockWriters(t, l)
	insert := func(id string) uint32 { return p.send(exec("INSERT INTO notes VALUES(?, '', 0)", id)) }
	a, b, c := insert("a"), insert("b"), insert("c")
	table := p.send(exec("CREATE TABLE later(a)"))
	d := p.send(exec("INSERT INTO later VALUES(1)"))
	p.send(rpc.Request{Method: rpc.MethodCancel, Target: b})
	p.wait(b).fails(errcode.Aborted)
	free()
	for _, id := range []uint32{a, c, table, d} {
		p.wait(id).ok()
	}
	if got := p.value("SELECT group_concat(id, '') FROM notes"); got != "ac" {
		t.Errorf("got %v, want ac", got)
	}
}
