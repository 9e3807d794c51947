package linktest

import (
	"errors"
	"fmt"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

var engine = js.Global().Get("heddleEngine")

// open opens a database that the test closes.
func open(t testing.TB, name string) *sqlite3.Conn {
	t.Helper()
	db, err := sqlite3.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return db
}

func exec(t testing.TB, db *sqlite3.Conn, sql string) {
	t.Helper()
	if err := db.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// query returns the rows of a query, columns joined by a bar.
func query(db *sqlite3.Conn, sql string, args ...any) (rows []string, err error) {
	s, _, err := db.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for i, a := range args {
		if err := s.BindJSON(i+1, a); err != nil {
			return nil, err
		}
	}
	for s.Step() {
		var cols []string
		for i := range s.ColumnCount() {
			cols = append(cols, s.ColumnText(i))
		}
		rows = append(rows, strings.Join(cols, "|"))
	}
	return rows, s.Err()
}

func expect(t testing.TB, db *sqlite3.Conn, sql, want string) {
	t.Helper()
	rows, err := query(db, sql)
	if got := strings.Join(rows, "\n"); err != nil || got != want {
		t.Errorf("%s: got %q, %v, want %q", sql, got, err, want)
	}
}

func stackIsBack(t testing.TB) {
	t.Helper()
	if !engine.Call("stackPointersAreBack").Bool() {
		t.Error("SQLite's __stack_pointer is not back where it was")
	}
}

func TestLink_insertsAndQueries(t *testing.T) {
	db := open(t, ":memory:")
	exec(t, db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL)`)
	start := time.Now()
	exec(t, db, `BEGIN`)
	s, _, err := db.Prepare(`INSERT INTO t(b, c) VALUES (?, ?)`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if err := errors.Join(s.BindText(1, fmt.Sprint("row ", i)), s.BindFloat(2, float64(i)/4), s.Exec()); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	exec(t, db, `COMMIT`)
	t.Log("100k inserts:", time.Since(start))
	start = time.Now()
	expect(t, db, `SELECT count(*), sum(a), max(b), sum(c) FROM t WHERE b LIKE '%9%'`,
		"40951|2375617195|row 99999|593894061.0")
	t.Log("LIKE aggregate:", time.Since(start))
	expect(t, db, `SELECT sqlite_version(), typeof(sqrt(2)), json('{"a":[1,2]}') ->> '$.a[1]'`, "3.54.1|real|2")
	stackIsBack(t)
}

func TestLink_compiledIn(t *testing.T) {
	db := open(t, ":memory:")
	exec(t, db, `CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('the quick brown fox'), ('lazy dog')`)
	expect(t, db, `SELECT highlight(f, 0, '[', ']') FROM f WHERE f MATCH 'quick OR fox' ORDER BY rank`,
		"the [quick] brown [fox]")
	exec(t, db, `CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0, 2), (2, 5, 6)`)
	expect(t, db, `SELECT id FROM r WHERE x0 >= 4`, "2")
	for _, option := range []string{"ENABLE_PREUPDATE_HOOK", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_MATH_FUNCTIONS",
		"DEFAULT_WAL_SYNCHRONOUS=2"} {
		expect(t, db, `SELECT sqlite_compileoption_used('`+option+`')`, "1")
	}
	expect(t, db, `PRAGMA synchronous`, "2")
}

func TestLink_callbacks(t *testing.T) {
	db := open(t, ":memory:")
	exec(t, db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
	err := errors.Join(
		db.CreateFunction("twice", 1, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			ctx.ResultText(arg[0].Text() + arg[0].Text())
		}),
		db.CreateWindowFunction("total_len", 1, sqlite3.DETERMINISTIC,
			func() sqlite3.AggregateFunction { return new(totalLen) }),
		db.CreateCollation("reverse", func(a, b []byte) int { return strings.Compare(string(b), string(a)) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	db.UpdateHook(func(op sqlite3.AuthorizerActionCode, schema, table string, rowid int64) {
		log = append(log, fmt.Sprintf("update %v %s.%s %d", op, schema, table, rowid))
	})
	db.PreUpdateHook(func(d sqlite3.PreUpdateData) {
		line := fmt.Sprintf("before %v %s %d %d:", d.Op, d.Table, d.OldRowID, d.NewRowID)
		if d.Op != sqlite3.AUTH_INSERT {
			v, err := d.Old(1)
			line += fmt.Sprint(" old ", v.Text(), err)
		}
		if d.Op != sqlite3.AUTH_DELETE {
			v, err := d.New(1)
			line += fmt.Sprint(" new ", v.Text(), err)
		}
		log = append(log, line)
	})
	db.CommitHook(func() bool { log = append(log, "commit"); return true })
	exec(t, db, `INSERT INTO t VALUES (1, twice('ab')), (9007199254740993, 'c'); UPDATE t SET b = 'x' WHERE a = 1; `+
		`DELETE FROM t WHERE a > 1`)
	want := []string{
		"before 18 t 1 1: new abab<nil>", "update 18 main.t 1",
		"before 18 t 9007199254740993 9007199254740993: new c<nil>", "update 18 main.t 9007199254740993", "commit",
		"before 23 t 1 1: old abab<nil> new x<nil>", "update 23 main.t 1", "commit",
		"before 9 t 9007199254740993 9007199254740993: old c<nil>", "update 9 main.t 9007199254740993", "commit",
	}
	if got := strings.Join(log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	expect(t, db, `SELECT total_len(value) FROM json_each('["a","bcd","ef"]')`, "6")
	expect(t, db, `SELECT group_concat(value ORDER BY value COLLATE reverse) FROM json_each('["a","c","b"]')`, "c,b,a")
	stackIsBack(t)
}

type totalLen struct{ n int }

func (a *totalLen) Step(_ sqlite3.Context, arg ...sqlite3.Value)    { a.n += len(arg[0].Text()) }
func (a *totalLen) Inverse(_ sqlite3.Context, arg ...sqlite3.Value) { a.n -= len(arg[0].Text()) }
func (a *totalLen) Value(ctx sqlite3.Context)                       { ctx.ResultInt(a.n) }

// TestLink_callbackGrowsStack has a callback that makes Go move its stack while
// SQLite's frames are on the machine's.
func TestLink_callbackGrowsStack(t *testing.T) {
	db := open(t, ":memory:")
	var deep func(n int) int
	deep = func(n int) int {
		var pad [256]byte
		pad[n%256] = byte(n)
		if n == 0 {
			return int(pad[0])
		}
		return deep(n-1) + 1
	}
	err := db.CreateFunction("deep", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
		ctx.ResultInt(deep(arg[0].Int()))
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []string)
	go func() { // a new goroutine has a small stack
		rows, _ := query(db, `SELECT deep(1000), deep(10)`)
		done <- rows
	}()
	if rows := <-done; len(rows) != 1 || rows[0] != "1000|10" {
		t.Errorf("got %q", rows)
	}
}

func TestLink_twoConnections(t *testing.T) {
	a, b := open(t, ":memory:"), open(t, ":memory:")
	exec(t, a, `CREATE TABLE t(x); INSERT INTO t VALUES ('in a')`)
	exec(t, b, `CREATE TABLE t(x); INSERT INTO t VALUES ('in b')`)
	err := a.CreateFunction("other", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
		rows, err := query(b, `SELECT x FROM t`)
		if err != nil {
			ctx.ResultError(err)
			return
		}
		ctx.ResultText(strings.Join(rows, ","))
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, a, `SELECT x, other() FROM t`, "in a|in b")
	stackIsBack(t)
}

func TestLink_localTime(t *testing.T) {
	db := open(t, ":memory:")
	for _, unix := range []int64{0, 1700000000, 1720000000, 4102444799} {
		d := js.Global().Get("Date").New(float64(unix) * 1000)
		want := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", d.Call("getFullYear").Int(), d.Call("getMonth").Int()+1,
			d.Call("getDate").Int(), d.Call("getHours").Int(), d.Call("getMinutes").Int(), d.Call("getSeconds").Int())
		expect(t, db, fmt.Sprintf(`SELECT datetime(%d, 'unixepoch', 'localtime')`, unix), want)
		expect(t, db, fmt.Sprintf(`SELECT unixepoch('%s', 'utc')`, want), fmt.Sprint(unix))
	}
}
