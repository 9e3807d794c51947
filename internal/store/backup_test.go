package store

import (
	"bytes"
	"context"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/scratch"

	"github.com/ncruces/go-sqlite3"
)

var notes = []string{
	`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '', done INTEGER DEFAULT 0)`,
	`ALTER TABLE notes ADD COLUMN likes INTEGER NOT NULL DEFAULT 0; CREATE INDEX notes_done ON notes(done)`,
}

func TestDB_exportImport(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: notes[:1]})
	for i := range 300 {
		exec(t, db, `INSERT INTO notes VALUES(uuid7(), ?, ?)`, string(bytes.Repeat([]byte("x"), i%300)), int64(i))
	}
	var file bytes.Buffer
	if err := db.Export(ctx, &file); err != nil {
		t.Fatal(err)
	}

	// Any SQLite opens it.
	f := scratch.NewMemory(bytes.Clone(file.Bytes()))
	defer f.Close()
	c, err := sqlite3.Open(f.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(`SELECT CASE WHEN count(*) = 300 THEN 1 ELSE abs(-9223372036854775808) END FROM notes`); err != nil {
		t.Error(err)
	}

	// A later build takes it in and migrates it.
	later := openTest(t, Options{Migrations: notes})
	exec(t, later, `INSERT INTO notes(id) VALUES('old')`)
	var got []Commit
	later.OnCommit(func(c Commit) { got = append(got, c) })
	minted := false
	later.OnImport(func(c *sqlite3.Conn) error { minted = true; return c.Exec(`CREATE TABLE heddle_me(x)`) })
	if err := later.Import(ctx, bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	same(t, query(t, later, `SELECT count(*), sum(likes) FROM notes`), [][]Value{{int64(300), int64(0)}})
	same(t, query(t, later, `PRAGMA journal_mode`), [][]Value{{"wal"}})
	if len(got) != 1 || !got[0].Schema || !minted {
		t.Errorf("got commits %v, OnImport called: %v", got, minted)
	}
	exec(t, later, `INSERT INTO notes(id) VALUES('new')`)

	// An earlier build refuses it, and what it has stays.
	file.Reset()
	if err := later.Export(ctx, &file); err != nil {
		t.Fatal(err)
	}
	wantCode(t, db.Import(ctx, &file), errcode.Migration)
	wantCode(t, db.Import(ctx, bytes.NewReader(bytes.Repeat([]byte("n\x00"), 1000))), "SQLITE_NOTADB")
	same(t, query(t, db, `SELECT count(*) FROM notes`), [][]Value{{int64(300)}})
}

func TestDB_import_otherPageSizeAndDamage(t *testing.T) {
	ctx := context.Background()
	f := scratch.NewMemory(nil)
	defer f.Close()
	c, err := sqlite3.Open(f.URI())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`PRAGMA page_size = 1024; CREATE TABLE other(x); INSERT INTO other SELECT value FROM ` +
		series(5000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	data := f.Bytes()
	db := openTest(t, Options{Migrations: notes})
	exec(t, db, `INSERT INTO notes(id) VALUES('mine')`)
	broken := bytes.Clone(data)
	for i := 2048; i < 4096; i++ {
		broken[i] ^= 0xa5
	}
	if err := db.Import(ctx, bytes.NewReader(broken)); err == nil {
		t.Error("a damaged file was taken in")
	}
	same(t, query(t, db, `SELECT id FROM notes`), [][]Value{{"mine"}})
	if err := db.Import(ctx, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	same(t, query(t, db, `SELECT sum(x) FROM other`), [][]Value{{int64(5000 * 5001 / 2)}})
	same(t, query(t, db, `SELECT count(*) FROM notes`), [][]Value{{int64(0)}})
}

func TestDB_exportImport_singleConn(t *testing.T) {
	ctx := context.Background()
	from := openTest(t, Options{Migrations: notes, SingleConn: true})
	exec(t, from, `INSERT INTO notes(id) VALUES('a')`)
	for _, to := range []*DB{
		openTest(t, Options{Migrations: notes, SingleConn: true}),
		openTest(t, Options{Migrations: notes, SingleConn: true, Filename: ":memory:"}),
	} {
		var file bytes.Buffer
		if err := from.Export(ctx, &file); err != nil {
			t.Fatal(err)
		}
		if err := to.Import(ctx, &file); err != nil {
			t.Fatal(err)
		}
		exec(t, to, `INSERT INTO notes(id) VALUES('b')`)
		same(t, query(t, to, `SELECT id FROM notes`), [][]Value{{"a"}, {"b"}})
	}
}

// TestDB_export_besideWrites: an export is one snapshot, whatever is written
// while it is copied.
func TestDB_export_besideWrites(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a, b)`}})
	exec(t, db, `INSERT INTO t SELECT 0, randomblob(3000) FROM `+series(5000))
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := db.Exec(ctx, `UPDATE t SET a = a + 1 WHERE rowid % 10 = 0`, Params{}); err != nil {
				done <- err
				return
			}
		}
	}()
	var file bytes.Buffer
	err := db.Export(ctx, &file)
	close(stop)
	if e := <-done; e != nil || err != nil {
		t.Fatal(err, e)
	}
	copied := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a, b)`}})
	if err := copied.Import(ctx, &file); err != nil {
		t.Fatal(err)
	}
	same(t, query(t, copied, `SELECT count(DISTINCT a) FROM t WHERE rowid % 10 = 0`), [][]Value{{int64(1)}})
	same(t, query(t, copied, `PRAGMA integrity_check`), [][]Value{{"ok"}})
}
