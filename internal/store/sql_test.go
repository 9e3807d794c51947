package store

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

func TestExec_params(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a, b)`}})
	named := func(kv map[string]Value) Params { return Params{Named: kv} }
	for _, test := range []struct {
		sql  string
		p    Params
		code string
	}{
		{`INSERT INTO t VALUES(?, ?)`, Args(int64(1), nil), ""},
		{`INSERT INTO t VALUES(?2, ?1)`, Args(int64(1), "x"), ""},
		{`INSERT INTO t VALUES(:a, $b)`, named(map[string]Value{"a": int64(1), "$b": "x"}), ""},
		{`INSERT INTO t VALUES(@a, @a)`, named(map[string]Value{"a": []byte(nil)}), ""},
		{`INSERT INTO t VALUES(:a, :b)`, Args(true, 7), ""},
		{`INSERT INTO t VALUES(?, ?) ; -- a remark`, Args("y", "z"), ""},
		{`INSERT INTO t VALUES(?, ?)`, Args(int64(1)), errcode.BadParam},
		{`INSERT INTO t VALUES(?, ?)`, Args(int64(1), "x", "y"), errcode.BadParam},
		{`INSERT INTO t VALUES(:a, :b)`, named(map[string]Value{"a": nil}), errcode.BadParam},
		{`INSERT INTO t VALUES(:a, 1)`, named(map[string]Value{"a": nil, "c": nil}), errcode.BadParam},
		{`INSERT INTO t VALUES(?, :a)`, named(map[string]Value{"a": nil}), errcode.BadParam},
		{`INSERT INTO t VALUES(?, 1)`, Args(struct{}{}), errcode.BadParam},
		{`INSERT INTO t VALUES(?, 1)`, Args(math.NaN()), errcode.BadParam},
		{`INSERT INTO t VALUES(1, 1)`, Args(int64(1)), errcode.BadParam},
		{``, Args(int64(1)), errcode.BadParam},
		{`INSERT INTO t VALUES(?, 1); INSERT INTO t VALUES(2, 2)`, Args(int64(1)), errcode.BadParam},
		{`INSERT INTO t VALUES(?, 1)`, Params{Positional: []Value{nil}, Named: map[string]Value{"a": nil}}, errcode.BadParam},
		{`INSERT INTO nowhere VALUES(1)`, Params{}, "SQLITE_ERROR"},
		{`INSERT INTO t VALUES(`, Params{}, "SQLITE_ERROR"},
	} {
		before := query(t, db, `SELECT count(*) FROM t`)[0][0].(int64)
		_, err := db.Exec(ctx, test.sql, test.p)
		wantCode(t, err, test.code)
		if e := (*errcode.Error)(nil); err != nil && (!errors.As(err, &e) || e.SQL != test.sql && test.sql != "") {
			t.Errorf("%s: the error does not carry the SQL: %v", test.sql, err)
		}
		after := query(t, db, `SELECT count(*) FROM t`)[0][0].(int64)
		if wrote := after > before; wrote != (err == nil) {
			t.Errorf("%s: wrote %v, error %v", test.sql, wrote, err)
		}
	}
}

func TestExec_severalStatements(t *testing.T) {
	db := openTest(t, Options{})
	res := exec(t, db, `
		-- a table
		CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		INSERT INTO t(b) VALUES('x; y'), ('z'); /* and */ ;
		UPDATE t SET b = 'w' WHERE a = 1;`)
	same(t, res, Result{Changes: 1, LastInsertRowID: 2})
	same(t, query(t, db, `SELECT * FROM t`), [][]Value{{int64(1), "w"}, {int64(2), "z"}})
	// All or nothing.
	_, err := db.Exec(context.Background(), `INSERT INTO t(b) VALUES('q'); INSERT INTO t(a) VALUES(1)`, Params{})
	wantCode(t, err, "SQLITE_CONSTRAINT_PRIMARYKEY")
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(2)}})
	_, err = db.Exec(context.Background(), ``, Params{})
	wantCode(t, err, "")
	wantCode(t, db.Query(context.Background(), `SELECT 1; SELECT 2`, Params{}, nil, nil), errcode.Unsupported)
}

func TestQuery_exactValues(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(v)`}})
	for _, v := range []Value{
		nil, int64(0), int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1),
		0.1, -0.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
		"", "a\x00b", "é€😀", "bad \xff utf-8", []byte{}, []byte{0, 1, 255}, string(make([]byte, 70000)),
	} {
		exec(t, db, `DELETE FROM t`)
		exec(t, db, `INSERT INTO t VALUES(?)`, v)
		same(t, query(t, db, `SELECT v FROM t`), [][]Value{{v}})
	}
}

func TestQuery_columnsOfNoRows(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a, b)`}})
	var cols []string
	err := db.Query(context.Background(), `SELECT a, b AS "other", a FROM t`, Params{}, func(c []string) { cols = c }, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, cols, []string{"a", "other", "a"})
}

func TestTx_control(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a INTEGER PRIMARY KEY)`}})
	for _, sql := range []string{`BEGIN`, `COMMIT`, `END`, `ROLLBACK`, `begin immediate`, `/* x */ commit transaction`,
		`INSERT INTO t VALUES(9); COMMIT`} {
		_, err := db.Exec(ctx, sql, Params{})
		wantCode(t, err, errcode.TxControl)
		wantCode(t, db.Query(ctx, sql, Params{}, nil, nil), map[bool]string{true: errcode.Unsupported,
			false: errcode.TxControl}[len(sql) > 30])
		err = db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
			_, err := tx.Exec(sql, Params{})
			wantCode(t, err, errcode.TxControl)
			_, err = tx.Exec(`INSERT INTO t VALUES(1)`, Params{})
			if err != nil {
				return err
			}
			return errors.New("roll back")
		})
		if err == nil || err.Error() != "roll back" {
			t.Error(err)
		}
	}
	wantCode(t, db.Query(ctx, `SAVEPOINT s`, Params{}, nil, nil), errcode.TxControl)
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(0)}})
	err := db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		_, err := tx.Exec(`SAVEPOINT s; INSERT INTO t VALUES(1); ROLLBACK TO s; INSERT INTO t VALUES(2); RELEASE s`, Params{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, query(t, db, `SELECT a FROM t`), [][]Value{{int64(2)}})
}

func TestTx_endsByItself(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a INTEGER PRIMARY KEY)`}})
	exec(t, db, `INSERT INTO t VALUES(1)`)
	tx, err := db.Begin(ctx, Origin{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(`INSERT INTO t VALUES(2)`, Params{})
	wantCode(t, err, "")
	_, err = tx.Exec(`INSERT OR ROLLBACK INTO t VALUES(1)`, Params{})
	wantCode(t, err, "SQLITE_CONSTRAINT_PRIMARYKEY")
	// What follows must not run outside a transaction.
	_, err = tx.Exec(`INSERT INTO t VALUES(3)`, Params{})
	wantCode(t, err, errcode.TxClosed)
	wantCode(t, tx.Query(`SELECT 1`, Params{}, nil, nil), errcode.TxClosed)
	wantCode(t, tx.Commit(), errcode.TxClosed)
	wantCode(t, tx.Rollback(), "")
	same(t, query(t, db, `SELECT a FROM t`), [][]Value{{int64(1)}})
	exec(t, db, `INSERT INTO t VALUES(4)`) // the turn was given back
	_, err = tx.Exec(`SELECT 1`, Params{})
	wantCode(t, err, errcode.TxClosed)
}

func TestQuery_interrupt(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err := db.Query(ctx, `SELECT value FROM `+series(1000000000), Params{}, nil, func(*sqlite3.Stmt) error {
		if n++; n == 1000 {
			cancel()
		}
		return nil
	})
	wantCode(t, err, errcode.Aborted)

	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = db.Query(ctx, `SELECT sum(value) FROM `+series(1000000000000), Params{}, nil,
		func(*sqlite3.Stmt) error { return nil })
	wantCode(t, err, errcode.Timeout)

	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO t SELECT value FROM `+series(1000000000), Params{})
		return err
	})
	wantCode(t, err, errcode.Timeout)
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(0)}})
	exec(t, db, `INSERT INTO t VALUES(1)`)
}

func TestQuery_callbackPanics(t *testing.T) {
	db := openTest(t, Options{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		db.Query(context.Background(), `SELECT 1`, Params{}, nil, func(*sqlite3.Stmt) error { panic("app") })
	}()
	same(t, query(t, db, `SELECT 2`), [][]Value{{int64(2)}})
	func() {
		defer func() { recover() }()
		db.Update(context.Background(), Origin{Kind: Local}, func(*Tx) error { panic("app") })
	}()
	exec(t, db, `CREATE TABLE t(a)`)
}

func TestDB_functions(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY DEFAULT (uuid7()), n)`}})
	exec(t, db, `INSERT INTO t(n) SELECT value FROM `+series(500))
	same(t, query(t, db, `SELECT count(*) FROM (SELECT n, row_number() OVER (ORDER BY id) r FROM t) WHERE n != r`),
		[][]Value{{int64(0)}})
	same(t, query(t, db, `SELECT length(id), substr(id, 15, 1) FROM t LIMIT 1`), [][]Value{{int64(36), "7"}})
	same(t, query(t, db, `SELECT heddle_applying()`), [][]Value{{int64(0)}})
}

func TestDB_authorizer(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE s(id TEXT PRIMARY KEY, n); CREATE TABLE l(a); CREATE
		INDEX s_n ON s(n)`}, Synced: []string{"S"}})
	for _, test := range []struct{ sql, code string }{
		{`CREATE TABLE other(a)`, ""},
		{`CREATE INDEX l_a ON l(a)`, ""},
		{`CREATE TRIGGER tr AFTER INSERT ON l BEGIN SELECT 1; END`, ""},
		{`DROP TRIGGER tr`, ""},
		{`ALTER TABLE l ADD COLUMN b`, ""},
		{`CREATE TEMP TABLE tmp(a)`, ""},
		{`CREATE VIEW v AS SELECT * FROM s`, ""},
		{`PRAGMA user_version = 3`, ""},
		{`PRAGMA table_info(s)`, ""},
		{`PRAGMA synchronous`, ""},
		{`ALTER TABLE s ADD COLUMN b`, errcode.SyncSchema},
		{`ALTER TABLE s RENAME TO q`, errcode.SyncSchema},
		{`CREATE INDEX s_i ON s(id)`, errcode.SyncSchema},
		{`DROP INDEX s_n`, errcode.SyncSchema},
		{`CREATE TRIGGER str AFTER INSERT ON s BEGIN SELECT 1; END`, errcode.SyncSchema},
		{`CREATE TEMP TRIGGER str AFTER INSERT ON s BEGIN SELECT 1; END`, errcode.SyncSchema},
		{`DROP TABLE s`, errcode.SyncSchema},
		{`CREATE TEMP TABLE s(a)`, errcode.SyncSchema},
		{`CREATE TEMP VIEW heddle_column AS SELECT 1`, "SQLITE_AUTH"},
		{`VACUUM INTO '/tmp/other.db'`, errcode.Unsupported},
		{`DELETE FROM heddle_migration`, "SQLITE_AUTH"},
		{`INSERT INTO heddle_column VALUES('a', 'b', 1)`, "SQLITE_AUTH"},
		{`DROP TABLE heddle_migration`, "SQLITE_AUTH"},
		{`CREATE TABLE Heddle_mine(a)`, "SQLITE_AUTH"},
		{`ALTER TABLE l RENAME TO Heddle_l`, "SQLITE_AUTH"},
		{`SELECT * FROM heddle_migration`, ""},
		{`SAVEPOINT heddle_s`, "SQLITE_AUTH"},
		{`VACUUM`, ""},
	} {
		_, err := db.Exec(ctx, test.sql, Params{})
		if errcode.Of(err) != test.code {
			t.Errorf("%s: got %v, want %q", test.sql, err, test.code)
		}
	}
	same(t, query(t, db, `SELECT count(*) FROM tmp`), [][]Value{{int64(0)}}) // temporary tables live on the writer
}
