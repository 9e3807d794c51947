package linktest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	link "github.com/ncruces/go-sqlite3-wasm/v6"
)

// recovered runs f and returns what it panicked with, nil if it did not.
func recovered(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// TestGuard_interleaving has a callback yield to a goroutine that enters SQLite:
// that one must get a panic, and the first must go on as if nothing was.
func TestGuard_interleaving(t *testing.T) {
	a, b := open(t, ":memory:"), open(t, ":memory:")
	enter, left := make(chan bool), make(chan any, 1)
	go func() {
		<-enter
		left <- recovered(func() { b.Exec(`SELECT 1`) })
	}()
	var got any
	err := a.CreateFunction("yield", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
		enter <- true
		got = <-left
		ctx.ResultText("went on")
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, a, `SELECT yield()`, "went on")
	if got == nil || !strings.Contains(fmt.Sprint(got), "two goroutines are inside SQLite") {
		t.Errorf("the second goroutine got %v", got)
	}
	expect(t, b, `SELECT 2`, "2")
	stackIsBack(t)
}

// TestGuard_panics panics in callbacks of each kind: SQLite gets an error, its
// stack pointer comes back, and the connection goes on.
func TestGuard_panics(t *testing.T) {
	boom := func() { panic("boom") }
	noMemory := func() { panic(fmt.Errorf("sqlite3: out of memory")) }
	tests := []struct {
		name     string
		callback string
		set      func(db *sqlite3.Conn) error
		sql      string
		want     error
	}{
		{"function", "go_func", func(db *sqlite3.Conn) error {
			return db.CreateFunction("f", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { boom() })
		}, `SELECT f()`, sqlite3.ERROR},
		{"function out of memory", "go_func", func(db *sqlite3.Conn) error {
			return db.CreateFunction("f", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { noMemory() })
		}, `SELECT f()`, sqlite3.NOMEM},
		{"deep in a query", "go_func", func(db *sqlite3.Conn) error {
			return db.CreateFunction("f", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { boom() })
		}, `INSERT INTO t SELECT (SELECT max(a) FROM (SELECT f() AS a FROM t ORDER BY random())) FROM t GROUP BY 1`,
			sqlite3.ERROR},
		{"step", "go_step", func(db *sqlite3.Conn) error {
			return db.CreateWindowFunction("f", 1, 0, func() sqlite3.AggregateFunction { return panicking{step: boom} })
		}, `SELECT f(a) FROM t`, sqlite3.ERROR},
		{"value", "go_value", func(db *sqlite3.Conn) error {
			return db.CreateWindowFunction("f", 1, 0, func() sqlite3.AggregateFunction { return panicking{value: boom} })
		}, `SELECT f(a) FROM t`, sqlite3.ERROR},
		{"inverse", "go_inverse", func(db *sqlite3.Conn) error {
			return db.CreateWindowFunction("f", 1, 0, func() sqlite3.AggregateFunction { return panicking{inverse: boom} })
		}, `SELECT f(a) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t`, sqlite3.ERROR},
		{"collation", "go_compare", func(db *sqlite3.Conn) error {
			return db.CreateCollation("c", func(_, _ []byte) int { boom(); return 0 })
		}, `SELECT a FROM t ORDER BY a COLLATE c`, sqlite3.INTERRUPT},
		{"update hook", "go_update_hook", func(db *sqlite3.Conn) error {
			db.UpdateHook(func(sqlite3.AuthorizerActionCode, string, string, int64) { boom() })
			return nil
		}, `INSERT INTO t SELECT a FROM t`, sqlite3.INTERRUPT},
		{"pre-update hook", "go_preupdate_hook", func(db *sqlite3.Conn) error {
			db.PreUpdateHook(func(sqlite3.PreUpdateData) { boom() })
			return nil
		}, `UPDATE t SET a = a || 'x'`, sqlite3.INTERRUPT},
		{"commit hook", "go_commit_hook", func(db *sqlite3.Conn) error {
			db.CommitHook(func() bool { boom(); return true })
			return nil
		}, `INSERT INTO t VALUES (9)`, sqlite3.CONSTRAINT_COMMITHOOK},
		{"authorizer", "go_authorizer", func(db *sqlite3.Conn) error {
			return db.SetAuthorizer(func(sqlite3.AuthorizerActionCode, string, string, string,
				string) sqlite3.AuthorizerReturnCode {
				boom()
				return sqlite3.AUTH_OK
			})
		}, `SELECT a FROM t`, sqlite3.AUTH},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen []string
			link.OnPanic = func(callback string, _ any) { seen = append(seen, callback) }
			defer func() { link.OnPanic = nil }()
			db := open(t, ":memory:")
			exec(t, db, `CREATE TABLE t(a); INSERT INTO t VALUES ('a'), ('b'), ('c')`)
			if err := tt.set(db); err != nil {
				t.Fatal(err)
			}
			var err error
			if v := recovered(func() { err = db.Exec(tt.sql) }); v != nil {
				err = sqlite3.NOMEM // how go-sqlite3 reports it
			}
			if !errorIs(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !slices.Contains(seen, tt.callback) {
				t.Errorf("OnPanic was told of %q, want %s", seen, tt.callback)
			}
			stackIsBack(t)
			db.UpdateHook(nil)
			db.PreUpdateHook(nil)
			db.CommitHook(nil)
			db.SetAuthorizer(nil)
			expect(t, db, `SELECT count(*) FROM t`, "3")
			expect(t, db, `PRAGMA integrity_check`, "ok")
		})
	}
}

type panicking struct{ step, value, inverse func() }

func call(f func()) {
	if f != nil {
		f()
	}
}

func (p panicking) Step(sqlite3.Context, ...sqlite3.Value)    { call(p.step) }
func (p panicking) Inverse(sqlite3.Context, ...sqlite3.Value) { call(p.inverse) }
func (p panicking) Value(sqlite3.Context)                     { call(p.value) }

// TestGuard_close opens and closes many connections and finds no growth.
func TestGuard_close(t *testing.T) {
	once := func() {
		db, err := sqlite3.Open(":memory:")
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db, `CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(4000000))`)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	used, open, linked := link.MemoryUsed(), link.Connections(), engine.Call("connections").Int()
	for range 10 {
		once()
	}
	before := heap()
	for range 200 {
		once()
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("200 connections left %d bytes in Go's heap", after-before)
	}
	if got := link.MemoryUsed(); got != used {
		t.Errorf("MemoryUsed is %d, was %d", got, used)
	}
	if got := link.Connections(); got != open {
		t.Errorf("Connections is %d, was %d", got, open)
	}
	if got := engine.Call("connections").Int(); got != linked {
		t.Errorf("the loader has %d instances, had %d", got, linked)
	}
}

// TestGuard_budget spends the memory limit: SQLite reports it, and goes on.
func TestGuard_budget(t *testing.T) {
	db := open(t, ":memory:")
	exec(t, db, `CREATE TABLE t(a); INSERT INTO t VALUES (1)`)
	link.SetMemoryLimit(link.MemoryUsed() + 8<<20)
	defer link.SetMemoryLimit(1 << 30)
	v := recovered(func() {
		for {
			if err := db.Exec(`INSERT INTO t VALUES (zeroblob(100000))`); err != nil {
				panic(err)
			}
		}
	})
	if v == nil || !strings.Contains(fmt.Sprint(v), "out of memory") {
		t.Fatalf("got %v, want out of memory", v)
	}
	stackIsBack(t)
	expect(t, db, `SELECT count(*) > 40 FROM t`, "1")
	link.SetMemoryLimit(link.MemoryUsed() + 8<<20) // in memory, a rollback journal takes some too
	exec(t, db, `DELETE FROM t WHERE a <> 1`)
	expect(t, db, `SELECT count(*) FROM t`, "1")
	expect(t, db, `PRAGMA integrity_check`, "ok")

	// A connection that there is no room for leaves nothing behind.
	used, connections := link.MemoryUsed(), link.Connections()
	for free := int64(0); free < 4<<20; free += 256 << 10 {
		link.SetMemoryLimit(used + free)
		var more *sqlite3.Conn
		v := recovered(func() { more, _ = sqlite3.Open(":memory:") })
		if more != nil {
			more.Close()
		} else if v == nil {
			t.Errorf("with %d bytes free: no connection and no panic", free)
		}
		if link.MemoryUsed() != used || link.Connections() != connections {
			t.Fatalf("with %d bytes free: %d bytes and %d connections are left over", free, link.MemoryUsed()-used,
				link.Connections()-connections)
		}
	}
}

// TestGuard_heapLimit sets SQLite's own limit, below the budget.
func TestGuard_heapLimit(t *testing.T) {
	db := open(t, ":memory:")
	exec(t, db, `CREATE TABLE t(a)`)
	expect(t, db, `PRAGMA hard_heap_limit`, fmt.Sprint(1<<30))
	expect(t, db, `PRAGMA hard_heap_limit = 3000000`, "3000000")
	v := recovered(func() { db.Exec(`INSERT INTO t VALUES (zeroblob(4000000))`) })
	if v == nil || !strings.Contains(fmt.Sprint(v), "out of memory") {
		t.Errorf("got %v, want out of memory", v)
	}
	expect(t, db, `SELECT count(*) FROM t`, "0")
	stackIsBack(t)
}

// TestGuard_nesting makes chains that would overflow the machine's stack, which
// no one can catch: SQLite refuses them, and the connection goes on.
func TestGuard_nesting(t *testing.T) {
	chain := func(first, link, last string, n int) string {
		var b strings.Builder
		b.WriteString(first)
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&b, link, i, i-1)
		}
		return b.String() + fmt.Sprintf(last, n)
	}
	tests := map[string]struct{ first, link, last string }{
		"views nested": {`CREATE TABLE g0(x)`, `; CREATE VIEW g%[1]d AS SELECT x FROM g%[2]d`,
			`; SELECT count(*) FROM g%[1]d`},
		"triggers nested": {`CREATE TABLE g0(x)`, `; CREATE TABLE g%[1]d(x); ` +
			`CREATE TRIGGER h%[1]d AFTER INSERT ON g%[2]d BEGIN INSERT INTO g%[1]d VALUES (new.x); END`,
			`; INSERT INTO g0 VALUES (%[1]d)`},
		"cascades": {`CREATE TABLE g0(x PRIMARY KEY)`,
			`; CREATE TABLE g%[1]d(x PRIMARY KEY REFERENCES g%[2]d ON DELETE CASCADE)`, `; DELETE FROM g0 WHERE x < %[1]d`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			exec(t, open(t, ":memory:"), chain(tt.first, tt.link, tt.last, 290))
			for _, n := range []int{310, 800} {
				db := open(t, ":memory:")
				err := db.Exec(chain(tt.first, tt.link, tt.last, n))
				if !errorIs(err, sqlite3.ERROR) || !strings.Contains(err.Error(), "nested more than 300 deep") {
					t.Errorf("%d: got %v", n, err)
				}
				expect(t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'g310'`, "1")
				expect(t, db, `PRAGMA integrity_check`, "ok")
			}
			stackIsBack(t)
		})
	}
}

// TestGuard_progress counts what a statement says of itself while it runs.
func TestGuard_progress(t *testing.T) {
	db := open(t, ":memory:")
	count := 0
	link.OnProgress = func() { count++ }
	defer func() { link.OnProgress = nil }()
	expect(t, db, `SELECT 1`, "1")
	if count > 1 {
		t.Errorf("a short statement spoke up %d times", count)
	}
	expect(t, db,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT count(*) FROM n`, "100000")
	if count < 500 {
		t.Errorf("a long statement spoke up %d times", count)
	}
}

// TestGuard_noOS checks that nothing reaches the files of package os: each would
// wait for JavaScript inside SQLite.
func TestGuard_noOS(t *testing.T) {
	for _, name := range []string{"test.db", "file:test.db", "file:/tmp/x?mode=rwc", ""} {
		db, err := sqlite3.Open(name)
		if name == "" { // a temporary database, which is in memory
			exec(t, db, `CREATE TABLE t(a)`)
		} else if !errorIs(err, sqlite3.CANTOPEN) {
			t.Errorf("%q: got %v, want CANTOPEN", name, err)
		}
		db.Close()
	}
	db := open(t, ":memory:")
	exec(t, db, `CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) `+
		`INSERT INTO t SELECT hex(randomblob(50)) FROM n`)
	exec(t, db, `PRAGMA temp_store = FILE; PRAGMA cache_size = 10; CREATE INDEX i ON t(a); `+
		`CREATE TEMP TABLE u AS SELECT a FROM t ORDER BY a DESC`)
	expect(t, db, `SELECT count(*) FROM u`, "100000")
	if err := db.Exec(`ATTACH 'other.db' AS o`); !errorIs(err, sqlite3.CANTOPEN) {
		t.Errorf("attach: got %v, want CANTOPEN", err)
	}
	if err := db.Exec(`VACUUM INTO 'copy.db'`); !errorIs(err, sqlite3.CANTOPEN) {
		t.Errorf("vacuum into: got %v, want CANTOPEN", err)
	}
	exec(t, db, `VACUUM`)
	stackIsBack(t)
}
