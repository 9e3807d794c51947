package linktest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
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

// TestBoxes_Decrypt opens what Go has sealed, of 256 bytes to a MiB, with associated data of each
// length of a unit, and refuses it where a bit of box, tag, data, nonce or key is another.
func TestBoxes_Decrypt(t *testing.T) {
	rnd, opened, refused := rand.New(rand.NewPCG(1, 2)), 0, 0
	for i := range 200 {
		plain := random(rnd, 256*(1+i%9)+i/190*1<<20)
		about, nonce, key := random(rnd, 1+i%33), [24]byte(random(rnd, 24)), [32]byte(random(rnd, 32))
		aead, err := chacha20poly1305.NewX(key[:])
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // all that Poly1305 sees is ones, so that numbers carry
			about = bytes.Repeat([]byte{0xff}, len(about))
			for at, b := range aead.Seal(nil, nonce[:], make([]byte, len(plain)), nil)[:len(plain)] {
				plain[at] = ^b
			}
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

// unpacks compares with Go's decoder, which judges the format, and reports whether it takes a block.
func unpacks(t *testing.T, size int, block []byte) bool {
	t.Helper()
	want, got := make([]byte, size), make([]byte, size, size+64)
	behind := got[size : size+64]
	copy(behind, bytes.Repeat([]byte{0xa5}, 64))
	_, err := snappy.Decode(want, append(binary.AppendUvarint(nil, uint64(size)), block...))
	done, ok := link.Boxes{}.Unpack(got, block)
	if !done || ok != (err == nil) || ok && !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %x: done %v, ok %v, want %v", size, block, done, ok, err)
	}
	if !bytes.Equal(behind, bytes.Repeat([]byte{0xa5}, 64)) {
		t.Fatalf("%d bytes of %x: bytes behind are written", size, block)
	}
	return ok
}

// TestBoxes_Unpack takes what Go packs, that with bytes replaced, cut and added, and what nobody
// has packed.
func TestBoxes_Unpack(t *testing.T) {
	rnd, taken := rand.New(rand.NewPCG(3, 4)), map[bool]int{}
	for range 3000 {
		content := random(rnd, 1+rnd.IntN(300))
		for range rnd.IntN(40) { // what repeats: at near and far, short and long
			from, n := rnd.IntN(len(content)), 1+rnd.IntN(90)
			content = append(content, bytes.Repeat(content[from:min(from+n, len(content))], 1+rnd.IntN(4))...)
		}
		packed := snappy.Encode(nil, content)
		_, head := binary.Uvarint(packed)
		block := packed[head:]
		taken[unpacks(t, len(content), block)]++
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
			taken[unpacks(t, max(1, len(content)+[]int{-1, 0, 0, 0, 1}[rnd.IntN(5)]), other)]++
		}
		taken[unpacks(t, 1+rnd.IntN(200), random(rnd, 1+rnd.IntN(30)))]++
	}
	if t.Logf("%d taken, %d refused", taken[true], taken[false]); taken[true] < 1000 || taken[false] < 10_000 {
		t.Error("hardly anything was compared")
	}
	const ten = "0123456789"
	for name, block := range map[string]string{
		"a literal of 2^32 bytes":             "\xfc\xff\xff\xff\xff" + "\x24" + ten,
		"a copy from nowhere, of kind 1":      "\x14" + ten[:6] + "\x01\x00",
		"a copy from nowhere, of kind 2":      "\x14" + ten[:6] + "\x0e\x00\x00",
		"a copy from nowhere, of kind 3":      "\x14" + ten[:6] + "\x0f\x00\x00\x00\x00",
		"a copy from before the beginning":    "\x14" + ten[:6] + "\x0e\x07\x00",
		"a copy from 2^32 - 1 bytes before":   "\x14" + ten[:6] + "\x0f\xff\xff\xff\xff",
		"a copy that is longer than the room": "\x14" + ten[:6] + "\x12\x06\x00",
	} {
		if unpacks(t, len(ten), []byte(block)) {
			t.Errorf("%s is taken", name)
		}
	}
	if !unpacks(t, len(ten), []byte("\x14"+ten[:6]+"\x0e\x06\x00")) {
		t.Error("a copy of all that is there is refused")
	}
}

// TestBoxes_Unpack_copies has literals and copies of each kind, from near and from far, end at
// each distance from the content's end: some are written 16 bytes at a time, and some are not.
func TestBoxes_Unpack_copies(t *testing.T) {
	rnd, kinds := rand.New(rand.NewPCG(5, 6)), [4]int{}
	for i := range 20_000 {
		size, block := 0, []byte(nil)
		literal := func(n, bytes int) { // of the length less 1 in so many bytes; 0: in the tag
			tag := byte(n-1) << 2
			if bytes > 0 {
				tag = byte(59+bytes) << 2
			}
			block = append(block, tag)
			block = append(block, binary.LittleEndian.AppendUint32(nil, uint32(n-1))[:bytes]...)
			block = append(block, random(rnd, n)...)
			size += n
			kinds[0]++
		}
		switch {
		case i%100 == 0:
			literal(70_000, 3+i/100%2)
		default:
			literal(1+rnd.IntN(60), rnd.IntN(5))
		}
		for range 1 + rnd.IntN(12) {
			kind, n := rnd.IntN(4), 1+rnd.IntN(64)
			far := []int{1, 2, 8, 15, 16, 17, 63, 64, 65, 2047, 65_535, 65_536, size, 1 + rnd.IntN(size)}[rnd.IntN(14)]
			far = min(far, size, []int{size, 2047, 65_535, size}[kind])
			switch kind {
			case 0:
				literal(1+rnd.IntN(60), rnd.IntN(5))
				continue
			case 1:
				n = 4 + n%8
				block = append(block, byte(1|(n-4)<<2|far>>8<<5), byte(far))
			case 2:
				block = binary.LittleEndian.AppendUint16(append(block, byte(2|(n-1)<<2)), uint16(far))
			case 3:
				block = binary.LittleEndian.AppendUint32(append(block, byte(3|(n-1)<<2)), uint32(far))
			}
			kinds[kind]++
			size += n
		}
		if !unpacks(t, size, block) {
			t.Fatalf("%x is refused", block)
		}
	}
	t.Logf("%d literals, %d, %d and %d copies", kinds[0], kinds[1], kinds[2], kinds[3])
}

// TestBoxes_chunk: a chunk's content is the same by C and by Go, and where the C code does not take the size.
func TestBoxes_chunk(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	var a seal.Anchor
	var key seal.Key
	for i := range 200 {
		content := bytes.Repeat(random(rnd, 1+rnd.IntN(50)), 1+rnd.IntN(1+i*i))
		data, err := seal.SealChunk(a, &key, 1, content, i%2 == 0, bytes.NewReader(random(rnd, 24)))
		if err != nil {
			t.Fatal(err)
		}
		k := seal.Chunk{Hash: seal.HashChunk(data), Size: uint64(len(data)), Epoch: 1}
		if got, err := k.Open(a, &key, data, link.Boxes{}); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes come back as %d: %v", len(content), len(got), err)
		}
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
