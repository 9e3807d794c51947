// Package storetest opens databases for tests, here and in a browser's runtime.
package storetest

import (
	"context"
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"

	"github.com/ncruces/go-sqlite3"
)

// Unhurried are bounds that a test does not run into.
var Unhurried = store.Bounds{ReadAge: await.Long, Slot: await.Long, Busy: await.Long}

// Notes are the migrations of a small app.
var Notes = []string{
	`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '', done INTEGER DEFAULT 0)`,
	`ALTER TABLE notes ADD COLUMN likes INTEGER NOT NULL DEFAULT 0; CREATE INDEX notes_done ON notes(done)`,
}

// Open opens a new database, or the one that o names, until the test ends.
func Open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	if o.Bounds == (store.Bounds{}) {
		o.Bounds = Unhurried
	}
	if o.Filename == "" {
		o.Filename = File(t)
	}
	db, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Query returns all rows.
func Query(t testing.TB, db *store.DB, sql string, args ...store.Value) (rows [][]store.Value) {
	t.Helper()
	err := db.Query(context.Background(), sql, store.Args(args...), nil, func(s *sqlite3.Stmt) error {
		row := make([]store.Value, s.ColumnCount())
		rows = append(rows, row)
		return store.Scan(s, row)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// Exec runs a statement that must not fail.
func Exec(t testing.TB, db *store.DB, sql string, args ...store.Value) store.Result {
	t.Helper()
	res, err := db.Exec(context.Background(), sql, store.Args(args...))
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return res
}

// WantCode checks an error's code.
func WantCode(t testing.TB, err error, code string) {
	t.Helper()
	if errcode.Of(err) != code {
		t.Errorf("got %v (%s), want code %s", err, errcode.Of(err), code)
	}
}

// Same checks that two values are the same, types included.
func Same(t testing.TB, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

// Series is the numbers from 1 to n as a table with the column value: the
// browser's engine has no generate_series.
func Series(n int) string {
	return fmt.Sprintf(`(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < %d)
		SELECT value FROM s)`, n)
}

// RecorderFunc makes a Recorder of a function.
type RecorderFunc func(*store.Tx, []store.Change) error

// Record implements store.Recorder.
func (f RecorderFunc) Record(tx *store.Tx, changes []store.Change) error { return f(tx, changes) }

// Keys leaves the rows out of what a commit says of tables.
func Keys(tables []store.TableCommit) []store.TableCommit {
	tables = append([]store.TableCommit(nil), tables...)
	for i := range tables {
		t := &tables[i]
		t.Of, t.Rows, t.AllRows = nil, nil, false
	}
	return tables
}
