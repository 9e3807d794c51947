package heddle

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/await"
)

func openTest(t testing.TB, o Options) *DB {
	t.Helper()
	if o.File == "" {
		o.File = filepath.Join(t.TempDir(), "a name? with #marks %41.db")
	}
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func numbers(t *testing.T, n int) *DB {
	t.Helper()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(n INTEGER PRIMARY KEY)`}})
	_, err := db.Exec(t.Context(), `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT ?)
		INSERT INTO t SELECT n FROM c`, n)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if Code(err) != code {
		t.Errorf("got %v, want the code %s", err, code)
	}
}

func TestOpen_refuses(t *testing.T) {
	_, err := Open(t.Context(), Options{})
	wantCode(t, err, CodeBadParam)
	file := filepath.Join(t.TempDir(), "x.db")
	synced := &SyncOptions{URL: "http://127.0.0.1:1", Space: "s", Tables: Tables{"t": nil}}
	_, err = Open(t.Context(), Options{File: file, Migrations: []string{`CREATE TABLE t(n)`}, Sync: synced})
	wantCode(t, err, CodeSyncSchema)
	openTest(t, Options{File: file, Migrations: []string{`CREATE TABLE t(n TEXT PRIMARY KEY)`}, Sync: synced})
}

func TestOpen_hasTheBrowsersExtensions(t *testing.T) {
	openTest(t, Options{Migrations: []string{
		`CREATE VIRTUAL TABLE a USING fts5(x)`,
		`CREATE VIRTUAL TABLE b USING rtree(id, x0, x1)`,
	}})
}

func TestDB_Transaction(t *testing.T) {
	db := numbers(t, 3)
	stop := errors.New("stop")
	err := db.Transaction(t.Context(), func(tx *Tx) error {
		if r, err := tx.Exec(`DELETE FROM t WHERE n > ?`, 1); err != nil || r.Changes != 2 {
			t.Errorf("got %+v, %v", r, err)
		}
		if rows, err := tx.Query(`SELECT n FROM t`); err != nil || len(rows.Values) != 1 {
			t.Errorf("got %+v, %v inside the transaction", rows, err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the function's error", err)
	}
	rows, err := db.Query(t.Context(), `SELECT count(*) AS n FROM t`)
	if want := (&Rows{[]string{"n"}, [][]any{{int64(3)}}}); err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("got %+v, %v, want %+v", rows, err, want)
	}
}

func TestDB_Iterate(t *testing.T) {
	db := numbers(t, 5000)
	seen := int64(0)
	for row, err := range db.Iterate(t.Context(), `SELECT n FROM t ORDER BY n`) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; row[0] != seen {
			t.Fatalf("got %v, want %d", row[0], seen)
		}
		if seen == 1 { // the loop may use the database, and sees its snapshot
			if _, err := db.Exec(t.Context(), `INSERT INTO t VALUES (5001)`); err != nil {
				t.Fatal(err)
			}
		}
	}
	if seen != 5000 {
		t.Errorf("got %d rows, want 5000", seen)
	}
	for _, err := range db.Iterate(t.Context(), `SELECT n FROM t`) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	for _, err := range db.Iterate(t.Context(), `DELETE FROM t`) {
		wantCode(t, err, CodeUnsupported)
	}
}

func TestDB_Live(t *testing.T) {
	db := numbers(t, 3)
	results := make(chan *Rows, 10)
	stop, err := db.Live(t.Context(), func(rows *Rows, err error) {
		if err != nil {
			t.Error(err)
		}
		results <- rows
	}, `SELECT n FROM t ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	want := func(values ...int64) {
		t.Helper()
		rows := await.Event(t, results, "a result")
		var got []int64
		for _, row := range rows.Values {
			got = append(got, row[0].(int64))
		}
		if !reflect.DeepEqual(got, values) {
			t.Errorf("got %v, want %v", got, values)
		}
	}
	want(1, 2, 3)
	for _, sql := range []string{`DELETE FROM t WHERE n = 2`, `INSERT INTO t VALUES (0), (9)`} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if sql[0] == 'D' {
			want(1, 3)
		}
	}
	want(0, 1, 3, 9)
	_, err = db.Live(t.Context(), func(*Rows, error) {}, `SELECT`)
	wantCode(t, err, "SQLITE_ERROR")
}

func TestSync_statusHasTheLastError(t *testing.T) {
	hs := httptest.NewServer(http.NotFoundHandler())
	defer hs.Close()
	db := openTest(t, Options{
		Migrations: []string{`CREATE TABLE t(n TEXT PRIMARY KEY)`},
		Sync:       &SyncOptions{URL: hs.URL, Space: "s", Tables: Tables{"t": nil}},
	})
	changed := make(chan Status, 1)
	defer db.Sync().OnStatus(func(s Status) {
		select {
		case changed <- s:
		default:
		}
	})()
	var last *Error
	await.True(t, "an error in the status", func() bool {
		last = db.Sync().Status().LastError
		return last != nil
	}, func() <-chan Status { return changed })
	if last.Code == "" || last.Message() == "" {
		t.Errorf("got %+v", last)
	}
	if err := db.Sync().Pause(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if s := db.Sync().Status(); s.State != StatePaused {
		t.Errorf("got %q, want paused", s.State)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantCode(t, db.Sync().Now(ctx), CodeAborted)
}
