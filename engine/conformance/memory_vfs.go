package conformance

import (
	"io"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// memoryVFS keeps files in memory, for one connection at a time, and fails where
// it is told to.
type memoryVFS struct {
	mu    sync.Mutex
	files map[string]*memoryFile
	// fail is asked before each operation, by its name.
	fail func(op string) error
}

// register makes the VFS known under a name until the returned function is called.
func (v *memoryVFS) register(name string) (unregister func()) {
	v.files = map[string]*memoryFile{}
	vfs.Register(name, v)
	return func() { vfs.Unregister(name) }
}

func (v *memoryVFS) check(op string) error {
	if v.fail == nil {
		return nil
	}
	return v.fail(op)
}

func (v *memoryVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if err := v.check("open"); err != nil {
		return nil, flags, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.files[name]
	if f == nil {
		if flags&vfs.OPEN_CREATE == 0 {
			return nil, flags, sqlite3.CANTOPEN
		}
		f = &memoryFile{vfs: v}
		if name != "" {
			v.files[name] = f
		}
	}
	return f, flags, nil
}

func (v *memoryVFS) Delete(name string, _ bool) error {
	if err := v.check("delete"); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files[name] == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	delete(v.files, name)
	return nil
}

func (v *memoryVFS) Access(name string, _ vfs.AccessFlag) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.files[name] != nil, v.check("access")
}

func (v *memoryVFS) FullPathname(name string) (string, error) { return name, v.check("path") }

type memoryFile struct {
	vfs  *memoryVFS
	data []byte
	lock vfs.LockLevel
}

func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.vfs.check("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.vfs.check("write"); err != nil {
		return 0, err
	}
	if end := off + int64(len(p)); end > int64(len(f.data)) {
		f.data = append(f.data, make([]byte, end-int64(len(f.data)))...)
	}
	return copy(f.data[off:], p), nil
}

func (f *memoryFile) Truncate(size int64) error {
	if err := f.vfs.check("truncate"); err != nil {
		return err
	}
	f.data = f.data[:size]
	return nil
}

func (f *memoryFile) Sync(vfs.SyncFlag) error { return f.vfs.check("sync") }

func (f *memoryFile) Size() (int64, error) { return int64(len(f.data)), f.vfs.check("size") }

func (f *memoryFile) Lock(lock vfs.LockLevel) error {
	if err := f.vfs.check("lock"); err != nil {
		return err
	}
	f.lock = lock
	return nil
}

func (f *memoryFile) Unlock(lock vfs.LockLevel) error {
	f.lock = lock
	return f.vfs.check("unlock")
}

func (f *memoryFile) CheckReservedLock() (bool, error) {
	return f.lock >= vfs.LOCK_RESERVED, f.vfs.check("reserved")
}

func (f *memoryFile) SectorSize() int { return 512 }

func (f *memoryFile) DeviceCharacteristics() vfs.DeviceCharacteristic { return 0 }
