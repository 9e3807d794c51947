package opfs

import (
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A file is one connection's view of a node.
type file struct {
	v        *VFS
	n        *node
	flags    vfs.OpenFlag
	shm      vfs.SharedMemory // nil where the platform has none
	level    vfs.LockLevel    // guarded by n.locks.mu
	readOnly bool
	frozen   bool
	keepWAL  bool
}

var (
	_ vfs.FileLockState    = &file{}
	_ vfs.FileHasMoved     = &file{}
	_ vfs.FilePersistWAL   = &file{}
	_ vfs.FileSync         = &file{}
	_ vfs.FileSharedMemory = &file{}
)

// Close gives up the locks and the shared memory; the last file on a node also
// closes the handle.
func (f *file) Close() error {
	if f.n == nil {
		return nil
	}
	if f.shm != nil {
		f.shm.Close()
	}
	n := f.n
	n.locks.unlock(f, vfs.LOCK_NONE)
	f.n = nil
	return f.v.release(n, f.flags&vfs.OPEN_DELETEONCLOSE != 0)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.n.readAt(p, off) }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.writable(); err != nil {
		return 0, err
	}
	if err := f.n.writeAt(f, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.writable(); err != nil {
		return err
	}
	return f.n.truncate(f, size)
}

// Sync hands over and flushes, whatever kind of sync is asked for: a handle has
// one flush.
func (f *file) Sync(vfs.SyncFlag) error {
	if f.readOnly || f.frozen {
		return nil
	}
	if err := f.writable(); err != nil {
		return err
	}
	return f.n.sync(f)
}

// writable refuses changes, and what makes them count, to files that are no
// longer in the directory. Reading goes on.
func (f *file) writable() error {
	if f.readOnly || f.frozen {
		return sqlite3.READONLY
	}
	if err := f.v.lostErr(); err != nil {
		return vfs.SystemError(err, sqlite3.IOERR_VNODE)
	}
	return nil
}

func (f *file) Size() (int64, error)             { return f.n.fileSize() }
func (f *file) Lock(level vfs.LockLevel) error   { return f.n.locks.lock(f, level) }
func (f *file) Unlock(level vfs.LockLevel) error { return f.n.locks.unlock(f, level) }
func (f *file) CheckReservedLock() (bool, error) { return f.n.locks.anyReserved(), nil }
func (f *file) LockState() vfs.LockLevel         { return f.n.locks.level(f) }
func (f *file) SectorSize() int                  { return SectorSize }
func (f *file) SharedMemory() vfs.SharedMemory   { return f.shm }
func (f *file) HasMoved() (bool, error)          { return f.v.lostErr() != nil, nil }
func (f *file) PersistWAL() bool                 { return f.keepWAL }
func (f *file) SetPersistWAL(keep bool)          { f.keepWAL = keep }

// DeviceCharacteristics claims only what this package itself does: any part of
// a page can be read. See the package comment for what it does not claim.
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ
}

// SyncSuper is called on the database file when a transaction in a rollback
// journal mode commits, also where synchronous=OFF leaves xSync out.
func (f *file) SyncSuper(string) error {
	if err := f.writable(); err != nil {
		return err
	}
	return f.n.handOver(f)
}
