package linktest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy"
	link "github.com/ncruces/go-sqlite3-wasm/v6"
	"golang.org/x/crypto/chacha20poly1305"

	"heddle.dev/heddle/sync/seal"
)

var _ seal.Bulk = link.Boxes{}

// random fills n bytes.
func random(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
	return p
}

// TestBoxes_Decrypt opens what Go has sealed, of each size that the C code takes, and with
// associated data of each length of a unit; no bit of box, data, nonce or key may be another.
func TestBoxes_Decrypt(t *testing.T) {
	rnd, opened, refused := rand.New(rand.NewPCG(1, 2)), 0, 0
	for i := range 200 {
		plain := random(rnd, 256*(1+i%9)+i/150*1<<20)
		about, nonce, key := random(rnd, 1+i%33), [24]byte(random(rnd, 24)), [32]byte(random(rnd, 32))
		if i%3 == 0 { // where numbers carry
			about, plain = bytes.Repeat([]byte{0xff}, len(about)), bytes.Repeat([]byte{0xff}, len(plain))
		}
		aead, err := chacha20poly1305.NewX(key[:])
		if err != nil {
			t.Fatal(err)
		}
		box, got := aead.Seal(nil, nonce[:], plain, about), make([]byte, len(plain))
		done, valid := link.Boxes{}.Decrypt(got, box, about, &nonce, &key)
		if !done || !valid || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes, %d of data: done %v, valid %v", len(plain), len(about), done, valid)
		}
		opened++
		parts := [][]byte{box, box[len(plain):], about, nonce[:], key[:]}
		for range 20 {
			part := parts[rnd.IntN(len(parts))]
			at, bit := rnd.IntN(len(part)), byte(1)<<rnd.IntN(8)
			part[at] ^= bit
			if done, valid := (link.Boxes{}).Decrypt(got, box, about, &nonce, &key); !done || valid {
				t.Fatalf("a bit of %d bytes may be another: done %v, valid %v", len(part), done, valid)
			}
			part[at] ^= bit
			refused++
		}
	}
	t.Logf("%d opened, %d refused", opened, refused)
	var nonce [24]byte
	var key [32]byte
	for _, n := range []int{0, 1, 255, 257} {
		if done, _ := (link.Boxes{}).Decrypt(make([]byte, n), make([]byte, n+16), []byte{1}, &nonce, &key); done {
			t.Errorf("%d bytes are none of the C code's", n)
		}
	}
}

// TestBoxes_Unpack compares with Go's decoder, which judges the format: on what it packs, on
// that with bytes replaced, cut and added, and on what nobody has packed.
func TestBoxes_Unpack(t *testing.T) {
	rnd, valid, wrong := rand.New(rand.NewPCG(3, 4)), 0, 0
	compare := func(size int, block []byte) {
		t.Helper()
		want, got := make([]byte, size), make([]byte, size, size+64)
		around := got[size : size+64]
		copy(around, bytes.Repeat([]byte{0xa5}, 64))
		_, err := snappy.DecodeStrict(want, append(binary.AppendUvarint(nil, uint64(size)), block...))
		done, ok := link.Boxes{}.Unpack(got, block)
		if !done || ok != (err == nil) || ok && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %x: done %v, ok %v, want %v", size, block, done, ok, err)
		}
		if !bytes.Equal(around, bytes.Repeat([]byte{0xa5}, 64)) {
			t.Fatalf("%d bytes of %x: bytes behind are written", size, block)
		}
		if ok {
			valid++
		} else {
			wrong++
		}
	}
	for i := range 3000 {
		content := random(rnd, 1+rnd.IntN(300)+i/2900*100_000)
		for range rnd.IntN(40) { // what repeats: at near and far, short and long
			from, n := rnd.IntN(len(content)), 1+rnd.IntN(90)
			content = append(content, bytes.Repeat(content[from:min(from+n, len(content))], 1+rnd.IntN(4))...)
		}
		packed := snappy.Encode(nil, content)
		_, head := binary.Uvarint(packed)
		block := packed[head:]
		compare(len(content), block)
		for range 30 {
			other := bytes.Clone(block)
			for range 1 + rnd.IntN(3) {
				other[rnd.IntN(len(other))] = byte(rnd.Uint32())
			}
			switch at := rnd.IntN(len(other)); rnd.IntN(6) {
			case 0:
				other = other[:max(at, 1)]
			case 1:
				other = append(other, random(rnd, 1+rnd.IntN(9))...)
			}
			compare(max(1, len(content)+[]int{-1, 0, 0, 0, 1}[rnd.IntN(5)]), other)
		}
		compare(1+rnd.IntN(200), random(rnd, 1+rnd.IntN(30)))
	}
	long := []byte{0xfc, 0xff, 0xff, 0xff, 0xff, 1} // a literal of 2^32 bytes
	compare(10, long)
	compare(10, append([]byte{0}, 0x0b<<2|3, 0, 0, 0, 0)) // a copy from nowhere
	if t.Logf("%d valid, %d wrong", valid, wrong); valid < 1000 || wrong < 10_000 {
		t.Error("hardly anything was compared")
	}
}

func BenchmarkBoxes(b *testing.B) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var content []byte
	for len(content) < 1<<20 { // rows with a key, words, and an identifier
		content = append(content, random(rnd, 16)...)
		content = append(content, "the quick brown fox jumps over the lazy dog, and "[rnd.IntN(20):]...)
	}
	content = content[:1<<20]
	var a seal.Anchor
	var key seal.Key
	data, err := seal.SealChunk(a, &key, 1, content, true, bytes.NewReader(make([]byte, 24)))
	if err != nil {
		b.Fatal(err)
	}
	k := seal.Chunk{Hash: seal.HashChunk(data), Size: uint64(len(data)), Epoch: 1}
	for name, bulk := range map[string]seal.Bulk{"go": nil, "c": link.Boxes{}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if _, err := k.Open(a, &key, data, bulk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("hash", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			seal.HashChunk(data)
		}
	})
}
