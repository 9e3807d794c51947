package linktest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
)

func errorIs(err, target error) bool {
	if target == sqlite3.NOMEM {
		return errors.Is(err, target)
	}
	return err != nil && errors.Is(err, target)
}

// directory registers a VFS over files in memory, whose databases share memory.
func directory(t *testing.T) (*opfs.MemoryDirectory, string) {
	t.Helper()
	dir := opfs.Memory()
	name := "opfs-" + strings.ReplaceAll(t.Name(), "/", "-")
	vfs.Register(name, opfs.New(dir))
	t.Cleanup(func() { vfs.Unregister(name) })
	return dir, "file:test.db?vfs=" + name
}

// TestShared_readerBesideWriter lets a reader scan while a writer commits.
func TestShared_readerBesideWriter(t *testing.T) {
	_, uri := directory(t)
	writer := open(t, uri)
	expect(t, writer, `PRAGMA journal_mode = WAL`, "wal")
	expect(t, writer, `PRAGMA synchronous`, "2")
	exec(t, writer, `CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) `+
		`INSERT INTO t SELECT i FROM n`)
	reader := open(t, uri)
	expect(t, reader, `PRAGMA journal_mode`, "wal")
	expect(t, reader, `PRAGMA synchronous`, "2")
	s, _, err := reader.Prepare(`SELECT a FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for s.Step() {
		rows++
		if rows%50 == 0 {
			exec(t, writer, `INSERT INTO t VALUES (-1)`)
		}
		if rows == 2500 {
			exec(t, writer, `DELETE FROM t WHERE a > 4000`)
			expect(t, writer, `PRAGMA wal_checkpoint(TRUNCATE)`, busyCheckpoint(t, writer))
		}
	}
	if err := s.Close(); err != nil || rows != 5000 {
		t.Errorf("the reader saw %d rows, %v; want its snapshot of 5000", rows, err)
	}
	expect(t, reader, `SELECT count(*) FROM t`, "4100")
	expect(t, writer, `PRAGMA wal_checkpoint(TRUNCATE)`, "0|0|0")
	expect(t, reader, `PRAGMA integrity_check`, "ok")
	stackIsBack(t)
}

// busyCheckpoint returns what a checkpoint answers that a reader holds back.
func busyCheckpoint(t *testing.T, db *sqlite3.Conn) string {
	t.Helper()
	rows, err := query(db, `PRAGMA wal_checkpoint(PASSIVE)`)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	log, done := 0, 0
	fmt.Sscanf(rows[0], "0|%d|%d", &log, &done)
	if log == 0 || done >= log {
		t.Errorf("a passive checkpoint beside a reader answered %q", rows[0])
	}
	return fmt.Sprintf("1|%d|%d", log, done)
}

// TestShared_busy has two writers: the second gets SQLITE_BUSY at once, however
// long it was told to wait.
func TestShared_busy(t *testing.T) {
	_, uri := directory(t)
	a := open(t, uri)
	expect(t, a, `PRAGMA journal_mode = WAL`, "wal")
	exec(t, a, `CREATE TABLE t(a)`)
	b := open(t, uri)
	expect(t, b, `PRAGMA busy_timeout = 36000000`, "36000000")
	exec(t, a, `BEGIN IMMEDIATE; INSERT INTO t VALUES (1)`)
	if err := b.Exec(`BEGIN IMMEDIATE`); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("got %v, want BUSY", err)
	}
	expect(t, b, `SELECT count(*) FROM t`, "0")
	exec(t, a, `COMMIT`)
	exec(t, b, `BEGIN IMMEDIATE; INSERT INTO t VALUES (2); COMMIT`)
	exec(t, a, `BEGIN`)
	expect(t, a, `SELECT count(*) FROM t`, "2")
	exec(t, b, `INSERT INTO t VALUES (3)`)
	if err := a.Exec(`INSERT INTO t VALUES (4)`); !errors.Is(err, sqlite3.BUSY_SNAPSHOT) {
		t.Errorf("got %v, want BUSY_SNAPSHOT", err)
	}
	exec(t, a, `ROLLBACK`)
	stackIsBack(t)
}

// TestShared_recovers opens a copy of database and log as a crash leaves them:
// without the shared memory, which SQLite makes again from the log.
func TestShared_recovers(t *testing.T) {
	dir, uri := directory(t)
	db := open(t, uri)
	expect(t, db, `PRAGMA journal_mode = WAL`, "wal")
	exec(t, db, `CREATE TABLE t(a)`)
	for i := range 200 {
		exec(t, db, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
	}
	exec(t, db, `BEGIN; INSERT INTO t VALUES (-1)`) // never committed

	crashed := opfs.Memory()
	for _, name := range dir.Names() {
		crashed.Set(name, dir.Bytes(name))
	}
	vfs.Register("opfs-crashed", opfs.New(crashed))
	defer vfs.Unregister("opfs-crashed")
	again := open(t, "file:test.db?vfs=opfs-crashed")
	other := open(t, "file:test.db?vfs=opfs-crashed")
	for _, db := range []*sqlite3.Conn{again, other} {
		expect(t, db, `SELECT count(*), min(a), max(a) FROM t`, "200|0|199")
	}
	exec(t, again, `INSERT INTO t VALUES (200)`)
	expect(t, other, `SELECT max(a) FROM t`, "200")
	expect(t, other, `PRAGMA integrity_check`, "ok")
	exec(t, db, `ROLLBACK`)
}

// TestShared_indexGrows writes more than one region of the index describes.
func TestShared_indexGrows(t *testing.T) {
	_, uri := directory(t)
	a := open(t, uri)
	expect(t, a, `PRAGMA journal_mode = WAL`, "wal")
	exec(t, a, `PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a)`)
	b := open(t, uri)
	expect(t, b, `SELECT count(*) FROM t`, "0")
	for range 3 {
		exec(t, a, `BEGIN`)
		for range 50 {
			exec(t, a, `INSERT INTO t VALUES (zeroblob(400000))`)
		}
		exec(t, a, `COMMIT`)
	}
	expect(t, b, `SELECT count(*), sum(length(a)) FROM t`, "150|60000000")
	expect(t, b, `PRAGMA wal_checkpoint(TRUNCATE)`, "0|0|0")
	expect(t, a, `PRAGMA integrity_check`, "ok")
}
