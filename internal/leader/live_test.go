package leader

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/growth"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// liveEvent takes the next live event, however many messages it has: what became of
// each query, with all rows of its update.
func liveEvent(t *testing.T, p *tab) (commit uint64, parts map[uint32]*rpctest.LivePart) {
	t.Helper()
	parts = map[uint32]*rpctest.LivePart{}
	for {
		m, err := p.take("live event", eventOf(0, rpc.EventLive)).Payload.Live()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range m.Parts {
			whole := parts[part.Query]
			switch {
			case whole == nil:
				parts[part.Query] = &part
			case part.Update != nil:
				t.Fatalf("query %d has two updates in one event", part.Query)
			default:
				whole.Rows = append(whole.Rows, part.Rows...)
				whole.Err = part.Err
			}
		}
		if m.Last {
			return m.Commit, parts
		}
	}
}

// liveOf takes the next live event, which is of one query.
func liveOf(t *testing.T, p *tab, id uint32) rpctest.LivePart {
	t.Helper()
	_, parts := liveEvent(t, p)
	if part := parts[id]; part != nil && len(parts) == 1 {
		return *part
	}
	t.Fatalf("got an event of %d queries, want query %d", len(parts), id)
	panic("unreachable")
}

// apply does what a page does with an update.
func apply(t *testing.T, former [][]rpc.Value, u rpctest.LivePart) (rows [][]rpc.Value) {
	t.Helper()
	fresh := u.Rows
	for _, run := range u.Update.Runs {
		if run.Copy {
			rows = append(rows, former[run.From:run.From+run.N]...)
		} else {
			rows = append(rows, fresh[:run.N]...)
			fresh = fresh[run.N:]
		}
	}
	if len(rows) != u.Update.Total || len(fresh) != 0 {
		t.Fatalf("an update of %d rows makes %d, with %d left over", u.Update.Total, len(rows), len(fresh))
	}
	return rows
}

func liveStart(sql string, args ...rpc.Value) rpc.Request {
	return rpc.Request{Method: rpc.MethodLiveStart, Stmt: stmt(sql, args...)}
}

func (p *tab) ack() { p.send(rpc.Request{Method: rpc.MethodAck, Event: uint8(rpc.EventLive)}) }

func TestLive_acrossTabs(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	id := a.send(liveStart("SELECT id, n FROM notes WHERE n > ? ORDER BY id", int64(0)))
	a.wait(id).ok()
	u := liveOf(t, a, id)
	if !u.Update.Reset || u.Update.Total != 0 || !reflect.DeepEqual(u.Update.Columns, []string{"id", "n"}) {
		t.Errorf("first: got %+v", u)
	}
	a.ack()
	b.ask(exec("INSERT INTO notes VALUES('k','b',1), ('l','b',2), ('m','b',0)")).ok()
	u = liveOf(t, a, id)
	rows := apply(t, nil, u)
	if want := [][]rpc.Value{{"k", int64(1)}, {"l", int64(2)}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("second: got %v", rows)
	}
	a.ack()
	b.ask(exec("UPDATE notes SET n = 5 WHERE id = 'l'")).ok()
	u = liveOf(t, a, id)
	if want := []value.Run{{Copy: true, N: 1}, {N: 1}}; !reflect.DeepEqual(u.Update.Runs, want) {
		t.Errorf("third: got runs %+v, want %+v", u.Update.Runs, want)
	}
	a.ack()
	a.send(rpc.Request{Method: rpc.MethodLiveStop, Target: id})
	a.ask(exec("DELETE FROM notes")).ok()
	next := a.send(liveStart("SELECT count(*) FROM notes"))
	a.wait(next).ok()
	liveOf(t, a, next)
	if a.has(eventOf(0, rpc.EventLive)) {
		t.Error("a live query goes on after its stop")
	}
}

func TestLive_bigResult(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	id := p.send(liveStart("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 9000) SELECT i FROM n"))
	u := liveOf(t, p, id)
	if rows := apply(t, nil, u); len(rows) != 9000 || rows[8999][0] != int64(9000) {
		t.Errorf("got %d rows", len(rows))
	}
}

func TestLive_errors(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	p.ask(liveStart("SELECT * FROM nowhere")).fails("SQLITE_ERROR")
	p.ask(liveStart("DELETE FROM notes")).fails(errcode.Unsupported)

	// A query that fails later stays subscribed.
	id := p.send(liveStart("SELECT abs(n) FROM notes"))
	p.wait(id).ok()
	liveOf(t, p, id)
	p.ack()
	p.ask(exec("INSERT INTO notes VALUES('k','b',-9223372036854775808)")).ok()
	if part := liveOf(t, p, id); errcode.Of(part.Err) != "SQLITE_ERROR" || part.Update != nil {
		t.Errorf("got %+v", part)
	}
	p.ack()
	p.ask(exec("UPDATE notes SET n = -2")).ok()
	if u := liveOf(t, p, id); len(u.Rows) != 1 || u.Rows[0][0] != int64(2) {
		t.Errorf("got %+v", u)
	}
}

// A page that sleeps gets one update when it wakes, whatever happened.
func TestLive_mergesWhatThePageHasNotTaken(t *testing.T) {
	l := openLeader(t, nil)
	p, fast := connect(t, l, "a"), connect(t, l, "b")
	const sql = "SELECT id, n FROM notes ORDER BY id"
	id, other := p.send(liveStart(sql)), fast.send(liveStart(sql))
	p.wait(id).ok()
	rows := apply(t, nil, liveOf(t, p, id))
	seen := apply(t, nil, liveOf(t, fast, other))
	for i := range 20 {
		fast.ask(exec("INSERT INTO notes VALUES(?,?,?)", fmt.Sprintf("%02d", (i*7)%20), "b", int64(i))).ok()
		if i%3 == 2 {
			fast.ask(exec("DELETE FROM notes WHERE n = ?", int64(i-2))).ok()
		}
		fast.ack()
		for len(seen) == 0 || !holds(seen, int64(i)) {
			seen = apply(t, seen, liveOf(t, fast, other))
			fast.ack()
		}
	}
	if p.has(eventOf(0, rpc.EventLive)) {
		t.Fatal("an update came before the page's ack")
	}
	p.ack()
	rows = apply(t, rows, liveOf(t, p, id))
	_, want := p.ask(query(sql)).rows()
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}

func holds(rows [][]rpc.Value, n int64) bool {
	for _, row := range rows {
		if row[1] == n {
			return true
		}
	}
	return false
}

// A page that takes nothing for a while may have many small runs to compose.
func TestCompose_manyRuns(t *testing.T) {
	growth.Linear(t, 4_000, func(n int) func() {
		var u value.Update
		for i := range n { // every other row is new
			if i%2 == 0 {
				u.Runs = append(u.Runs, value.Run{Copy: true, From: i, N: 1})
			} else {
				u.Runs = append(u.Runs, value.Run{N: 1, Rows: [][]store.Value{{int64(i)}}})
			}
		}
		u.Total = n
		fresh := value.Update{Total: n / 2} // and then only the new rows are left
		for i := 1; i < n; i += 2 {
			fresh.Runs = append(fresh.Runs, value.Run{Copy: true, From: i, N: 1})
		}
		return func() {
			all, some := compose(&u, u), compose(&u, fresh)
			if all.Total != n || len(all.Runs) != n || len(some.Runs) != 1 || len(some.Runs[0].Rows) != n/2 {
				t.Errorf("got %d rows in %d runs, and then %d runs", all.Total, len(all.Runs), len(some.Runs))
			}
		}
	})
}

// compose against the plain thing: applying one update after the other.
func TestCompose_isOneAfterTheOther(t *testing.T) {
	next := 0
	change := func(r *rand.Rand, n int) value.Update {
		u := value.Update{Reset: r.IntN(20) == 0}
		for range r.IntN(6) {
			if n > 0 && !u.Reset && r.IntN(2) == 0 {
				from := r.IntN(n)
				u.Runs = append(u.Runs, value.Run{Copy: true, From: from, N: 1 + r.IntN(n-from)})
				continue
			}
			run := value.Run{N: 1 + r.IntN(3)}
			for range run.N {
				next++
				run.Rows = append(run.Rows, []store.Value{int64(next)})
			}
			u.Runs = append(u.Runs, run)
		}
		for _, run := range u.Runs {
			u.Total += run.N
		}
		return u
	}
	play := func(former [][]store.Value, u value.Update) [][]store.Value {
		rows := [][]store.Value{}
		for _, run := range u.Runs {
			if run.Copy {
				rows = append(rows, former[run.From:run.From+run.N]...)
			} else {
				rows = append(rows, run.Rows...)
			}
		}
		return rows
	}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		start := [][]store.Value{}
		for i := range r.IntN(8) {
			start = append(start, []store.Value{int64(-i)})
		}
		want, pending := start, (*value.Update)(nil)
		for range 1 + r.IntN(5) {
			u := change(r, len(want))
			want = play(want, u)
			merged := compose(pending, u)
			pending = &merged
		}
		if got := play(start, *pending); !reflect.DeepEqual(got, want) || pending.Total != len(want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

// What one commit changes comes in one event, from one snapshot, also where the page
// was slow, and hidden.
func TestLive_together(t *testing.T) {
	l := openLeader(t, nil)
	p, writer := connect(t, l, "a"), connect(t, l, "b")
	writer.ask(exec("CREATE TABLE giro(n); CREATE TABLE savings(n); INSERT INTO giro VALUES(60);" +
		"INSERT INTO savings VALUES(40)")).ok()
	giro, savings := p.send(liveStart("SELECT n FROM giro")), p.send(liveStart("SELECT n FROM savings"))
	shown := map[uint32][][]rpc.Value{}
	events, last := 0, uint64(0)
	next := func() {
		t.Helper()
		commit, parts := liveEvent(t, p)
		for id, part := range parts {
			shown[id] = apply(t, shown[id], *part)
		}
		if events++; commit < last {
			t.Errorf("commit %d after %d", commit, last)
		}
		last = commit
		if len(shown) == 2 {
			if sum := shown[giro][0][0].(int64) + shown[savings][0][0].(int64); sum != 100 {
				t.Errorf("at commit %d the page shows %v", commit, shown)
			}
		}
	}
	for next(); len(shown) < 2; next() {
		p.ack()
	}
	const transfer = "UPDATE giro SET n = n - 1; UPDATE savings SET n = n + 1"
	for range 10 { // the page does not take them
		writer.ask(exec(transfer)).ok()
	}
	settle := func() { // a first result is of a round after all commits
		id := writer.send(liveStart("SELECT 1"))
		writer.wait(id).ok()
		liveOf(t, writer, id)
		writer.ack()
	}
	settle()
	if p.has(eventOf(0, rpc.EventLive)) {
		t.Fatal("an event came before the page's ack")
	}
	p.ack()
	next()
	if shown[giro][0][0] != int64(50) {
		t.Errorf("of ten commits came %v", shown)
	}
	p.ack()

	// A hidden page gets nothing, and then all at once.
	p.send(rpc.Request{Method: rpc.MethodLivePause, Paused: true})
	for range 10 {
		writer.ask(exec(transfer)).ok()
	}
	other := writer.send(liveStart("SELECT n FROM giro")) // which runs what both show
	writer.wait(other).ok()
	liveOf(t, writer, other)
	writer.ack()
	settle()
	if p.has(eventOf(0, rpc.EventLive)) {
		t.Error("a hidden page got an event")
	}
	p.send(rpc.Request{Method: rpc.MethodLivePause})
	next()
	if shown[giro][0][0] != int64(40) || last != l.DB().CommitNumber() {
		t.Errorf("after the pause: %v at commit %d", shown, last)
	}
	p.ack()

	// A first result brings the others with it.
	p.send(rpc.Request{Method: rpc.MethodLivePause, Paused: true})
	writer.ask(exec(transfer)).ok()
	total := p.send(liveStart("SELECT (SELECT n FROM giro) + (SELECT n FROM savings)"))
	next()
	if shown[total] == nil || shown[giro][0][0] != int64(39) {
		t.Errorf("with a first result: %v", shown)
	}
}
