package leader

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

var (
	onceSeed   = flag.Uint64("once.seed", 1, "seed of TestOnce")
	onceRounds = flag.Int("once.rounds", 12, "databases that TestOnce wears out")
)

const onceSchema = `CREATE TABLE state(tab TEXT PRIMARY KEY, n INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log(at INTEGER PRIMARY KEY AUTOINCREMENT, tab TEXT NOT NULL, write INTEGER NOT NULL);
CREATE TABLE loaded(tab TEXT, write INTEGER, row INTEGER)`

// TestOnce lets tabs write in a pipeline over leaders that die at random calls
// of their files, and checks each answer against a model: an answer that is
// wrong tells of a write that was lost, done twice, or done out of its order.
func TestOnce(t *testing.T) {
	var total onceCounts
	for round := range *onceRounds {
		seed := *onceSeed + uint64(round)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			total.add(once(t, rand.New(rand.NewPCG(seed, 7))))
		})
	}
	t.Logf("%d writes by tabs whose leaders died %d times: %d sent again, %d of them had been done, %d transactions lost",
		total.writes, total.deaths, total.again, total.unheard, total.lost)
	if *onceRounds > 4 && (total.deaths < 20 || total.unheard == 0 || total.again <= total.unheard || total.lost == 0) {
		t.Error("the leaders hardly died at the moments that matter")
	}
}

type onceCounts struct{ writes, deaths, again, unheard, lost int }

func (a *onceCounts) add(b onceCounts) {
	a.writes += b.writes
	a.deaths += b.deaths
	a.again += b.again
	a.unheard += b.unheard
	a.lost += b.lost
}

// once wears out one database and returns what happened.
func once(t *testing.T, r *rand.Rand) onceCounts {
	const deaths = 8
	d := &disk{files: opfs.Memory()}
	pages := make([]*page, 3)
	var wait sync.WaitGroup
	for i := range pages {
		p := newPage(t, fmt.Sprint("tab-", i), rand.New(rand.NewPCG(r.Uint64(), uint64(i))))
		pages[i] = p
		wait.Go(p.run)
	}
	over := make(chan struct{})
	go func() { wait.Wait(); close(over) }()

	var counts onceCounts
	for i := 0; ; i++ {
		calls := 5 + r.IntN(120)
		if counts.deaths >= deaths {
			calls = -1
		}
		f := d.begin(calls, r.IntN(2) == 0)
		l, err := f.open(t, fmt.Sprint("leader-", i), onceSchema)
		if err != nil {
			if !f.ended() {
				t.Fatal(err)
			}
			counts.deaths++
			continue
		}
		for _, p := range pages {
			p.meet(l, f)
		}
		select {
		case <-f.dead:
			counts.deaths++
			l.Close(context.Background())
			continue
		case <-over:
			f.spare()
			if f.ended() { // just now
				l.Close(context.Background())
				counts.deaths++
				continue
			}
		}
		for _, p := range pages {
			counts.writes += int(p.counter)
			counts.again += p.again
			counts.unheard += p.unheard
			counts.lost += p.lost
		}
		checkOnce(t, l, pages)
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
		return counts
	}
}

func checkOnce(t *testing.T, l *Leader, pages []*page) {
	p := connect(t, l, "judge")
	for _, page := range pages {
		_, rows := p.ask(query("SELECT write FROM log WHERE tab = ? ORDER BY at", page.name)).rows()
		var got []uint64
		for _, row := range rows {
			got = append(got, uint64(row[0].(int64)))
		}
		if !reflect.DeepEqual(got, page.log) {
			t.Errorf("%s: the log holds the writes %v, want %v", page.name, got, page.log)
		}
		if n := p.value("SELECT count(*) FROM loaded WHERE tab = ?", page.name); n != int64(page.loaded) {
			t.Errorf("%s: %v rows were loaded, want %d", page.name, n, page.loaded)
		}
	}
	if got := p.value("PRAGMA integrity_check"); got != "ok" {
		t.Error(got)
	}
	// What is kept is what the tabs have not acknowledged, and goes when they do.
	if n := p.value("SELECT count(*) FROM heddle_outcome"); n != int64(len(pages)) {
		t.Errorf("%v tabs are remembered, want %d", n, len(pages))
	}
	if n := p.value("SELECT max(length(kept)) FROM heddle_outcome").(int64); n > 4096 {
		t.Errorf("%d bytes are kept of one tab", n)
	}
	for _, page := range pages {
		page.s.Close()
	}
	if err := l.ForgetTabs(t.Context(), []string{pages[0].name}, 1<<30); err != nil {
		t.Fatal(err)
	}
	if n := p.value("SELECT group_concat(session) FROM heddle_outcome"); n != pages[0].name {
		t.Errorf("%v are remembered, want the one that lives", n)
	}
}

// page is a tab as web/src/rpc/client.ts is one: it sends what was not answered
// again, in order, to whoever leads. It knows by a model what each write that
// is done once, in its place, must be answered.
type page struct {
	t    *testing.T
	name string
	r    *rand.Rand
	s    *Session

	mu      sync.Mutex
	news    chan struct{}
	life    *life
	leader  *Leader
	term    int // counts leaders
	answers map[uint32]rpctest.Message
	ids     map[uint32]bool // of writes that wait

	// Used by run alone.
	met     int // the term that it knows
	id      uint32
	counter uint64
	flying  []*flight
	again   int
	unheard int
	lost    int

	// The model.
	n, last int64
	log     []uint64
	loaded  int
}

// flight is a write that was not answered.
type flight struct {
	q     rpc.Request
	after []rpc.Request // parts of a load
	id    uint32
	check func(rpctest.Message)
}

func newPage(t *testing.T, name string, r *rand.Rand) *page {
	return &page{t: t, name: name, r: r, news: make(chan struct{}), answers: map[uint32]rpctest.Message{},
		ids: map[uint32]bool{}}
}

// peer is the page's line to one leader: what that says after its death is lost.
type peer struct {
	p    *page
	life *life
	term int
}

func (w peer) Send(message []byte) {
	m, err := rpctest.DecodeMessage(message)
	if err != nil {
		w.p.t.Error(err)
		return
	}
	late := time.Duration(rand.IntN(4)) * 300 * time.Microsecond // on its way when the leader dies
	time.AfterFunc(late, func() { w.deliver(m) })
}

func (w peer) deliver(m rpctest.Message) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.term != w.p.term || m.Kind > rpc.KindError {
		return
	}
	if w.life.ended() {
		if w.p.ids[m.ID] && m.Kind == rpc.KindResult {
			w.p.unheard++
			delete(w.p.ids, m.ID)
		}
		return
	}
	w.p.answers[m.ID] = m
	w.p.wake()
}

func (p *page) wake() {
	close(p.news)
	p.news = make(chan struct{})
}

// meet says who leads now.
func (p *page) meet(l *Leader, f *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.term++
	p.leader, p.life = l, f
	p.wake()
}

// turn waits for something new. It reports true if there is another leader, to
// which everything was sent again.
func (p *page) turn(ready func() bool) (other bool) {
	for {
		p.mu.Lock()
		term, l, f, news := p.term, p.leader, p.life, p.news
		if term == p.met && ready() {
			p.mu.Unlock()
			return false
		}
		if term != p.met {
			p.ids = map[uint32]bool{}
		}
		p.mu.Unlock()
		if term == p.met {
			<-news
			continue
		}
		p.met = term
		p.s = l.Connect(peer{p, f, term}, p.name)
		p.send(helloOf(p.name, l.config.Migrations))
		for _, w := range p.flying {
			p.again++
			p.fly(w)
		}
		return true
	}
}

func (p *page) send(q rpc.Request) uint32 {
	p.id++
	q.ID = p.id
	if q.Write.Counter != 0 {
		q.Write.Ack = p.counter
		if len(p.flying) > 0 {
			q.Write.Ack = p.flying[0].q.Write.Counter - 1
		}
		p.mu.Lock()
		p.ids[q.ID] = true
		p.mu.Unlock()
	}
	p.s.Handle(rpctest.EncodeRequest(q), false)
	return q.ID
}

func (p *page) fly(w *flight) {
	w.id = p.send(w.q)
	for _, part := range w.after {
		part.Target = w.id
		p.send(part)
	}
}

// write sends a write and goes on.
func (p *page) write(q rpc.Request, check func(rpctest.Message), after ...rpc.Request) {
	p.counter++
	q.Write.Counter = p.counter
	w := &flight{q: q, check: check, after: after}
	p.flying = append(p.flying, w)
	p.fly(w)
}

// land waits until no more than so many writes are unanswered.
func (p *page) land(most int) {
	for len(p.flying) > most {
		w := p.flying[0]
		var answer rpctest.Message
		p.turn(func() (ok bool) { answer, ok = p.answers[w.id]; return ok })
		if answer.ID != 0 {
			p.flying = p.flying[1:]
			w.check(answer)
		}
	}
}

func (p *page) run() {
	p.turn(func() bool { return p.met > 0 })
	p.write(exec("INSERT INTO state VALUES(?, 0, 0)", p.name), p.changes(1))
	for range 120 {
		switch p.r.IntN(13) {
		case 0, 1, 2:
			p.count()
		case 3, 4, 5:
			p.append()
		case 6:
			p.nothing()
		case 7:
			p.refused()
		case 8, 9:
			p.sometimes()
		case 10:
			p.bulk()
		default:
			p.transaction()
		}
		p.land(p.r.IntN(8))
	}
	p.land(0)
}

func (p *page) changes(want int64) func(rpctest.Message) {
	counter := p.counter + 1
	return func(m rpctest.Message) {
		if m.Kind == rpc.KindError {
			p.t.Errorf("%s: write %d: %v", p.name, counter, m.Payload.Err())
		} else if res, err := m.Payload.Result(); err != nil || res.Changes != want {
			p.t.Errorf("%s: write %d changed %d rows, want %d (%v)", p.name, counter, res.Changes, want, err)
		}
	}
}

// count tells how often it was done.
func (p *page) count() {
	p.n++
	want := p.n
	q := query("UPDATE state SET n = n + 1 WHERE tab = ? RETURNING n", p.name)
	p.write(q, func(m rpctest.Message) {
		if m.Kind == rpc.KindError {
			p.t.Errorf("%s: count: %v", p.name, m.Payload.Err())
		} else if _, rows, err := m.Payload.Rows(); err != nil || len(rows) != 1 || rows[0][0] != want {
			p.t.Errorf("%s: counted to %v, want %d (%v)", p.name, rows, want, err)
		}
	})
}

func (p *page) append() {
	p.log = append(p.log, p.counter+1)
	p.write(exec("INSERT INTO log(tab, write) VALUES(?, ?)", p.name, int64(p.counter+1)), p.changes(1))
}

func (p *page) nothing() {
	p.write(exec("DELETE FROM log WHERE tab = 'nobody'"), p.changes(0))
}

func (p *page) refused() {
	p.write(exec("INSERT INTO state VALUES(?, 0, 0)", p.name), func(m rpctest.Message) {
		if m.Kind != rpc.KindError || errcode.Of(m.Payload.Err()) != "SQLITE_CONSTRAINT_PRIMARYKEY" {
			p.t.Errorf("%s: a row went in twice", p.name)
		}
	})
}

// sometimes changes something only in its place among the others.
func (p *page) sometimes() {
	rest := int64(p.r.IntN(2))
	hit := p.last%2 == rest
	if hit {
		p.last++
		p.log = append(p.log, p.counter+1)
	}
	p.write(rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{
		stmt("INSERT INTO log(tab, write) SELECT tab, ? FROM state WHERE tab = ? AND last % 2 = ?", int64(p.counter+1),
			p.name, rest),
		stmt("UPDATE state SET last = last + 1 WHERE tab = ? AND last % 2 = ?", p.name, rest),
	}}, func(m rpctest.Message) {
		if m.Kind == rpc.KindError {
			p.t.Errorf("%s: sometimes: %v", p.name, m.Payload.Err())
		} else if list, err := m.Payload.Results(); err != nil || len(list) != 2 || list[1].Changes == 1 != hit {
			p.t.Errorf("%s: got %v, want a change: %v (%v)", p.name, list, hit, err)
		}
	})
}

func (p *page) bulk() {
	var rows [][]rpc.Value
	for i := range 5 {
		rows = append(rows, []rpc.Value{p.name, int64(p.counter + 1), int64(i)})
	}
	part := rpc.Request{Method: rpc.MethodBulkRows, Rows: rpctest.MakeRows(3, rows)}
	p.loaded += 10
	p.write(rpc.Request{Method: rpc.MethodBulkBegin, Stmt: rpc.Stmt{SQL: "INSERT INTO loaded VALUES(?,?,?)"}},
		p.changes(10),
		part, part, rpc.Request{Method: rpc.MethodBulkEnd})
}

// transaction is interactive: when its leader dies before the commit it is lost,
// and when it dies over it the next one knows.
func (p *page) transaction() {
	p.land(0)
	p.counter++
	name := rpc.WriteID{Counter: p.counter}
	begin := &flight{q: rpc.Request{Method: rpc.MethodTxBegin, Write: name}}
	p.flying = append(p.flying, begin)
	p.fly(begin)
	defer func() { p.flying = nil }()
	answer := func(w *flight) (m rpctest.Message, other bool) {
		for {
			other := p.turn(func() (ok bool) { m, ok = p.answers[w.id]; return ok })
			if other || m.ID != 0 {
				return m, other
			}
		}
	}
	for {
		if m, other := answer(begin); !other {
			if m.Kind == rpc.KindError {
				p.t.Errorf("%s: begin: %v", p.name, m.Payload.Err())
			}
			break
		}
	}
	// From here on there is nothing that could be sent again.
	tx := begin.id
	p.flying = nil
	for _, q := range []rpc.Request{
		inTx(rpc.MethodTxExec, tx, "UPDATE state SET n = n + 100 WHERE tab = ?", p.name),
		inTx(rpc.MethodTxExec, tx, "INSERT INTO log(tab, write) VALUES(?, ?)", p.name, int64(p.counter)),
	} {
		if _, other := answer(&flight{id: p.send(q)}); other {
			p.lost++
			return
		}
	}
	w := &flight{q: rpc.Request{Method: rpc.MethodOutcome, Write: name}}
	w.id = p.send(commit(tx))
	p.mu.Lock()
	p.ids[w.id] = true
	p.mu.Unlock()
	p.flying = []*flight{w} // what another leader is sent
	for {
		m, other := answer(w)
		switch {
		case other:
		case m.Kind == rpc.KindResult:
			p.n += 100
			p.log = append(p.log, p.counter)
			return
		case errcode.Of(m.Payload.Err()) == errcode.TxLost:
			p.lost++
			return
		default:
			p.t.Errorf("%s: commit: %v", p.name, m.Payload.Err())
			return
		}
	}
}
