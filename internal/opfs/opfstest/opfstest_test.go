package opfstest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
)

func memorySubject() Subject {
	return Subject{
		Fresh:        func(*testing.T) (opfs.Directory, string) { return opfs.Memory(), "test.db" },
		SharedMemory: vfs.SupportsSharedMemory,
	}
}

func TestMemory_directory(t *testing.T) { Directory(t, memorySubject()) }
func TestMemory_sqlite(t *testing.T)    { SQLite(t, memorySubject()) }

// The modes of TestMemory_sqlite have the encrypted files of SQLite.
func TestEncrypted_directory(t *testing.T) {
	Directory(t, Subject{Fresh: func(*testing.T) (opfs.Directory, string) {
		return Mode{Encrypted: true}.Over(opfs.Memory()), "test.db"
	}})
}

// TestEncrypted_changes alters the file of a database with checksums in ways that
// an accident does not: each is found when the page is read. In a plain file a
// page in the place of another one, with the checksum that it had there, is not.
func TestEncrypted_changes(t *testing.T) {
	const page = 4096
	mode := Mode{Journal: "wal", Exclusive: true, Checksums: true, Encrypted: true}
	dir := opfs.Memory()
	c := MustOpen(t, "test.db", memorySubject().Mount(t, mode.VFS(dir)), mode)
	var w Workload
	for i := range 20 {
		if err := w.Step(c, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	disk := dir.Bytes("test.db")
	pages := len(disk) / page
	check := func(changed []byte) error {
		dir := opfs.Memory()
		dir.Set("test.db", changed)
		c, err := Open("test.db", memorySubject().Mount(t, mode.VFS(dir)), Mode{Exclusive: true})
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := w.Check(c)
		if err == nil && n != 19 {
			err = fmt.Errorf("holds %d", n)
		}
		return err
	}
	if err := check(disk); err != nil {
		t.Fatal(err)
	}
	// The page is still where a checksum that is none would not be asked for.
	plain := bytes.Clone(disk)
	h, err := mode.Over(dir).Open("test.db")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := h.ReadAt(plain, 0); n != len(plain) || err != nil {
		t.Fatal(n, err)
	}
	if bytes.Contains(disk, []byte("CREATE TABLE")) || !bytes.Contains(plain, []byte("CREATE TABLE")) {
		t.Error("the file says what it holds")
	}
	found := 0
	for i := range pages {
		bit := bytes.Clone(disk)
		bit[i*page+i*131%page] ^= 1 << (i % 8)
		swapped := bytes.Clone(disk)
		j := (i + 1) % pages
		copy(swapped[i*page:], disk[j*page:(j+1)*page])
		copy(swapped[j*page:], disk[i*page:(i+1)*page])
		zeros := bytes.Clone(disk)
		clear(zeros[i*page : (i+1)*page])
		for name, changed := range map[string][]byte{"a bit": bit, "two pages swapped": swapped, "zeros": zeros} {
			if check(changed) == nil {
				t.Errorf("page %d: %s: not found", i+1, name)
			}
			found++
		}
	}
	t.Logf("%d changes over %d pages", found, pages)
}
