package opfs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
)

// VFS is a vfs.VFS over one Directory. Register it as "opfs" (that name makes
// the browser's engine provide the shared memory of WAL).
//
// https://sqlite.org/c3ref/vfs.html
type VFS struct {
	dir    Directory
	maxRun int
	temp   *budget
	shm    shmDir

	mu     sync.Mutex
	nodes  map[string]*node
	frozen []string // see Freeze
	drafts []string // see Draft
	lost   error
}

var _ vfs.VFS = &VFS{}

// New makes a VFS over dir. The Directory must belong to it alone.
func New(dir Directory) *VFS {
	return &VFS{dir: dir, maxRun: MaxRun, temp: &budget{left: MaxTemp}, nodes: map[string]*node{}}
}

// Open opens a file. Temporary ones, and those without a name, are in memory.
func (v *VFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	const temporary = vfs.OPEN_TEMP_DB | vfs.OPEN_TRANSIENT_DB | vfs.OPEN_TEMP_JOURNAL | vfs.OPEN_SUBJOURNAL
	if name == "" || flags&temporary != 0 {
		return newTemp(v.temp), flags | vfs.OPEN_MEMORY, nil
	}
	name, ok := cleanName(name)
	if !ok {
		return nil, flags, sqlite3.CANTOPEN
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ofDraft(name) {
		return newTemp(v.temp), flags | vfs.OPEN_MEMORY, nil
	}
	n := v.nodes[name]
	if n == nil || flags&vfs.OPEN_EXCLUSIVE != 0 {
		exists, err := v.exists(name)
		switch {
		case err != nil:
			return nil, flags, vfs.SystemError(err, sqlite3.CANTOPEN)
		case exists && flags&vfs.OPEN_CREATE != 0 && flags&vfs.OPEN_EXCLUSIVE != 0:
			return nil, flags, vfs.SystemError(fs.ErrExist, sqlite3.CANTOPEN)
		case !exists && n == nil && flags&vfs.OPEN_CREATE == 0:
			return nil, flags, vfs.SystemError(fs.ErrNotExist, sqlite3.CANTOPEN)
		}
	}
	if n == nil {
		if v.lost != nil {
			return nil, flags, vfs.SystemError(v.lost, sqlite3.CANTOPEN)
		}
		h, err := v.dir.Open(name)
		if err != nil {
			return nil, flags, vfs.SystemError(err, sqlite3.CANTOPEN)
		}
		const logs = vfs.OPEN_WAL | vfs.OPEN_MAIN_JOURNAL | vfs.OPEN_SUPER_JOURNAL
		n = &node{name: name, h: h, size: -1, dirty: true, maxRun: v.maxRun, log: flags&logs != 0,
			wal: flags&vfs.OPEN_WAL != 0}
		v.nodes[name] = n
	}
	f := &file{v: v, n: n, flags: flags, readOnly: flags&vfs.OPEN_READONLY != 0, frozen: v.isFrozen(name)}
	if flags&vfs.OPEN_MAIN_DB != 0 {
		shm, err := v.shm.open(name, flags)
		if err != nil {
			v.drop(n)
			return nil, flags, vfs.SystemError(err, sqlite3.CANTOPEN)
		}
		f.shm = shm
	}
	n.refs++
	return f, flags, nil
}

// Freeze refuses every write to the database file of that name and to its
// journals: a damaged file is read, and kept as it is. It must not be open.
func (v *VFS) Freeze(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frozen = append(v.frozen, name)
}

// Draft says that the file of that name is worth nothing unless it is written to
// its end, until end is called: its journal is kept in memory, and no file is
// opened for it.
func (v *VFS) Draft(name string) (end func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drafts = append(v.drafts, name)
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.drafts = slices.DeleteFunc(v.drafts, func(d string) bool { return d == name })
	}
}

// ofDraft reports whether a file is the journal of a draft. v.mu is held.
func (v *VFS) ofDraft(name string) bool {
	return slices.ContainsFunc(v.drafts, func(d string) bool { return name == d+"-journal" })
}

func (v *VFS) isFrozen(name string) bool {
	return slices.ContainsFunc(v.frozen, func(f string) bool { return name == f || strings.HasPrefix(name, f+"-") })
}

// drop forgets a node without an open file. v.mu is held.
func (v *VFS) drop(n *node) error {
	if n.refs > 0 {
		return nil
	}
	delete(v.nodes, n.name)
	err := n.close()
	if len(v.nodes) == 0 {
		v.shm.close()
	}
	return err
}

// release gives back one reference of a node.
func (v *VFS) release(n *node, remove bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	n.refs--
	err := v.drop(n)
	if remove && n.refs == 0 && v.lost == nil {
		err = errors.Join(err, v.dir.Remove(n.name))
	}
	if err != nil {
		return vfs.SystemError(err, sqlite3.IOERR_CLOSE)
	}
	return nil
}

// Delete removes a file durably, whether or not syncDir asks for that: leaving
// an old journal behind would roll back a committed transaction. One that is
// open is truncated to nothing instead, which [VFS.Access] and SQLite treat
// alike.
func (v *VFS) Delete(name string, syncDir bool) error {
	name, ok := cleanName(name)
	if !ok {
		return sqlite3.IOERR_DELETE_NOENT
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lost != nil {
		return vfs.SystemError(v.lost, sqlite3.IOERR_VNODE)
	}
	if v.isFrozen(name) {
		return sqlite3.IOERR_DELETE
	}
	if v.ofDraft(name) {
		return nil
	}
	if n := v.nodes[name]; n != nil {
		err := n.truncate(nil, 0)
		if err == nil {
			err = n.sync(nil)
		}
		return vfs.SystemError(err, sqlite3.IOERR_DELETE)
	}
	err := v.dir.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return vfs.SystemError(err, sqlite3.IOERR_DELETE_NOENT)
	}
	return vfs.SystemError(err, sqlite3.IOERR_DELETE)
}

// Access reports whether a file is there, and is not empty: a journal or log
// that was "removed" under its open handle is neither hot nor worth reading.
func (v *VFS) Access(name string, _ vfs.AccessFlag) (bool, error) {
	name, ok := cleanName(name)
	if !ok {
		return false, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	exists, err := v.exists(name)
	return exists, vfs.SystemError(err, sqlite3.IOERR_ACCESS)
}

// exists is Access under v.mu.
func (v *VFS) exists(name string) (bool, error) {
	if n := v.nodes[name]; n != nil {
		size, err := n.fileSize()
		return size > 0, err
	}
	return v.dir.Exists(name)
}

// FullPathname returns the name inside the directory: there is but one.
func (v *VFS) FullPathname(name string) (string, error) {
	name, ok := cleanName(name)
	if !ok {
		return "", sqlite3.CANTOPEN_FULLPATH
	}
	return name, nil
}

// Check asks the Directory whether its files are still those that the names
// lead to. Call it outside SQLite, on a timer and when the page comes back to
// life. Once they are not, every write and sync fails with SQLITE_IOERR_VNODE,
// so that nothing more is acknowledged, and reads go on from the open handles.
//
// The error's code is errcode.StorageLost then, and whatever the Directory says
// where it could not tell. A Directory that is no Checker is always intact.
func (v *VFS) Check(ctx context.Context) error {
	if err := v.lostErr(); err != nil {
		return err
	}
	dir := v.dir
	if o, ok := dir.(*observed); ok {
		dir = o.Directory
	}
	c, ok := dir.(Checker)
	if !ok {
		return nil
	}
	err := c.Check(ctx)
	if errcode.Of(err) == errcode.StorageLost {
		v.mu.Lock()
		v.lost = err
		v.mu.Unlock()
	}
	return err
}

func (v *VFS) lostErr() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lost
}
