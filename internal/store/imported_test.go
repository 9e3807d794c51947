package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"heddle.dev/heddle/internal/errcode"

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
		INSERT INTO notes(body) SELECT hex(randomblob(400)) FROM ` + series(300)
	if reserve > 0 && setup != "" {
		// The size undoes the room for checksums.
		if err := c.Exec(setup); err != nil {
			t.Fatal(err)
		}
		if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, reserve); err != nil {
			t.Fatal(err)
		}
		sql = `CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes(body) SELECT hex(randomblob(400))
			FROM ` + series(300)
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
	fill := `INSERT INTO notes(body) SELECT hex(randomblob(400)) FROM ` + series(300)
	imported := func(setup string, reserve int) func(*testing.T, *DB) {
		return func(t *testing.T, db *DB) {
			exec(t, db, `INSERT INTO notes(body) VALUES('ours')`)
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
		in     func(t *testing.T, db *DB)
	}{
		{name: "new", in: func(t *testing.T, db *DB) { exec(t, db, fill) }},
		{name: "new, after VACUUM", in: func(t *testing.T, db *DB) { exec(t, db, fill); exec(t, db, `VACUUM`) }},
		{name: "imported", in: imported(``, 0)},
		{name: "imported, then VACUUM", in: func(t *testing.T, db *DB) { imported(``, 0)(t, db); exec(t, db, `VACUUM`) }},
		{name: "imported from WAL", in: imported(`PRAGMA journal_mode = wal`, 0)},
		{name: "imported, pages of 512", in: imported(`PRAGMA page_size = 512`, 0)},
		{name: "imported, pages of 65536", in: imported(`PRAGMA page_size = 65536`, 0)},
		{name: "imported, with checksums", in: imported(``, 8)},
		{name: "imported, with checksums and pages of 8192", in: imported(`PRAGMA page_size = 8192`, 8)},
		{name: "imported, auto_vacuum", in: imported(`PRAGMA auto_vacuum = full`, 0)},
		{name: "imported, with another room", in: imported(``, 4)},
		{name: "imported, larger than the cache", in: func(t *testing.T, db *DB) {
			imported(`CREATE TABLE large(a); INSERT INTO large SELECT randomblob(3000) FROM `+series(9000), 0)(t, db)
		}},
		{name: "an older file", before: func(t *testing.T, path string) { older(t, path, ``) }},
		{name: "an older file in WAL",
			before: func(t *testing.T, path string) { older(t, path, `PRAGMA journal_mode = wal`) }},
		{name: "an older file, pages of 1024", before: func(t *testing.T,
			path string) {
			older(t, path, `PRAGMA page_size = 1024`)
		}},
		{name: "salvaged", in: func(t *testing.T, db *DB) {
			uri, _, drop := memory.create(foreignFile(t, ``, 0))
			defer drop()
			from, err := sqlite3.Open(uri)
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if got, err := db.Salvage(ctx, from); err != nil || got.Rows != 300 {
				t.Fatalf("got %v, %v", got, err)
			}
		}},
		{name: "imported again from an export", in: func(t *testing.T, db *DB) {
			exec(t, db, fill)
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
			db := openTest(t, Options{Filename: "file:" + path, Migrations: migrations})
			if test.in != nil {
				test.in(t, db)
			}
			honest(t, db, path)
		})
	}
}

// TestImport_ofACipher: a file whose pages have no room for checksums is refused.
func TestImport_ofACipher(t *testing.T) {
	db := openTest(t, Options{})
	wantCode(t, db.Import(context.Background(), bytes.NewReader(foreignFile(t, ``, 16))), errcode.Unsupported)
}

// honest checks that every page of the file has a checksum, that health says so,
// and that a flipped bit is seen.
func honest(t *testing.T, db *DB, path string) {
	t.Helper()
	ctx := context.Background()
	says := func() bool {
		about, err := db.About(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return about.Checksums
	}
	if !says() {
		t.Error("health says that there are no checksums")
	}
	rows := query(t, db, `SELECT count(*) FROM notes`)
	if n := rows[0][0].(int64); n != 300 {
		t.Fatalf("%d rows, want 300", n)
	}
	err := db.inside(ctx, db.writerConn, func() error { return db.writerConn.exec(`PRAGMA wal_checkpoint(truncate)`) })
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := pageSize(file)
	if !checksummed(file) || len(file)%n != 0 || !says() {
		t.Fatalf("%d bytes, pages of %d, checksums: %v; health says %v", len(file), n, checksummed(file), says())
	}
	for at := 0; at < len(file); at += n {
		if !intact(file[at : at+n]) {
			t.Errorf("page %d has no checksum of its own", at/n+1)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := bytes.Index(file[len(file)/2:], []byte("A")) + len(file)/2 // within a row's text
	if _, err := f.WriteAt([]byte{file[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	found, err := db.Check(ctx, false, nil)
	if err != nil || len(found.Problems) == 0 {
		t.Errorf("a flipped bit was not seen: %v, %v", found, fmt.Sprint(err))
	}
}
