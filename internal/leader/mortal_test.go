package leader

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/rpc"

	"github.com/ncruces/go-sqlite3/vfs"
)

// disk is the files of a database that outlives its leaders. A leader's worker
// is ended between two calls of a file: what it wrote before is there, what it
// would have done afterwards never happens.
type disk struct {
	files *opfs.MemoryDirectory
}

// life is a leader's way to the disk, until it dies.
type life struct {
	opfs.Directory
	mu    sync.Mutex
	left  int  // calls until death; below 0: it does not die
	after bool // the last call is done
	dead  chan struct{}
}

var errDead = errors.New("the worker has ended")

// begin lets a leader live for so many writing calls.
func (d *disk) begin(calls int, after bool) *life {
	return &life{Directory: d.files, left: calls, after: after, dead: make(chan struct{})}
}

func (f *life) ended() bool {
	select {
	case <-f.dead:
		return true
	default:
		return false
	}
}

// spare lets the leader live on, unless it is dead.
func (f *life) spare() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = -1
}

// change does a writing call, unless the leader is dead.
func (f *life) change(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended() {
		return errDead
	}
	f.left--
	if f.left == 0 {
		defer close(f.dead)
		if !f.after {
			return errDead
		}
	}
	return do()
}

func (f *life) Open(name string) (opfs.Handle, error) {
	h, err := f.Directory.Open(name)
	return &mortalHandle{h, f}, err
}

func (f *life) Remove(name string) error {
	return f.change(func() error { return f.Directory.Remove(name) })
}

type mortalHandle struct {
	opfs.Handle
	f *life
}

func (h *mortalHandle) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.f.change(func() error { n, err = h.Handle.WriteAt(p, off); return err })
	return n, err
}

func (h *mortalHandle) Truncate(size int64) error {
	return h.f.change(func() error { return h.Handle.Truncate(size) })
}

func (h *mortalHandle) Flush() error { return h.f.change(h.Handle.Flush) }

var mounted atomic.Int64

// open opens a leader over the disk; it may die in that.
func (f *life) open(t testing.TB, id string, migrations ...string) (*Leader, error) {
	name := fmt.Sprint("mortal", mounted.Add(1))
	vfs.Register(name, opfs.New(f))
	t.Cleanup(func() { vfs.Unregister(name) })
	uri, err := opfs.URI("notes", name)
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), rpc.OpenConfig{Name: "notes", Storage: "persistent", Migrations: migrations},
		Env{Filename: uri, Storage: "persistent", LeaderID: id, Bounds: unhurried})
}
