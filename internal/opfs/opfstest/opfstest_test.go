package opfstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/atrest"
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

// alteration is what somebody does to a page on the disk, who has no key.
type alteration struct {
	name string
	// alter changes the page at off of a file that a page was in before as old.
	alter func(file []byte, off int, old []byte)
	plain bool // it is found in a plain file with checksums as well: zeros have that of zeros
	never bool // it is not found, encrypted or not
}

const pageSize = 4096

// setChecksum gives a page the checksum of its bytes: https://sqlite.org/cksumvfs.html.
func setChecksum(page []byte) {
	var a, b uint32
	for ; len(page) > 8; page = page[8:] {
		a += binary.LittleEndian.Uint32(page) + b
		b += binary.LittleEndian.Uint32(page[4:]) + a
	}
	binary.LittleEndian.PutUint32(page, a)
	binary.LittleEndian.PutUint32(page[4:], b)
}

var alterations = []alteration{
	{name: "a bit", plain: true, alter: func(file []byte, off int, _ []byte) {
		file[off+off/pageSize*131%pageSize] ^= 1 << (off / pageSize % 8)
	}},
	{name: "a bit, and the checksum set right", alter: func(file []byte, off int, _ []byte) {
		page := file[off : off+pageSize]
		page[pageSize-9-off/pageSize%900] ^= 1
		setChecksum(page)
	}},
	{name: "another page in its place", alter: func(file []byte, off int, _ []byte) {
		copy(file[off:off+pageSize], file[(off+pageSize)%len(file):])
	}},
	{name: "zeros", alter: func(file []byte, off int, _ []byte) { clear(file[off : off+pageSize]) }},
	{name: "half of it as it was before", plain: true, alter: func(file []byte, off int, old []byte) {
		copy(file[off:off+pageSize/2], old)
	}},
	{name: "the page as it was before", never: true, alter: func(file []byte, off int, old []byte) {
		copy(file[off:off+pageSize], old)
	}},
}

// TestEncrypted_changes alters a database with checksums, also in ways that an accident does not. In an encrypted file
// each is found when the page is read, but for a page that is put back to what it was; in a plain file, whose checksum
// is no secret, those are not that have the right one. It prints how many were found.
func TestEncrypted_changes(t *testing.T) {
	for _, encrypted := range []bool{true, false} {
		mode := Mode{Journal: "wal", Exclusive: true, Checksums: true, Encrypted: encrypted}
		before, disk := grown(t, mode)
		for off := 0; off < len(disk); off += pageSize {
			if err := readPage(t, mode, disk, off); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range alterations {
			found, tried := 0, 0
			first := 0
			if !encrypted { // SQLite knows its first page by itself
				first = pageSize
			}
			for off := first; off < min(len(before), len(disk)); off += pageSize {
				changed := bytes.Clone(disk)
				if a.alter(changed, off, before[off:off+pageSize]); bytes.Equal(changed, disk) {
					continue
				}
				tried++
				if readPage(t, mode, changed, off) != nil {
					found++
				}
			}
			t.Logf("%s: %s: %d of %d found", mode, a.name, found, tried)
			want := 0
			if encrypted && !a.never || a.plain {
				want = tried
			}
			if tried == 0 || found != want {
				t.Errorf("%s: %s: %d of %d found, want %d", mode, a.name, found, tried, want)
			}
		}
	}
}

// grown returns the file of a database as it was, and as it is later.
func grown(t *testing.T, mode Mode) (before, after []byte) {
	t.Helper()
	dir := opfs.Memory()
	for i := range 40 {
		c := MustOpen(t, "test.db", memorySubject().Mount(t, mode.VFS(dir)), mode)
		if err := (Workload{}).Step(c, i); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			before = dir.Bytes("test.db")
		}
	}
	return before, dir.Bytes("test.db")
}

// readPage opens a file, and reads a page of it by the VFS, as SQLite does. An error of SQLite's is one of damage.
func readPage(t *testing.T, mode Mode, file []byte, off int) error {
	t.Helper()
	dir := opfs.Memory()
	dir.Set("test.db", file)
	c, err := Open("test.db", memorySubject().Mount(t, mode.VFS(dir)), Mode{Exclusive: true})
	if err != nil {
		return damage(t, err)
	}
	defer c.Close()
	if _, err := Text(c, "SELECT count(*) FROM sqlite_schema"); err != nil {
		return damage(t, err)
	}
	f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		return err
	}
	_, err = f.(io.ReaderAt).ReadAt(make([]byte, pageSize), int64(off))
	return err
}

// damage demands that an error is one of those that damage is known by.
func damage(t *testing.T, err error) error {
	t.Helper()
	if !errors.Is(err, sqlite3.NOTADB) && !errors.Is(err, sqlite3.IOERR_DATA) && !errors.Is(err, sqlite3.CORRUPT) {
		t.Errorf("no error of damage: %v", err)
	}
	return err
}

// TestEncrypted_wrongKey opens a database with another key: it is no database, also where it has a log and a journal.
// The product does not come so far: it looks at the file of the key first.
func TestEncrypted_wrongKey(t *testing.T) {
	for _, mode := range memorySubject().Modes() {
		if !mode.Encrypted {
			continue
		}
		dir := opfs.Memory()
		c := MustOpen(t, "test.db", memorySubject().Mount(t, mode.VFS(dir)), mode)
		for i := range 10 {
			if err := (Workload{}).Step(c, i); err != nil {
				t.Fatal(err)
			}
		}
		held := opfs.Memory()
		if err := Copy(held, "test.db", dir, "test.db"); err != nil { // the process ends here
			t.Fatal(err)
		}
		other := opfs.New(atrest.New(held, atrest.Key{3, 2, 1}, nil))
		wrong, err := Open("test.db", memorySubject().Mount(t, other), Mode{Exclusive: true})
		if err == nil {
			_, err = Text(wrong, "SELECT count(*) FROM sqlite_schema")
			wrong.Close()
		}
		_ = damage(t, err)
	}
}
