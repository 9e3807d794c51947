package scratch

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// memVFS holds the files of exports and imports: one connection a file, no
// locks, nothing survives. go-sqlite3's own vfs/memdb would link testing into
// the browser's binary.
//
// https://sqlite.org/c3ref/vfs.html
type memVFS struct {
	mu    sync.Mutex
	next  int
	files map[string]*memFile
}

const memVFSName = "heddle-memory"

var memory = &memVFS{files: map[string]*memFile{}}

func init() { vfs.Register(memVFSName, memory) }

// Memory is a [File] in memory.
type Memory struct {
	*memFile
	name string
}

// NewMemory makes a file with the given content, which it takes over.
func NewMemory(content []byte) *Memory {
	memory.mu.Lock()
	defer memory.mu.Unlock()
	memory.next++
	f := &Memory{&memFile{data: content}, "/" + strconv.Itoa(memory.next)}
	memory.files[f.name] = f.memFile
	return f
}

// URI names the file to SQLite.
func (f *Memory) URI() string { return "file:" + f.name + "?vfs=" + memVFSName }

// Bytes returns the content, which stays the file's.
func (f *Memory) Bytes() []byte { return f.data }

// Close frees the content.
func (f *Memory) Close() error {
	memory.mu.Lock()
	defer memory.mu.Unlock()
	delete(memory.files, f.name)
	return nil
}

func (m *memVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// OPEN_MEMORY is not among the flags returned: VACUUM would keep the page
	// size then.
	if flags&vfs.OPEN_MAIN_DB == 0 {
		return &memFile{}, flags, nil
	}
	if f := m.files[name]; f != nil {
		return f, flags, nil
	}
	return nil, flags, sqlite3.CANTOPEN
}

func (m *memVFS) Delete(string, bool) error { return nil }

func (m *memVFS) Access(name string, _ vfs.AccessFlag) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[name] != nil, nil
}

func (m *memVFS) FullPathname(name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return name, nil
}

type memFile struct{ data []byte }

func (f *memFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(f.data)) {
		n = copy(p, f.data[off:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if gap := off - int64(len(f.data)); gap > 0 {
		f.data = append(f.data, make([]byte, gap)...)
	}
	n := copy(f.data[off:], p)
	f.data = append(f.data, p[n:]...)
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	if size < int64(len(f.data)) {
		f.data = f.data[:size]
	}
	return nil
}

func (f *memFile) Close() error                     { return nil }
func (f *memFile) Sync(vfs.SyncFlag) error          { return nil }
func (f *memFile) Size() (int64, error)             { return int64(len(f.data)), nil }
func (f *memFile) Lock(vfs.LockLevel) error         { return nil }
func (f *memFile) Unlock(vfs.LockLevel) error       { return nil }
func (f *memFile) CheckReservedLock() (bool, error) { return false, nil }
func (f *memFile) SectorSize() int                  { return 4096 }

// DeviceCharacteristics claims all: the content lives no longer than the call.
func (f *memFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_ATOMIC | vfs.IOCAP_SEQUENTIAL | vfs.IOCAP_SAFE_APPEND | vfs.IOCAP_POWERSAFE_OVERWRITE
}
