package opfstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/opfs"
)

// SQLite runs real SQLite over the VFS on a directory.
func SQLite(t *testing.T, s Subject) {
	for _, mode := range s.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Run("workload and reopen", func(t *testing.T) { s.workload(t, mode) })
			t.Run("rollback", func(t *testing.T) { s.rollback(t, mode) })
			t.Run("crash", func(t *testing.T) { s.crash(t, mode) })
			t.Run("vacuum and temporary files", func(t *testing.T) { s.vacuum(t, mode) })
		})
	}
	t.Run("locks", s.locks)
	t.Run("reader beside writer", s.readerBesideWriter)
	t.Run("names", s.names)
}

// workload writes, closes, opens and finds all of it.
func (s Subject) workload(t *testing.T, mode Mode) {
	dir, file := s.Fresh(t)
	var w Workload
	for round := range 3 {
		v := s.Mount(t, mode.VFS(dir))
		c, err := Open(file, v, mode)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Check(c); err != nil || n != round*15-1 {
			t.Fatalf("round %d: got %d, %v, want %d", round, n, err, round*15-1)
		}
		for i := range 15 {
			if err := w.Step(c, round*15+i); err != nil {
				t.Fatalf("transaction %d: %v", round*15+i, err)
			}
		}
		if n, err := w.Check(c); err != nil || n != round*15+14 {
			t.Fatalf("round %d: got %d, %v, want %d", round, n, err, round*15+14)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		// The last connection leaves a database that is whole by itself.
		for _, suffix := range suffixes[1:] {
			if mode.Journal == "persist" {
				break
			}
			if ok, err := dir.Exists(file + suffix); ok || err != nil {
				t.Fatalf("round %d: %s is left behind: %v, %v", round, suffix, ok, err)
			}
		}
	}
}

// rollback undoes a transaction that has outgrown the cache, whole and to a
// savepoint.
func (s Subject) rollback(t *testing.T, mode Mode) {
	dir, file := s.Fresh(t)
	c := MustOpen(t, file, s.Mount(t, mode.VFS(dir)), mode)
	var w Workload
	for i := range 8 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	const grow = "INSERT INTO item SELECT 1000, value, randomblob(3000) FROM (WITH RECURSIVE v(value) AS (VALUES(1) " +
		"UNION ALL SELECT value+1 FROM v WHERE value<200) SELECT value FROM v)"
	mustExec(t, c, "BEGIN; "+grow+"; UPDATE state SET n = 99; ROLLBACK")
	if n, err := w.Check(c); err != nil || n != 7 {
		t.Fatalf("after rollback: %d, %v", n, err)
	}
	mustExec(t, c,
		"BEGIN; UPDATE state SET n = 7; SAVEPOINT a; "+grow+"; UPDATE state SET n = 99; ROLLBACK TO a; RELEASE a; COMMIT")
	if n, err := w.Check(c); err != nil || n != 7 {
		t.Fatalf("after rollback to a savepoint: %d, %v", n, err)
	}
	if err := w.Step(c, 8); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Check(c); err != nil || n != 8 {
		t.Fatalf("after the next: %d, %v", n, err)
	}
}

// crash takes the bytes of the handles in the middle of the work, with a
// transaction open that has spilled, and recovers from them elsewhere. What was
// committed is there, whether or not the log's index was.
func (s Subject) crash(t *testing.T, mode Mode) {
	src, from := s.Fresh(t)
	c := MustOpen(t, from, s.Mount(t, mode.VFS(src)), mode)
	var w Workload
	for i := range 12 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, c, "BEGIN; UPDATE state SET n = 99; INSERT INTO item SELECT 1000, rowid, randomblob(3000) FROM (SELECT "+
		"1 AS rowid UNION SELECT 2 UNION SELECT 3)")
	copied := opfs.Memory()
	if err := Copy(copied, from, src, from); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "ROLLBACK")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	dst, to := s.Fresh(t)
	if err := Copy(dst, to, copied, from); err != nil {
		t.Fatal(err)
	}
	again := MustOpen(t, to, s.Mount(t, mode.VFS(dst)), mode)
	if n, err := w.Check(again); err != nil || n != 11 {
		t.Fatalf("recovered: %d, %v, want 11", n, err)
	}
	if err := w.Step(again, 12); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Check(again); err != nil || n != 12 {
		t.Fatalf("after the next: %d, %v", n, err)
	}
}

// vacuum needs a temporary database, sorting a temporary file, and both undo
// nothing in the directory.
func (s Subject) vacuum(t *testing.T, mode Mode) {
	dir, file := s.Fresh(t)
	c := MustOpen(t, file, s.Mount(t, mode.VFS(dir)), mode)
	mustExec(t, c, `CREATE TABLE a(x); WITH RECURSIVE v(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM v WHERE n<3000)
		INSERT INTO a SELECT printf('%0200d', (n*7919)%3001) FROM v;
		CREATE TEMP TABLE b AS SELECT x FROM a; DELETE FROM a WHERE rowid % 3 > 0; VACUUM;
		CREATE INDEX a_x ON a(x)`)
	mustText(t, c, "PRAGMA integrity_check", "ok")
	mustText(t, c, "SELECT count(*) FROM a", "1000")
	mustText(t, c, "SELECT count(DISTINCT x) FROM b", "3000")
	mustText(t, c, "SELECT count(*) FROM (SELECT x FROM b ORDER BY substr(x, 190), x LIMIT 2500)", "2500")
}

// locks checks the states that two connections see of each other.
func (s Subject) locks(t *testing.T) {
	dir, file := s.Fresh(t)
	v := s.Mount(t, opfs.New(dir))
	a := MustOpen(t, file, v, Mode{Journal: "delete"})
	mustExec(t, a, "CREATE TABLE t(x); INSERT INTO t VALUES (1)")
	b := MustOpen(t, file, v, Mode{})
	other := MustOpen(t, file, v, Mode{})
	busy := func(c *sqlite3.Conn, sql string) {
		t.Helper()
		if err := c.Exec(sql); !errors.Is(err, sqlite3.BUSY) {
			t.Fatalf("%s: got %v, want SQLITE_BUSY", sql, err)
		}
	}
	// A writer that has not spilled keeps other writers out, not readers.
	mustExec(t, a, "BEGIN IMMEDIATE; UPDATE t SET x = 2")
	busy(b, "BEGIN IMMEDIATE")
	mustText(t, b, "SELECT x FROM t", "1")
	mustExec(t, a, "ROLLBACK")
	// A reader keeps the writer from committing, and then no other comes in.
	mustExec(t, b, "BEGIN; SELECT x FROM t")
	mustExec(t, a, "BEGIN IMMEDIATE; UPDATE t SET x = 3")
	busy(a, "COMMIT")
	busy(other, "SELECT x FROM t")
	mustText(t, b, "SELECT x FROM t", "1")
	mustExec(t, b, "COMMIT")
	mustExec(t, a, "COMMIT")
	mustText(t, b, "SELECT x FROM t", "3")
	mustText(t, other, "SELECT x FROM t", "3")
	// An exclusive one keeps everybody out, until it closes.
	mustExec(t, a, "PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET x = 4")
	busy(b, "SELECT x FROM t")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	mustText(t, b, "SELECT x FROM t", "4")
	mustExec(t, other, "BEGIN IMMEDIATE; UPDATE t SET x = 5; COMMIT")
	mustText(t, b, "SELECT x FROM t", "5")
}

// readerBesideWriter holds a snapshot on one connection while the other
// commits and checkpoints; then the process dies, and with it the log's index.
func (s Subject) readerBesideWriter(t *testing.T) {
	if !s.SharedMemory {
		t.Skip("this engine has no shared memory for WAL")
	}
	mode := Mode{Journal: "wal"}
	dir, file := s.Fresh(t)
	v := s.Mount(t, opfs.New(dir))
	writer := MustOpen(t, file, v, mode)
	var w Workload
	for i := range 10 {
		if err := w.Step(writer, i); err != nil {
			t.Fatal(err)
		}
	}
	reader := MustOpen(t, file, v, mode)
	mustExec(t, reader, "BEGIN")
	if n, err := w.Check(reader); err != nil || n != 9 {
		t.Fatalf("reader: %d, %v, want 9", n, err)
	}
	for i := 10; i < 40; i++ {
		if err := w.Step(writer, i); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if n, err := w.Check(reader); err != nil || n != 9 {
				t.Fatalf("reader after %d: %d, %v, want 9", i, n, err)
			}
		}
	}
	mustText(t, writer, "PRAGMA wal_checkpoint(TRUNCATE)", "1") // busy
	if n, err := w.Check(reader); err != nil || n != 9 {
		t.Fatalf("reader after a checkpoint: %d, %v, want 9", n, err)
	}
	mustExec(t, reader, "COMMIT")
	if n, err := w.Check(reader); err != nil || n != 39 {
		t.Fatalf("reader: %d, %v, want 39", n, err)
	}
	mustText(t, writer, "PRAGMA wal_checkpoint(TRUNCATE)", "0")
	for i := 40; i < 45; i++ {
		if err := w.Step(writer, i); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, reader, "BEGIN; SELECT n FROM state")

	copied := opfs.Memory()
	if err := Copy(copied, file, dir, file); err != nil {
		t.Fatal(err)
	}
	again := MustOpen(t, file, s.Mount(t, opfs.New(copied)), mode)
	if n, err := w.Check(again); err != nil || n != 44 {
		t.Fatalf("recovered beside: %d, %v, want 44", n, err)
	}
}

// names are those SQLite can be asked for.
func (s Subject) names(t *testing.T) {
	dir, file := s.Fresh(t)
	v := s.Mount(t, opfs.New(dir))
	if c, err := sqlite3.OpenFlags("file:"+file+"?vfs="+v, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI); !errors.Is(err,
		sqlite3.CANTOPEN) {
		if err == nil {
			c.Close()
		}
		t.Fatalf("opening what is not there: got %v, want SQLITE_CANTOPEN", err)
	}
	for _, name := range []string{"a/b", "..", strings.Repeat("x", 300)} {
		c, err := sqlite3.Open(fmt.Sprintf("file:%s?vfs=%s", name, v))
		if err == nil {
			err = c.Exec("CREATE TABLE t(x)")
			c.Close()
		}
		if !errors.Is(err, sqlite3.CANTOPEN) {
			t.Fatalf("%q: got %v, want SQLITE_CANTOPEN", name, err)
		}
	}
	c := MustOpen(t, file, v, Mode{})
	mustExec(t, c, "CREATE TABLE t(x); INSERT INTO t VALUES (1)")
	c.Close()
	ro, err := sqlite3.OpenFlags("file:"+file+"?vfs="+v, sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	mustText(t, ro, "SELECT x FROM t", "1")
	if err := ro.Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, sqlite3.READONLY) {
		t.Fatalf("writing through a read-only connection: %v", err)
	}
	// A database without a name is in memory, whatever its size.
	mustExec(t, MustOpen(t, "", v, Mode{}), "CREATE TABLE t AS SELECT randomblob(100000) AS x")
}
