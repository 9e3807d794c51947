package leader

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
)

func commit(tx uint32) rpc.Request {
	return rpc.Request{Method: rpc.MethodTxCommit, Target: tx}
}

func rollback(tx uint32) rpc.Request {
	return rpc.Request{Method: rpc.MethodTxRollback, Target: tx}
}

func TestTransaction_commitAndRollback(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	tx := p.begin()
	p.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES(?,?,?)", "a", "b", int64(1))).ok()
	if _, rows := p.ask(inTx(rpc.MethodTxQuery, tx, "SELECT id FROM notes")).rows(); !reflect.DeepEqual(rows,
		[][]rpc.Value{{"a"}}) {
		t.Errorf("inside: got %v", rows)
	}
	list, err := p.ask(rpc.Request{Method: rpc.MethodTxBatch, Target: tx,
		Stmts: []rpc.Stmt{stmt("UPDATE notes SET n = 2"), stmt("UPDATE notes SET n = 3")}}).ok().last.Payload.Results()
	if err != nil || len(list) != 2 {
		t.Errorf("batch: got %v, %v", list, err)
	}
	p.ask(commit(tx)).ok()
	p.ask(inTx(rpc.MethodTxExec, tx, "DELETE FROM notes")).fails(errcode.TxClosed)
	p.ask(commit(tx)).fails(errcode.TxClosed)

	tx = p.begin()
	p.ask(inTx(rpc.MethodTxExec, tx, "DELETE FROM notes")).ok()
	p.ask(rollback(tx)).ok()
	p.ask(rollback(tx)).fails(errcode.TxClosed)
	if n := p.value("SELECT n FROM notes"); n != int64(3) {
		t.Errorf("got %v, want 3", n)
	}
}

func TestTransaction_aFailedStatementLeavesItOpen(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	tx := p.begin()
	insert := inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('a','b',1)")
	p.ask(insert).ok()
	p.ask(insert).fails("SQLITE_CONSTRAINT_PRIMARYKEY")
	p.ask(inTx(rpc.MethodTxExec, tx, "COMMIT")).fails(errcode.TxControl)
	p.ask(commit(tx)).ok()
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1", n)
	}
	tx = p.begin()
	p.ask(inTx(rpc.MethodTxExec, tx,
		"INSERT OR ROLLBACK INTO notes VALUES('a','b',1)")).fails("SQLITE_CONSTRAINT_PRIMARYKEY")
	p.ask(inTx(rpc.MethodTxExec, tx, "DELETE FROM notes")).fails(errcode.TxClosed)
	p.ask(commit(tx)).fails(errcode.TxClosed)
	p.ask(exec("DELETE FROM notes")).ok()
}

// While a transaction is open, others' writes wait for it and nobody's reads do.
func TestTransaction_isolates(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	tx := a.begin()
	a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('a','b',1)")).ok()
	for _, p := range []*tab{a, b} {
		if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
			t.Errorf("a reader sees %v rows that are not committed", n)
		}
	}
	// Writes wait; reads behind them do not wait with them.
	ownWrite, write := a.send(exec("UPDATE notes SET n = n + 10")), b.send(exec("UPDATE notes SET n = n * 2"))
	second := b.send(rpc.Request{Method: rpc.MethodTxBegin})
	for _, p := range []*tab{a, b} {
		if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
			t.Errorf("a reader sees %v rows that are not committed", n)
		}
	}
	if a.has(lastOf(ownWrite)) || b.has(lastOf(write)) || b.has(lastOf(second)) {
		t.Fatal("a write did not wait for the transaction")
	}
	a.ask(commit(tx)).ok()
	a.wait(ownWrite).ok()
	b.wait(write).ok()
	b.wait(second).ok()
	_, rows := b.ask(inTx(rpc.MethodTxQuery, second, "SELECT n FROM notes")).rows()
	if n := rows[0][0]; n != int64(22) && n != int64(12) {
		t.Errorf("got %v: a write was lost", n)
	}
	b.ask(rollback(second)).ok()
}

func TestTransaction_tabsTakeTurns(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	p.ask(exec("INSERT INTO notes VALUES('n','',0)")).ok()
	const tabs, times = 3, 10
	done := make(chan struct{})
	for i := range tabs {
		p := connect(t, l, fmt.Sprint(i))
		go func() {
			defer func() { done <- struct{}{} }()
			for range times {
				tx := p.begin()
				_, rows := p.ask(inTx(rpc.MethodTxQuery, tx, "SELECT n FROM notes")).rows()
				p.ask(inTx(rpc.MethodTxExec, tx, "UPDATE notes SET n = ?", rows[0][0].(int64)+1)).ok()
				p.ask(commit(tx)).ok()
			}
		}()
	}
	for range tabs {
		<-done
	}
	if n := p.value("SELECT n FROM notes"); n != int64(tabs*times) {
		t.Errorf("got %v, want %d: transactions were not isolated", n, tabs*times)
	}
}

func TestTransaction_endsWithItsTab(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	tx := a.begin()
	a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('a','b',1)")).ok()
	write := b.send(exec("INSERT INTO notes VALUES('b','b',1)"))
	a.s.Close()
	b.wait(write).ok()
	if n := b.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1", n)
	}
}

// A tab that begins and falls silent does not stop the others for ever.
func TestTransaction_idleLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLeader(t, hurried)
		a, b := connect(t, l, "a"), connect(t, l, "b")
		start := time.Now()
		tx := a.begin()
		time.Sleep(29 * time.Second)
		a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('a','b',1)")).ok() // each statement gives it the time anew
		b.send(exec("INSERT INTO notes VALUES('b','b',1)"))
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if b.has(lastOf(b.id)) {
			t.Error("rolled back before its time")
		}
		b.wait(b.id).ok()
		if d := time.Since(start); d != 59*time.Second {
			t.Errorf("rolled back after %v, want 59s", d)
		}
		if err := a.ask(commit(tx)).fails(errcode.TxClosed); !strings.Contains(err.Message(), "30s") {
			t.Errorf("the message does not say why: %v", err)
		}
		if n := b.value("SELECT count(*) FROM notes"); n != int64(1) {
			t.Errorf("got %v notes, want 1", n)
		}
	})
}
