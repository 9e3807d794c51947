package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

func TestBegin_turns(t *testing.T) { synctest.Test(t, testTurns) }

func testTurns(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	tx, err := db.Begin(ctx, Origin{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = db.Begin(short, Origin{Kind: Local})
	wantCode(t, err, errcode.Timeout)

	// First come, first served.
	var order []int
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
				order = append(order, i)
				_, err := tx.Exec(`INSERT INTO t VALUES(?)`, Args(i))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // it stands in line
	}
	// Readers do not wait for the open transaction, nor see it.
	if _, err := tx.Exec(`INSERT INTO t VALUES(-1)`, Params{}); err != nil {
		t.Fatal(err)
	}
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(0)}})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	same(t, order, []int{0, 1, 2, 3, 4, 5, 6, 7})
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(9)}})
}

func TestQuery_longReadKeepsItsSnapshot(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	exec(t, db, `INSERT INTO t SELECT value FROM `+series(20000))
	n, writes := 0, 0
	wrote := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		<-begun
		var err error
		for range 50 {
			if err == nil {
				_, err = db.Exec(ctx, `INSERT INTO t SELECT value FROM `+series(100), Params{})
				writes++
			}
		}
		wrote <- err
	}()
	err := db.Query(ctx, `SELECT a FROM t`, Params{}, nil, func(*sqlite3.Stmt) error {
		if n++; n == 1 {
			close(begun)
		}
		return nil
	})
	if err != nil || n != 20000 {
		t.Errorf("read %d rows, %v", n, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	// The next read is of now: no statement holds the old snapshot.
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(25000)}})
}

func TestDB_singleConn(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}, SingleConn: true})
	exec(t, db, `INSERT INTO t VALUES(1)`)
	same(t, query(t, db, `SELECT a FROM t`), [][]Value{{int64(1)}})
	same(t, query(t, db, `PRAGMA locking_mode`), [][]Value{{"exclusive"}})
	same(t, query(t, db, `PRAGMA journal_mode`), [][]Value{{"wal"}})
	same(t, query(t, db, `PRAGMA synchronous`), [][]Value{{int64(2)}})
	mem := openTest(t, Options{Filename: ":memory:", SingleConn: true, Migrations: []string{`CREATE TABLE t(a)`}})
	exec(t, mem, `INSERT INTO t VALUES(1)`)
	same(t, query(t, mem, `SELECT a FROM t`), [][]Value{{int64(1)}})
	if _, err := Open(context.Background(), Options{Filename: ":memory:"}); errcode.Of(err) != errcode.StorageUnavail {
		t.Errorf("two connections to :memory: are two databases; got %v", err)
	}
}

func TestDB_close(t *testing.T) { synctest.Test(t, testClose) }

func testClose(t *testing.T) {
	ctx := context.Background()
	file := testFile(t)
	db := openTest(t, Options{Filename: file, Migrations: []string{`CREATE TABLE t(a)`}})
	exec(t, db, `INSERT INTO t VALUES(1)`)
	tx, err := db.Begin(ctx, Origin{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`INSERT INTO t VALUES(2)`, Params{}); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := db.Exec(ctx, `INSERT INTO t VALUES(3)`, Params{})
		waiting <- err
	}()
	synctest.Wait() // it waits
	wantCode(t, db.Close(), "")
	wantCode(t, db.Close(), "")
	wantCode(t, <-waiting, errcode.Closed)
	_, err = tx.Exec(`INSERT INTO t VALUES(4)`, Params{})
	wantCode(t, err, errcode.Closed)
	wantCode(t, tx.Commit(), errcode.Closed)
	wantCode(t, tx.Rollback(), "")
	wantCode(t, db.Query(ctx, `SELECT 1`, Params{}, nil, nil), errcode.Closed)
	again := openTest(t, Options{Filename: file, Migrations: []string{`CREATE TABLE t(a)`}})
	same(t, query(t, again, `SELECT a FROM t`), [][]Value{{int64(1)}})
}

func TestTx_bookkeepingDoesNotShow(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, n)`}, Synced: []string{"t"}})
	err := db.Update(context.Background(), Origin{Kind: Local}, func(tx *Tx) error {
		return tx.Inside(func(c *sqlite3.Conn) error { return c.Exec(`CREATE TABLE heddle_out(n)`) })
	})
	if err != nil {
		t.Fatal(err)
	}
	recorded := 0
	db.SetRecorder(recorderFunc(func(tx *Tx, ch []Change) error {
		recorded += len(ch)
		return tx.Conn().Exec(`INSERT INTO heddle_out SELECT value FROM ` + series(40))
	}))
	const what = `SELECT last_insert_rowid(), changes(), total_changes() - ?`
	total := query(t, db, what, int64(0))[0][2]
	same(t, exec(t, db, `INSERT INTO t(id) VALUES(100), (101), (102)`), Result{Changes: 3, LastInsertRowID: 102})
	same(t, query(t, db, what, total), [][]Value{{int64(102), int64(3), int64(3)}})
	exec(t, db, `UPDATE t SET n = 1 WHERE id > 100`)
	err = db.Update(context.Background(), Origin{Kind: Local}, func(tx *Tx) error {
		if err := tx.Inside(func(c *sqlite3.Conn) error { return c.Exec(`INSERT INTO heddle_out VALUES(1)`) }); err != nil {
			return err
		}
		return tx.Query(what, Args(total), nil, func(s *sqlite3.Stmt) error {
			row := make([]Value, 3)
			err := Scan(s, row)
			same(t, row, []Value{int64(102), int64(2), int64(5)})
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// changes() inside a trigger and an expression still means SQLite's own.
	exec(t, db, `UPDATE t SET n = 5`)
	same(t, query(t, db, what, total), [][]Value{{int64(102), int64(3), int64(8)}})
	if recorded != 3+2+3 {
		t.Errorf("recorded %d changes", recorded)
	}
}

func TestRecorder_inTheTransaction(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE t(id TEXT PRIMARY KEY, top INT);
		CREATE TABLE local(a)`}, Synced: []string{"t"}})
	var commits []Commit
	db.OnCommit(func(c Commit) { commits = append(commits, c) })
	fail := errcode.New(errcode.TooBig, "test", "too big")
	calls := 0
	db.SetRecorder(recorderFunc(func(tx *Tx, ch []Change) error {
		calls++
		if ch[0].Key[0] == "fail" {
			return fail
		}
		// The rule of a max column, and a look at the row by the usual way.
		if _, err := tx.Exec(`UPDATE t SET top = 10 WHERE top < 10`, Params{}); err != nil {
			return err
		}
		return tx.Query(`SELECT top FROM t`, Params{}, nil, func(s *sqlite3.Stmt) error { return nil })
	}))
	_, err := db.Exec(ctx, `INSERT INTO t VALUES('fail', 1)`, Params{})
	wantCode(t, err, errcode.TooBig)
	exec(t, db, `INSERT INTO local VALUES(1)`)
	exec(t, db, `UPDATE t SET top = 3`) // no rows
	same(t, calls, 1)
	exec(t, db, `INSERT INTO t VALUES('a', 30)`)
	exec(t, db, `INSERT INTO t VALUES('b', 3)`)
	exec(t, db, `UPDATE t SET top = 4`)
	same(t, query(t, db, `SELECT * FROM t`), [][]Value{{"a", int64(10)}, {"b", int64(10)}})
	same(t, calls, 4)
	_, err = db.Exec(ctx, `INSERT INTO t VALUES(NULL, 1)`, Params{})
	wantCode(t, err, errcode.NullKey)
	for i, c := range commits {
		if c.Number != uint64(i+1) {
			t.Errorf("commit %d has number %d", i, c.Number)
		}
	}
	same(t, keys(commits[len(commits)-1].Tables),
		[]TableCommit{{Table: "t", Updated: [][]Value{{"a"}, {"b"}}, Columns: []string{"top"}}})
}

// A recorder that is interrupted says so in its own words; who gave up hears that
// it was that.
func TestRecorder_interrupted(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`}, Synced: []string{"t"}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db.SetRecorder(recorderFunc(func(tx *Tx, _ []Change) error {
		cancel()
		err := tx.Conn().Exec(`WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000000) SELECT
			count(*) FROM n`)
		if !errors.Is(err, sqlite3.INTERRUPT) {
			t.Errorf("got %v, want an interrupt", err)
		}
		return &errcode.Error{Code: "SQLITE_INTERRUPT", Op: "sync", Err: err}
	}))
	_, err := db.Exec(ctx, `INSERT INTO t VALUES('a')`, Params{})
	wantCode(t, err, errcode.Aborted)
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(0)}})
}

func TestChange_reinserted(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE t(id TEXT PRIMARY KEY, a, b);
		CREATE TABLE w(id TEXT PRIMARY KEY, a, b) WITHOUT ROWID;
		CREATE TABLE i(id INTEGER PRIMARY KEY, a, b);`}, Synced: []string{"t", "w", "i"}})
	var got []Change
	db.SetRecorder(recorderFunc(func(_ *Tx, ch []Change) error { got = ch; return nil }))
	for _, table := range []string{"t", "w", "i"} {
		for _, test := range []struct {
			sql  string
			want string
		}{
			{`INSERT INTO %s VALUES(1, 2, 3), (2, 2, 3)`, "insert insert"},
			{`UPDATE %s SET a = 9 WHERE id = 1`, "update"},
			{`DELETE FROM %[1]s WHERE id = 1; INSERT INTO %[1]s VALUES(7, 7, 7), (1, 8, 3)`, "reinsert insert"},
			{`REPLACE INTO %s VALUES(1, 5, 3)`, "reinsert"},
			{`REPLACE INTO %s VALUES(1, 5, 3)`, ""},
			{`UPDATE %s SET id = 3 WHERE id = 2`, "delete insert"},
			{`INSERT INTO %s VALUES(1, 6, 3) ON CONFLICT DO UPDATE SET a = 6`, "update"},
			{`UPDATE %[1]s SET id = 4 WHERE id = 3; UPDATE %[1]s SET id = 3, a = 0 WHERE id = 4`, "update"},
		} {
			got = nil
			if _, err := db.Exec(ctx, fmt.Sprintf(test.sql, table), Params{}); err != nil {
				t.Fatal(err)
			}
			what := ""
			for _, ch := range got {
				switch {
				case ch.Before == nil:
					what += " insert"
				case ch.After == nil:
					what += " delete"
				case ch.Reinserted:
					what += " reinsert"
				default:
					what += " update"
				}
			}
			if what != "" {
				what = what[1:]
			}
			if what != test.want {
				t.Errorf(test.sql+": got %q, want %q", table, what, test.want)
			}
		}
	}
}

func TestApply_rules(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE p(id TEXT PRIMARY KEY, n INT CHECK (n > 0));
		CREATE TABLE c(id TEXT PRIMARY KEY, p REFERENCES p(id) ON DELETE CASCADE);
		CREATE TABLE local(what);
		CREATE TRIGGER fires AFTER INSERT ON p BEGIN INSERT INTO local VALUES('trigger ' || heddle_applying()); END;
		CREATE TRIGGER guarded AFTER INSERT ON p WHEN NOT heddle_applying() BEGIN INSERT INTO c VALUES(new.id, new.id);
		END;`},
		Synced: []string{"p", "c"}})
	recorded := 0
	db.SetRecorder(recorderFunc(func(*Tx, []Change) error { recorded++; return nil }))
	var last Commit
	db.OnCommit(func(c Commit) { last = c })
	exec(t, db, `INSERT INTO p VALUES('mine', 1)`)
	err := db.Apply(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO p VALUES('theirs', -1); INSERT INTO c VALUES('orphan', 'nobody'); DELETE FROM p
			WHERE id = 'mine'`, Params{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, query(t, db, `SELECT id FROM c ORDER BY 1`), [][]Value{{"mine"}, {"orphan"}})
	same(t, query(t, db, `SELECT what FROM local`), [][]Value{{"trigger 0"}, {"trigger 1"}})
	same(t, recorded, 1)
	same(t, last.Origin.Kind, Sync)
	same(t, keys(last.Tables)[0], TableCommit{Table: "p", Inserted: [][]Value{{"theirs"}}, Deleted: [][]Value{{"mine"}},
		Columns: []string{"id", "n"}, HasInsertOrDelete: true})

	// Afterwards all is as before, also after one that failed or was interrupted.
	cut, cancel := context.WithCancel(ctx)
	err = db.Apply(cut, func(tx *Tx) error {
		cancel()
		_, err := tx.Exec(`DELETE FROM p`, Params{})
		return err
	})
	if errcode.Of(err) != errcode.Aborted {
		t.Errorf("cut short: got %v", err)
	}
	err = db.Apply(ctx, func(*Tx) error { return errors.New("no") })
	if err == nil {
		t.Error("no error")
	}
	_, err = db.Exec(ctx, `INSERT INTO p VALUES('x', -1)`, Params{})
	wantCode(t, err, "SQLITE_CONSTRAINT_CHECK")
	_, err = db.Exec(ctx, `INSERT INTO c VALUES('x', 'nobody')`, Params{})
	wantCode(t, err, "SQLITE_CONSTRAINT_FOREIGNKEY")
	exec(t, db, `INSERT INTO p VALUES('y', 1)`)
	same(t, query(t, db, `SELECT count(*) FROM c WHERE id = 'y'`), [][]Value{{int64(1)}})
}
