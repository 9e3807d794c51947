package store

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// fileOf makes a database file with plain SQLite.
func fileOf(t *testing.T, sql string) []byte {
	t.Helper()
	f := scratch.NewMemory(nil)
	defer f.Close()
	c, err := sqlite3.Open(f.URI())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(sql); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Bytes()
}

// over opens a database on the bytes of a file.
func over(t *testing.T, file []byte, o Options) *DB {
	t.Helper()
	f := scratch.NewMemory(file)
	t.Cleanup(func() { f.Close() })
	o.Filename, o.SingleConn = f.URI(), true
	return openTest(t, o)
}

func TestDB_check(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: notes})
	exec(t, db, `INSERT INTO notes(id, body) SELECT value, hex(randomblob(300)) FROM `+series(3000))
	exec(t, db, `CREATE INDEX partly ON notes(body) WHERE done = 1`)
	exec(t, db, `CREATE TABLE w(a TEXT, b, PRIMARY KEY(a, b)) WITHOUT ROWID`)
	exec(t, db, `INSERT INTO w SELECT value, value FROM `+series(100))
	exec(t, db, `CREATE VIRTUAL TABLE words USING fts5(body)`)
	exec(t, db, `INSERT INTO words SELECT body FROM notes`)
	reports := 0
	var last Checked
	got, err := db.Check(ctx, true, func(c Checked) {
		if c.Done < last.Done || c.Done > c.Total {
			t.Errorf("from %d to %d of %d", last.Done, c.Done, c.Total)
		}
		last = c
		reports++
		// It works on beside, in the middle of the check.
		if reports == 3 {
			exec(t, db, `DELETE FROM notes WHERE id = '7'`)
		}
	})
	if err != nil || len(got.Problems) > 0 {
		t.Fatal(err, got.Problems)
	}
	if got.Trees < 8 || reports < 8 || got.Done != got.Total || got.Total < 100 {
		t.Errorf("%d trees, %d reports, %d of %d pages", got.Trees, reports, got.Done, got.Total)
	}
	about, err := db.About(ctx)
	if err != nil || !about.Checksums || about.PageSize != 4096 || about.Bytes == 0 || about.LogBytes == 0 {
		t.Errorf("about: %+v, %v", about, err)
	}
	stopped, stop := context.WithCancel(ctx)
	_, err = db.Check(stopped, false, func(Checked) { stop() })
	wantCode(t, err, errcode.Aborted)
}

func TestDB_check_findsDamage(t *testing.T) {
	ctx := context.Background()
	// An index that lost its entries.
	file := fileOf(t, `CREATE TABLE t(a, b); CREATE INDEX i ON t(a); CREATE TABLE u(a); CREATE INDEX j ON u(a);
		INSERT INTO t SELECT value, value FROM `+series(50)+`;
		PRAGMA writable_schema = on;
		UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'j') WHERE name = 'i'`)
	got, err := over(t, file, Options{}).Check(ctx, false, nil)
	if err != nil || len(got.Problems) != 1 || !strings.Contains(got.Problems[0], "0 entries") {
		t.Errorf("an index without entries: %v, %v", err, got.Problems)
	}

	// A bit that flipped in any page in use.
	db := openTest(t, Options{Migrations: notes})
	exec(t, db, `INSERT INTO notes(id, body) SELECT value, hex(randomblob(300)) FROM `+series(200))
	var out bytes.Buffer
	if err := db.Export(ctx, &out); err != nil {
		t.Fatal(err)
	}
	met := 0
	for at := 4096 + 700; at < out.Len(); at += 4096 {
		broken := bytes.Clone(out.Bytes())
		broken[at] ^= 4
		signs := make(chan error, 10)
		f := scratch.NewMemory(broken)
		t.Cleanup(func() { f.Close() })
		damaged, err := Open(ctx, Options{Filename: f.URI(), SingleConn: true, Migrations: notes,
			OnDamage: func(err error) { signs <- err }})
		if err != nil {
			if !sqlerr.Damaged(err) {
				t.Errorf("page %d: opening: %v", at/4096+1, err)
			}
			continue
		}
		got, err := damaged.Check(ctx, false, nil)
		if err != nil || len(got.Problems) == 0 {
			t.Errorf("page %d: %v, %v", at/4096+1, err, got.Problems)
			continue
		}
		if err := <-signs; !sqlerr.Damaged(err) {
			t.Errorf("page %d: told of %v", at/4096+1, err)
		}
		met++
		damaged.Check(ctx, false, nil)
		damaged.Close()
		if len(signs) > 0 {
			t.Errorf("page %d: told twice", at/4096+1)
		}
	}

	if met < 10 {
		t.Errorf("met in a running database only %d times", met)
	}

	// What an import finds is of another file.
	signs := make(chan error, 1)
	sound := openTest(t, Options{Migrations: notes, OnDamage: func(err error) { signs <- err }})
	broken := bytes.Clone(out.Bytes())
	broken[2*4096+5] ^= 1
	if err := sound.Import(ctx, bytes.NewReader(broken)); !sqlerr.Damaged(err) {
		t.Errorf("the import of a damaged file: %v", err)
	}
	if len(signs) > 0 {
		t.Errorf("told of damage: %v", <-signs)
	}
}
