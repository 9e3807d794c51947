package leader

import (
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

// A query that was asked before is answered before Handle returns.
func TestSession_quick(t *testing.T) {
	l := openLeader(t, nil)
	p, other := connect(t, l, "a"), connect(t, l, "b")
	const one = "SELECT n FROM notes WHERE id = ?"
	p.ask(exec("INSERT INTO notes VALUES ('x', 'text', 1), ('y', 'text', 2)")).ok()
	now := func(p *tab, q rpc.Request) (answer, bool) {
		id := p.send(q)
		if !p.has(lastOf(id)) {
			p.wait(id).ok()
			return answer{}, false
		}
		return p.wait(id), true
	}
	if _, quick := now(p, query(one, "x")); quick {
		t.Error("the first time it has to be compiled")
	}
	for _, p := range []*tab{p, other} {
		a, quick := now(p, query(one, "y"))
		if !quick {
			t.Fatal("the second time it is not answered on the spot")
		}
		if columns, rows := a.rows(); len(columns) != 1 || len(rows) != 1 || rows[0][0] != int64(2) {
			t.Errorf("got %q, %v", columns, rows)
		}
	}
	a, quick := now(p, rpc.Request{Method: rpc.MethodQuery, Stmt: stmt(one, "y", "too many"), Time: await.Long})
	if a.fails(errcode.BadParam); !quick {
		t.Error("an error is an answer too")
	}

	// A read sees the tab's writes before it, also those that wait.
	tx := other.begin()
	write := p.send(exec("UPDATE notes SET n = 3 WHERE id = 'y'"))
	read := p.send(query(one, "y"))
	other.ask(commit(tx)).ok()
	p.wait(write).ok()
	if _, rows := p.wait(read).rows(); len(rows) != 1 {
		t.Errorf("got %v", rows)
	}
	if n := p.value(one, "y"); n != int64(3) {
		t.Errorf("after the write: got %v", n)
	}
}

// A write that was done before, is alone and finds the writer free is done before Handle
// returns.
func TestSession_quickWrite(t *testing.T) {
	l := openLeader(t, nil)
	p, other := connect(t, l, "a"), connect(t, l, "b")
	const add = "UPDATE notes SET n = n + ? WHERE id = 'x'"
	p.ask(exec("INSERT INTO notes VALUES ('x', 'text', 1)")).ok()
	send := func(q rpc.Request) (id uint32, quick bool) {
		id = p.send(q)
		return id, p.has(lastOf(id))
	}
	for i, want := range []bool{false, true, true} {
		id, quick := send(exec(add, int64(10)))
		if p.wait(id).ok(); quick != want {
			t.Errorf("write %d: answered on the spot: %v, want %v", i, quick, want)
		}
	}
	id, quick := send(exec(add, int64(1), int64(2)))
	if p.wait(id).fails(errcode.BadParam); !quick {
		t.Error("an error is an answer too")
	}
	const rows = "UPDATE notes SET n = n RETURNING n"
	for range 2 {
		id, quick = send(exec(rows))
		if p.wait(id).ok(); quick {
			t.Error("rows may be many, and take turns")
		}
	}

	// It waits for a transaction that is open, and for those that came with it.
	tx := other.begin()
	first, quick := send(exec(add, int64(100)))
	if quick {
		t.Error("done beside an open transaction")
	}
	second, _ := send(exec(add, int64(1000)))
	other.ask(commit(tx)).ok()
	p.wait(first).ok()
	p.wait(second).ok()
	q := exec(add, int64(10000))
	p.id++
	p.counter++
	q.ID, q.Write.Counter = p.id, p.counter
	p.s.Handle(rpctest.EncodeRequest(q), true)
	if p.has(lastOf(q.ID)) {
		t.Error("done without those that come with it")
	}
	p.wait(q.ID).ok()
	p.s.Handle(rpctest.EncodeRequest(q), false) // sent again: it is done once
	p.wait(q.ID).ok()
	if n := other.value("SELECT n FROM notes"); n != int64(11131) {
		t.Errorf("got %v", n)
	}
}

// A long result begins on the spot and goes on beside others; it can be ended.
func TestSession_quickGoesOn(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	for range 3 {
		if _, rows := p.ask(query(countTo, int64(20000))).rows(); len(rows) != 20000 || rows[19999][0] != int64(20000) {
			t.Fatalf("got %d rows", len(rows))
		}
	}
	const ever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n"
	for i := range 3 {
		q := query(ever)
		if i == 2 {
			q.Time = 50 * time.Millisecond
		}
		id := p.send(q)
		if i == 2 {
			p.wait(id).fails(errcode.Timeout)
			continue
		}
		p.take("chunk", func(m rpctest.Message) bool { return m.ID == id && m.Kind == rpc.KindChunk })
		if l.Probe() {
			t.Error("the leader says that nobody waits")
		}
		p.send(rpc.Request{Method: rpc.MethodCancel, Target: id})
		p.wait(id).fails(errcode.Aborted)
	}
	if n := p.value("SELECT 1"); n != int64(1) {
		t.Errorf("got %v", n)
	}
	// The leader closes while one is under way.
	p.send(query(ever))
}
