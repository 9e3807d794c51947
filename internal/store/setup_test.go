//go:build !js

package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/opfstest"
)

// flushes counts what the files of a directory were asked to flush.
type flushes struct {
	opfs.Directory
	n int
}

func (f *flushes) Open(name string) (opfs.Handle, error) {
	h, err := f.Directory.Open(name)
	return &flushing{h, f}, err
}

type flushing struct {
	opfs.Handle
	f *flushes
}

func (h *flushing) Flush() error {
	h.f.n++
	return h.Handle.Flush()
}

// onVFS is the options for a new database in dir.
func onVFS(t *testing.T, dir opfs.Directory) Options {
	name := fmt.Sprintf("setup-%p", dir)
	vfs.Register(name, opfs.New(dir))
	t.Cleanup(func() { vfs.Unregister(name) })
	return Options{Filename: "file:a.db?vfs=" + name, Migrations: []string{`CREATE TABLE t(a)`}}
}

// TestOpen_flushes: a new database waits for its journal, its first page, and the
// log's header and first transaction; everyday commits wait once.
func TestOpen_flushes(t *testing.T) {
	files := &flushes{Directory: opfs.Memory()}
	db := openTest(t, onVFS(t, files))
	if files.n != 4 {
		t.Errorf("a new database takes %d flushes, want 4", files.n)
	}
	for range 3 {
		exec(t, db, `INSERT INTO t VALUES(1)`)
	}
	if files.n != 4+3 {
		t.Errorf("three commits take %d flushes", files.n-4)
	}
}

// TestOpen_powerLoss cuts the power at each step of the set-up of a new database: the next
// start completes it.
func TestOpen_powerLoss(t *testing.T) {
	disk := opfstest.NewDisk(opfstest.Lies{})
	db := openTest(t, onVFS(t, disk))
	exec(t, db, `INSERT INTO t VALUES(1)`)
	owed := disk.Now()
	images := 0
	disk.Images(rand.New(rand.NewPCG(1, 2)), 0, 12, func(img opfstest.Image) bool {
		images++
		again, err := Open(t.Context(), onVFS(t, img.Dir))
		if err != nil {
			t.Fatalf("after %d operations, unflushed %s: %v", img.At, img.How, err)
		}
		defer again.Close()
		if n := query(t, again, `SELECT count(*) FROM t`)[0][0].(int64); n > 1 || img.At >= owed && n != 1 {
			t.Fatalf("after %d operations, unflushed %s: %d rows", img.At, img.How, n)
		}
		exec(t, again, `INSERT INTO t VALUES(2)`)
		return true
	})
	t.Logf("%d images", images)
}
