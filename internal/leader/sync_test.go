package leader

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// serve starts a real server; decide may refuse transactions.
func serve(t *testing.T, decide func(*wire.Body) error) *httptest.Server {
	t.Helper()
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{Store: kept, Dev: true,
		Limits: server.Limits{Request: await.Long, Decision: await.Long},
		Decide: func(_ context.Context, d *server.Decision) error {
			body := d.Body
			if decide == nil {
				return nil
			}
			return decide(body)
		}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		s.Close()
		kept.Close()
	})
	return h
}

func synced(url string) func(*rpc.OpenConfig, *Env) {
	return func(c *rpc.OpenConfig, env *Env) {
		c.Sync = &rpc.SyncConfig{URL: url, Space: "s", Tables: []rpc.SyncTable{{Name: "notes"}}}
		env.HTTP = nethttp.Doer{}
	}
}

func (p *tab) digest() (seq uint64, hash string) {
	p.t.Helper()
	p.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
	d, err := p.ask(rpc.Request{Method: rpc.MethodSyncDigest}).ok().last.Payload.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	return d.Seq, d.Hash
}

// statusOf waits for a status that want accepts, acknowledging each.
func (p *tab) statusOf(want func(rpc.Status) bool) rpc.Status {
	p.t.Helper()
	for {
		s, err := p.take("status", eventOf(0, rpc.EventStatus)).Payload.Status()
		if err != nil {
			p.t.Fatal(err)
		}
		p.send(rpc.Request{Method: rpc.MethodAck, Event: uint8(rpc.EventStatus)})
		if want(s) {
			return s
		}
	}
}

func TestSync_twoDevices(t *testing.T) {
	url := serve(t, nil).URL
	one, two := openLeader(t, synced(url)), openLeader(t, synced(url))
	a, b := connect(t, one, "a"), connect(t, two, "b")
	live := b.send(liveStart("SELECT body FROM notes ORDER BY id"))
	b.wait(live).ok()
	liveOf(t, b, live)
	b.ack()
	a.ask(exec("INSERT INTO notes VALUES('k','from a',1)")).ok()
	if u := liveOf(t, b, live); len(u.Rows) != 1 || u.Rows[0][0] != "from a" {
		t.Errorf("the other device's live query got %v", u.Rows)
	}
	b.ask(exec("UPDATE notes SET n = 2")).ok()
	b.digest()
	seq, digest := a.digest()
	if seq2, digest2 := b.digest(); seq != 2 || seq2 != seq || digest2 != digest {
		t.Errorf("got %d %s and %d %s", seq, digest, seq2, digest2)
	}
	a.ask(rpc.Request{Method: rpc.MethodSyncPause}).ok()
	a.statusOf(func(s rpc.Status) bool { return s.State == "paused" })
	a.ask(rpc.Request{Method: rpc.MethodSyncResume}).ok()
	a.statusOf(func(s rpc.Status) bool { return s.State == "live" })
	one.SetOnline(false)
	a.statusOf(func(s rpc.Status) bool { return s.State == "offline" })
	a.ask(exec("UPDATE notes SET n = 3")).ok()
	a.statusOf(func(s rpc.Status) bool { return s.Pending == 1 })
	a.ask(rpc.Request{Method: rpc.MethodSyncNow}).fails(errcode.Network)
	one.SetOnline(true)
	a.statusOf(func(s rpc.Status) bool { return s.State == "live" && s.Pending == 0 && s.Seq == 3 })
}

func TestSync_rejectionReachesEveryTab(t *testing.T) {
	l := openLeader(t, synced(serve(t, func(body *wire.Body) error {
		return errcode.New("APP_NO", "decide", "not this one")
	}).URL))
	a, b := connect(t, l, "a"), connect(t, l, "b")
	quiet := stranger(t, l, "c") // has not said hello
	a.ask(exec("INSERT INTO notes VALUES('k','body',7)")).ok()
	for _, p := range []*tab{a, b} {
		got, err := p.take("rejection", eventOf(0, rpc.EventRejected)).Payload.Transaction()
		if err != nil || got.Counter != 1 || got.Code != "APP_NO" || len(got.Ops) != 1 || got.ID != 1 || got.Created == 0 {
			t.Fatalf("got %+v, %v", got, err)
		}
		if op := got.Ops[0]; op.Kind != "insert" || op.Table != "notes" || op.Key[0] != "k" || len(op.Columns) != 2 {
			t.Errorf("got %+v", op)
		}
	}
	if n := a.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("got %v notes: the rejection was not undone", n)
	}
	if quiet.has(func(rpctest.Message) bool { return true }) {
		t.Error("a tab that has not said hello gets events")
	}
}

func TestSync_outcomes(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	l := openLeader(t, synced(serve(t, func(*wire.Body) error {
		if refuse.Load() {
			return errcode.New("APP_NO", "decide", "not this one")
		}
		return nil
	}).URL))
	p := connect(t, l, "a")
	list := func(m rpc.Method) (all []rpc.Transaction) {
		t.Helper()
		a := p.ask(rpc.Request{Method: m}).ok()
		for _, m := range append(a.chunks, a.last) {
			some, err := m.Payload.Transactions()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, some...)
		}
		return all
	}
	l.SetOnline(false)
	large := strings.Repeat("x", transactionsBytes)
	for range 3 {
		p.ask(exec("INSERT INTO notes VALUES(uuid7(), ?, 7)", large)).ok()
	}
	pending := list(rpc.MethodSyncPending)
	if len(pending) != 3 || pending[2].ID != 3 || pending[0].Code != "" || len(pending[0].Ops) != 1 ||
		pending[0].Ops[0].Cells[0] != large {
		t.Fatalf("%d pending", len(pending))
	}
	l.SetOnline(true)
	p.statusOf(func(s rpc.Status) bool { return s.State == "live" && s.Pending == 0 })
	rejected := list(rpc.MethodSyncRejected)
	if len(rejected) != 3 || rejected[0].Code != "APP_NO" || rejected[0].Message == "" || rejected[2].Counter != 3 ||
		rejected[0].Ops[0].Kind != "insert" {
		t.Fatalf("%d rejected", len(rejected))
	}
	if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("got %v notes", n)
	}
	refuse.Store(false)
	flag := func(m rpc.Method, tx uint64) bool {
		t.Helper()
		v, err := p.ask(rpc.Request{Method: m, Tx: tx}).ok().last.Payload.Bool()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if !flag(rpc.MethodSyncRetry, 2) || !flag(rpc.MethodSyncDiscard, 1) || flag(rpc.MethodSyncRetry, 1) ||
		flag(rpc.MethodSyncDiscard, 2) {
		t.Error("retry and discard tell wrongly what was there")
	}
	p.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes after the retry", n)
	}
	text, err := p.ask(rpc.Request{Method: rpc.MethodSyncExport}).ok().last.Payload.Str()
	if err != nil || strings.Count(text, "APP_NO") != 1 {
		t.Errorf("got %.200s, %v", text, err)
	}
	if rows, err := p.ask(rpc.Request{Method: rpc.MethodSyncQuarantined,
		Limit: 10}).ok().last.Payload.QuarantinedRows(); err != nil || len(rows) != 0 {
		t.Errorf("quarantined: got %v, %v", rows, err)
	}
	if keys, err := p.ask(rpc.Request{Method: rpc.MethodSyncDangling, Limit: 10}).ok().last.Payload.Keys(); err != nil ||
		len(keys) != 0 {
		t.Errorf("got %v, %v", keys, err)
	}
}

func TestSync_none(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	for _, m := range []rpc.Method{rpc.MethodSyncNow, rpc.MethodSyncPause, rpc.MethodSyncResume, rpc.MethodSyncDigest} {
		p.ask(rpc.Request{Method: m}).fails(errcode.NoSync)
	}
}

// greet says hello as a page that can be asked for a token.
func greet(t *testing.T, l *Leader, name string) *tab {
	p := stranger(t, l, name)
	hello := helloOf(name, l.config.Migrations)
	hello.Hello.Token = true
	p.ask(hello).ok()
	return p
}

func (p *tab) asked() uint32 {
	p.t.Helper()
	id, err := p.take("ask", eventOf(0, rpc.EventToken)).Payload.U32()
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

func TestTokens(t *testing.T) {
	// Without sync nobody but the test asks.
	l := openLeader(t, nil)
	hasty := openLeader(t, func(_ *rpc.OpenConfig, env *Env) { env.Bounds.Token = 20 * time.Millisecond })
	type got struct {
		token string
		err   error
	}
	askOf := func(l *Leader, ctx context.Context) chan got {
		done := make(chan got, 1)
		go func() {
			token, err := l.tokens.ask(ctx, l)
			done <- got{token, err}
		}()
		return done
	}
	ask := func(ctx context.Context) chan got { return askOf(l, ctx) }
	deny := errcode.New(errcode.Unauthorized, "page", "logged out")
	// With no page there, one that comes in time is asked.
	done := ask(t.Context())
	a := greet(t, l, "a")
	id := a.asked()
	a.send(rpc.Request{Method: rpc.MethodToken, Target: id, Token: "abc"})
	if g := <-done; g.token != "abc" || g.err != nil {
		t.Errorf("got %+v", g)
	}
	// One page has none, the other has.
	b := greet(t, l, "b")
	done = ask(t.Context())
	ida, idb := a.asked(), b.asked()
	a.send(rpc.Request{Method: rpc.MethodToken, Target: ida, Err: deny})
	a.send(rpc.Request{Method: rpc.MethodToken, Target: ida, Token: "too late"})
	b.send(rpc.Request{Method: rpc.MethodToken, Target: idb, Token: "of b"})
	if g := <-done; g.token != "of b" {
		t.Errorf("got %+v", g)
	}
	// One has none, the other goes away.
	done = ask(t.Context())
	a.send(rpc.Request{Method: rpc.MethodToken, Target: a.asked(), Err: deny})
	b.asked()
	b.s.Close()
	if g := <-done; errcode.Of(g.err) != errcode.Unauthorized {
		t.Errorf("got %+v", g)
	}
	// Nobody answers.
	if g := <-askOf(hasty, t.Context()); errcode.Of(g.err) != errcode.Timeout {
		t.Errorf("got %+v", g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if g := <-ask(ctx); errcode.Of(g.err) != errcode.Aborted {
		t.Errorf("got %+v", g)
	}
}
