package leader

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
)

const notes = `CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL, n INTEGER)`

// unhurried are bounds that a test does not run into.
var unhurried = Bounds{
	TxIdle: await.Long, Token: await.Long,
	Store: store.Bounds{ReadAge: await.Long, Slot: await.Long, Busy: await.Long},
	Sync:  client.Bounds{Silence: await.Long, Token: await.Long},
}

// hurried sets the product's bounds, for a test in a bubble.
func hurried(_ *rpc.OpenConfig, env *Env) { env.Bounds = Bounds{} }

// openLeader opens a leader over a fresh database with the table notes.
func openLeader(t testing.TB, change func(*rpc.OpenConfig, *Env)) *Leader {
	t.Helper()
	config := rpc.OpenConfig{Name: "notes", Storage: "persistent", Migrations: []string{notes}}
	env := Env{Filename: "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "notes.db")), Storage: "best-effort",
		LeaderID: "leader-1", Bounds: unhurried}
	if change != nil {
		change(&config, &env)
	}
	l, err := Open(t.Context(), config, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// tab is a page, in Go: it keeps what the leader sends until asked for.
type tab struct {
	t       testing.TB
	s       *Session
	id      uint32
	counter uint64 // of its writes

	mu    sync.Mutex
	inbox []rpctest.Message
	news  chan struct{} // closed at each message
}

func (p *tab) Send(message []byte) {
	m, err := rpctest.DecodeMessage(message)
	if err != nil {
		p.t.Errorf("the leader sent %x: %v", message, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = append(p.inbox, m)
	close(p.news)
	p.news = make(chan struct{})
}

// connect adds a tab that has said hello.
func connect(t testing.TB, l *Leader, name string) *tab {
	t.Helper()
	p := stranger(t, l, name)
	if err := p.ask(helloOf(name, l.config.Migrations)).err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// helloOf is the first request of a tab whose app has these migrations.
func helloOf(name string, migrations []string) rpc.Request {
	return rpc.Request{Method: rpc.MethodHello, Hello: rpc.Hello{Version: rpc.Version, Session: name,
		Migrations: uint32(len(migrations)), Texts: rpc.HashMigrations(migrations)}}
}

func stranger(t testing.TB, l *Leader, name string) *tab {
	p := &tab{t: t, news: make(chan struct{})}
	p.s = l.Connect(p, name)
	t.Cleanup(p.s.Close)
	return p
}

// send sends a request, a write as the next one, and returns its id.
func (p *tab) send(q rpc.Request) uint32 {
	switch q.Method {
	case rpc.MethodExec, rpc.MethodBatch, rpc.MethodNotify, rpc.MethodBulkBegin, rpc.MethodImportBegin, rpc.MethodTxBegin:
		p.counter++
		q.Write.Counter = p.counter
	}
	return p.sendAs(q)
}

// sendAs sends a request as it is.
func (p *tab) sendAs(q rpc.Request) uint32 {
	p.id++
	q.ID = p.id
	p.s.Handle(rpctest.EncodeRequest(q), false)
	return q.ID
}

// take waits for the first message that want accepts, and removes it.
func (p *tab) take(what string, want func(rpctest.Message) bool) rpctest.Message {
	p.t.Helper()
	for {
		p.mu.Lock()
		for i, m := range p.inbox {
			if want(m) {
				p.inbox = append(p.inbox[:i:i], p.inbox[i+1:]...)
				p.mu.Unlock()
				return m
			}
		}
		news := p.news
		p.mu.Unlock()
		await.Event(p.t, news, what)
	}
}

// has tells whether a message is there that want accepts.
func (p *tab) has(want func(rpctest.Message) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.inbox {
		if want(m) {
			return true
		}
	}
	return false
}

func lastOf(id uint32) func(rpctest.Message) bool {
	return func(m rpctest.Message) bool {
		return m.ID == id && (m.Kind == rpc.KindResult || m.Kind == rpc.KindError)
	}
}

func eventOf(id uint32, e rpc.Event) func(rpctest.Message) bool {
	return func(m rpctest.Message) bool { return m.ID == id && m.Kind == rpc.KindEvent && m.Event == e }
}

// answer is what became of a request.
type answer struct {
	p      *tab
	id     uint32
	chunks []rpctest.Message
	last   rpctest.Message
}

func (p *tab) wait(id uint32) answer {
	p.t.Helper()
	a := answer{p: p, id: id, last: p.take("answer", lastOf(id))}
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := p.inbox[:0:0]
	for _, m := range p.inbox {
		if m.ID == id && m.Kind == rpc.KindChunk {
			a.chunks = append(a.chunks, m)
		} else {
			rest = append(rest, m)
		}
	}
	p.inbox = rest
	return a
}

func (p *tab) ask(q rpc.Request) answer {
	p.t.Helper()
	return p.wait(p.send(q))
}

func (a answer) err() error {
	if a.last.Kind == rpc.KindError {
		return a.last.Payload.Err()
	}
	return nil
}

func (a answer) ok() answer {
	a.p.t.Helper()
	if err := a.err(); err != nil {
		a.p.t.Fatalf("request %d: %v", a.id, err)
	}
	return a
}

// fails checks the error's code and returns it.
func (a answer) fails(code string) *errcode.Error {
	a.p.t.Helper()
	err := a.err()
	if errcode.Of(err) != code {
		a.p.t.Fatalf("request %d: got %v, want %s", a.id, err, code)
	}
	return err.(*errcode.Error)
}

func (a answer) rows() (columns []string, rows [][]rpc.Value) {
	a.p.t.Helper()
	a.ok()
	for i, m := range append(a.chunks, a.last) {
		names, more, err := m.Payload.Rows()
		if err != nil {
			a.p.t.Fatal(err)
		}
		if i == 0 {
			columns = names
		}
		rows = append(rows, more...)
	}
	return columns, rows
}

// returned is what exec has done, and the rows of a statement that returns rows.
func (a answer) returned() (res rpc.Result, rows [][]rpc.Value) {
	a.p.t.Helper()
	a.ok()
	for _, m := range a.chunks {
		_, more, err := m.Payload.Rows()
		if err != nil {
			a.p.t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	// What is decoded from a payload is consumed, so the block follows the result.
	res, last, err := a.last.Payload.Returned()
	if err != nil {
		a.p.t.Fatal(err)
	}
	return res, append(rows, last...)
}

func stmt(sql string, args ...rpc.Value) rpc.Stmt {
	return rpc.Stmt{SQL: sql, Params: rpc.Params{Positional: args}}
}

func exec(sql string, args ...rpc.Value) rpc.Request {
	return rpc.Request{Method: rpc.MethodExec, Stmt: stmt(sql, args...)}
}

// writeQuery is a query that the tab could not tell to be a read.
func (p *tab) writeQuery(sql string, args ...rpc.Value) answer {
	p.t.Helper()
	q := query(sql, args...)
	p.counter++
	q.Write.Counter = p.counter
	return p.wait(p.sendAs(q))
}

func query(sql string, args ...rpc.Value) rpc.Request {
	return rpc.Request{Method: rpc.MethodQuery, Stmt: stmt(sql, args...)}
}

func inTx(method rpc.Method, tx uint32, sql string, args ...rpc.Value) rpc.Request {
	return rpc.Request{Method: method, Target: tx, Stmt: stmt(sql, args...)}
}

// value is the one value of a query.
func (p *tab) value(sql string, args ...rpc.Value) rpc.Value {
	p.t.Helper()
	_, rows := p.ask(query(sql, args...)).rows()
	if len(rows) != 1 || len(rows[0]) != 1 {
		p.t.Fatalf("%s: got %v", sql, rows)
	}
	return rows[0][0]
}

// begin opens an interactive transaction.
func (p *tab) begin() uint32 {
	p.t.Helper()
	return p.ask(rpc.Request{Method: rpc.MethodTxBegin}).ok().id
}
