package opfs

import (
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// TestProgress: while SQLite recovers a large log, which it does inside the first
// read, and while it copies the log into the database, the hook is called.
func TestProgress(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		t.Skip("WAL needs shared memory") // which go-sqlite3 does not have on every platform
	}
	disk := Memory()
	open := func(name string, f func()) *sqlite3.Conn {
		v := New(disk)
		if f != nil {
			v.SetProgress(f)
		}
		vfs.Register(name, v)
		c, err := sqlite3.Open("file:large.db?vfs=" + name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	exec := func(c *sqlite3.Conn, sql string) {
		t.Helper()
		if err := c.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	// The connection that is not closed is the program that was killed.
	exec(open("opfs-killed", nil), `PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = full;
		CREATE TABLE t(a);
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
		INSERT INTO t SELECT randomblob(4000) FROM n`)
	beats := 0
	c := open("opfs-next", func() { beats++ })
	defer c.Close()
	if beats > 2 {
		t.Fatalf("%d beats before anything was read", beats)
	}
	exec(c, `SELECT 1 FROM sqlite_schema`)
	if recovering := beats; recovering < 6000/ProgressOps {
		t.Errorf("%d beats while some 6,000 frames were recovered", recovering)
	}
	beats = 0
	exec(c, `PRAGMA wal_checkpoint(truncate)`)
	if beats < 6000/ProgressOps {
		t.Errorf("%d beats while some 6,000 pages were copied", beats)
	}
}
