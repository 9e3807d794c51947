package opfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
)

// logging is a Handle in memory that lists what was asked of it, and fails
// while fail is set.
type logging struct {
	memory
	calls []string
	fail  func(op string, n int) (int, error, bool)
}

func (h *logging) note(op string, off, n int64) {
	h.calls = append(h.calls, fmt.Sprint(op, " ", off, "+", n))
}

func (h *logging) failing(op string, n int) (int, error, bool) {
	if h.fail == nil {
		return 0, nil, false
	}
	return h.fail(op, n)
}

func (h *logging) ReadAt(p []byte, off int64) (int, error) {
	h.note("read", off, int64(len(p)))
	if n, err, fails := h.failing("read", len(p)); fails {
		return n, err
	}
	return h.readAt(p, off), nil
}

func (h *logging) WriteAt(p []byte, off int64) (int, error) {
	h.note("write", off, int64(len(p)))
	if n, err, fails := h.failing("write", len(p)); fails {
		return n, err
	}
	return h.writeAt(p, off), nil
}

func (h *logging) Truncate(size int64) error {
	h.note("truncate", size, 0)
	if _, err, fails := h.failing("truncate", 0); fails {
		return err
	}
	h.truncate(size)
	return nil
}

func (h *logging) Size() (int64, error) {
	if n, err, fails := h.failing("size", 0); fails {
		return int64(n), err
	}
	return h.length(), nil
}

func (h *logging) Flush() error {
	h.note("flush", 0, 0)
	_, err, _ := h.failing("flush", 0)
	return err
}

func (h *logging) Close() error { return nil }

// took returns the calls since the last took.
func (h *logging) took() string {
	s := strings.Join(h.calls, "; ")
	h.calls = nil
	return s
}

func newNode(maxRun int) (*node, *logging) {
	h := &logging{}
	return &node{name: "test", h: h, size: -1, dirty: true, maxRun: maxRun}, h
}

// TestNode_model compares a node with a plain slice of bytes, for runs short
// and long.
func TestNode_model(t *testing.T) {
	for _, maxRun := range []int{0, 1, 100, 4096, MaxRun} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, uint64(maxRun)))
			n, h := newNode(maxRun)
			n.log = seed%2 == 0
			var model []byte
			last := int64(0)
			for range 300 {
				off := int64(r.IntN(3000))
				if r.IntN(2) == 0 {
					off = last // adjacent
				}
				switch r.IntN(8) {
				case 0:
					if err := n.truncate(nil, off); err != nil {
						t.Fatal(err)
					}
					grown := make([]byte, off)
					copy(grown, model)
					model = grown
				case 1:
					if err := n.sync(nil); err != nil {
						t.Fatal(err)
					}
					if got := make([]byte, len(model)); h.length() != int64(len(model)) || h.readAt(got, 0) != len(got) ||
						!bytes.Equal(got, model) {
						t.Fatalf("maxRun %d, seed %d: the handle differs after sync", maxRun, seed)
					}
				case 2, 3:
					p := bytes.Repeat([]byte{0xEE}, r.IntN(2000))
					got, err := n.readAt(p, off)
					want := make([]byte, len(p))
					have := copy(want, model[min(off, int64(len(model))):])
					if got != have || !bytes.Equal(p, want) || (err == io.EOF) != (have < len(p)) || err != nil && err != io.EOF {
						t.Fatalf("maxRun %d, seed %d: read %d at %d: got %d, %v, want %d", maxRun, seed, len(p), off, got, err, have)
					}
				default:
					p := make([]byte, 1+r.IntN(300))
					for i := range p {
						p[i] = byte(r.Uint32())
					}
					if err := n.writeAt(nil, p, off); err != nil {
						t.Fatal(err)
					}
					if end := int(off) + len(p); end > len(model) {
						model = append(model, make([]byte, end-len(model))...)
					}
					copy(model[off:], p)
					last = off + int64(len(p))
				}
				if size, err := n.fileSize(); err != nil || size != int64(len(model)) {
					t.Fatalf("maxRun %d, seed %d: size %d, %v, want %d", maxRun, seed, size, err, len(model))
				}
			}
		}
	}
}

func TestNode_gathers(t *testing.T) {
	n, h := newNode(1000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(calls string) {
		t.Helper()
		if got := h.took(); got != calls {
			t.Fatalf("got %q, want %q", got, calls)
		}
	}
	w := func(off, size int64) { t.Helper(); must(n.writeAt(nil, make([]byte, size), off)) }

	w(0, 24)
	w(24, 100)
	w(124, 24)
	want("")
	must(n.sync(nil))
	want("write 0+148; flush 0+0")
	must(n.sync(nil)) // nothing new
	want("")
	w(148, 100)
	w(160, 20)  // inside
	w(200, 100) // over the end
	want("")
	w(500, 10) // the run breaks
	want("write 148+152")
	must(n.truncate(nil, 505))
	want("")
	must(n.truncate(nil, 300)) // the run is all cut off, and the file has that length
	want("")
	w(300, 600)
	w(900, 600) // the run would be too long
	want("write 300+600")
	w(5000, 1000) // as long as a run: written directly
	want("write 900+600; write 5000+1000")
	must(n.close())
	want("")
	w(6000, 5)
	must(n.close())
	want("write 6000+5")
}

// TestNode_writeAhead: a log that grows gets zeros, once for many commits. What they lack
// in space, the log does not lack.
func TestNode_writeAhead(t *testing.T) {
	n, h := newNode(MaxRun)
	n.log, n.wal = true, true
	if _, err := n.fileSize(); err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	commit := func(size int64, want string) {
		t.Helper()
		p := bytes.Repeat([]byte{7}, int(size))
		if err := n.writeAt(nil, p, end); err != nil {
			t.Fatal(err)
		}
		if err := n.sync(nil); err != nil {
			t.Fatal(err)
		}
		if got := h.took(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		got := make([]byte, size)
		if h.readAt(got, end); !bytes.Equal(got, p) {
			t.Fatal("what was written is not there")
		}
		end += size
	}
	commit(5000, "write 0+5000; write 5000+3192; flush 0+0")
	commit(3000, "write 5000+3000; flush 0+0")
	commit(1000, "write 8000+1000; write 9000+7384; flush 0+0")
	h.fail = func(op string, size int) (int, error, bool) { return size / 2, nil, op == "write" && size > 7000 }
	commit(7000, "write 9000+7000; flush 0+0")
	commit(1000, "write 16000+1000; write 17000+15768; flush 0+0")
	h.fail = nil
	commit(1000, "write 17000+1000; flush 0+0")
	if n.size = logTurns; h.length() > logTurns {
		t.Fatal("the test's log is too long")
	}
	end = logTurns
	commit(5000, fmt.Sprintf("write %d+5000; flush 0+0", logTurns))
}

func TestNode_counts(t *testing.T) {
	throw := errors.New("QuotaExceededError")
	for _, c := range []struct {
		name  string
		count func(n int) int
		err   error
	}{
		{"throws", func(int) int { return 0 }, throw},
		{"throws with the count", func(n int) int { return n }, throw},
		{"zero", func(int) int { return 0 }, nil},
		{"short", func(n int) int { return n - 1 }, nil},
		{"long", func(n int) int { return n + 1 }, nil},
		{"huge", func(int) int { return 4294967288 }, nil},
		{"negative", func(int) int { return -8 }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, h := newNode(1000)
			if err := n.writeAt(nil, []byte("0123456789"), 0); err != nil || n.sync(nil) != nil {
				t.Fatal(err)
			}
			h.fail = func(op string, n int) (int, error, bool) { return c.count(n), c.err, op == "write" || op == "read" }
			if err := n.writeAt(nil, []byte("abc"), 0); err != nil {
				t.Fatal(err)
			}
			wantCode(t, n.sync(nil), sqlite3.ExtendedErrorCode(sqlite3.FULL))
			if got, err := n.readAt(make([]byte, 10), 0); err == nil || got == 10 {
				t.Fatalf("read: %d, %v", got, err)
			} else {
				wantCode(t, err, sqlite3.IOERR_READ)
			}
			h.fail = nil
			p := make([]byte, 10)
			if got, err := n.readAt(p, 0); err != nil || got != 10 || string(p) != "0123456789" {
				t.Fatalf("after the failure: %d, %v, %q", got, err, p)
			}
		})
	}
}

// wantCode checks the code that go-sqlite3 would take from the error.
func wantCode(t *testing.T, err error, want sqlite3.ExtendedErrorCode) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %v", want)
	}
	tagged := fmt.Sprintf("%#v", err)
	if code := fmt.Sprintf("code:0x%x}", uint32(want)); !strings.Contains(tagged, code) {
		t.Fatalf("got %s, want %s", tagged, code)
	}
}

// TestNode_stuckLog checks that frames of a log that could not be handed over
// stay readable, and that only the connection that was told, with its very next
// write, drops those it wrote in vain.
func TestNode_stuckLog(t *testing.T) {
	told, other := &file{}, &file{}
	for _, c := range []struct {
		name   string
		writes []*file // each writes 4 bytes, the first over frame 5, then on
		want   string
	}{
		{"the next transaction", []*file{told}, "write 0+254; flush 0+0"},
		{"another connection's transaction goes on", []*file{other}, "write 0+500; flush 0+0"},
		{"the other comes first", []*file{other, told}, "write 0+500; flush 0+0"},
		{"writing goes on within the transaction", []*file{told, told}, "write 0+258; flush 0+0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, h := newNode(1000)
			n.log = true
			for i := range 10 {
				if err := n.writeAt(told, bytes.Repeat([]byte{byte(i)}, 50), int64(i*50)); err != nil {
					t.Fatal(err)
				}
			}
			h.fail = func(op string, n int) (int, error, bool) { return 0, nil, op == "write" }
			wantCode(t, n.sync(told), sqlite3.ExtendedErrorCode(sqlite3.FULL))
			p := make([]byte, 50)
			if _, err := n.readAt(p, 450); err != nil || p[0] != 9 {
				t.Fatalf("frame 9: %v, %v", p[0], err)
			}
			h.fail = nil
			for i, f := range c.writes {
				if err := n.writeAt(f, []byte("next"), int64(250+4*i)); err != nil {
					t.Fatal(err)
				}
			}
			h.took()
			if err := n.sync(other); err != nil {
				t.Fatal(err)
			}
			if got := h.took(); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNode_errors(t *testing.T) {
	boom := errors.New("boom")
	fails := func(op string) func(string, int) (int, error, bool) {
		return func(got string, _ int) (int, error, bool) { return 0, boom, got == op }
	}
	n, h := newNode(1000)
	h.fail = fails("size")
	_, err := n.fileSize()
	wantCode(t, err, sqlite3.IOERR_FSTAT)
	h.fail = func(op string, _ int) (int, error, bool) { return -1, nil, op == "size" }
	_, err = n.fileSize()
	wantCode(t, err, sqlite3.IOERR_FSTAT)
	h.fail = nil
	if err := n.writeAt(nil, make([]byte, 100), 0); err != nil || n.sync(nil) != nil {
		t.Fatal(err)
	}
	h.fail = fails("truncate")
	wantCode(t, n.truncate(nil, 50), sqlite3.IOERR_TRUNCATE)
	wantCode(t, n.truncate(nil, 200), sqlite3.ExtendedErrorCode(sqlite3.FULL))
	// A truncation that does nothing is found out.
	h.fail = func(op string, _ int) (int, error, bool) { return 0, nil, op == "truncate" }
	wantCode(t, n.truncate(nil, 50), sqlite3.IOERR_TRUNCATE)
	h.fail = fails("flush")
	if err := n.writeAt(nil, make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	wantCode(t, n.sync(nil), sqlite3.IOERR_FSYNC)
	h.fail = nil
	h.took()
	if err := n.sync(nil); err != nil { // what was not flushed is flushed
		t.Fatal(err)
	}
	if got := h.took(); got != "flush 0+0" {
		t.Fatalf("got %q", got)
	}
	gone := errcode.New(errcode.StorageLost, "test", "gone")
	closed := errcode.New(errcode.Closed, "test", "closed")
	for _, c := range []struct {
		err               error
		write, cut, flush sqlite3.ExtendedErrorCode
	}{
		{gone, sqlite3.IOERR_VNODE, sqlite3.IOERR_VNODE, sqlite3.IOERR_VNODE},
		{closed, sqlite3.IOERR_WRITE, sqlite3.IOERR_TRUNCATE, sqlite3.IOERR_FSYNC},
	} {
		for op, want := range map[string]sqlite3.ExtendedErrorCode{"write": c.write, "flush": c.flush} {
			h.fail = func(got string, _ int) (int, error, bool) { return 0, c.err, got == op }
			if err := n.writeAt(nil, make([]byte, 100), 0); err != nil {
				t.Fatal(err)
			}
			wantCode(t, n.sync(nil), want)
		}
		h.fail = func(got string, _ int) (int, error, bool) { return 0, c.err, got == "truncate" }
		wantCode(t, n.truncate(nil, 10), c.cut)
	}
	wantCode(t, n.writeAt(nil, []byte{1}, -1), sqlite3.IOERR_WRITE)
	_, err = n.readAt([]byte{1}, -1)
	wantCode(t, err, sqlite3.IOERR_READ)
}

func TestTemp_budget(t *testing.T) {
	b := &budget{left: 1000}
	one, two := newTemp(b), newTemp(b)
	if _, err := one.WriteAt(make([]byte, 600), 0); err != nil {
		t.Fatal(err)
	}
	_, err := two.WriteAt(make([]byte, 600), 0)
	wantCode(t, err, sqlite3.ExtendedErrorCode(sqlite3.FULL))
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.WriteAt(make([]byte, 600), 400); err != nil {
		t.Fatal(err)
	}
	p := []byte{1, 1}
	if n, err := two.ReadAt(p, 999); n != 1 || err != io.EOF || p[1] != 0 {
		t.Fatalf("got %d, %v, %v", n, err, p)
	}
	if two.DeviceCharacteristics()&vfs.IOCAP_ATOMIC == 0 || b.left != 0 {
		t.Fatalf("budget: %d left", b.left)
	}
}
