package leader

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/internal/store"
)

func TestSession_execAndQuery(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	res, err := p.ask(exec("INSERT INTO notes VALUES(?,?,?)", "k", "text\x00ü", int64(1<<60))).ok().last.Payload.Result()
	if err != nil || res != (rpc.Result{Changes: 1, LastInsertRowID: 1}) {
		t.Errorf("exec: got %+v, %v", res, err)
	}
	columns, rows := p.ask(query("SELECT *, 1.5 AS f, x'00ff' AS b, NULL AS z FROM notes")).rows()
	want := [][]rpc.Value{{"k", "text\x00ü", int64(1 << 60), 1.5, []byte{0, 255}, nil}}
	if !reflect.DeepEqual(columns, []string{"id", "body", "n", "f", "b", "z"}) || !reflect.DeepEqual(rows, want) {
		t.Errorf("query: got %q %v", columns, rows)
	}
	named := query("SELECT :a + $b")
	named.Stmt.Params = rpc.Params{Named: map[string]rpc.Value{"a": int64(1), "$b": int64(2)}}
	if _, rows := p.ask(named).rows(); !reflect.DeepEqual(rows, [][]rpc.Value{{int64(3)}}) {
		t.Errorf("named: got %v", rows)
	}
	if _, rows := p.ask(query("SELECT * FROM notes WHERE 0")).rows(); len(rows) != 0 {
		t.Errorf("no rows: got %v", rows)
	}
	p.ask(exec("VACUUM")).ok()
	p.ask(exec("INSERT INTO notes VALUES('x','1',1); INSERT INTO notes VALUES('y','2',2)")).ok()
	if n := p.value("SELECT count(*) FROM notes"); n != int64(3) {
		t.Errorf("got %v notes, want 3", n)
	}
}

func TestSession_manyRowsComeInBlocks(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	a := p.ask(query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10000) SELECT i, 'row " +
		"'||i FROM n"))
	_, rows := a.rows()
	if len(rows) != 10000 || len(a.chunks) < 2 {
		t.Fatalf("got %d rows in %d chunks", len(rows), len(a.chunks))
	}
	for i, row := range rows {
		if row[0] != int64(i+1) || row[1] != fmt.Sprint("row ", i+1) {
			t.Fatalf("row %d is %v", i, row)
		}
	}
}

func TestSession_errorsHaveCodeAndSQL(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	p.ask(exec("INSERT INTO notes VALUES('k','b',1)")).ok()
	for _, c := range []struct {
		q    rpc.Request
		code string
	}{
		{exec("INSERT INTO notes VALUES('k','b',1)"), "SQLITE_CONSTRAINT_PRIMARYKEY"},
		{exec("INSERT INTO notes VALUES('l',NULL,1)"), "SQLITE_CONSTRAINT_NOTNULL"},
		{exec("SELEC 1"), "SQLITE_ERROR"},
		{query("SELECT * FROM nowhere"), "SQLITE_ERROR"},
		{query("SELECT ?", int64(1), int64(2)), errcode.BadParam},
		{query("SELECT 1; SELECT 2"), errcode.Unsupported},
		{exec("BEGIN"), errcode.TxControl},
		{exec("COMMIT"), errcode.TxControl},
	} {
		err := p.ask(c.q).fails(c.code)
		if err.Message() == "" {
			t.Errorf("%s: no message", c.q.Stmt.SQL)
		}
		if strings.HasPrefix(c.code, "SQLITE_") && err.SQL != c.q.Stmt.SQL {
			t.Errorf("%s: the error's SQL is %q", c.q.Stmt.SQL, err.SQL)
		}
	}
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1", n)
	}
}

func TestSession_batchIsOneTransaction(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	list, err := p.ask(rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{
		stmt("INSERT INTO notes VALUES(?,?,?)", "a", "b", nil), stmt("UPDATE notes SET n = 1"),
	}}).ok().last.Payload.Results()
	if err != nil || len(list) != 2 || list[1].Changes != 1 {
		t.Errorf("got %v, %v", list, err)
	}
	p.ask(rpc.Request{Method: rpc.MethodBatch, Stmts: []rpc.Stmt{
		stmt("DELETE FROM notes"), stmt("INSERT INTO nowhere VALUES(1)"),
	}}).fails("SQLITE_ERROR")
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1: the batch was not rolled back", n)
	}
}

func TestSession_queryThatWrites(t *testing.T) {
	var commits []store.Commit
	l := openLeader(t, nil)
	l.DB().OnCommit(func(c store.Commit) { commits = append(commits, c) })
	p := connect(t, l, "tab-a")
	if _, rows := p.writeQuery("INSERT INTO notes VALUES('k','b',7) RETURNING n").rows(); !reflect.DeepEqual(rows,
		[][]rpc.Value{{int64(7)}}) {
		t.Errorf("got %v", rows)
	}
	if len(commits) != 1 || commits[0].Origin.Tab != "tab-a" {
		t.Errorf("got commits %+v, want one of tab-a", commits)
	}
	// One that the page could not tell to be a read.
	if _, rows := p.writeQuery("WITH x AS (SELECT replace('a','a','b')) SELECT * FROM x").rows(); !reflect.DeepEqual(rows,
		[][]rpc.Value{{"b"}}) {
		t.Errorf("got %v", rows)
	}
}

func TestSession_hello(t *testing.T) {
	l := openLeader(t, nil)
	p := stranger(t, l, "a")
	p.ask(query("SELECT 1")).fails(errcode.Protocol)
	hello := rpc.Request{Method: rpc.MethodHello, Hello: rpc.Hello{Version: rpc.Version + 1, Session: "a"}}
	p.ask(hello).fails(errcode.Protocol)
	hello.Hello = rpc.Hello{Version: rpc.Version, Session: "a", Migrations: 2}
	if err := p.ask(hello).fails(errcode.Outdated); !strings.Contains(err.Message(), "older version of the app") {
		t.Errorf("got %v", err)
	}
	other := p.ask(helloOf("a", []string{notes + " STRICT"})).fails(errcode.Migration)
	if !strings.Contains(other.Message(), "destroy()") {
		t.Errorf("got %v", other)
	}
	hello.Hello.Migrations = 0
	w, err := p.ask(hello).ok().last.Payload.Welcome()
	if err != nil || w.Leader != "leader-1" || w.Storage != "best-effort" || w.Migrations != 1 || w.Sync ||
		w.Status.State != "off" {
		t.Errorf("got %+v, %v", w, err)
	}
	l.SetStorage("persistent")
	if s, err := p.take("storage event", eventOf(0, rpc.EventStorage)).Payload.Str(); err != nil || s != "persistent" {
		t.Errorf("got %q, %v", s, err)
	}
	p.s.Handle([]byte{1}, false)                         // no id: nothing to answer
	p.s.Handle([]byte{200, 0, 0, 0, 99, 1, 2, 3}, false) // an unknown method
	p.wait(200).fails(errcode.Protocol)
	p.ask(rpc.Request{Method: rpc.MethodExportEnd}).ok()
}

// A read sees each write sent before it and none sent after it, though nobody
// waits for an answer.
func TestSession_keepsTheOrderOfUnawaitedCalls(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	var reads []uint32
	for i := range 150 {
		p.send(exec("INSERT INTO notes VALUES(?,?,?)", fmt.Sprint(i), "b", int64(i)))
		reads = append(reads, p.send(query("SELECT count(*) FROM notes")))
	}
	for i, id := range reads {
		_, rows := p.wait(id).rows()
		if rows[0][0] != int64(i+1) {
			t.Fatalf("read %d counts %v, want %d", i, rows[0][0], i+1)
		}
	}
}

func TestSession_tabsWriteAtOnce(t *testing.T) {
	l := openLeader(t, nil)
	var wait sync.WaitGroup
	for i := range 4 {
		p := connect(t, l, fmt.Sprint("tab-", i))
		wait.Go(func() {
			for j := range 50 {
				p.ask(exec("INSERT INTO notes VALUES(?,?,?)", fmt.Sprint(i, "-", j), "b", nil)).ok()
			}
		})
	}
	wait.Wait()
	if n := connect(t, l, "x").value("SELECT count(*) FROM notes"); n != int64(200) {
		t.Errorf("got %v notes, want 200", n)
	}
}

func TestSession_refusesWhatWouldGrowAQueue(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	tx := a.begin()
	busy := uint32(0)
	var first uint32
	for i := range MaxQueued + 10 {
		id := b.send(exec("INSERT INTO notes VALUES(?,?,?)", fmt.Sprint(i), "b", nil))
		if i == 0 {
			first = id
		}
		busy = id
	}
	b.wait(busy).fails(errcode.Busy)
	a.ask(rpc.Request{Method: rpc.MethodTxRollback, Target: tx}).ok()
	b.wait(first).ok()
}

func TestSession_cancel(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	cancel := func(p *tab, id uint32) { p.send(rpc.Request{Method: rpc.MethodCancel, Target: id}) }

	// A statement that runs for ever.
	id := a.send(query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"))
	a.ask(rpc.Request{Method: rpc.MethodExportEnd}).ok()
	cancel(a, id)
	a.wait(id).fails(errcode.Aborted)

	// Writes that wait for a transaction, at the head of their line and behind it.
	tx := a.begin()
	head, behind := b.send(exec("DELETE FROM notes")), b.send(exec("DELETE FROM notes"))
	cancel(b, behind)
	b.wait(behind).fails(errcode.Aborted)
	cancel(b, head)
	b.wait(head).fails(errcode.Aborted)

	// A transaction that waits for its turn does not get one later.
	id = b.send(rpc.Request{Method: rpc.MethodTxBegin})
	cancel(b, id)
	b.wait(id).fails(errcode.Aborted)
	a.ask(rpc.Request{Method: rpc.MethodTxCommit, Target: tx}).ok()
	b.ask(exec("INSERT INTO notes VALUES('k','b',1)")).ok()
	cancel(b, head) // answered long ago
	if n := a.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1", n)
	}
}

// Who closes the leader hands over to another: what was not answered never is,
// so that pages ask the next leader, and nothing runs on.
func TestLeader_closeAnswersNothing(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	tx := a.begin()
	a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('k','b',1)")).ok()
	id := b.send(exec("INSERT INTO notes VALUES('l','b',1)"))
	slow := b.send(query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"))
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if b.has(lastOf(id)) || b.has(lastOf(slow)) {
		t.Error("a request was answered after the leader let go")
	}
	a.s.Handle(rpctest.EncodeRequest(rpc.Request{ID: 900, Method: rpc.MethodExportEnd}), false)
	if a.has(lastOf(900)) {
		t.Error("a closed session answers")
	}
	late := &tab{t: t, news: make(chan struct{})}
	late.s = l.Connect(late, "late")
	late.s.Handle(rpctest.EncodeRequest(rpc.Request{ID: 1, Method: rpc.MethodExportEnd}), false)
}

func TestOpen_fails(t *testing.T) {
	config := rpc.OpenConfig{Name: "n", Storage: "persistent", Migrations: []string{"CREATE TABL t"}}
	env := Env{Filename: "file:" + t.TempDir() + "/x.db"}
	if l, err := Open(t.Context(), config, env); errcode.Of(err) != errcode.Migration {
		t.Errorf("got %v, %v, want %s", l, err, errcode.Migration)
	}
	config.Migrations = []string{"CREATE TABLE t(a INTEGER)"}
	config.Sync = &rpc.SyncConfig{URL: "http://127.0.0.1:1", Space: "s", Tables: []rpc.SyncTable{{Name: "t"}}}
	env.Filename = "file:" + t.TempDir() + "/y.db"
	if l, err := Open(t.Context(), config, env); err == nil {
		t.Errorf("a synced table without a key: got %v", l)
	}
}

// TestOpen_refusedMigration has a release that sync refuses, the one before it,
// and a corrected one.
func TestOpen_refusedMigration(t *testing.T) {
	p := newPlace(t)
	p.fill(syncedConfig())
	again := func(later ...string) error {
		config := syncedConfig()
		config.Migrations = append(slices.Clone(config.Migrations), later...)
		l, err := p.open(config, ExitClean)
		if err != nil {
			return err
		}
		connect(t, l, "a").ask(exec(`UPDATE notes SET body = 'new' WHERE id = 'n1'`)).ok()
		return l.Close(t.Context())
	}
	const refused = `ALTER TABLE notes RENAME COLUMN body TO text`
	for range 2 {
		if err := again(refused); errcode.Of(err) != errcode.SyncSchema {
			t.Fatalf("got %v", err)
		}
		if err := again(); err != nil {
			t.Fatal(err)
		}
	}
	if err := again(`CREATE INDEX by_body ON notes(body)`); err != nil {
		t.Fatal(err)
	}
}

// TestLeader_probe asks a leader, between its tabs' calls, whether it is quiet.
func TestLeader_probe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLeader(t, nil)
		quiet := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			if got := l.Probe(); got != want {
				t.Errorf("%s: quiet is %v, want %v", when, got, want)
			}
		}
		quiet("without tabs", true)
		p, other := connect(t, l, "a"), connect(t, l, "b")
		quiet("with idle tabs", true)
		tx := p.begin()
		quiet("with an open transaction", false)
		waiting := other.send(exec("INSERT INTO notes VALUES('a','b',1)"))
		quiet("with a write that waits for it", false)
		p.ask(commit(tx)).ok()
		other.wait(waiting).ok()
		quiet("when both are answered", true)
	})
}

// A tab that has seen another leader's commits sees their numbers go up.
func TestHello_commitNumbersGoOn(t *testing.T) {
	l := openLeader(t, nil)
	hello := func(leader string, commit uint64) uint64 {
		t.Helper()
		q := helloOf("a", l.config.Migrations)
		q.Hello.Leader, q.Hello.Commit = leader, commit
		welcome, err := stranger(t, l, "a").ask(q).ok().last.Payload.Welcome()
		if err != nil {
			t.Fatal(err)
		}
		return welcome.Commit
	}
	for _, test := range []struct {
		leader       string
		commit, want uint64
	}{
		{"", 0, 0},
		{"before", 41, 42},
		{"before", 41, 42}, // another tab of that leader's
		{"before", 7, 42},
		{"leader-1", 42, 42}, // it comes again
		{"before", 43, 44},
		{"before", 1 << 60, 44}, // no leader has counted so far
	} {
		if got := hello(test.leader, test.commit); got != test.want {
			t.Errorf("after %d of %q: got %d, want %d", test.commit, test.leader, got, test.want)
		}
	}
	p := connect(t, l, "b")
	live := p.send(liveStart("SELECT count(*) FROM notes"))
	p.wait(live).ok()
	liveEvent(t, p)
	p.ack()
	p.ask(exec("INSERT INTO notes VALUES('k','b',1)")).ok()
	if commit, _ := liveEvent(t, p); commit != 45 {
		t.Errorf("the next commit is %d", commit)
	}
}
