package diskvfs_test

import (
	"net/url"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/diskvfs"
)

func open(t *testing.T, path string) *sqlite3.Conn {
	t.Helper()
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "vfs=" + diskvfs.Name}
	c, err := sqlite3.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exec(t *testing.T, c *sqlite3.Conn, sql string) {
	t.Helper()
	if err := c.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// With the operating system's VFS itself the last step panics.
func TestClose_afterAnotherConnectionWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	last, writer := open(t, path), open(t, path)
	exec(t, writer, `PRAGMA journal_mode = wal; CREATE TABLE t(x)`)
	if err := writer.EnableChecksums("main"); err != nil {
		t.Fatal(err)
	}
	exec(t, last, `SELECT * FROM t`)
	exec(t, writer, `INSERT INTO t VALUES (1)`)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, last, `SELECT * FROM t`)
	third := open(t, path)
	exec(t, third, `INSERT INTO t VALUES (2)`)
	exec(t, last, `PRAGMA wal_checkpoint`)
	exec(t, third, `INSERT INTO t VALUES (3)`)
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
}
