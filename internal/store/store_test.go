package store

import (
	"context"
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// unhurried are bounds that a test does not run into.
var unhurried = Bounds{ReadAge: await.Long, Slot: await.Long, Busy: await.Long}

func openTest(t testing.TB, o Options) *DB {
	t.Helper()
	if o.Bounds == (Bounds{}) {
		o.Bounds = unhurried
	}
	if o.Filename == "" {
		o.Filename = testFile(t)
	}
	db, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// query returns all rows.
func query(t testing.TB, db *DB, sql string, args ...Value) (rows [][]Value) {
	t.Helper()
	err := db.Query(context.Background(), sql, Args(args...), nil, func(s *sqlite3.Stmt) error {
		row := make([]Value, s.ColumnCount())
		rows = append(rows, row)
		return Scan(s, row)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func exec(t testing.TB, db *DB, sql string, args ...Value) Result {
	t.Helper()
	res, err := db.Exec(context.Background(), sql, Args(args...))
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return res
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if errcode.Of(err) != code {
		t.Errorf("got %v (%s), want code %s", err, errcode.Of(err), code)
	}
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

func TestDB_execAndQuery(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a TEXT PRIMARY KEY, n INT)`}})
	res := exec(t, db, `INSERT INTO t VALUES(?, ?), (?, ?)`, "x", int64(1), "y", int64(2))
	same(t, res, Result{Changes: 2, LastInsertRowID: 2})
	same(t, query(t, db, `SELECT * FROM t ORDER BY a`), [][]Value{{"x", int64(1)}, {"y", int64(2)}})
	same(t, query(t, db, `UPDATE t SET n = n+1 RETURNING n`), [][]Value{{int64(2)}, {int64(3)}})
}

// series is the numbers from 1 to n as a table with the column value: the
// browser's engine has no generate_series.
func series(n int) string {
	return fmt.Sprintf(`(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < %d)
		SELECT value FROM s)`, n)
}

// recorderFunc makes a Recorder of a function.
type recorderFunc func(*Tx, []Change) error

func (f recorderFunc) Record(tx *Tx, ch []Change) error { return f(tx, ch) }

// keys leaves the rows out of what a commit says of tables.
func keys(tables []TableCommit) []TableCommit {
	tables = append([]TableCommit(nil), tables...)
	for i := range tables {
		tables[i].Of, tables[i].Rows, tables[i].AllRows = nil, nil, false
	}
	return tables
}
