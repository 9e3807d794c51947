// Package opfstest tests a Directory of the VFS in package opfs, natively on
// memory and, compiled for the browser, in a worker on real files:
//
//   - [Directory] is the conformance suite of Directory and Handle.
//   - [SQLite] runs real SQLite over the VFS.
//   - [Faulty] is a Directory whose nth call fails as browsers fail.
//   - [Disk] is a Directory that remembers what was written since which flush,
//     and makes the images that a loss of power could leave.
//   - [Workload] is a run of transactions that can tell from a database how far
//     it came and whether all of it is there.
package opfstest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/atrest"
)

// A Subject makes the directories under test.
type Subject struct {
	// Fresh makes an empty directory and returns the name of the database file
	// that it can hold, beside its journals. It cleans up after the test.
	Fresh func(t *testing.T) (opfs.Directory, string)
	// SharedMemory says that WAL works for more than one connection.
	SharedMemory bool
}

var mounted atomic.Int64

// Mount registers v until the test ends, under a name of its own: one of those
// to which the browser's engine gives shared memory.
func (s Subject) Mount(t testing.TB, v vfs.VFS) string {
	t.Helper()
	name := fmt.Sprintf("opfs-test%d", mounted.Add(1))
	vfs.Register(name, v)
	t.Cleanup(func() { vfs.Unregister(name) })
	return name
}

// A Mode is a way to keep a transaction safe.
type Mode struct {
	Journal   string
	Exclusive bool
	Checksums bool   // each page carries one, in a database that is new
	Encrypted bool   // the directory has the files encrypted at rest
	Sync      string // of PRAGMA synchronous; FULL if empty
}

// Over is the directory that the VFS of the mode sees, over the one that has the files.
func (m Mode) Over(dir opfs.Directory) opfs.Directory {
	if m.Encrypted {
		return atrest.New(dir, atrest.Key{1, 2, 3}, nil)
	}
	return dir
}

// VFS is a new one for that mode.
func (m Mode) VFS(dir opfs.Directory) *opfs.VFS { return opfs.New(m.Over(dir)) }

func (m Mode) String() string {
	s := m.Journal
	if m.Exclusive {
		s += ",exclusive"
	}
	if m.Checksums {
		s += ",checksums"
	}
	if m.Encrypted {
		s += ",encrypted"
	}
	return s
}

// Modes lists those that work for the subject, WAL first: on plain files, and then
// those that differ in what they write on encrypted ones.
func (s Subject) Modes() []Mode {
	modes := []Mode{
		{Journal: "wal", Exclusive: true, Checksums: true}, {Journal: "wal", Exclusive: true},
		{Journal: "delete"}, {Journal: "truncate"}, {Journal: "truncate", Exclusive: true}, {Journal: "persist"},
	}
	if s.SharedMemory {
		modes = append([]Mode{{Journal: "wal", Checksums: true}, {Journal: "wal"}}, modes...)
	}
	for _, mode := range slices.Clone(modes) {
		if mode.Checksums || mode.Journal == "delete" || mode.Journal == "persist" {
			mode.Encrypted = true
			modes = append(modes, mode)
		}
	}
	return modes
}

// Open opens a database file in the mode, with synchronous=FULL unless the mode
// says otherwise. Small caches and short logs make it write early, checkpoint
// and truncate often.
func Open(file, vfsName string, mode Mode) (*sqlite3.Conn, error) {
	c, err := sqlite3.Open("file:" + file + "?vfs=" + vfsName)
	if err != nil {
		return nil, err
	}
	if mode.Checksums {
		if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, 8); err != nil {
			c.Close()
			return nil, err
		}
	}
	var pragmas strings.Builder
	if mode.Exclusive {
		pragmas.WriteString("PRAGMA locking_mode=EXCLUSIVE;")
	}
	if mode.Journal != "" {
		fmt.Fprintf(&pragmas, "PRAGMA journal_mode=%s;", mode.Journal)
	}
	sync := mode.Sync
	if sync == "" {
		sync = "FULL"
	}
	fmt.Fprintf(&pragmas,
		"PRAGMA synchronous=%s; PRAGMA cache_size=8; PRAGMA wal_autocheckpoint=24; PRAGMA journal_size_limit=20000;", sync)
	if err := c.Exec(pragmas.String()); err != nil {
		c.Close()
		return nil, err
	}
	if mode.Journal != "" {
		if got, err := Text(c, "PRAGMA journal_mode"); err != nil || got != mode.Journal {
			c.Close()
			return nil, fmt.Errorf("opfstest: journal mode %q instead of %q (%v)", got, mode.Journal, err)
		}
	}
	// As the store does it: a first page that was torn is written before any other.
	if torn, err := tornHeader(c); err != nil || torn && c.Exec("PRAGMA wal_checkpoint(TRUNCATE)") != nil {
		c.Close()
		return nil, fmt.Errorf("opfstest: the first page: %v", err)
	}
	return c, nil
}

// tornHeader reports whether the file does not begin as a database does, although its log
// was recovered.
func tornHeader(c *sqlite3.Conn) (bool, error) {
	if _, err := Text(c, "SELECT count(*) FROM sqlite_schema"); err != nil {
		return false, nil // what is asked of it next says so
	}
	f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		return false, err
	}
	file, ok := f.(io.ReaderAt)
	if !ok { // in memory
		return false, nil
	}
	var head [100]byte // https://sqlite.org/fileformat2.html#the_database_header
	n, _ := file.ReadAt(head[:], 0)
	return n > 0 && !strings.HasPrefix(string(head[:n]), "SQLite format 3\x00"), nil
}

// MustOpen is Open for a test, which closes the connection at its end.
func MustOpen(t testing.TB, file, vfsName string, mode Mode) *sqlite3.Conn {
	t.Helper()
	c, err := Open(file, vfsName, mode)
	if err != nil {
		t.Fatalf("open %s: %v", file, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Text returns the first column of the first row, as text.
func Text(c *sqlite3.Conn, sql string) (string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if !s.Step() {
		return "", s.Err()
	}
	text := s.ColumnText(0)
	return text, s.Reset()
}

func mustText(t testing.TB, c *sqlite3.Conn, sql, want string) {
	t.Helper()
	got, err := Text(c, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if got != want {
		t.Fatalf("%s: got %q, want %q", sql, got, want)
	}
}

func mustExec(t testing.TB, c *sqlite3.Conn, sql string) {
	t.Helper()
	if err := c.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// suffixes are the files that a database has.
var suffixes = []string{"", "-wal", "-journal"}

// Copy copies the bytes of a database and its journals as the handles show
// them, as if the process had died, into dst under another name.
func Copy(dst opfs.Directory, to string, src opfs.Directory, from string) error {
	for _, suffix := range suffixes {
		p, err := ReadFile(src, from+suffix)
		if err != nil {
			return err
		}
		if len(p) == 0 {
			continue
		}
		h, err := dst.Open(to + suffix)
		if err != nil {
			return err
		}
		n, err := h.WriteAt(p, 0)
		if err != nil || n != len(p) {
			return fmt.Errorf("opfstest: copy: wrote %d bytes of %d: %v", n, len(p), err)
		}
		if err := h.Flush(); err != nil {
			return err
		}
		if err := h.Close(); err != nil {
			return err
		}
	}
	return nil
}

// ReadFile returns the bytes of a file, none where there is no such file.
func ReadFile(dir opfs.Directory, name string) ([]byte, error) {
	if ok, err := dir.Exists(name); err != nil || !ok {
		return nil, err
	}
	h, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := h.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	n, err := h.ReadAt(p, 0)
	if err != nil || int64(n) != size {
		return nil, fmt.Errorf("opfstest: read: %d bytes of %d: %v", n, size, err)
	}
	return p, nil
}
