package atrest

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/blake2b"

	"heddle.dev/heddle/internal/opfs"
)

func unhex(s string) []byte {
	p, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return p
}

// TestCipher_vectors holds the cipher to vectors of its designers:
// https://github.com/google/adiantum, Adiantum_XChaCha12_32_AES256.json.
func TestCipher_vectors(t *testing.T) {
	for _, v := range []struct{ key, tweak, plain, encrypted string }{
		{"7fc7152ae1f5fda4176769aec92bba82a314e7cfadfd8540da7b7d24bdf17d07", "",
			"9be382c65ac19fad4659b80bacc857a0", "820ae44477dd9a186f80288b25070e85"},
		{"fa60e3250b4e123a25073b4c3e1c7837db0a16a544c8c77171cedc3e82cbf3fa", "e1e64d4ca5c74440c7546ba3544eb81b7f",
			"6063deb6e2abae701abefd8e10c80b83d471e008d56c66cff229b9752e8da6",
			"a56c9b7608b51b213edd21fa6d67b483d646543d92fab95e1a74d95cabedbb"},
		{"a52824341a3cd8f705918fee851f357f803dfc9b94f6fc9e190900a904314f11",
			"a1ba4995ff346db8cd875d5efdea85db8a7b5eb25d57dd62aca98c41429475b7",
			"69b4e88c37e86782f1ec5d04e5149113dff2871b69811d71709e9c3bde497011a0a3db0d544f6669d7db80a7709268ce" +
				"81042cc6abaee56015e96fefaa8fa7a7638ff2f077f1a8eae1b71f9eab9e4b3f07875b6fcda8afb9fa700b52b8a8a79e" +
				"075fa60eb39b791379c33e8d1c2c68c8511d3c7b7d79772a5665c5542328b003",
			"9e16abed4ba7425ac6fb4e76ffbe03a00fe3adbae4982b0e2148a0b865482748845454b29a947be64b29e9cf0591801a" +
				"3af34196851d9f74515663fa7c288549f72ff9f21846f53380a33cceb25793f5aebda9f57b30c49366e0307716e4a031" +
				"ba70bc6813f5b09ac1fc7efe55805c4874a6aaa3acdcc2f58dde34867860758d"},
	} {
		c := newCipher(Key(unhex(v.key)), nil, database)
		p := unhex(v.plain)
		if c.adiantum.mode.Encrypt(p, unhex(v.tweak)); !bytes.Equal(p, unhex(v.encrypted)) {
			t.Errorf("%d bytes: got %x", len(p), p)
		}
		if c.adiantum.mode.Decrypt(p, unhex(v.tweak)); !bytes.Equal(p, unhex(v.plain)) {
			t.Errorf("%d bytes, decrypted: got %x", len(p), p)
		}
	}
}

// file is an encrypted file in memory.
type file struct {
	t     *testing.T
	below *opfs.MemoryDirectory
	opfs.Handle
}

func open(t *testing.T, below *opfs.MemoryDirectory) file {
	t.Helper()
	h, err := New(below, Key{1, 2, 3}, nil).Open("a.db")
	if err != nil {
		t.Fatal(err)
	}
	return file{t, below, h}
}

func (f file) write(p []byte, off int64) {
	f.t.Helper()
	if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
		f.t.Fatalf("write %d bytes at %d: %d, %v", len(p), off, n, err)
	}
}

func (f file) want(want []byte) {
	f.t.Helper()
	size, err := f.Size()
	if err != nil || size != int64(len(want)) {
		f.t.Fatalf("size: %d, %v, want %d", size, err, len(want))
	}
	got := make([]byte, len(want)+1)
	if n, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got[:n], want) {
		f.t.Fatalf("read: %d bytes, %v", n, err)
	}
}

func count(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8)
	}
	return p
}

// TestFormat holds the bytes of files to what they were when the format was made.
func TestFormat(t *testing.T) {
	for _, v := range []struct {
		name string
		size int
		sum  string // BLAKE2b-256 of the file
		disk int    // bytes of the file
	}{
		{"a.db", 2 * BlockSize, "04a96378dc9d98f86b6b99c71e032a0a09c47a9e13255d7900546f58a6a62a99", 2 * BlockSize},
		{"a.db-wal", 2 * BlockSize, "a77501d8d9f48ec8765338bea19d687dd47b368c135f974d8ea5878ba209f77d", 2 * BlockSize},
		{"a.db-wal", 32 + 4120, "c0bab5cd3818557e898eb9c5caa41ace74dd7a48bb3cd6ad73aed9063e15e5b9", 2*BlockSize + 16},
		{"a.db-journal", 512, "e9402bcd370b079844d02268bae9b778fa8fc549b048993f2a6f85cbb453c633", BlockSize + 16},
	} {
		below := opfs.Memory()
		h, err := New(below, Key{1, 2, 3}, nil).Open(v.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.WriteAt(count(v.size), 0); err != nil {
			t.Fatal(err)
		}
		p := below.Bytes(v.name)
		if sum := blake2b.Sum256(p); len(p) != v.disk || hex.EncodeToString(sum[:]) != v.sum {
			t.Errorf("%s, %d bytes: %d bytes with sum %x", v.name, v.size, len(p), sum)
		}
	}
}

// TestHandle_reopened does what it does to a model as well, and opens the file
// anew each time: its length is on the disk.
func TestHandle_reopened(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	below := opfs.Memory()
	var model []byte
	resize := func(n int) {
		model = append(model[:min(n, len(model))], make([]byte, max(0, n-len(model)))...)
	}
	for range 600 {
		f := open(t, below)
		for range r.IntN(3) {
			off := r.IntN(40_000)
			if r.IntN(4) == 0 {
				off = off / BlockSize * BlockSize
			}
			if r.IntN(4) == 0 {
				if err := f.Truncate(int64(off)); err != nil {
					t.Fatal(err)
				}
				resize(off)
				continue
			}
			p := count(1 + r.IntN(9000))[r.IntN(100)%2:]
			if len(p) == 0 {
				continue
			}
			f.write(p, int64(off))
			resize(max(len(model), off+len(p)))
			copy(model[off:], p)
		}
		f.want(model)
		open(t, below).want(model)
	}
}

// TestHandle_anyChange flips bits, and moves blocks: what is read is random from
// the first byte of the block to the last, and nothing else is touched.
func TestHandle_anyChange(t *testing.T) {
	plain := count(4 * BlockSize)
	below := opfs.Memory()
	open(t, below).write(plain, 0)
	disk := below.Bytes("a.db")
	check := func(what string, changed []byte, blocks ...int) {
		t.Helper()
		dir := opfs.Memory()
		dir.Set("a.db", changed)
		got := make([]byte, len(plain))
		if n, err := open(t, dir).ReadAt(got, 0); n != len(got) || err != nil {
			t.Fatal(n, err)
		}
		for i := range 4 {
			same := 0
			for k := i * BlockSize; k < (i+1)*BlockSize; k++ {
				if got[k] == plain[k] {
					same++
				}
			}
			hit := false
			for _, b := range blocks {
				hit = hit || b == i
			}
			// Of 4,096 random bytes 16 are what they were; 80 has a probability below 1e-25.
			if hit && same > 80 || !hit && same < BlockSize {
				t.Errorf("%s: %d bytes of block %d are as they were", what, same, i)
			}
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		bit := r.IntN(8 * len(disk))
		changed := bytes.Clone(disk)
		changed[bit/8] ^= 1 << (bit % 8)
		check("a bit", changed, bit/8/BlockSize)
	}
	swapped := bytes.Clone(disk)
	copy(swapped[BlockSize:], disk[2*BlockSize:3*BlockSize])
	copy(swapped[2*BlockSize:], disk[BlockSize:2*BlockSize])
	check("two blocks swapped", swapped, 1, 2)
	check("nothing", disk)
}

// TestHandle_growsBesideBlock: a file that grows past a block that it does not
// fill leaves that block alone. A loss of power then damages what is written.
func TestHandle_growsBesideBlock(t *testing.T) {
	below := opfs.Memory()
	f := open(t, below)
	f.write(count(100), 0)
	before := below.Bytes("a.db")[:BlockSize]
	f.write(count(10), 3*BlockSize)
	if !bytes.Equal(below.Bytes("a.db")[:BlockSize], before) {
		t.Error("the first block was written again")
	}
	// What the power left of the growth: all, or up to somewhere.
	grown := below.Bytes("a.db")
	for _, n := range []int{BlockSize + 16, BlockSize + 512, 2 * BlockSize, 2*BlockSize + 16, len(grown) - 1, len(grown)} {
		dir := opfs.Memory()
		dir.Set("a.db", grown[:n])
		f := open(t, dir)
		got := make([]byte, 100)
		if n, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got[:n], count(100)) {
			t.Errorf("cut to %d bytes: %d, %v", len(grown), n, err)
		}
	}
}

// faults makes writes fail halfway.
type faults struct {
	opfs.Directory
	writes int // that still succeed; -1: all
}

type faultyHandle struct {
	opfs.Handle
	f *faults
}

func (f *faults) Open(name string) (opfs.Handle, error) {
	h, err := f.Directory.Open(name)
	return faultyHandle{h, f}, err
}

func (h faultyHandle) WriteAt(p []byte, off int64) (int, error) {
	if h.f.writes == 0 {
		h.Handle.WriteAt(p[:len(p)/3], off)
		return len(p) / 3, nil
	}
	h.f.writes--
	return h.Handle.WriteAt(p, off)
}

// TestHandle_failedWrite: what lies beside a write that fails is as it was, for
// this handle and, once it is flushed, on the disk.
func TestHandle_failedWrite(t *testing.T) {
	below := opfs.Memory()
	f := &faults{below, -1}
	h, err := New(f, Key{1, 2, 3}, nil).Open("a.db")
	if err != nil {
		t.Fatal(err)
	}
	want := count(3*BlockSize + 100)
	if _, err := h.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	f.writes = 0
	if _, err := h.WriteAt(make([]byte, 2*BlockSize), 1000); err == nil {
		t.Fatal("the write did not fail")
	}
	beside := func(h opfs.Handle) {
		t.Helper()
		got := make([]byte, len(want))
		n, err := h.ReadAt(got, 0)
		if err != nil || n != len(want) || !bytes.Equal(got[:1000], want[:1000]) ||
			!bytes.Equal(got[1000+2*BlockSize:], want[1000+2*BlockSize:]) {
			t.Fatalf("beside the failed write: %d, %v", n, err)
		}
	}
	beside(h)
	if err := h.Flush(); err == nil {
		t.Fatal("flushed, and the disk has not what was written")
	}
	f.writes = -1
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	beside(h)
	beside(open(t, below))
}

func BenchmarkCipher(b *testing.B) {
	c := newCipher(Key{}, nil, database)
	p := make([]byte, BlockSize)
	b.Run("encrypt", func(b *testing.B) {
		b.SetBytes(BlockSize)
		for b.Loop() {
			c.seal(p, 1)
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		b.SetBytes(BlockSize)
		for b.Loop() {
			c.open(p, 1)
		}
	})
}
