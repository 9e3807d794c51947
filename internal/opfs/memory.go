package opfs

import (
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// MemoryDirectory holds its files in memory. It outlives the VFS over it:
// closing a file keeps its bytes.
type MemoryDirectory struct {
	mu    sync.Mutex
	files map[string]*memory
}

var _ Directory = &MemoryDirectory{}

// Memory makes an empty directory in memory.
func Memory() *MemoryDirectory { return &MemoryDirectory{files: map[string]*memory{}} }

// Open implements Directory.
func (d *MemoryDirectory) Open(name string) (Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.files[name]
	if m == nil {
		m = &memory{}
		d.files[name] = m
	}
	return memoryHandle{m}, nil
}

// Remove implements Directory.
func (d *MemoryDirectory) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return nil
}

// Exists implements Directory.
func (d *MemoryDirectory) Exists(name string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.files[name]
	return m != nil && m.length() > 0, nil
}

// Rename gives a file another name. It must not be open.
func (d *MemoryDirectory) Rename(from, to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.files[from]; m != nil {
		d.files[to] = m
		delete(d.files, from)
	}
}

// Names returns the names of the files, in no order.
func (d *MemoryDirectory) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	return names
}

// Bytes returns a copy of a file, nil where there is none.
func (d *MemoryDirectory) Bytes(name string) []byte {
	d.mu.Lock()
	m := d.files[name]
	d.mu.Unlock()
	if m == nil {
		return nil
	}
	p := make([]byte, m.length())
	m.readAt(p, 0)
	return p
}

// Set makes a file of a copy of p. The file must not be open.
func (d *MemoryDirectory) Set(name string, p []byte) {
	m := &memory{}
	m.writeAt(p, 0)
	d.mu.Lock()
	d.files[name] = m
	d.mu.Unlock()
}

type memoryHandle struct{ m *memory }

func (h memoryHandle) ReadAt(p []byte, off int64) (int, error)  { return h.m.readAt(p, off), nil }
func (h memoryHandle) WriteAt(p []byte, off int64) (int, error) { return h.m.writeAt(p, off), nil }
func (h memoryHandle) Truncate(size int64) error                { h.m.truncate(size); return nil }
func (h memoryHandle) Size() (int64, error)                     { return h.m.length(), nil }
func (h memoryHandle) Flush() error                             { return nil }
func (h memoryHandle) Close() error                             { return nil }

// memory is a growing file in blocks, so that growing copies nothing. Bytes
// past the size are zero.
type memory struct {
	mu     sync.RWMutex
	blocks []*[block]byte // nil: zeros
	size   int64
}

const block = 1 << 15

func (m *memory) length() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.size
}

func (m *memory) readAt(p []byte, off int64) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if off >= m.size {
		return 0
	}
	p = p[:min(int64(len(p)), m.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		if b := m.blocks[at/block]; b != nil {
			done += copy(p[done:], b[at%block:])
		} else {
			k := min(len(p)-done, int(block-at%block))
			clear(p[done : done+k])
			done += k
		}
	}
	return len(p)
}

func (m *memory) writeAt(p []byte, off int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grow(off + int64(len(p)))
	for done := 0; done < len(p); {
		at := off + int64(done)
		b := &m.blocks[at/block]
		if *b == nil {
			*b = new([block]byte)
		}
		done += copy((*b)[at%block:], p[done:])
	}
	return len(p)
}

func (m *memory) grow(size int64) {
	for int64(len(m.blocks))*block < size {
		m.blocks = append(m.blocks, nil)
	}
	m.size = max(m.size, size)
}

func (m *memory) truncate(size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size >= m.size {
		m.grow(size)
		return
	}
	if b := size / block; size%block != 0 && m.blocks[b] != nil {
		clear(m.blocks[b][size%block:])
	}
	keep := (size + block - 1) / block
	clear(m.blocks[keep:])
	m.blocks = m.blocks[:keep]
	m.size = size
}

// budget bounds the bytes of all temporary files together.
type budget struct {
	mu   sync.Mutex
	left int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

// temp is a temporary file: one connection's alone, gone when closed.
type temp struct {
	m      memory
	budget *budget
}

var _ vfs.File = &temp{}

func newTemp(b *budget) *temp { return &temp{budget: b} }

// resize takes or gives back what a change of length costs.
func (t *temp) resize(size int64) error {
	if !t.budget.take(size - t.m.length()) {
		return vfs.SystemError(errors.New("opfs: temporary files need too much memory"), sqlite3.FULL)
	}
	return nil
}

func (t *temp) Close() error { return t.Truncate(0) }

func (t *temp) ReadAt(p []byte, off int64) (int, error) {
	if n := t.m.readAt(p, off); n < len(p) {
		clear(p[n:])
		return n, io.EOF
	}
	return len(p), nil
}

func (t *temp) WriteAt(p []byte, off int64) (int, error) {
	if err := t.resize(max(t.m.length(), off+int64(len(p)))); err != nil {
		return 0, err
	}
	return t.m.writeAt(p, off), nil
}

func (t *temp) Truncate(size int64) error {
	if err := t.resize(size); err != nil {
		return err
	}
	t.m.truncate(size)
	return nil
}

func (t *temp) Size() (int64, error)             { return t.m.length(), nil }
func (t *temp) Sync(vfs.SyncFlag) error          { return nil }
func (t *temp) Lock(vfs.LockLevel) error         { return nil }
func (t *temp) Unlock(vfs.LockLevel) error       { return nil }
func (t *temp) CheckReservedLock() (bool, error) { return false, nil }
func (t *temp) SectorSize() int                  { return SectorSize }

// DeviceCharacteristics of memory: nothing here outlives the process, so there
// is nothing to tear or to reorder.
func (t *temp) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_ATOMIC | vfs.IOCAP_SAFE_APPEND | vfs.IOCAP_SEQUENTIAL |
		vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}
