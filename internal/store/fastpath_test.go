package store

import (
	"context"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// tryQuery returns the rows that one TryQuery read, and what is left.
func tryQuery(t *testing.T, db *DB, sql string, args ...Value) (rows *[][]Value, rest func(context.Context) error,
	did bool) {
	t.Helper()
	rows = new([][]Value)
	rest, did, err := db.TryQuery(t.Context(), sql, Args(args...), nil, func(s *sqlite3.Stmt) error {
		row := make([]Value, s.ColumnCount())
		*rows = append(*rows, row)
		return Scan(s, row)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows, rest, did
}

func TestDB_TryQuery_readsWhatWasReadLately(t *testing.T) {
	const one = `SELECT n FROM t WHERE n = ?`
	db := numbers(t, 1000, Options{})
	if _, _, did := tryQuery(t, db, one, int64(7)); did {
		t.Error("a statement that was never run was compiled")
	}
	query(t, db, one, int64(7))
	for n := range int64(10) {
		rows, rest, did := tryQuery(t, db, one, n+1)
		if !did || rest != nil {
			t.Fatalf("did %v, rest %v", did, rest != nil)
		}
		same(t, *rows, [][]Value{{n + 1}})
	}
	exec(t, db, `ALTER TABLE t ADD COLUMN more DEFAULT 'new'`)
	query(t, db, `SELECT * FROM t WHERE n = 1`)
	rows, _, did := tryQuery(t, db, `SELECT * FROM t WHERE n = 1`)
	same(t, []any{did, *rows}, []any{true, [][]Value{{int64(1), "some text", "new"}}})

	const bad = `SELECT abs(?)`
	query(t, db, bad, int64(1))
	_, did, err := db.TryQuery(t.Context(), bad, Args(int64(-1<<63)), nil, func(*sqlite3.Stmt) error { return nil })
	if wantCode(t, err, "SQLITE_ERROR"); !did {
		t.Error("an error is an answer")
	}
	same(t, query(t, db, one, int64(3)), [][]Value{{int64(3)}})
}

func TestDB_TryQuery_leavesTheRestOfALongResult(t *testing.T) {
	const all = `SELECT n FROM t ORDER BY n`
	db := numbers(t, 1000, Options{})
	query(t, db, all)
	rows, rest, did := tryQuery(t, db, all)
	if !did || rest == nil || len(*rows) == 0 || len(*rows) >= 1000 {
		t.Fatalf("did %v, %d rows", did, len(*rows))
	}
	// It holds the reading connection and its snapshot until then.
	exec(t, db, `DELETE FROM t WHERE n > 500`)
	if _, _, did := tryQuery(t, db, all); did {
		t.Error("two read at the same time on one connection")
	}
	if err := rest(t.Context()); err != nil || len(*rows) != 1000 {
		t.Errorf("%d rows, %v", len(*rows), err)
	}
	if rows, rest, did := tryQuery(t, db, all); !did || rest == nil {
		t.Error("the connection was not given back")
	} else if err := rest(t.Context()); err != nil || len(*rows) != 500 {
		t.Errorf("%d rows, %v", len(*rows), err)
	}
	if !emptied(t, db) {
		t.Error("the log cannot be emptied afterwards")
	}

	// What a row's callback ends with, also by a panic, ends the reading.
	stop := errors.New("stop")
	if rest, did, err := db.TryQuery(t.Context(), all, Params{}, nil, func(*sqlite3.Stmt) error { return stop }); !did ||
		rest != nil || !errors.Is(err, stop) {
		t.Errorf("did %v, rest %v, %v", did, rest != nil, err)
	}
	func() {
		defer func() { same(t, recover(), stop) }()
		db.TryQuery(t.Context(), all, Params{}, nil, func(*sqlite3.Stmt) error { panic(stop) })
	}()
	if !emptied(t, db) {
		t.Error("the log cannot be emptied after errors")
	}
}

func TestDB_TryQuery_leavesWritesAlone(t *testing.T) {
	const write = `UPDATE t SET pad = 'changed' RETURNING n`
	db := numbers(t, 3, Options{})
	query(t, db, write)
	rows, rest, did := tryQuery(t, db, write)
	if did || rest != nil || len(*rows) > 0 {
		t.Errorf("did %v, %d rows", did, len(*rows))
	}
	db.Close()
	if _, did, err := db.TryQuery(t.Context(), `SELECT 1`, Params{}, nil, nil); did || err != nil {
		t.Errorf("closed: did %v, %v", did, err)
	}
}

func TestDB_TryBegin(t *testing.T) {
	const set, returning = `UPDATE t SET pad = ? WHERE n = 1`, `UPDATE t SET pad = 'r' WHERE n = 1 RETURNING n`
	db := numbers(t, 10, Options{})
	if tx := db.TryBegin(Origin{}, set); tx != nil {
		t.Fatal("for a statement that was never run")
	}
	exec(t, db, set, "one")
	query(t, db, returning)
	if tx := db.TryBegin(Origin{}, returning); tx != nil {
		t.Fatal("for a statement that returns rows")
	}
	open, err := db.Begin(t.Context(), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if tx := db.TryBegin(Origin{}, set); tx != nil {
		t.Fatal("beside an open transaction")
	}
	open.Rollback()
	for _, end := range []func(*Tx) error{(*Tx).Rollback, (*Tx).Commit} {
		tx := db.TryBegin(Origin{}, set)
		if tx == nil {
			t.Fatal("nothing is in the way")
		}
		if _, err := tx.Exec(set, Args("two")); err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	same(t, query(t, db, `SELECT pad FROM t WHERE n = 1`), [][]Value{{"two"}})
}
