package opfs

import "sync/atomic"

// ProgressOps is how many operations on files lie between two calls of a
// progress hook: of pages, as SQLite reads a log, that is a quarter of a MiB.
const ProgressOps = 64

// SetProgress has f called from inside SQLite after each ProgressOps operations on
// files. Between the instructions of a statement SQLite calls a handler of its
// own; while it recovers a large log, copies one into the database or makes a
// backup, only the files show that it goes on. f must not call SQLite, and does
// not wait. Call it before the first file is opened.
func (v *VFS) SetProgress(f func()) { v.dir = &observed{Directory: v.dir, f: f} }

// observed counts the operations on the files of a directory.
type observed struct {
	Directory
	f func()
	n atomic.Uint32
}

func (o *observed) Open(name string) (Handle, error) {
	h, err := o.Directory.Open(name)
	if err != nil {
		return nil, err
	}
	return &observedHandle{Handle: h, o: o}, nil
}

func (o *observed) tick() {
	if o.n.Add(1)%ProgressOps == 0 {
		o.f()
	}
}

type observedHandle struct {
	Handle
	o *observed
}

func (h *observedHandle) ReadAt(p []byte, off int64) (int, error) {
	h.o.tick()
	return h.Handle.ReadAt(p, off)
}

func (h *observedHandle) WriteAt(p []byte, off int64) (int, error) {
	h.o.tick()
	return h.Handle.WriteAt(p, off)
}

func (h *observedHandle) Flush() error {
	h.o.tick()
	return h.Handle.Flush()
}
