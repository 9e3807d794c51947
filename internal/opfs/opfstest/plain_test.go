//go:build !js

package opfstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/opfs"
)

// TestMemory_concurrent has a reader and a writer on goroutines of their own, as
// a native program may: each snapshot is a whole one, and never an older one.
func TestMemory_concurrent(t *testing.T) {
	s := memorySubject()
	if !s.SharedMemory {
		t.Skip("no shared memory for WAL on this platform")
	}
	var w Workload
	v := s.Mount(t, opfs.New(opfs.Memory()))
	writer := MustOpen(t, "test.db", v, Mode{Journal: "wal"})
	reader := MustOpen(t, "test.db", v, Mode{Journal: "wal"})
	written := make(chan error, 1)
	go func() {
		for i := range 60 {
			if err := w.Step(writer, i); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for last := -1; last < 59; {
		mustExec(t, reader, "BEGIN")
		n, err := w.Check(reader)
		if err != nil || n < last {
			t.Fatalf("read %d after %d: %v", n, last, err)
		}
		mustExec(t, reader, "COMMIT")
		last = n
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			written <- nil
			if n, err := w.Check(reader); err != nil || n != 59 {
				t.Fatalf("at the end: %d, %v", n, err)
			}
			last = 59
		default:
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// TestPlainFiles takes the bytes of the files, with a log that was not
// checkpointed, to a disk, where any SQLite opens them; and back.
func TestPlainFiles(t *testing.T) {
	s := memorySubject()
	var w Workload
	dir := opfs.Memory()
	c := MustOpen(t, "test.db", s.Mount(t, opfs.New(dir)), Mode{Journal: "wal"})
	for i := range 10 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := dir.Exists("test.db-wal"); !ok || err != nil {
		t.Fatalf("there is no log to take along: %v", err)
	}
	path := filepath.Join(t.TempDir(), "plain.db")
	for _, suffix := range suffixes {
		if p := dir.Bytes("test.db" + suffix); len(p) > 0 {
			if err := os.WriteFile(path+suffix, p, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	plain, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Check(plain); err != nil || n != 9 {
		t.Fatalf("on disk: %d, %v", n, err)
	}
	if err := w.Step(plain, 10); err != nil {
		t.Fatal(err)
	}
	if err := plain.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	back := opfs.Memory()
	back.Set("test.db", p)
	again := MustOpen(t, "test.db", s.Mount(t, opfs.New(back)), Mode{Journal: "wal"})
	if n, err := w.Check(again); err != nil || n != 10 {
		t.Fatalf("back: %d, %v", n, err)
	}
}
