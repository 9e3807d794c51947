//go:build !js

package store

import (
	"context"
	"path/filepath"
	"testing"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
)

// The browser's engine has FTS5 built in.
func init() { sqlite3.AutoExtension(fts5.Register) }

// testFile names a new database file.
func testFile(t testing.TB) string { return "file:" + filepath.Join(t.TempDir(), "test.db") }

// The browser's engine has a budget of its own, tested with it.
func TestDB_outOfMemory(t *testing.T) {
	ctx := sqlite3.WithMaxMemory(context.Background(), 8<<20)
	path := testFile(t)
	db, err := Open(ctx, Options{Filename: path, Migrations: []string{`CREATE TABLE t(a)`}, Synced: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, `INSERT INTO t VALUES(1)`)
	for _, sql := range []string{
		`INSERT INTO t VALUES(zeroblob(60000000))`,
		`INSERT INTO t SELECT randomblob(1000000) FROM ` + series(100),
		`SELECT group_concat(hex(randomblob(100000))) FROM ` + series(1000),
	} {
		err := db.Query(context.Background(), sql, Params{}, nil, func(*sqlite3.Stmt) error { return nil })
		if code := errcode.Of(err); code != "SQLITE_NOMEM" {
			t.Errorf("%s: got %v", sql, err)
		}
	}
	// The database goes on.
	exec(t, db, `INSERT INTO t VALUES(2)`)
	same(t, query(t, db, `SELECT a FROM t`), [][]Value{{int64(1)}, {int64(2)}})
	same(t, query(t, db, `PRAGMA quick_check`), [][]Value{{"ok"}})
}
