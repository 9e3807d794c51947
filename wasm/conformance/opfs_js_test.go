package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/opfstest"
	"heddle.dev/heddle/jsbridge"
)

// Names of the databases that the worker opened, by number (e2e/opfs/worker.ts).
const directories = 6

func nameOf(i int) string { return fmt.Sprintf("Conformance %d", i) }

var free struct {
	mu   sync.Mutex
	used [directories]bool
}

// fresh takes a directory that no test uses, and empties its files.
func fresh(t *testing.T) (opfs.Directory, string) {
	t.Helper()
	free.mu.Lock()
	defer free.mu.Unlock()
	for i := range free.used {
		if free.used[i] {
			continue
		}
		free.used[i] = true
		t.Cleanup(func() {
			free.mu.Lock()
			free.used[i] = false
			free.mu.Unlock()
		})
		dir := opfs.From(jsbridge.OpenedOPFS(i))
		file, err := opfs.File(nameOf(i))
		for _, suffix := range []string{"", "-wal", "-journal"} {
			err = errors.Join(err, dir.Remove(file+suffix))
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir, file
	}
	t.Fatal("too few directories")
	return nil, ""
}

var subject = opfstest.Subject{Fresh: fresh, SharedMemory: true}

func TestOPFS_directory(t *testing.T) { opfstest.Directory(t, subject) }
func TestOPFS_sqlite(t *testing.T)    { opfstest.SQLite(t, subject) }

// TestOPFS_large crosses 2^31 and 2^32: offsets are not 32-bit numbers.
func TestOPFS_large(t *testing.T) {
	dir, file := fresh(t)
	h, err := dir.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	const far = 5 << 30
	if err := h.Truncate(far); err != nil {
		t.Skipf("this disk holds no sparse file of 5 GiB: %v", err)
	}
	defer h.Truncate(0)
	if n, err := h.Size(); n != far || err != nil {
		t.Fatalf("size %d, %v", n, err)
	}
	want := []byte("far out")
	if n, err := h.WriteAt(want, far-3); n != len(want) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	got := make([]byte, 20)
	if n, err := h.ReadAt(got, far-3); err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("read: %q, %v", got[:n], err)
	}
	if n, err := h.ReadAt(got[:4], 1<<31); n != 4 || err != nil || !bytes.Equal(got[:4], make([]byte, 4)) {
		t.Fatalf("read in the gap: %d, %v, %q", n, err, got)
	}
}

// TestOPFS_throws causes real exceptions and wants their names.
func TestOPFS_throws(t *testing.T) {
	dir, file := fresh(t)
	h, err := dir.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	var thrown *jsbridge.Error
	if _, err := h.ReadAt(make([]byte, 4), -1); !errors.As(err, &thrown) || thrown.Name == "" || thrown.Message == "" {
		t.Fatalf("reading at -1: %#v", err)
	}
	if err := h.Truncate(-1); !errors.As(err, &thrown) || thrown.Name == "" {
		t.Fatalf("truncating to -1: %#v", err)
	}
	if n, err := h.WriteAt([]byte("goes on"), 0); n != 7 || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

// hearing is a directory that remembers what its handles threw last.
type hearing struct {
	opfs.Directory
	last error
}

type hearingHandle struct {
	opfs.Handle
	d *hearing
}

func (d *hearing) Open(name string) (opfs.Handle, error) {
	h, err := d.Directory.Open(name)
	return hearingHandle{h, d}, err
}

func (h hearingHandle) WriteAt(p []byte, off int64) (int, error) {
	n, err := h.Handle.WriteAt(p, off)
	if err != nil || n != len(p) {
		h.d.last = fmt.Errorf("%d of %d bytes, %w", n, len(p), err)
	}
	return n, err
}

// TestQuota runs alone, with the origin's quota set to a few MiB: a full disk is
// SQLITE_FULL, what was committed stays, and work goes on once there is room.
func TestQuota(t *testing.T) {
	dir, file := fresh(t)
	heard := &hearing{Directory: dir}
	c := opfstest.MustOpen(t, file, subject.Mount(t, opfs.New(heard)), opfstest.Mode{Journal: "wal"})
	var w opfstest.Workload
	for i := range 10 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	fill := func() error {
		return c.Exec("CREATE TABLE filler AS WITH RECURSIVE v(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM v WHERE " +
			"n<10000) SELECT randomblob(4000) AS x FROM v")
	}
	err := fill()
	if !errors.Is(err, sqlite3.FULL) {
		t.Fatalf("got %v, want SQLITE_FULL", err)
	}
	t.Logf("the browser said: %v", heard.last)
	if n, err := w.Check(c); err != nil || n != 9 {
		t.Fatalf("on the full disk: %d, %v", n, err)
	}
	// The log that the attempt left is written over: there is room for little ones.
	for i := 10; i < 16; i++ {
		if err := w.Step(c, i); err != nil {
			t.Fatalf("transaction %d: %v", i, err)
		}
	}
	if err := fill(); !errors.Is(err, sqlite3.FULL) {
		t.Fatalf("again: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := opfstest.MustOpen(t, file, subject.Mount(t, opfs.New(dir)), opfstest.Mode{})
	if n, err := w.Check(again); err != nil || n != 15 {
		t.Fatalf("reopened: %d, %v", n, err)
	}
}

// TestCleared runs alone, after the site's data was cleared under the open
// handles and the worker has looked.
func TestCleared(t *testing.T) {
	dir := opfs.From(jsbridge.OpenedOPFS(0))
	v := opfs.New(dir)
	if err := v.Check(t.Context()); errcode.Of(err) != errcode.StorageLost {
		t.Fatalf("check: %v", err)
	}
	file, err := opfs.File(nameOf(0))
	if err != nil {
		t.Fatal(err)
	}
	h, err := dir.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := h.WriteAt([]byte("x"), 0); errcode.Of(err) != errcode.StorageLost {
		t.Fatalf("write: %d, %v", n, err)
	}
	if err := h.Flush(); errcode.Of(err) != errcode.StorageLost {
		t.Fatalf("flush: %v", err)
	}
}

// BenchmarkCommit is one durable transaction of one small row.
func BenchmarkCommit(b *testing.B) {
	dir := opfs.From(jsbridge.OpenedOPFS(0))
	file, _ := opfs.File(nameOf(0))
	c := opfstest.MustOpen(b, file, subject.Mount(b, opfs.New(dir)), opfstest.Mode{Journal: "wal"})
	if err := c.Exec("PRAGMA cache_size=-8000; PRAGMA wal_autocheckpoint=1000; CREATE TABLE IF NOT EXISTS t(a INTEGER " +
		"PRIMARY KEY, b, c, d)"); err != nil {
		b.Fatal(err)
	}
	s, _, err := c.Prepare("INSERT INTO t(b, c, d) VALUES ('a note', 3.5, 7)")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Exec(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkInsert is 100,000 rows in one transaction.
func BenchmarkInsert(b *testing.B) {
	dir := opfs.From(jsbridge.OpenedOPFS(1))
	file, _ := opfs.File(nameOf(1))
	c := opfstest.MustOpen(b, file, subject.Mount(b, opfs.New(dir)), opfstest.Mode{Journal: "wal"})
	if err := c.Exec("PRAGMA cache_size=-8000; PRAGMA wal_autocheckpoint=1000"); err != nil {
		b.Fatal(err)
	}
	const rows = 100_000
	for b.Loop() {
		if err := c.Exec("DROP TABLE IF EXISTS t; CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, d); BEGIN"); err != nil {
			b.Fatal(err)
		}
		s, _, err := c.Prepare("INSERT INTO t VALUES (?, 'a note', 3.5, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			s.BindInt(1, i)
			s.BindInt(2, i*7)
			if err := s.Exec(); err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
		if err := c.Exec("COMMIT"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
