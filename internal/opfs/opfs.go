// Package opfs is the SQLite VFS that Heddle keeps its database in: portable
// rules over a small [Directory] of [Handle]s, which in the browser are the
// FileSystemSyncAccessHandles of the origin private file system and in tests
// are memory, with faults.
//
// # What it promises
//
// SQLite runs in WAL with synchronous=FULL. What xSync was called for has been
// handed to the browser whole and flushed by it; no call counts as done unless
// the browser returned exactly the length asked for.
//
//   - Adjacent writes are gathered, one run a handle, and handed over in one
//     call when SQLite syncs, when the run breaks, or when it has grown to
//     [MaxRun]. Reads are answered from the run. All connections of one VFS
//     share the handle and its run.
//     Below FULL, what SQLite has not synced may still be in the run when the
//     worker is killed: then such a kill is like a loss of power.
//   - A WAL that grows gets zeros behind its end, so that the next commits are written
//     inside the file, whose flush is quicker.
//   - A short, zero or absurd count, and an exception, is SQLITE_FULL on a write:
//     browsers report a full disk in all these ways. Only a handle that the
//     browser has closed is SQLITE_IOERR_WRITE.
//   - No device characteristic is claimed that a browser does not state. The
//     File System standard (https://fs.spec.whatwg.org) says nothing of
//     atomicity, of order between writes, or of what a torn write leaves beside
//     itself; so there is no ATOMIC, SEQUENTIAL, SAFE_APPEND, BATCH_ATOMIC or
//     POWERSAFE_OVERWRITE, and the sector is 4096 bytes.
//   - Locks between the connections of one process are real. Between tabs there
//     are none: one worker owns the directory.
//   - A file of length 0 does not exist, as in SQLite's own unix VFS: removing a
//     file whose handle is open, which the browser cannot do at once, is
//     truncating it.
//   - Temporary files, named or not, live in memory, up to [MaxTemp].
//
// # Names
//
// A database is a directory heddle/<encoded>/ holding <encoded>.db,
// <encoded>.db-wal and <encoded>.db-journal, where <encoded> is [Encode] of the
// database's name. Any sqlite3 opens the files.
//
// Tested by node_test.go and vfs_test.go here, and by package opfstest: the suite of
// every Handle, power cuts (crash_test.go) and failing operations (sweep_test.go).
package opfs

import (
	"context"
	"errors"
)

// Limits, in bytes.
const (
	// MaxRun is how far one run of adjacent writes grows before it is handed
	// over. A browser writes 1 MiB in about 4 ms.
	MaxRun = 1 << 20
	// MaxTemp bounds the temporary files of one VFS taken together: past it
	// writing them is SQLITE_FULL. They live in the memory that Go, SQLite and
	// the page cache share, which ends at 4 GiB.
	MaxTemp = 1 << 30
	// SectorSize is what a torn write may damage beside itself.
	SectorSize = 4096
	// LogAhead is how many zeros a growing WAL gets behind its end at a time, at most.
	LogAhead = 512 << 10
	// logTurns is where a WAL gets no more of them: after 1,000 pages, of 4 KiB mostly,
	// SQLite copies it into the database and begins it anew.
	logTurns = 4 << 20
)

// ErrRead is in the error of a Handle that has to read before it writes, and could
// not: it is not for a lack of space that such a write fails.
var ErrRead = errors.New("opfs: read")

// A Handle is one open file: exactly what a FileSystemSyncAccessHandle gives,
// so counts come unchecked and may be short, zero or nonsense.
//
// An error with the code errcode.Closed says that the browser has closed the
// handle. A Handle is used by one goroutine at a time.
type Handle interface {
	// ReadAt reads at off, counted from the start in bytes; at the end of the
	// file it returns fewer bytes than asked for, and no error.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes at off; past the end it fills the gap with zeros. It must
	// not keep p.
	WriteAt(p []byte, off int64) (int, error)
	// Truncate sets the length in bytes, growing with zeros.
	Truncate(size int64) error
	// Size returns the length in bytes.
	Size() (int64, error)
	// Flush returns once all that was written is on the device, as far as the
	// browser knows.
	Flush() error
	// Close lets go of the handle without flushing.
	Close() error
}

// A Directory opens the files of one database. It is called from inside
// SQLite, so it never waits: a browser's handles were opened before.
type Directory interface {
	// Open opens a file, and creates it where there is none. It need not open
	// one name twice at a time. It returns fs.ErrNotExist for a name that it
	// cannot make.
	Open(name string) (Handle, error)
	// Remove removes a file that is not open, durably. It returns fs.ErrNotExist
	// where there is none.
	Remove(name string) error
	// Exists reports whether there is a file of that name with a length above 0.
	Exists(name string) (bool, error)
}

// A Checker is a Directory that can tell whether its files are still those
// that the names lead to: "clear site data" removes them under open handles
// without a sign. Check may wait; it is called outside SQLite. It returns an
// error with the code errcode.StorageLost if they are not.
type Checker interface {
	Directory
	Check(ctx context.Context) error
}

// From makes a Directory of a type whose Open returns its own type of handle,
// so that it need not import this package.
func From[H Handle](dir interface {
	Open(name string) (H, error)
	Remove(name string) error
	Exists(name string) (bool, error)
}) Directory {
	d := adapter[H]{dir}
	if c, ok := dir.(interface{ Check(context.Context) error }); ok {
		return checkingAdapter[H]{d, c.Check}
	}
	return d
}

type opener[H Handle] interface {
	Open(name string) (H, error)
	Remove(name string) error
	Exists(name string) (bool, error)
}

type adapter[H Handle] struct{ opener[H] }

func (a adapter[H]) Open(name string) (Handle, error) {
	h, err := a.opener.Open(name)
	if err != nil {
		return nil, err // not a typed nil
	}
	return h, nil
}

type checkingAdapter[H Handle] struct {
	adapter[H]
	check func(context.Context) error
}

func (a checkingAdapter[H]) Check(ctx context.Context) error { return a.check(ctx) }
