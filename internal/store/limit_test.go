package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/sqlconn"

	"github.com/ncruces/go-sqlite3"
)

// TestLimits: what is just within each limit works, what is beyond it is an
// error that says so, on the connection that reads and on the one that writes;
// everything goes on afterwards.
func TestLimits(t *testing.T) {
	ctx := context.Background()
	for _, single := range []bool{false, true} {
		db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a); CREATE TABLE chain(id INTEGER PRIMARY KEY, up
			REFERENCES chain ON DELETE CASCADE)`}, SingleConn: single})
		repeat := func(n int, s, sep string) string { return strings.Repeat(s+sep, n-1) + s }
		for _, test := range []struct {
			what       string
			sql        func(n int) string
			within, by int // what works, and what is refused; native go-sqlite3 has a small stack
			p          func(n int) Params
			code, says string
		}{
			{"LIKE", func(int) string { return `SELECT 'aaa' LIKE ?` }, 1000, 1001,
				func(n int) Params { return Args(strings.Repeat("%", n)) }, "SQLITE_ERROR", "LIKE or GLOB pattern too complex"},
			{"LIKE, pasted", func(int) string { return `SELECT 'aaa' LIKE ?` }, 500, 25000,
				func(n int) Params { return Args(strings.Repeat("%a", n)) }, "SQLITE_ERROR", "LIKE or GLOB pattern too complex"},
			{"GLOB", func(int) string { return `SELECT 'aaa' GLOB ?` }, 1000, 1001,
				func(n int) Params { return Args(strings.Repeat("*", n)) }, "SQLITE_ERROR", "LIKE or GLOB pattern too complex"},
			{"a value", func(int) string { return `SELECT length(zeroblob(?))` }, sqlconn.MaxValue, sqlconn.MaxValue + 1,
				func(n int) Params { return Args(int64(n)) }, "SQLITE_TOOBIG", "too big"},
			{"a parameter", func(int) string { return `SELECT length(?)` }, 1 << 20, sqlconn.MaxValue + 1,
				func(n int) Params { return Args(make([]byte, n)) }, "SQLITE_TOOBIG", "too big"},
			{"SQL", func(n int) string { return `SELECT` + strings.Repeat(" ", n-7) + "1" }, sqlconn.MaxSQL - 1,
				sqlconn.MaxSQL + 1, nil,
				"SQLITE_TOOBIG", "too big"},
			{"an expression", func(n int) string { return `SELECT ` + repeat(n, "1", "+") }, 200, 1001, nil, "SQLITE_ERROR",
				"too large"},
			{"parentheses", func(n int) string { return `SELECT ` + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) }, 200,
				100000, nil, "SQLITE_ERROR", "Recursion limit"},
			{"a compound", func(n int) string { return repeat(n, `SELECT 1`, ` UNION ALL `) }, 100, 501, nil, "SQLITE_ERROR",
				"too many terms in compound SELECT"},
			{"columns", func(n int) string { return `SELECT ` + repeat(n, "1", ",") }, 2000, 2001, nil, "SQLITE_ERROR",
				"too many columns"},
			{"arguments", func(n int) string { return `SELECT max(` + repeat(n, "1", ",") + `)` }, 1000, 1001, nil,
				"SQLITE_ERROR", "too many arguments"},
			{"parameters", func(n int) string { return fmt.Sprintf(`SELECT ?%d`, n) }, 32766, 32767,
				func(n int) Params {
					return Params{Positional: make([]Value,
						min(n, 32766))}
				}, "SQLITE_ERROR", "variable number must be between"},
			{"rows of VALUES", func(n int) string { return `INSERT INTO t VALUES` + repeat(n, "(1)", ",") }, 100000, 300000, nil,
				"SQLITE_TOOBIG", "too big"},
			{"a cascade", func(n int) string {
				return fmt.Sprintf(`DELETE FROM chain; INSERT INTO chain SELECT value, nullif(value - 1, 0) FROM %s; DELETE FROM
					chain WHERE id = 1`, series(n))
			}, 200, 260, nil, "SQLITE_ERROR", "triggers nested too deep"},
		} {
			run := func(n int) error {
				p := Params{}
				if test.p != nil {
					p = test.p(n)
				}
				if sql := test.sql(n); strings.HasPrefix(sql, "SELECT") {
					if _, err := db.Exec(ctx, sql, p); err != nil {
						return err
					}
					return db.Query(ctx, sql, p, nil, func(*sqlite3.Stmt) error { return nil })
				}
				_, err := db.Exec(ctx, test.sql(n), p)
				return err
			}
			if err := run(test.within); err != nil {
				t.Errorf("%s: %d is within the limit: got %.200v", test.what, test.within, err)
			}
			err := run(test.by)
			if errcode.Of(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %d is beyond the limit: got %.200v, want %s, %q", test.what, test.by, err, test.code, test.says)
			}
		}
		exec(t, db, `INSERT INTO t VALUES('it goes on')`)
		exec(t, db, `VACUUM`) // attaches one
		for id, value := range sqlconn.Limits {
			for _, c := range []*conn{db.writerConn, db.readerConn} {
				if got := c.Limit(id, -1); got != value {
					t.Errorf("limit %d is %d, want %d", id, got, value)
				}
			}
		}
	}
}

// TestLimits_ofNames: a name that is too long to be read is an error, also where
// it comes with a file.
func TestLimits_ofNames(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	db.writerConn.Limit(sqlite3.LIMIT_SQL_LENGTH, 10_000_000) // as if another build had written it
	db.readerConn.Limit(sqlite3.LIMIT_SQL_LENGTH, 10_000_000)
	long := strings.Repeat("n", 1_000_001)
	for _, sql := range []string{`SELECT 1 AS "` + long + `"`, `SELECT '` + long + `'`} {
		wantCode(t, db.Query(ctx, sql, Params{}, func([]string) {}, func(*sqlite3.Stmt) error { return nil }),
			"SQLITE_TOOBIG")
		err := db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
			return tx.Query(sql, Params{}, func([]string) {}, func(*sqlite3.Stmt) error { return nil })
		})
		wantCode(t, err, "SQLITE_TOOBIG")
		_, err = db.Deps(ctx, sql)
		wantCode(t, err, "SQLITE_TOOBIG")
	}
	same(t, query(t, db, `SELECT 1`), [][]Value{{int64(1)}})

	f := scratch.NewMemory(nil)
	defer f.Close()
	c, err := sqlite3.Open(f.URI())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`CREATE TABLE other("` + long + `")`); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := db.Import(ctx, bytes.NewReader(f.Bytes())); errcode.Of(err) == errcode.Internal || err == nil {
		t.Errorf("import: got %.200v", err)
	}
	exec(t, db, `INSERT INTO t VALUES(1)`)
}
