package atrest_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/atrest"
	"heddle.dev/heddle/internal/opfs/opfstest"
)

var key = atrest.Key{1, 2, 3} // opfstest's

func recoding(dir opfs.Directory, encrypt bool) *atrest.Recoding {
	r := &atrest.Recoding{Dir: dir, Key: key, Encrypt: encrypt, Journal: "recode",
		Files: []string{"test.db", "test.db-wal", "test.db-journal"}}
	r.SetPart(3 * atrest.BlockSize)
	return r
}

// files makes a database whose last commits are in its log alone.
func files(t *testing.T, mode opfstest.Mode) *opfs.MemoryDirectory {
	t.Helper()
	var w opfstest.Workload
	dir, copied := opfs.Memory(), opfs.Memory()
	s := opfstest.Subject{}
	c := opfstest.MustOpen(t, "test.db", s.Mount(t, mode.VFS(dir)), mode)
	for i := range 20 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := opfstest.Copy(copied, "test.db", dir, "test.db"); err != nil {
		t.Fatal(err)
	}
	return copied
}

// TestRecoding_powerLoss cuts the power at each operation of a recoding. Another
// run finishes it, and nothing is lost.
func TestRecoding_powerLoss(t *testing.T) {
	for name, encrypt := range map[string]bool{"encrypt": true, "decrypt": false} {
		t.Run(name, func(t *testing.T) {
			before := opfstest.Mode{Journal: "wal", Exclusive: true, Checksums: true, Encrypted: !encrypt}
			after := before
			after.Encrypted = encrypt
			start := files(t, before)
			if len(start.Bytes("test.db-wal")) == 0 {
				t.Fatal("no log")
			}
			disk := opfstest.DiskOf(start)
			first := disk.Now()
			if err := recoding(disk, encrypt).Run(); err != nil {
				t.Fatal(err)
			}
			whole := map[string][]byte{"test.db": disk.Bytes("test.db"), "test.db-wal": disk.Bytes("test.db-wal")}
			images := 0
			disk.Images(rand.New(rand.NewPCG(7, 8)), first, 2, func(img opfstest.Image) bool {
				images++
				if err := recoding(img.Dir, encrypt).Run(); err != nil {
					t.Fatalf("operation %d, %s: %v", img.At, img.How, err)
				}
				for file, want := range whole {
					if !bytes.Equal(img.Dir.Bytes(file), want) {
						t.Fatalf("operation %d, %s: %s is another one", img.At, img.How, file)
					}
				}
				return true
			})
			c := opfstest.MustOpen(t, "test.db", opfstest.Subject{}.Mount(t, after.VFS(disk)), opfstest.Mode{Exclusive: true})
			if n, err := (opfstest.Workload{}).Check(c); err != nil || n != 19 {
				t.Fatalf("the database is at %d, %v", n, err)
			}
			t.Logf("%d images of %d operations", images, disk.Now()-first)
		})
	}
}
