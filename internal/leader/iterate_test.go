package leader

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"

	"github.com/ncruces/go-sqlite3"
)

const (
	countTo = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?) SELECT i, 'row '||i AS t FROM n"
	endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"
)

func iterate(block int, credit uint32, sql string, args ...rpc.Value) rpc.Request {
	return rpc.Request{Method: rpc.MethodIterate, Stmt: stmt(sql, args...), Block: uint32(block), Credit: credit}
}

// chunk waits for the next chunk of an iteration, or its end, and returns the
// rows.
func (p *tab) chunk(id uint32) (rows [][]rpc.Value, m rpctest.Message) {
	p.t.Helper()
	m = p.take("chunk or result", func(m rpctest.Message) bool { return m.ID == id && m.Kind != rpc.KindEvent })
	if m.Kind == rpc.KindError {
		p.t.Fatalf("the iteration failed: %v", m.Payload.Err())
	}
	_, rows, err := m.Payload.Rows()
	if err != nil {
		p.t.Fatal(err)
	}
	return rows, m
}

func (p *tab) credit(id, n uint32) {
	p.send(rpc.Request{Method: rpc.MethodCredit, Target: id, Credit: n})
}

// chunksOf counts the chunks of id that lie in the inbox.
func (p *tab) chunksOf(id uint32) (n int) {
	p.has(func(m rpctest.Message) bool {
		if m.ID == id {
			n++
		}
		return false
	})
	return n
}

func TestSession_iterateSendsNoMoreThanIsWanted(t *testing.T) {
	var made, open atomic.Int64
	for _, engine := range []bool{false, true} {
		l := openLeader(t, func(_ *rpc.OpenConfig, env *Env) {
			if !engine {
				return
			}
			env.NewBlockPacker = func(stmt *sqlite3.Stmt, columns int) BlockPacker {
				made.Add(1)
				open.Add(1)
				s := &stepper{open: &open}
				s.p.BeginBare(columns)
				return s
			}
		})
		for _, block := range []int{0, 1, 50, 200, 1000} {
			t.Run(fmt.Sprintf("engine %v block %d", engine, block), func(t *testing.T) {
				p := connect(t, l, "a")
				const all = 12_345
				id := p.send(iterate(block, 2, countTo, int64(all)))
				seen := 0
				for owed := 2; ; owed++ {
					rows, m := p.chunk(id)
					owed--
					if block > 0 && len(rows) > block {
						t.Fatalf("%d rows in a chunk, want at most %d", len(rows), block)
					}
					for _, row := range rows {
						if seen++; row[0] != int64(seen) || row[1] != fmt.Sprint("row ", seen) {
							t.Fatalf("row %d is %v", seen, row)
						}
					}
					if m.Kind == rpc.KindResult {
						break
					}
					// A read goes through, and what comes before its answer is what was owed.
					if p.value("SELECT 1") != int64(1) || p.chunksOf(id) > owed+1 {
						t.Fatalf("%d chunks came, %d were wanted", p.chunksOf(id), owed)
					}
					p.credit(id, 1)
				}
				if seen != all {
					t.Errorf("got %d rows, want %d", seen, all)
				}
			})
		}
		if engine && made.Load() == 0 {
			t.Error("no rows were packed in the engine")
		}
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d packers are left open", n)
	}
}

func TestSession_iterateKeepsItsPlaceAmongReadsAndWrites(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	insert := "INSERT INTO notes SELECT 'k'||i, t, i FROM (" + countTo + ")"
	p.ask(exec(insert, int64(1000))).ok()
	// All at once: a write before it, the iteration, a write behind it.
	p.send(exec("DELETE FROM notes WHERE n = 1"))
	id := p.send(iterate(100, 1, "SELECT n FROM notes ORDER BY n"))
	gone := p.send(exec("DELETE FROM notes"))
	p.wait(gone).ok()
	if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("a later read sees %v notes, want none", n)
	}
	seen := int64(1)
	for {
		rows, m := p.chunk(id)
		for _, row := range rows {
			if seen++; row[0] != seen {
				t.Fatalf("got row %v, want %d", row[0], seen)
			}
		}
		if m.Kind == rpc.KindResult {
			break
		}
		p.credit(id, 1)
	}
	if seen != 1000 {
		t.Errorf("the last row is %d, want 1000", seen)
	}
}

func TestSession_iterateEnds(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	start := func(q rpc.Request) uint32 {
		id := p.send(q)
		p.chunk(id)
		return id
	}
	// By the page.
	id := start(iterate(10, 1, countTo, int64(1000)))
	p.send(rpc.Request{Method: rpc.MethodCancel, Target: id})
	p.wait(id).fails(errcode.Aborted)
	// By an error.
	p.ask(iterate(0, 1, "SELECT * FROM nowhere")).fails("SQLITE_ERROR")
	p.ask(iterate(0, 1, "DELETE FROM notes RETURNING id")).fails(errcode.Unsupported)
	// With its tab: its connection is free again.
	for range 20 {
		other := connect(t, l, "b")
		id := other.send(iterate(10, 1, countTo, int64(1000)))
		other.chunk(id)
		other.s.Close()
	}
	if _, rows := p.ask(iterate(0, 100, countTo, int64(100))).rows(); len(rows) != 100 {
		t.Errorf("got %d rows, want 100", len(rows))
	}
}

// The same by its limit, while the page takes nothing.
func TestSession_limitEndsAnIteration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, openLeader(t, nil), "a")
		q := iterate(10, 1, countTo, int64(1000))
		q.Time = time.Minute
		id := p.send(q)
		p.chunk(id)
		p.wait(id).fails(errcode.Timeout)
	})
}

func TestSession_limitEndsACallInTheMiddleOfAStep(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	within := func(q rpc.Request) rpc.Request {
		q.Time = 30 * time.Millisecond
		return q
	}
	p.ask(within(query(endless))).fails(errcode.Timeout)
	p.ask(within(iterate(0, 1, endless))).fails(errcode.Timeout)
	p.ask(within(exec("INSERT INTO notes SELECT i, i, i FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 " +
		"FROM n) SELECT i FROM n)"))).fails(errcode.Timeout)
	p.ask(within(rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{
		stmt("INSERT INTO notes VALUES ('a', 'b', 1)"), stmt("UPDATE notes SET n = (" + endless + ")"),
	}})).fails(errcode.Timeout)
	if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("%v notes are left of writes whose time was over", n)
	}
	// Waiting for its turn.
	tx := p.begin()
	err := p.ask(within(exec("INSERT INTO notes VALUES ('a', 'b', 1)"))).fails(errcode.Timeout)
	if want := "the call's time, 30ms, is over; nothing was written"; err.Message() != want {
		t.Errorf("got %q, want %q", err.Message(), want)
	}
	p.ask(within(inTx(rpc.MethodTxQuery, tx, endless))).fails(errcode.Timeout)
	p.ask(commit(tx))
	// Writes that share a transaction: the others of the group stand.
	ids := []uint32{}
	for i := range 10 {
		q := exec("INSERT INTO notes VALUES (?, 'b', 1)", fmt.Sprint(i))
		if i == 5 {
			q = within(exec("INSERT INTO notes SELECT 'x'||i, i, i FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT " +
				"i+1 FROM n) SELECT i FROM n)"))
		}
		ids = append(ids, p.send(q))
	}
	for i, id := range ids {
		if a := p.wait(id); i == 5 {
			a.fails(errcode.Timeout)
		} else {
			a.ok()
		}
	}
	if n := p.value("SELECT count(*) FROM notes"); n != int64(9) {
		t.Errorf("got %v notes, want 9", n)
	}
}

// watcher is a tab whose page can say that it aborts without a message.
type watcher struct {
	*tab
	aborted atomic.Uint32
	asked   atomic.Int64
}

func (w *watcher) Aborted(id uint32) bool { w.asked.Add(1); return w.aborted.Load() == id }

func TestSession_abortWithinAStep(t *testing.T) {
	l := openLeader(t, nil)
	w := &watcher{tab: &tab{t: t, news: make(chan struct{})}}
	w.s = l.Connect(w, "a")
	t.Cleanup(w.s.Close)
	w.ask(helloOf("a", l.config.Migrations)).ok()
	id := w.send(query(endless))
	before := w.asked.Load()
	await.Poll(t, "the engine inside the statement", func() bool { return w.asked.Load() >= before+10 })
	w.aborted.Store(id)
	w.wait(id).fails(errcode.Aborted)
	if n := w.value("SELECT 1"); n != int64(1) {
		t.Errorf("got %v", n)
	}
}
