package dbfile_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/salvage"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/storetest"

	"github.com/ncruces/go-sqlite3"
)

// foreignFile is the bytes of a file that another program has made.
func foreignFile(t *testing.T, setup string, reserve int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreign.db")
	c, err := sqlite3.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, reserve); err != nil {
		t.Fatal(err)
	}
	sql := setup + `; CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
		INSERT INTO notes(body) SELECT hex(randomblob(400)) FROM ` + storetest.Series(300)
	if reserve > 0 && setup != "" {
		// The size undoes the room for checksums.
		if err := c.Exec(setup); err != nil {
			t.Fatal(err)
		}
		if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, reserve); err != nil {
			t.Fatal(err)
		}
		sql = `CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes(body) SELECT hex(randomblob(400))
			FROM ` + storetest.Series(300)
	}
	if err := c.Exec(sql); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestChecksums_howeverItCame: the pages of each file that is ours have checksums,
// a bit that flips is seen while the database is open, and what health says of
// it is true.
func TestChecksums_howeverItCame(t *testing.T) {
	ctx := context.Background()
	migrations := []string{`CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, body TEXT)`}
	fill := `INSERT INTO notes(body) SELECT hex(randomblob(400)) FROM ` + storetest.Series(300)
	imported := func(setup string, reserve int) func(*testing.T, *store.DB) {
		return func(t *testing.T, db *store.DB) {
			storetest.Exec(t, db, `INSERT INTO notes(body) VALUES('ours')`)
			if err := db.Import(ctx, bytes.NewReader(foreignFile(t, setup, reserve))); err != nil {
				t.Fatal(err)
			}
		}
	}
	older := func(t *testing.T, path string, sql string) {
		if err := os.WriteFile(path, foreignFile(t, sql, 0), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		before func(t *testing.T, path string)
		in     func(t *testing.T, db *store.DB)
	}{
		{name: "new", in: func(t *testing.T, db *store.DB) { storetest.Exec(t, db, fill) }},
		{name: "new, after VACUUM", in: func(t *testing.T, db *store.DB) {
			storetest.Exec(t, db, fill)
			storetest.Exec(t, db, `VACUUM`)
		}},
		{name: "imported", in: imported(``, 0)},
		{name: "imported, then VACUUM", in: func(t *testing.T, db *store.DB) {
			imported(``, 0)(t, db)
			storetest.Exec(t, db, `VACUUM`)
		}},
		{name: "imported from WAL", in: imported(`PRAGMA journal_mode = wal`, 0)},
		{name: "imported, pages of 512", in: imported(`PRAGMA page_size = 512`, 0)},
		{name: "imported, pages of 65536", in: imported(`PRAGMA page_size = 65536`, 0)},
		{name: "imported, with checksums", in: imported(``, 8)},
		{name: "imported, with checksums and pages of 8192", in: imported(`PRAGMA page_size = 8192`, 8)},
		{name: "imported, auto_vacuum", in: imported(`PRAGMA auto_vacuum = full`, 0)},
		{name: "imported, with another room", in: imported(``, 4)},
		{name: "imported, larger than the cache", in: func(t *testing.T, db *store.DB) {
			imported(`CREATE TABLE large(a); INSERT INTO large SELECT randomblob(3000) FROM `+storetest.Series(9000), 0)(t, db)
		}},
		{name: "an older file", before: func(t *testing.T, path string) { older(t, path, ``) }},
		{name: "an older file in WAL",
			before: func(t *testing.T, path string) { older(t, path, `PRAGMA journal_mode = wal`) }},
		{name: "an older file, pages of 1024", before: func(t *testing.T,
			path string) {
			older(t, path, `PRAGMA page_size = 1024`)
		}},
		{name: "salvaged", in: func(t *testing.T, db *store.DB) {
			f := scratch.NewMemory(foreignFile(t, ``, 0))
			defer f.Close()
			from, err := sqlite3.Open(f.URI())
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if got, err := salvage.Copy(ctx, db, from); err != nil || got.Rows != 300 {
				t.Fatalf("got %v, %v", got, err)
			}
		}},
		{name: "imported again from an export", in: func(t *testing.T, db *store.DB) {
			storetest.Exec(t, db, fill)
			var out bytes.Buffer
			if err := db.Export(ctx, &out); err != nil {
				t.Fatal(err)
			}
			if err := db.Import(ctx, &out); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ours.db")
			if test.before != nil {
				test.before(t, path)
			}
			db := storetest.Open(t, store.Options{Filename: "file:" + path, Migrations: migrations})
			if test.in != nil {
				test.in(t, db)
			}
			storetest.Checksums(t, db, path)
		})
	}
}

// TestImport_ofACipher: a file whose pages have no room for checksums is refused.
func TestImport_ofACipher(t *testing.T) {
	db := storetest.Open(t, store.Options{})
	storetest.WantCode(t, db.Import(context.Background(), bytes.NewReader(foreignFile(t, ``, 16))), errcode.Unsupported)
}
