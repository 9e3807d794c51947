package opfs

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
)

// A node is one real file, shared by the files of all connections on it.
type node struct {
	name string
	refs int // guarded by VFS.mu

	locks locks

	mu     sync.Mutex
	h      Handle
	size   int64 // of the file without the run; -1: ask the handle
	dirty  bool  // something may be unflushed
	maxRun int
	log    bool // a WAL or a rollback journal; see drain
	wal    bool // a WAL; see writeAhead

	// run is what SQLite wrote and the handle has not seen: adjacent bytes from
	// runOff on.
	run    []byte
	runOff int64
	// stuck is the connection that was told, as the last thing it heard of this
	// file, that handing over the run failed; the run was kept.
	stuck *file
}

// writeAt takes p into the run, or hands the run over and begins another.
func (n *node) writeAt(f *file, p []byte, off int64) error {
	if off < 0 {
		return vfs.SystemError(errors.New("opfs: write: negative offset"), sqlite3.IOERR_WRITE)
	}
	if len(p) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stuck != nil && n.stuck == f {
		n.cut(off)
	}
	n.stuck = nil
	if len(n.run) > 0 {
		at := off - n.runOff
		if at >= 0 && at <= int64(len(n.run)) && at+int64(len(p)) <= int64(n.maxRun) {
			k := copy(n.run[at:], p)
			n.run = append(n.run, p[k:]...)
			return nil
		}
		if err := n.drain(f); err != nil {
			return err
		}
	}
	if len(p) >= n.maxRun {
		return n.hand(p, off)
	}
	n.run = append(n.run[:0], p...)
	n.runOff = off
	return nil
}

// cut drops the kept run from off on. SQLite rolled back the transaction whose
// bytes these are when it was told of the failure, so what the same connection
// writes next begins the next transaction, where the failed one began, or
// clears the journal, or restarts a log that was checkpointed whole. It need not
// carry bytes along that did not fit and that are never read.
func (n *node) cut(off int64) {
	switch keep := off - n.runOff; {
	case keep <= 0:
		n.run = n.run[:0]
	case keep < int64(len(n.run)):
		n.run = n.run[:keep]
	}
}

// drain hands the run over for f. A run that fails is dropped in a database file
// and kept in a log.
//
// Dropping is right in a database file: SQLite relies on the run only after a sync,
// which fails, and the log or the journal has the same pages. Playing the journal
// back in place must not wait for bytes that do not fit.
//
// A log keeps the run until it is written, overwritten or truncated away. SQLite
// reads a journal to roll back its page cache. A WAL's run holds the end of the
// frame that pads a commit to a sector, which SQLite writes after its sync and
// readers may read. A checkpoint also drains the run, and must not
// lose the frames of another connection's open transaction.
func (n *node) drain(f *file) error {
	if len(n.run) == 0 {
		return nil
	}
	err := n.hand(n.run, n.runOff)
	if err != nil && n.log {
		n.stuck = f
		return err
	}
	n.stuck = nil
	n.run = n.run[:0]
	return err
}

// hand writes p to the handle: the one place that does.
func (n *node) hand(p []byte, off int64) error {
	n.dirty = true
	c, err := n.h.WriteAt(p, off)
	if err == nil && c == len(p) {
		if end := off + int64(c); n.size >= 0 && n.size < end {
			n.size = end
		}
		return nil
	}
	n.size = -1
	if err == nil {
		err = fmt.Errorf("opfs: write: the browser took %d bytes of %d", c, len(p))
	}
	return vfs.SystemError(err, writeCode(err))
}

// writeCode is the SQLite code of a failed write, or of a truncation that was
// to grow the file: the disk is full, unless the handle is gone or could not read.
func writeCode(err error) sqlite3.ExtendedErrorCode {
	if errcode.Of(err) == errcode.Closed || errors.Is(err, ErrRead) {
		return sqlite3.IOERR_WRITE
	}
	return codeOf(err, sqlite3.ExtendedErrorCode(sqlite3.FULL))
}

// codeOf is the SQLite code of an error: SQLITE_IOERR_VNODE if the files are
// gone, whatever was asked of them.
func codeOf(err error, code sqlite3.ExtendedErrorCode) sqlite3.ExtendedErrorCode {
	if errcode.Of(err) == errcode.StorageLost {
		return sqlite3.IOERR_VNODE
	}
	return code
}

// readAt reads from the handle and the run laid over it. At the end of the file
// it fills p with zeros and returns io.EOF.
func (n *node) readAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, vfs.SystemError(errors.New("opfs: read: negative offset"), sqlite3.IOERR_READ)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	end := n.runOff + int64(len(n.run))
	if len(n.run) > 0 && off >= n.runOff && off+int64(len(p)) <= end {
		return copy(p, n.run[off-n.runOff:]), nil
	}
	size, err := n.handleSize()
	if err != nil {
		return 0, vfs.SystemError(err, sqlite3.IOERR_READ)
	}
	whole := size
	if len(n.run) > 0 {
		whole = max(whole, end)
	}
	want := min(int64(len(p)), max(0, whole-off))
	stored := min(want, max(0, size-off))
	if stored > 0 {
		c, err := n.h.ReadAt(p[:stored], off)
		if err == nil && int64(c) != stored {
			err = fmt.Errorf("opfs: read: the browser gave %d bytes of %d", c, stored)
		}
		if err != nil {
			n.size = -1
			return 0, vfs.SystemError(err, sqlite3.IOERR_READ)
		}
	}
	clear(p[stored:])
	if len(n.run) > 0 && off < end && n.runOff < off+want {
		if d := n.runOff - off; d >= 0 {
			copy(p[d:want], n.run)
		} else {
			copy(p[:want], n.run[-d:])
		}
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

// handleSize is the length of the file without the run.
func (n *node) handleSize() (int64, error) {
	if n.size >= 0 {
		return n.size, nil
	}
	size, err := n.h.Size()
	if err == nil && size < 0 {
		err = fmt.Errorf("opfs: size: the browser says %d", size)
	}
	if err != nil {
		return 0, err
	}
	n.size = size
	return size, nil
}

func (n *node) fileSize() (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size, err := n.handleSize()
	if err != nil {
		return 0, vfs.SystemError(err, sqlite3.IOERR_FSTAT)
	}
	if len(n.run) > 0 {
		size = max(size, n.runOff+int64(len(n.run)))
	}
	return size, nil
}

// truncate sets the length. Of the run it keeps what lies below.
func (n *node) truncate(f *file, size int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch keep := size - n.runOff; {
	case keep <= 0:
		n.run, n.stuck = n.run[:0], nil
	case keep < int64(len(n.run)):
		n.run = n.run[:keep]
	}
	stored, err := n.handleSize()
	if err != nil {
		return vfs.SystemError(err, sqlite3.IOERR_TRUNCATE)
	}
	if len(n.run) > 0 && n.runOff+int64(len(n.run)) == size && stored <= size {
		return nil // the run makes it that long
	}
	if stored == size && len(n.run) == 0 {
		return nil
	}
	if size > stored {
		if err := n.drain(f); err != nil {
			return err
		}
	}
	n.dirty = true
	n.size = -1
	if err := n.h.Truncate(size); err != nil {
		code := codeOf(err, sqlite3.IOERR_TRUNCATE)
		if size > stored {
			code = writeCode(err)
		}
		return vfs.SystemError(err, code)
	}
	got, err := n.handleSize()
	if err == nil && got != size {
		n.size = -1
		err = fmt.Errorf("opfs: truncate: the file has %d bytes instead of %d", got, size)
	}
	return vfs.SystemError(err, sqlite3.IOERR_TRUNCATE)
}

// sync hands the run over and flushes. A handle that was not written since its
// last flush is not flushed again: no other code writes to it.
func (n *node) sync(f *file) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.size
	if err := n.drain(f); err != nil {
		return err
	}
	if !n.dirty {
		return nil
	}
	if n.wal && before >= 0 && n.size > before {
		n.writeAhead()
	}
	if err := n.h.Flush(); err != nil {
		return vfs.SystemError(err, codeOf(err, sqlite3.IOERR_FSYNC))
	}
	n.dirty = false
	return nil
}

// writeAhead writes zeros behind a WAL that has just grown: as many bytes as it has, and
// LogAhead at most. A flush of bytes inside a file takes a browser half as long as one of a
// file that has become longer.
//
// No zeros are a frame, so SQLite's recovery ends there as it does at the end of the file:
// a frame has a page number above 0, the salt of the log's header, and a checksum.
// https://sqlite.org/fileformat2.html#the_write_ahead_log
//
// Zeros for which there is no space are left out: the log is whole without them.
func (n *node) writeAhead() {
	if n.size >= logTurns {
		return
	}
	end := (n.size + min(n.size, LogAhead)) &^ (SectorSize - 1)
	for n.size >= 0 && n.size < end {
		if n.hand(zeros[:min(int64(len(zeros)), end-n.size)], n.size) != nil {
			return
		}
	}
}

// zeros is what writeAhead writes in one call.
var zeros [64 << 10]byte

// handOver drains without a flush.
func (n *node) handOver(f *file) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.drain(f)
}

// close hands the run over and closes the handle. SQLite has synced whatever it
// relies on.
func (n *node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.drain(nil)
	return errors.Join(err, n.h.Close())
}
