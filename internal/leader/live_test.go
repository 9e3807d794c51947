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

// liveOf takes a live query's next update, however many messages it has.
func liveOf(t *testing.T, p *tab, id uint32) rpctest.Live {
	t.Helper()
	var whole rpctest.Live
	for first := true; ; first = false {
		m, err := p.take("live event", eventOf(id, rpc.EventLive)).Payload.Live()
		if err != nil {
			t.Fatal(err)
		}
		if m.First != first {
			t.Fatalf("got a message with first = %v", m.First)
		}
		if first {
			whole = m
		} else {
			whole.Rows = append(whole.Rows, m.Rows...)
		}
		if m.Last {
			return whole
		}
	}
}

// apply does what a page does with an update.
func apply(t *testing.T, former [][]rpc.Value, u rpctest.Live) (rows [][]rpc.Value) {
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

func (p *tab) ack(id uint32, e rpc.Event) {
	p.send(rpc.Request{Method: rpc.MethodAck, Target: id, Event: uint8(e)})
}

func TestLive_acrossTabs(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	id := a.send(liveStart("SELECT id, n FROM notes WHERE n > ? ORDER BY id", int64(0)))
	a.wait(id).ok()
	u := liveOf(t, a, id)
	if !u.Update.Reset || u.Update.Total != 0 || !reflect.DeepEqual(u.Update.Columns, []string{"id", "n"}) {
		t.Errorf("first: got %+v", u)
	}
	a.ack(id, rpc.EventLive)
	b.ask(exec("INSERT INTO notes VALUES('k','b',1), ('l','b',2), ('m','b',0)")).ok()
	u = liveOf(t, a, id)
	rows := apply(t, nil, u)
	if want := [][]rpc.Value{{"k", int64(1)}, {"l", int64(2)}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("second: got %v", rows)
	}
	a.ack(id, rpc.EventLive)
	b.ask(exec("UPDATE notes SET n = 5 WHERE id = 'l'")).ok()
	u = liveOf(t, a, id)
	if want := []value.Run{{Copy: true, N: 1}, {N: 1}}; !reflect.DeepEqual(u.Update.Runs, want) {
		t.Errorf("third: got runs %+v, want %+v", u.Update.Runs, want)
	}
	a.ack(id, rpc.EventLive)
	a.send(rpc.Request{Method: rpc.MethodLiveStop, Target: id})
	a.ask(exec("DELETE FROM notes")).ok()
	next := a.send(liveStart("SELECT count(*) FROM notes"))
	a.wait(next).ok()
	liveOf(t, a, next)
	if a.has(eventOf(id, rpc.EventLive)) {
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
	p.ack(id, rpc.EventLive)
	p.ask(exec("INSERT INTO notes VALUES('k','b',-9223372036854775808)")).ok()
	if err := p.take("error", eventOf(id, rpc.EventLiveError)).Payload.Err(); errcode.Of(err) != "SQLITE_ERROR" {
		t.Errorf("got %v", err)
	}
	p.ack(id, rpc.EventLiveError)
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
		fast.ack(other, rpc.EventLive)
		for len(seen) == 0 || !holds(seen, int64(i)) {
			seen = apply(t, seen, liveOf(t, fast, other))
			fast.ack(other, rpc.EventLive)
		}
	}
	if p.has(eventOf(id, rpc.EventLive)) {
		t.Fatal("an update came before the page's ack")
	}
	p.ack(id, rpc.EventLive)
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
