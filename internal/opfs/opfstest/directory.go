package opfstest

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"heddle.dev/heddle/internal/opfs"
)

// Directory is the conformance suite of an opfs.Directory and its handles.
func Directory(t *testing.T, s Subject) {
	fresh := func(t *testing.T) (opfs.Directory, string, opfs.Handle) {
		dir, name := s.Fresh(t)
		h, err := dir.Open(name)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		t.Cleanup(func() { h.Close() })
		return dir, name, h
	}
	write := func(t *testing.T, h opfs.Handle, p []byte, off int64) {
		t.Helper()
		if n, err := h.WriteAt(p, off); err != nil || n != len(p) {
			t.Fatalf("write %d bytes at %d: got %d, %v", len(p), off, n, err)
		}
	}
	size := func(t *testing.T, h opfs.Handle, want int64) {
		t.Helper()
		if got, err := h.Size(); err != nil || got != want {
			t.Fatalf("size: got %d, %v, want %d", got, err, want)
		}
	}
	read := func(t *testing.T, h opfs.Handle, off int64, n int, want []byte) {
		t.Helper()
		p := bytes.Repeat([]byte{0xEE}, n)
		got, err := h.ReadAt(p, off)
		if err != nil || got != len(want) || !bytes.Equal(p[:got], want) {
			t.Fatalf("read %d bytes at %d: got %d, %v, %x..., want %d bytes", n, off, got, err, p[:min(got, 16)], len(want))
		}
		for _, b := range p[got:] {
			if b != 0xEE {
				t.Fatalf("read %d bytes at %d: wrote past the %d it returned", n, off, got)
			}
		}
	}

	t.Run("empty", func(t *testing.T) {
		dir, name, h := fresh(t)
		size(t, h, 0)
		read(t, h, 0, 10, nil)
		read(t, h, 4096, 10, nil)
		if ok, err := dir.Exists(name); ok || err != nil {
			t.Fatalf("an empty file exists: %v, %v", ok, err)
		}
	})

	t.Run("write and read", func(t *testing.T) {
		dir, name, h := fresh(t)
		write(t, h, []byte("hello, world"), 0)
		write(t, h, []byte("W"), 7)
		size(t, h, 12)
		read(t, h, 0, 12, []byte("hello, World"))
		read(t, h, 7, 100, []byte("World"))
		read(t, h, 12, 1, nil)
		if err := h.Flush(); err != nil {
			t.Fatalf("flush: %v", err)
		}
		if ok, err := dir.Exists(name); !ok || err != nil {
			t.Fatalf("a written file does not exist: %v, %v", ok, err)
		}
	})

	t.Run("a gap reads as zeros", func(t *testing.T) {
		_, _, h := fresh(t)
		write(t, h, []byte("end"), 10000)
		size(t, h, 10003)
		read(t, h, 0, 10003, append(make([]byte, 10000), "end"...))
	})

	t.Run("truncate", func(t *testing.T) {
		_, _, h := fresh(t)
		write(t, h, bytes.Repeat([]byte{1}, 9000), 0)
		for _, step := range []struct{ to, ones int64 }{{5000, 5000}, {9000, 5000}, {0, 0}, {70000, 0}, {0, 0}} {
			if err := h.Truncate(step.to); err != nil {
				t.Fatalf("truncate to %d: %v", step.to, err)
			}
			size(t, h, step.to)
			want := make([]byte, step.to)
			copy(want, bytes.Repeat([]byte{1}, int(step.ones)))
			read(t, h, 0, int(step.to), want)
		}
	})

	t.Run("large", func(t *testing.T) {
		_, _, h := fresh(t)
		p := make([]byte, 3<<20+17)
		for i := range p {
			p[i] = byte(i * i >> 8)
		}
		write(t, h, p, 5)
		size(t, h, int64(len(p))+5)
		read(t, h, 5, len(p), p)
		read(t, h, 5+1<<20, 4096, p[1<<20:1<<20+4096])
	})

	t.Run("against a model", func(t *testing.T) {
		_, _, h := fresh(t)
		r := rand.New(rand.NewPCG(1, 2))
		var model []byte
		for range 400 {
			off := int64(r.IntN(60000))
			switch r.IntN(6) {
			case 0:
				if err := h.Truncate(off); err != nil {
					t.Fatal(err)
				}
				model = resize(model, off)
			case 1:
				if err := h.Flush(); err != nil {
					t.Fatal(err)
				}
			case 2:
				n := r.IntN(20000)
				want := model[min(off, int64(len(model))):]
				read(t, h, off, n, want[:min(n, len(want))])
			default:
				p := make([]byte, r.IntN(9000))
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				if len(p) == 0 {
					continue
				}
				write(t, h, p, off)
				model = diskOp{kind: Write, off: off, data: p}.apply(model)
			}
			size(t, h, int64(len(model)))
		}
		read(t, h, 0, len(model)+1, model)
	})

	t.Run("close, reopen, remove", func(t *testing.T) {
		dir, name, h := fresh(t)
		write(t, h, []byte("kept"), 0)
		if err := errors.Join(h.Flush(), h.Close()); err != nil {
			t.Fatal(err)
		}
		again, err := dir.Open(name)
		if err != nil {
			t.Fatalf("reopen: %v", err)
		}
		read(t, again, 0, 10, []byte("kept"))
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := dir.Remove(name); err != nil {
			t.Fatalf("remove: %v", err)
		}
		if ok, err := dir.Exists(name); ok || err != nil {
			t.Fatalf("a removed file exists: %v, %v", ok, err)
		}
		last, err := dir.Open(name)
		if err != nil {
			t.Fatalf("open after remove: %v", err)
		}
		size(t, last, 0)
		if err := last.Close(); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("journals are files of their own", func(t *testing.T) {
		dir, name, h := fresh(t)
		write(t, h, []byte("db"), 0)
		for _, suffix := range suffixes[1:] {
			j, err := dir.Open(name + suffix)
			if err != nil {
				t.Fatalf("open %s: %v", name+suffix, err)
			}
			size(t, j, 0)
			write(t, j, []byte(suffix), 0)
			read(t, j, 0, 20, []byte(suffix))
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		read(t, h, 0, 20, []byte("db"))
	})

	t.Run("a file that is not there", func(t *testing.T) {
		dir, name, _ := fresh(t)
		if err := dir.Remove(name + "-mj0123"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("remove: got %v, want fs.ErrNotExist", err)
		}
		if ok, err := dir.Exists(name + "-mj0123"); ok || err != nil {
			t.Fatalf("exists: %v, %v", ok, err)
		}
	})
}
