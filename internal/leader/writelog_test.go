package leader

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// heir closes l and opens another leader over its file.
func heir(t *testing.T, l *Leader) *Leader {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return openLeader(t, func(_ *rpc.OpenConfig, env *Env) { *env = l.env; env.LeaderID += "'" })
}

func named(q rpc.Request, counter uint64) rpc.Request {
	q.Write.Counter = counter
	return q
}

// again asks for a write that was done before, of this leader and of the next:
// both answer as the first time.
func again(t *testing.T, l *Leader, q rpc.Request, same func(answer)) {
	t.Helper()
	p := connect(t, l, "a")
	first := p.wait(p.sendAs(q))
	same(first)
	for range 2 {
		same(p.wait(p.sendAs(q)))
		l = heir(t, l)
		p = connect(t, l, "a")
	}
	same(p.wait(p.sendAs(q)))
}

func TestWriteLog_answersEachKindOfWriteAsBefore(t *testing.T) {
	insert := func(id string) rpc.Stmt { return stmt(insertNotes, id, "body", int64(1)) }
	t.Run("exec", func(t *testing.T) {
		again(t, openLeader(t, nil), named(rpc.Request{Method: rpc.MethodExec, Stmt: insert("k")}, 1), func(a answer) {
			if res, err := a.ok().last.Payload.Result(); err != nil || res != (rpc.Result{Changes: 1, LastInsertRowID: 1}) {
				t.Errorf("got %v, %v", res, err)
			}
		})
	})
	t.Run("batch", func(t *testing.T) {
		again(t, openLeader(t, nil), named(rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{insert("k"), insert("l")}},
			1), func(a answer) {
			if list, err := a.ok().last.Payload.Results(); err != nil ||
				!reflect.DeepEqual(list, []rpc.Result{{Changes: 1, LastInsertRowID: 1}, {Changes: 1, LastInsertRowID: 2}}) {
				t.Errorf("got %v, %v", list, err)
			}
		})
	})
	t.Run("rows", func(t *testing.T) {
		again(t, openLeader(t, nil), named(query("INSERT INTO notes VALUES('k','b',7) RETURNING id, n"), 1), func(a answer) {
			if columns, rows := a.rows(); !reflect.DeepEqual(columns, []string{"id", "n"}) ||
				!reflect.DeepEqual(rows, [][]rpc.Value{{"k", int64(7)}}) {
				t.Errorf("got %q %v", columns, rows)
			}
		})
	})
	t.Run("what was done, and rows", func(t *testing.T) {
		again(t, openLeader(t, nil), named(exec("INSERT INTO notes VALUES('k','b',7) RETURNING n"), 1), func(a answer) {
			if res, rows := a.returned(); res != (rpc.Result{Changes: 1, LastInsertRowID: 1}) ||
				!reflect.DeepEqual(rows, [][]rpc.Value{{int64(7)}}) {
				t.Errorf("got %+v %v", res, rows)
			}
		})
	})
	t.Run("more rows than are kept", func(t *testing.T) {
		const sql = "INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 9000) " +
			"SELECT i, 'body', i FROM n RETURNING *"
		first := true
		again(t, openLeader(t, nil), named(query(sql), 1), func(a answer) {
			if first {
				if _, rows := a.rows(); len(rows) != 9000 {
					t.Errorf("got %d rows", len(rows))
				}
				first = false
				return
			}
			a.fails(errcode.ResultLost)
		})
	})
	t.Run("what a write that came to nothing is followed by", func(t *testing.T) {
		l := openLeader(t, nil)
		p := connect(t, l, "a")
		nothing := named(exec("UPDATE notes SET n = 2 WHERE id = 'k'"), 1)
		refused := named(exec("INSERT INTO notes VALUES('l', NULL, 1)"), 2)
		p.wait(p.sendAs(nothing)).ok()
		p.wait(p.sendAs(refused)).fails("SQLITE_CONSTRAINT_NOTNULL")
		p.wait(p.sendAs(named(exec("INSERT INTO notes VALUES('k','b',1)"), 3))).ok()
		p = connect(t, heir(t, l), "a")
		if res, err := p.wait(p.sendAs(nothing)).ok().last.Payload.Result(); err != nil || res.Changes != 0 {
			t.Errorf("got %v, %v", res, err)
		}
		if err := p.wait(p.sendAs(refused)).fails("SQLITE_CONSTRAINT_NOTNULL"); err.SQL != "" {
			t.Errorf("the statement is kept: %q", err.SQL)
		}
		if n := p.value("SELECT n FROM notes"); n != int64(1) {
			t.Errorf("got %v: a write ran after one that followed it", n)
		}
	})
}

func TestWriteLog_loads(t *testing.T) {
	bulk := func(p *tab, counter uint64) answer {
		load := p.sendAs(named(bulkBegin(insertNotes), counter))
		p.send(part(load, 0, 10))
		p.send(end(rpc.MethodBulkEnd, load))
		return p.wait(load)
	}
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	bulk(p, 1).ok()
	bulk(p, 1).ok()
	l = heir(t, l)
	p = connect(t, l, "a")
	if res, err := p.wait(p.sendAs(named(bulkBegin(insertNotes), 1))).ok().last.Payload.Result(); err != nil ||
		res.Changes != 10 {
		t.Errorf("got %v, %v", res, err)
	}
	p.wait(p.sendAs(named(rpc.Request{Method: rpc.MethodOutcome}, 1))).ok()

	var file bytes.Buffer
	if err := l.DB().Export(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	other := connect(t, l, "b")
	other.ask(exec("DELETE FROM notes")).ok()
	load := p.sendAs(named(rpc.Request{Method: rpc.MethodImportBegin, Size: uint64(file.Len())}, 2))
	p.ask(rpc.Request{Method: rpc.MethodImportPart, Target: load, Bytes: file.Bytes()}).ok()
	p.send(end(rpc.MethodImportEnd, load))
	p.wait(load).ok()
	other.ask(exec("DELETE FROM notes WHERE n > 0")).ok()
	l = heir(t, l)
	p, other = connect(t, l, "a"), connect(t, l, "b")
	p.wait(p.sendAs(named(rpc.Request{Method: rpc.MethodImportBegin, Size: uint64(file.Len())}, 2))).ok()
	// the import has not forgotten other tabs' writes
	other.wait(other.sendAs(named(exec("INSERT INTO nothing VALUES(1)"), 1))).ok()
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("%v rows: the import was done again", n)
	}
}

func TestWriteLog_outcomeOfWhatWasNotDone(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	tx := p.begin()
	p.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('k','b',1)")).ok()
	p = connect(t, heir(t, l), "a")
	p.wait(p.sendAs(named(rpc.Request{Method: rpc.MethodOutcome}, 1))).fails(errcode.TxLost)
	if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("got %v rows", n)
	}
}

// A tab that slept comes back to the same leader by another line.
func TestWriteLog_outlivesTheSession(t *testing.T) {
	l := openLeader(t, nil)
	first := connect(t, l, "a")
	free := blockWriters(t, l)
	for i := range 20 {
		first.sendAs(named(exec("INSERT INTO notes VALUES(?,'b',1)", fmt.Sprint(i)), uint64(i+1)))
	}
	first.s.Close()
	second := connect(t, l, "a")
	var ids []uint32
	for i := range 20 {
		ids = append(ids, second.sendAs(named(exec("INSERT INTO notes VALUES(?,'b',1)", fmt.Sprint(i)), uint64(i+1))))
	}
	free()
	for _, id := range ids {
		second.wait(id).ok()
	}
	if n := second.value("SELECT count(*) FROM notes"); n != int64(20) {
		t.Errorf("got %v rows", n)
	}
}

// What the end of a session interrupts is no outcome: it will be sent again.
func TestWriteLog_theSessionsEndIsNoOutcome(t *testing.T) {
	l := openLeader(t, nil)
	first := connect(t, l, "a")
	load := first.sendAs(named(bulkBegin(insertNotes), 1))
	first.ask(part(load, 0, 10)).ok()
	first.s.Close()
	second := connect(t, l, "a")
	load = second.sendAs(named(bulkBegin(insertNotes), 1))
	second.ask(part(load, 0, 5)).ok()
	second.send(end(rpc.MethodBulkEnd, load))
	second.wait(load).ok()
	if n := second.value("SELECT count(*) FROM notes"); n != int64(5) {
		t.Errorf("got %v rows", n)
	}
}

// A tab of an older build reads, and is told what became of its writes: of those
// before the newer one came, too.
func TestWriteLog_aTabOfAnOlderBuildWritesNothing(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	p.wait(p.sendAs(named(exec("INSERT INTO notes VALUES('k','b',1)"), 1))).ok()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	l = openLeader(t, func(config *rpc.OpenConfig, env *Env) {
		config.Migrations = append(config.Migrations, "ALTER TABLE notes ADD COLUMN more TEXT")
		*env = l.env
	})
	p = stranger(t, l, "a")
	hello := helloOf("a", []string{notes})
	if w, err := p.ask(hello).ok().last.Payload.Welcome(); err != nil || w.Migrations != 2 {
		t.Errorf("got %+v, %v", w, err)
	}
	p.wait(p.sendAs(named(exec("INSERT INTO notes VALUES('k','b',1)"), 1))).ok()
	p.wait(p.sendAs(named(rpc.Request{Method: rpc.MethodOutcome}, 1))).ok()
	for _, q := range []rpc.Request{
		exec("INSERT OR REPLACE INTO notes(id, body) VALUES('k', 'b')"), exec("CREATE TABLE t(a)"),
		{Method: rpc.MethodTxBegin},
		{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{stmt("DELETE FROM notes")}}, query("DELETE FROM notes RETURNING id"),
		bulkBegin(insertNotes), {Method: rpc.MethodImportBegin, Size: 1000},
	} {
		p.counter++
		p.wait(p.sendAs(named(q, p.counter+1))).fails(errcode.Outdated)
	}
	free := blockWriters(t, l)
	// as a group
	first, second := p.sendAs(named(exec("DELETE FROM notes"), 20)), p.sendAs(named(exec("DELETE FROM notes"), 21))
	free()
	p.wait(first).fails(errcode.Outdated)
	p.wait(second).fails(errcode.Outdated)
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v rows", n)
	}
}

// The app does not see that outcomes are kept.
func TestWriteLog_isInvisible(t *testing.T) {
	var commits []store.Commit
	l := openLeader(t, nil)
	l.DB().OnCommit(func(c store.Commit) { commits = append(commits, c) })
	p := connect(t, l, "a")
	before := p.value("SELECT total_changes()").(int64) // the migration's
	for i := range 3 {
		p.ask(exec("INSERT INTO notes VALUES(?,'b',1)", fmt.Sprint(i))).ok()
	}
	p.ask(exec("UPDATE notes SET n = 2")).ok()
	for sql, want := range map[string]int64{"SELECT changes()": 3, "SELECT total_changes()": before + 6,
		"SELECT last_insert_rowid()": 3} {
		if _, rows := p.writeQuery(sql).rows(); rows[0][0] != want {
			t.Errorf("%s: got %v, want %d", sql, rows[0][0], want)
		}
	}
	if len(commits) != 4 || commits[3].Number != 4 {
		t.Errorf("got %d commits", len(commits))
	}
	for _, c := range commits {
		if len(c.Tables) != 1 || c.Tables[0].Table != "notes" {
			t.Errorf("a commit tells of %v", c.Tables)
		}
	}
	p.ask(exec("DELETE FROM heddle_outcome")).fails("SQLITE_AUTH")
	if err := l.ForgetTabs(t.Context(), nil, 1<<30); err != nil || len(commits) != 4 {
		t.Errorf("forgetting is announced: %d commits, %v", len(commits), err)
	}
}
