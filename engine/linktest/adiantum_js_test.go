package linktest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	link "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/atrest"
)

// countedBulk counts what the C code does.
type countedBulk struct {
	link.Adiantum
	t      *testing.T
	blocks int
}

func (c *countedBulk) Begin(block *[atrest.BlockSize]byte, tweak *[16]byte, keys *atrest.BulkKeys) bool {
	c.blocks++
	if !c.Adiantum.Begin(block, tweak, keys) {
		c.t.Fatal("adiantum.wasm is not there")
	}
	return true
}

// TestAdiantum writes the same files with the cipher in Go and with its bulk in C: the
// bytes below must be the same. atrest compares Go's with the library's, and vectors.
func TestAdiantum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		return p
	}
	bulk := &countedBulk{t: t}
	for range 60 {
		key := atrest.Key(random(atrest.KeySize))
		var below [2]opfs.Directory
		var files [2]opfs.Handle
		for i, b := range []atrest.Bulk{nil, bulk} {
			below[i] = opfs.Memory()
			h, err := atrest.New(below[i], key, b).Open("a.db")
			if err != nil {
				t.Fatal(err)
			}
			files[i] = h
		}
		for range 4 {
			data, off := random(1+rnd.IntN(20_000)), int64(rnd.IntN(30_000))
			for _, h := range files {
				if n, err := h.WriteAt(data, off); n != len(data) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		want, got := content(t, below[0]), content(t, below[1])
		if !bytes.Equal(got, want) {
			t.Fatal("encrypted otherwise")
		}
		plain, mixed := make([]byte, 50_000), make([]byte, 50_000)
		if _, err := files[0].ReadAt(plain, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := files[1].ReadAt(mixed, 0); err != nil || !bytes.Equal(mixed, plain) {
			t.Fatalf("decrypted otherwise: %v", err)
		}
	}
	if t.Logf("%d blocks", bulk.blocks); bulk.blocks < 1000 {
		t.Error("the C code was hardly used")
	}
}

// content is what a directory's only file holds.
func content(t *testing.T, d opfs.Directory) []byte {
	t.Helper()
	h, err := d.Open("a.db")
	if err != nil {
		t.Fatal(err)
	}
	size, err := h.Size()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if _, err := h.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func BenchmarkAdiantum(b *testing.B) {
	for name, bulk := range map[string]atrest.Bulk{"go": nil, "c": link.Adiantum{}} {
		b.Run(name, func(b *testing.B) {
			h, err := atrest.New(opfs.Memory(), atrest.Key{}, bulk).Open("a.db")
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 1<<20)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := h.WriteAt(p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
