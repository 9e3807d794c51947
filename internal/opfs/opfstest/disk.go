package opfstest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"heddle.dev/heddle/internal/opfs"
)

// Disk is a Directory in memory that keeps a log of what was done to it, from
// which [Disk.Images] makes what a loss of power could leave. Opening a file is
// durable at once, writing and truncating only once the file is flushed.
// Removing is truncating and flushing, as in the browser.
type Disk struct {
	*opfs.MemoryDirectory
	lies Lies

	mu   sync.Mutex
	log  []diskOp
	late map[string][]diskOp // what Lies.Late holds back
}

// Lies are what a disk may do wrong: the mutants that a crash test must kill.
type Lies struct {
	Flush  func(file string) bool // reports whether a flush of that file does nothing
	Late   bool                   // a flush comes before the writes that it is for
	Remove bool                   // a removal is not flushed
}

type diskOp struct {
	file string
	kind Op
	off  int64 // or the size of a truncation
	data []byte
}

// NewDisk makes an empty one.
func NewDisk(lies Lies) *Disk {
	return &Disk{MemoryDirectory: opfs.Memory(), lies: lies, late: map[string][]diskOp{}}
}

// DiskOf makes one that holds the files of dir, flushed.
func DiskOf(dir *opfs.MemoryDirectory) *Disk {
	d := &Disk{MemoryDirectory: dir}
	for _, name := range dir.Names() {
		d.log = append(d.log, diskOp{file: name, kind: Write, data: dir.Bytes(name)}, diskOp{file: name, kind: Flush})
	}
	return d
}

func (d *Disk) add(op diskOp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.lies.Late && op.kind != Flush:
		d.late[op.file] = append(d.late[op.file], op)
		return
	case op.kind != Flush:
	case d.lies.Flush != nil && d.lies.Flush(op.file):
		return
	case d.lies.Remove && d.emptied(op.file):
		return
	}
	d.log = append(d.log, op)
	d.log = append(d.log, d.late[op.file]...)
	delete(d.late, op.file)
}

// emptied reports whether the last thing done to a file was to cut it to nothing.
func (d *Disk) emptied(file string) bool {
	for i := len(d.log) - 1; i >= 0; i-- {
		if op := &d.log[i]; op.file == file {
			return op.kind == Truncate && op.off == 0
		}
	}
	return false
}

// Now returns how many operations were logged: what was acknowledged by now is
// owed to every image taken from here on.
func (d *Disk) Now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// Open implements opfs.Directory.
func (d *Disk) Open(name string) (opfs.Handle, error) {
	h, err := d.MemoryDirectory.Open(name)
	if err != nil {
		return nil, err
	}
	return &diskHandle{Handle: h, d: d, name: name}, nil
}

// Remove implements opfs.Directory.
func (d *Disk) Remove(name string) error {
	err := d.MemoryDirectory.Remove(name)
	if err == nil {
		d.add(diskOp{file: name, kind: Truncate})
		d.add(diskOp{file: name, kind: Flush})
	}
	return err
}

type diskHandle struct {
	opfs.Handle
	d    *Disk
	name string
}

func (h *diskHandle) WriteAt(p []byte, off int64) (int, error) {
	h.d.add(diskOp{file: h.name, kind: Write, off: off, data: append([]byte(nil), p...)})
	return h.Handle.WriteAt(p, off)
}

func (h *diskHandle) Truncate(size int64) error {
	h.d.add(diskOp{file: h.name, kind: Truncate, off: size})
	return h.Handle.Truncate(size)
}

func (h *diskHandle) Flush() error {
	h.d.add(diskOp{file: h.name, kind: Flush})
	return nil
}

// Image is one state that the disk could be found in.
type Image struct {
	Dir *opfs.MemoryDirectory
	At  int    // how many operations had been issued
	How string // what became of those not flushed
	Hit int    // how many of those there were
}

type diskFile struct {
	durable []byte
	pending []diskOp
}

// Images calls each with per images for every point between two operations, from
// the one after the first operations on, until it returns false.
func (d *Disk) Images(r *rand.Rand, first, per int, each func(Image) bool) {
	files := map[string]*diskFile{}
	for at := 0; ; at++ {
		for i := range per {
			if at >= first && !each(imageOf(files, at, styles[(at+i)%len(styles)], r)) {
				return
			}
		}
		if at == len(d.log) {
			return
		}
		op := d.log[at]
		f := files[op.file]
		if f == nil {
			f = &diskFile{}
			files[op.file] = f
		}
		switch op.kind {
		case Flush:
			for _, op := range f.pending {
				f.durable = op.apply(f.durable)
			}
			f.pending = nil
		default:
			f.pending = append(f.pending, op)
		}
	}
}

var styles = []string{"lost", "kept", "torn", "reordered", "reordered and torn", "torn with its sectors"}

func imageOf(files map[string]*diskFile, at int, how string, r *rand.Rand) Image {
	dir, hit := opfs.Memory(), 0
	for _, name := range slices.Sorted(maps.Keys(files)) { // the same images from the same seed
		f := files[name]
		hit += len(f.pending)
		p := append([]byte(nil), f.durable...)
		last := r.IntN(len(f.pending) + 1) // for "torn": the ones before are whole
		for i, op := range f.pending {
			switch how {
			case "kept":
				p = op.apply(p)
			case "torn", "torn with its sectors":
				if i < last {
					p = op.apply(p)
				} else if i == last {
					p = op.tear(p, r, how != "torn")
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
					p = op.tear(p, r, false)
				}
			}
		}
		dir.Set(name, p)
	}
	return Image{dir, at, how, hit}
}

func (op diskOp) apply(p []byte) []byte {
	if op.kind == Truncate {
		return resize(p, op.off)
	}
	p = resize(p, max(int64(len(p)), op.off+int64(len(op.data))))
	copy(p[op.off:], op.data)
	return p
}

// tear applies some of the 512-byte pieces of a write. With damage, what else
// lies in the 4096-byte sectors of the write may be garbage afterwards: no standard
// states that it is not.
func (op diskOp) tear(p []byte, r *rand.Rand, damage bool) []byte {
	if op.kind == Truncate {
		if r.IntN(2) == 0 {
			return op.apply(p)
		}
		return p
	}
	end := op.off + int64(len(op.data))
	if damage {
		from, to := op.off/opfs.SectorSize*opfs.SectorSize, (end+opfs.SectorSize-1)/opfs.SectorSize*opfs.SectorSize
		for i := from; i < to && i < int64(len(p)); i++ {
			if i < op.off || i >= end {
				p[i] = byte(r.Uint32())
			}
		}
	}
	for off := op.off; off < end; {
		next := min(end, (off/512+1)*512)
		if r.IntN(2) == 0 {
			p = diskOp{kind: Write, off: off, data: op.data[off-op.off : next-op.off]}.apply(p)
		}
		off = next
	}
	return p
}

func resize(p []byte, size int64) []byte {
	if size <= int64(len(p)) {
		return p[:size]
	}
	return append(p, make([]byte, size-int64(len(p)))...)
}

var _ opfs.Directory = &Disk{}
