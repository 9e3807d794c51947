package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
)

// disk is an opfs.Directory whose power can be cut, at once or in the middle of
// something: what was not flushed may be lost, torn or reordered then. Opening
// and removing files is durable at once.
type disk struct {
	name    string // of the VFS over it
	noFlush bool   // the mutant: flush does nothing

	mu    sync.Mutex
	files map[string]*diskFile
	left  int  // writes until the power is cut; negative for none to come
	dead  bool // it was
	died  chan struct{}
}

type diskFile struct {
	data    []byte // as programs see it
	durable []byte // as of the last flush
	pending []diskOp
}

type diskOp struct {
	off  int64 // or the size of a truncation
	data []byte
	cut  bool // a truncation
}

var errPower = errors.New("the power is cut")

var disks atomic.Int64

// newDisk makes a disk with these files and registers a VFS over it.
func newDisk(files map[string][]byte) *disk {
	d := &disk{files: map[string]*diskFile{}, left: -1, died: make(chan struct{})}
	for name, data := range files {
		d.files[name] = &diskFile{data: append([]byte(nil), data...), durable: append([]byte(nil), data...)}
	}
	d.name = "opfs-sim" + itoa(int(disks.Add(1)))
	vfs.Register(d.name, opfs.New(d))
	return d
}

// drop forgets the VFS. All connections must be closed.
func (d *disk) drop() { vfs.Unregister(d.name) }

// cutAfter cuts the power at the nth write, flush or truncation from now.
func (d *disk) cutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
	if n == 0 {
		d.cut()
	}
}

func (d *disk) cut() {
	if !d.dead {
		d.dead = true
		close(d.died)
	}
}

// step counts a change of the disk. The mutex is held.
func (d *disk) step() error {
	if !d.dead && d.left > 0 {
		if d.left--; d.left == 0 {
			d.cut()
		}
	}
	if d.dead {
		return errPower
	}
	return nil
}

// isDead reports whether the power is cut.
func (d *disk) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// Ways to lose what was not flushed. A process that is killed loses nothing.
var losses = []string{"killed", "lost", "torn", "reordered", "reordered and torn"}

// image returns what is found on the disk after it went dead.
func (d *disk) image(how string, r *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for _, name := range sortedKeys(d.files) {
		f := d.files[name]
		p := append([]byte(nil), f.durable...)
		last := r.IntN(len(f.pending) + 1)
		for i, op := range f.pending {
			switch how {
			case "killed":
				p = op.apply(p)
			case "torn":
				if i < last {
					p = op.apply(p)
				} else if i == last {
					p = op.tear(p, r)
				}
			case "reordered":
				if r.IntN(2) == 0 {
					p = op.apply(p)
				}
			case "reordered and torn":
				switch r.IntN(3) {
				case 0:
					p = op.apply(p)
				case 1:
					p = op.tear(p, r)
				}
			}
		}
		files[name] = p
	}
	return files
}

// flushed returns the files as the last flush left them: a backup of them is
// what a file system snapshot would be.
func (d *disk) flushed() map[string][]byte {
	return d.image("lost", rand.New(rand.NewPCG(0, 0)))
}

func (op diskOp) apply(p []byte) []byte {
	if op.cut {
		return resize(p, op.off)
	}
	p = resize(p, max(int64(len(p)), op.off+int64(len(op.data))))
	copy(p[op.off:], op.data)
	return p
}

// tear applies some of the 512-byte pieces of a write.
func (op diskOp) tear(p []byte, r *rand.Rand) []byte {
	if op.cut {
		if r.IntN(2) == 0 {
			return op.apply(p)
		}
		return p
	}
	end := op.off + int64(len(op.data))
	for off := op.off; off < end; {
		next := min(end, (off/512+1)*512)
		if r.IntN(2) == 0 {
			p = diskOp{off: off, data: op.data[off-op.off : next-op.off]}.apply(p)
		}
		off = next
	}
	return p
}

func resize(p []byte, size int64) []byte {
	if size <= int64(len(p)) {
		return p[:size]
	}
	have := len(p)
	if size > int64(cap(p)) {
		p = slices.Grow(p, int(size)) // files grow page by page
	}
	p = p[:size]
	clear(p[have:])
	return p
}

// Open implements opfs.Directory.
func (d *disk) Open(name string) (opfs.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	f := d.files[name]
	if f == nil {
		f = &diskFile{}
		d.files[name] = f
	}
	return &diskHandle{d, f}, nil
}

// Remove implements opfs.Directory.
func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	delete(d.files, name)
	return nil
}

// Exists implements opfs.Directory.
func (d *disk) Exists(name string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	return f != nil && len(f.data) > 0, nil
}

type diskHandle struct {
	d *disk
	f *diskFile
}

func (h *diskHandle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.dead {
		return 0, errPower
	}
	if off >= int64(len(h.f.data)) {
		return 0, nil
	}
	return copy(p, h.f.data[off:]), nil
}

func (h *diskHandle) change(op diskOp) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.dead {
		return errPower
	}
	// The write during which the power goes may or may not reach the disk.
	h.f.pending = append(h.f.pending, op)
	if err := h.d.step(); err != nil {
		return err
	}
	h.f.data = op.apply(h.f.data)
	return nil
}

func (h *diskHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.change(diskOp{off: off, data: append([]byte(nil), p...)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *diskHandle) Truncate(size int64) error { return h.change(diskOp{off: size, cut: true}) }

func (h *diskHandle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.f.data)), nil
}

func (h *diskHandle) Flush() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step(); err != nil {
		return err
	}
	if h.d.noFlush {
		return nil
	}
	for _, op := range h.f.pending {
		h.f.durable = op.apply(h.f.durable)
	}
	h.f.pending = nil
	return nil
}

func (h *diskHandle) Close() error { return nil }
