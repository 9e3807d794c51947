package opfstest

import (
	"errors"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/opfs"
)

// Op is a call of a Handle or Directory that can fail.
type Op string

// The calls.
const (
	Write    Op = "write"
	Flush    Op = "flush"
	Truncate Op = "truncate"
	Size     Op = "size"
	Read     Op = "read"
	Opening  Op = "open"
	Remove   Op = "remove"
)

// How is a way in which browsers fail.
type How string

// The ways. Those that return a count are for Read and Write, and Minus for Size
// as well; Ignored is for Truncate. Elsewhere they throw.
const (
	Throw  How = "throws QuotaExceededError"
	Closed How = "throws InvalidStateError"
	Short  How = "returns a short count" // and does that much
	Zero   How = "returns 0"
	Huge   How = "returns 4294967288" // -8 as an unsigned number: seen in Chrome 150
	Minus  How = "returns -1"
	// What web/src/worker/opfs.ts makes of a result that is no number.
	NotANumber How = "returns no number"
	Ignored    How = "does nothing"
)

// ErrQuota is what Throw throws.
var ErrQuota = errors.New("QuotaExceededError: no space")

// ErrNotANumber is what NotANumber comes to.
var ErrNotANumber = errors.New("TypeError: the browser returned undefined")

// ErrClosed is what Closed throws.
var ErrClosed = errcode.New(errcode.Closed, "opfstest", "InvalidStateError: the handle is closed")

// A Fault makes the Nth call of Op, counted from 1 over all files, fail. If it
// stays, the disk is full from there on: all calls that would make a file
// longer fail. At the quota, browsers still write in place.
type Fault struct {
	Op    Op
	How   How
	Nth   int
	Stays bool
}

// Faulty is a Directory with a fault.
type Faulty struct {
	opfs.Directory
	mu    sync.Mutex
	fault Fault
	calls map[Op]int
	hits  int

	trusted bool // a mutant: whatever the browser takes of a write counts as all
}

// NewFaulty wraps dir; without a fault until Arm.
func NewFaulty(dir opfs.Directory) *Faulty {
	return &Faulty{Directory: dir, calls: map[Op]int{}}
}

// Arm sets the fault, counting from now. The zero Fault is none.
func (f *Faulty) Arm(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	clear(f.calls)
	f.hits = 0
}

// Hits returns how many calls have failed since Arm: a test in which it stays 0
// has shown nothing.
func (f *Faulty) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Calls returns how often op was called since Arm.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// fails counts a call and says whether and how it fails. A call that grows
// makes its file longer.
func (f *Faulty) fails(op Op, grows bool) (How, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	n := f.calls[op]
	if f.fault.Op != op || n < f.fault.Nth || n > f.fault.Nth && !(f.fault.Stays && grows) {
		return "", false
	}
	f.hits++
	return f.fault.How, true
}

// throws is the fault of a call that returns no count.
func (f *Faulty) throws(op Op) error {
	switch how, fails := f.fails(op, false); {
	case !fails:
		return nil
	case how == Closed:
		return ErrClosed
	case how == NotANumber:
		return ErrNotANumber
	default:
		return ErrQuota
	}
}

// Open implements opfs.Directory.
func (f *Faulty) Open(name string) (opfs.Handle, error) {
	if err := f.throws(Opening); err != nil {
		return nil, err
	}
	h, err := f.Directory.Open(name)
	if err != nil {
		return nil, err
	}
	return &faultyHandle{Handle: h, f: f}, nil
}

// Remove implements opfs.Directory.
func (f *Faulty) Remove(name string) error {
	if err := f.throws(Remove); err != nil {
		return err
	}
	return f.Directory.Remove(name)
}

type faultyHandle struct {
	opfs.Handle
	f *Faulty
}

// counts is the fault of a call that returns a count: what it returns, and
// after how many of the n bytes it stops.
func counts(how How, n int) (count, done int, err error) {
	switch how {
	case Closed:
		return 0, 0, ErrClosed
	case Short:
		return n / 2, n / 2, nil
	case Zero:
		return 0, 0, nil
	case Huge:
		return 4294967288, 0, nil
	case Minus:
		return -1, 0, nil
	case NotANumber:
		return 0, 0, ErrNotANumber
	}
	return 0, 0, ErrQuota
}

func (h *faultyHandle) ReadAt(p []byte, off int64) (int, error) {
	how, fails := h.f.fails(Read, false)
	if !fails {
		return h.Handle.ReadAt(p, off)
	}
	count, done, err := counts(how, len(p))
	if done > 0 {
		h.Handle.ReadAt(p[:done], off)
	}
	return count, err
}

func (h *faultyHandle) WriteAt(p []byte, off int64) (int, error) {
	size, err := h.Handle.Size()
	if err != nil {
		return 0, err
	}
	how, fails := h.f.fails(Write, off+int64(len(p)) > size)
	if !fails {
		return h.Handle.WriteAt(p, off)
	}
	count, done, err := counts(how, len(p))
	if done > 0 {
		h.Handle.WriteAt(p[:done], off)
	}
	if err == nil && h.f.trusted {
		return len(p), nil
	}
	return count, err
}

func (h *faultyHandle) Truncate(size int64) error {
	switch how, fails := h.f.fails(Truncate, false); {
	case !fails:
		return h.Handle.Truncate(size)
	case how == Ignored:
		return nil
	default:
		_, _, err := counts(how, 0)
		return err
	}
}

func (h *faultyHandle) Size() (int64, error) {
	how, fails := h.f.fails(Size, false)
	if !fails {
		return h.Handle.Size()
	}
	n, _, err := counts(how, 0)
	return int64(n), err
}

func (h *faultyHandle) Flush() error {
	if err := h.f.throws(Flush); err != nil {
		return err
	}
	return h.Handle.Flush()
}
