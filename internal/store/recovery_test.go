package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store/dbfile"
)

// TestOpen_recoversALargeLog: what a killed program left in the log is there at
// the next start, and the log is not: the start after that one has nothing to
// recover.
func TestOpen_recoversALargeLog(t *testing.T) {
	for _, rows := range []int{10, 20000} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "running.db"), filepath.Join(dir, "killed.db")
		c, err := sqlite3.Open("file:" + from)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Exec(`PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a, b);
			INSERT INTO t SELECT value, randomblob(1000) FROM ` + series(rows)); err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"", "-wal"} { // as a kill leaves them
			data, err := os.ReadFile(from + end)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to+end, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.Stat(to + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		db := openTest(t, Options{Filename: "file:" + to})
		same(t, query(t, db, `SELECT count(*), sum(a) FROM t`), [][]Value{{int64(rows), int64(rows * (rows + 1) / 2)}})
		after, err := os.Stat(to + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if large := before.Size() > logLimit; large != (rows > 10) {
			t.Fatalf("%d rows make a log of %d bytes: the test shows nothing", rows, before.Size())
		}
		if after.Size() > 1<<20 {
			t.Errorf("a log of %d bytes has %d after the start", before.Size(), after.Size())
		}
		exec(t, db, `INSERT INTO t VALUES(0, 0)`)
	}
}

// TestOpen_mendsATornFirstPage: the power was cut while the first page was written into the
// file, and the log has it. Pages get their checksums from then on.
func TestOpen_mendsATornFirstPage(t *testing.T) {
	dir := t.TempDir()
	path, killed := filepath.Join(dir, "running.db"), filepath.Join(dir, "killed.db")
	running := openTest(t, Options{Filename: "file:" + path})
	exec(t, running, `CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
	exec(t, running, `INSERT INTO t SELECT value, randomblob(500) FROM `+series(100))
	for _, end := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if end == "" { // the sector is garbage
			for i := range min(len(data), 4096) {
				data[i] = byte(i*7 + 1)
			}
		}
		if err := os.WriteFile(killed+end, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := openTest(t, Options{Filename: "file:" + killed})
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(100)}})
	data, err := os.ReadFile(killed)
	if err != nil || !dbfile.HasMagic(data) {
		t.Fatalf("the file's first page was not mended: %d bytes, %v", len(data), err)
	}
	for page := 0; page < len(data); page += 4096 {
		if !dbfile.Intact(data[page : page+4096]) {
			t.Errorf("page %d has no checksum of its own", page/4096+1)
		}
	}
}
