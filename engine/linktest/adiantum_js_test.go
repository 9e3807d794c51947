package linktest

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"slices"
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
		c.t.Fatal("simd.wasm is not there")
	}
	return true
}

// TestAdiantum writes the same files with the cipher in Go and with its bulk in C: the
// bytes below must be the same. atrest compares Go's with the library's, and vectors.
func TestAdiantum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	bulk := &countedBulk{t: t}
	for range 60 {
		key := atrest.Key(random(rnd, atrest.KeySize))
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
			data, off := random(rnd, 1+rnd.IntN(20_000)), int64(rnd.IntN(30_000))
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

// TestAdiantum_hash compares the hash with its definition where numbers carry: keys, tweaks and
// texts of zeros and ones, and a sum between 2^130 - 5 and 2^130, which random texts do not
// come to.
func TestAdiantum_hash(t *testing.T) {
	fill := func(p []byte, with byte) {
		for i := range p {
			p[i] = with
		}
	}
	var wraps [16]byte // a sum of 2^130 - 3, where the key is 4
	almost := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(7+4*8*left))
	slices.Reverse(almost.FillBytes(wraps[:]))
	for i := range 54 {
		var keys atrest.BulkKeys
		var block [atrest.BlockSize]byte
		var tweak, nonce [16]byte
		fill(keys[:], []byte{0, 0xff, 0x55}[i%3])
		fill(block[:], []byte{0, 0xff, 0xaa}[i/3%3])
		fill(tweak[:], []byte{0, 0xff}[i/9%2])
		if i >= 18 {
			fill(keys[32:48], 0)
			keys[32] = 4
			tweak = wraps
			tweak[0] += byte(i%5) - 2
		}
		if i >= 36 {
			block[i*70]++
		}
		want := add(block[left:], hash(block[:left], tweak, &keys), 1)
		if !(link.Adiantum{}).Begin(&block, &tweak, &keys) {
			t.Fatal("simd.wasm is not there")
		}
		if !bytes.Equal(block[left:], want) {
			t.Fatalf("%d: begins with %x, want %x", i, block[left:], want)
		}
		link.Adiantum{}.End(&block, &tweak, &keys, &nonce)
		if want = add(want, hash(block[:left], tweak, &keys), -1); !bytes.Equal(block[left:], want) {
			t.Fatalf("%d: ends with %x, want %x", i, block[left:], want)
		}
	}
}

// left is how much of a block is hashed.
const left = atrest.BlockSize - 16

// add is p, a number of 128 bits, and n, or without n.
func add(p []byte, n *big.Int, sign int64) []byte {
	sum := new(big.Int).Add(number(p), new(big.Int).Mul(n, big.NewInt(sign)))
	out := sum.And(sum, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))).FillBytes(make([]byte, 16))
	slices.Reverse(out)
	return out
}

func number(p []byte) *big.Int {
	p = slices.Clone(p)
	slices.Reverse(p)
	return new(big.Int).SetBytes(p)
}

// hash is Adiantum's, by its specification.
func hash(text []byte, tweak [16]byte, keys *atrest.BulkKeys) *big.Int {
	head := binary.LittleEndian.AppendUint64(nil, 8*uint64(len(text)))
	head = append(append(head, make([]byte, 8)...), tweak[:]...)
	var sums []byte
	for part := range slices.Chunk(text, 1024) {
		for pass := range 4 {
			sum := uint64(0)
			for i := 0; i < len(part); i += 16 {
				word := func(w int) uint64 {
					return uint64(binary.LittleEndian.Uint32(part[i+4*w:]) +
						binary.LittleEndian.Uint32(keys[64+16*pass+i+4*w:]))
				}
				sum += word(0)*word(2) + word(1)*word(3)
			}
			sums = binary.LittleEndian.AppendUint64(sums, sum)
		}
	}
	return new(big.Int).Add(poly1305(head, keys[32:48]), poly1305(sums, keys[48:64]))
}

// poly1305 is that of RFC 8439, without the number that is added in the end.
func poly1305(p, key []byte) *big.Int {
	one := big.NewInt(1)
	prime := new(big.Int).Sub(new(big.Int).Lsh(one, 130), big.NewInt(5))
	clamp, _ := new(big.Int).SetString("0ffffffc0ffffffc0ffffffc0fffffff", 16)
	r, sum := new(big.Int).And(number(key), clamp), new(big.Int)
	for unit := range slices.Chunk(p, 16) {
		sum.Add(sum, number(unit)).Add(sum, new(big.Int).Lsh(one, 128))
		sum.Mul(sum, r).Mod(sum, prime)
	}
	return sum
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
