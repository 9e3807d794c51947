package store

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// numbers opens a database with the numbers from 1 to n in t.
func numbers(t *testing.T, n int, o Options) *DB {
	t.Helper()
	o.Migrations = []string{`CREATE TABLE t(n INTEGER PRIMARY KEY, pad TEXT)`}
	db := openTest(t, o)
	exec(t, db, `INSERT INTO t SELECT value, 'some text' FROM `+series(n))
	return db
}

// emptied asks for the log to be emptied and says whether it could be.
func emptied(t *testing.T, db *DB) (ok bool) {
	t.Helper()
	err := db.inside(context.Background(), db.writerConn, func() error {
		busy, err := db.writerConn.Scalar(`PRAGMA wal_checkpoint(TRUNCATE)`)
		ok = busy == int64(0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func noWait(context.Context) error { return nil }

func TestDB_Iterate_keepsItsSnapshotWhileOthersWriteAndRead(t *testing.T) {
	db := numbers(t, 1000, Options{})
	waits, seen := 0, 0
	err := db.Iterate(t.Context(), `SELECT n FROM t ORDER BY n`, Params{}, nil, func(s *sqlite3.Stmt) error {
		if seen++; s.ColumnInt(0) != seen {
			t.Errorf("got row %d, want %d", s.ColumnInt(0), seen)
		}
		if seen%100 == 0 {
			return ErrPause
		}
		return nil
	}, func(context.Context) error {
		// Outside SQLite: all of this would hang inside.
		waits++
		exec(t, db, `INSERT INTO t(pad) VALUES ('new')`)
		same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(1000 + waits)}})
		if emptied(t, db) {
			t.Error("the log was emptied under a snapshot")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != 1000 || waits < 10 {
		t.Errorf("got %d rows and %d waits, want 1000 and at least 10", seen, waits)
	}
	if !emptied(t, db) {
		t.Error("the log cannot be emptied after the iteration")
	}
}

func TestDB_Iterate_endsWithItsSnapshotsAge(t *testing.T) {
	db := numbers(t, 10, Options{Bounds: Bounds{ReadAge: 10 * time.Millisecond}})
	err := db.Iterate(t.Context(), `SELECT n FROM t`, Params{}, nil, func(*sqlite3.Stmt) error { return ErrPause },
		func(ctx context.Context) error {
			<-ctx.Done() // the consumer takes no more
			return ctx.Err()
		})
	wantCode(t, err, errcode.Timeout)
	if !emptied(t, db) {
		t.Error("the log cannot be emptied after the iteration")
	}
	// The same within one step.
	err = db.Iterate(t.Context(), `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT count(*) FROM s`,
		Params{}, nil, nil, noWait)
	wantCode(t, err, errcode.Timeout)
}

func TestDB_Iterate_endsWhereItsConsumerStops(t *testing.T) {
	db := numbers(t, 1000, Options{})
	enough := errors.New("enough")
	err := db.Iterate(t.Context(), `SELECT n FROM t`, Params{}, nil, func(*sqlite3.Stmt) error { return ErrPause },
		func(context.Context) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("got %v, want what wait returned", err)
	}
	if !emptied(t, db) {
		t.Error("the log cannot be emptied after the iteration")
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = db.Iterate(ctx, `SELECT n FROM t`, Params{}, nil, func(*sqlite3.Stmt) error { return nil },
		func(context.Context) error { cancel(); return nil })
	wantCode(t, err, errcode.Aborted)
}

func TestDB_Iterate_refuses(t *testing.T) {
	db := numbers(t, 10, Options{Bounds: Bounds{Slot: time.Millisecond}})
	for sql, code := range map[string]string{
		`DELETE FROM t RETURNING n`: errcode.Unsupported,
		`SELECT nothing FROM t`:     "SQLITE_ERROR",
		`SELECT 1; SELECT 2`:        errcode.Unsupported,
		`SELECT ?`:                  errcode.BadParam,
	} {
		wantCode(t, db.Iterate(t.Context(), sql, Params{}, nil, nil, noWait), code)
	}
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(10)}})
	// One inside the other, until there are too many.
	var nest func(depth int) error
	nest = func(depth int) error {
		first := true
		return db.Iterate(t.Context(), `SELECT n FROM t LIMIT 2`, Params{}, nil,
			func(*sqlite3.Stmt) error { return ErrPause },
			func(context.Context) error {
				if !first {
					return nil
				}
				first = false
				if depth == maxIterations {
					wantCode(t, nest(depth+1), errcode.Busy)
					return nil
				}
				return nest(depth + 1)
			})
	}
	if err := nest(1); err != nil {
		t.Error(err)
	}
	if n := len(db.iterators); n != 1 {
		t.Errorf("%d connections are left, want 1", n)
	}
	single := numbers(t, 10, Options{SingleConn: true})
	wantCode(t, single.Iterate(t.Context(), `SELECT n FROM t`, Params{}, nil, nil, noWait), errcode.Unsupported)
}

func TestDB_Iterate_seesTheSchemaAsItIs(t *testing.T) {
	db := numbers(t, 1, Options{})
	columns := func() (names []string) {
		err := db.Iterate(t.Context(), `SELECT * FROM t`, Params{}, func(n []string) { names = n },
			func(*sqlite3.Stmt) error { return nil }, noWait)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	same(t, columns(), []string{"n", "pad"})
	exec(t, db, `ALTER TABLE t ADD COLUMN more`)
	same(t, columns(), []string{"n", "pad", "more"})
}

func TestDB_Close_duringAnIteration(t *testing.T) {
	db := numbers(t, 1000, Options{})
	err := db.Iterate(t.Context(), `SELECT n FROM t`, Params{}, nil, func(*sqlite3.Stmt) error { return ErrPause },
		func(context.Context) error { return db.Close() })
	wantCode(t, err, errcode.Closed)
}

func TestDB_Import_duringAnIteration(t *testing.T) {
	db := numbers(t, 1000, Options{})
	var file bytes.Buffer
	if err := numbers(t, 7, Options{}).Export(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := db.Iterate(t.Context(), `SELECT n FROM t`, Params{}, nil, func(s *sqlite3.Stmt) error {
		seen++
		return ErrPause
	}, func(context.Context) error {
		if seen == 10 {
			return db.Import(t.Context(), bytes.NewReader(file.Bytes()))
		}
		return nil
	})
	if err != nil || seen != 1000 {
		t.Errorf("got %d rows and %v, want all 1000 of the snapshot", seen, err)
	}
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(7)}})
}
