package atrest

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"encoding/binary"
	"math/bits"

	//lint:ignore SA1019 Adiantum is made of Poly1305 itself, with keys that it derives
	"golang.org/x/crypto/poly1305"
	"lukechampine.com/adiantum/hbsh"
	"lukechampine.com/adiantum/nh"
)

// Bulk does most of the work on a block where something is faster than Go's own code: all
// but 16 bytes of AES, which come between its two steps. A method that reports false has
// done nothing.
type Bulk interface {
	// Begin adds the hash of the left part, with the tweak, to the right part, the last 16
	// bytes.
	Begin(block *[BlockSize]byte, tweak *[16]byte, keys *BulkKeys) bool
	// End adds the key stream of a nonce to the left part, and takes the hash of what that
	// becomes from the right part.
	End(block *[BlockSize]byte, tweak *[16]byte, keys *BulkKeys, nonce *[16]byte) bool
}

// BulkKeys are the keys of the stream (32 bytes), of Poly1305 for the tweak and for the
// message (16 each), and of NH, one after the other.
type BulkKeys = [KeySize + 16 + 16 + hashKeySize]byte

// An adiantum encrypts with one key. One goroutine uses it at a time.
type adiantum struct {
	mode *hbsh.HBSH
	aes  stdcipher.Block
	bulk Bulk
	keys BulkKeys
	// What the bulk is called with, so that a block allocates nothing.
	tweak, nonce [16]byte
}

// newAdiantum gives the same bytes as lukechampine.com/adiantum's New. It is made of that
// one's mode and NH, and of a stream that takes a third of the time in WebAssembly, where
// the whole then takes half: 11 µs a block, and not 20. A test compares them.
//
// https://github.com/google/adiantum/blob/master/specification
func newAdiantum(key Key, bulk Bulk) *adiantum {
	s := newXChaCha12(key)
	var derived [32 + 16 + 16 + hashKeySize]byte
	s.XORKeyStream(derived[:], nil)
	block, err := aes.NewCipher(derived[:32])
	if err != nil {
		panic(err) // of another key size
	}
	h := &nhPoly1305{nh: [hashKeySize]byte(derived[64:])}
	copy(h.tweak[:], derived[32:48])
	copy(h.message[:], derived[48:64])
	a := &adiantum{mode: hbsh.New(s, block, h), aes: block, bulk: bulk}
	copy(a.keys[copy(a.keys[:], key[:]):], derived[32:])
	return a
}

// encrypt encrypts p, of 16 bytes or more, in place; decrypt decrypts it.
func (a *adiantum) encrypt(p []byte, tweak [16]byte) {
	if block := a.begin(p, tweak); block != nil {
		right := block[BlockSize-16:]
		a.aes.Encrypt(right, right)
		copy(a.nonce[:], right)
		a.bulk.End(block, &a.tweak, &a.keys, &a.nonce)
		return
	}
	a.mode.Encrypt(p, tweak[:])
}

func (a *adiantum) decrypt(p []byte, tweak [16]byte) {
	if block := a.begin(p, tweak); block != nil {
		right := block[BlockSize-16:]
		copy(a.nonce[:], right)
		a.aes.Decrypt(right, right)
		a.bulk.End(block, &a.tweak, &a.keys, &a.nonce)
		return
	}
	a.mode.Decrypt(p, tweak[:])
}

// begin is nil where the bulk does not do p.
func (a *adiantum) begin(p []byte, tweak [16]byte) *[BlockSize]byte {
	if a.bulk == nil || len(p) != BlockSize {
		return nil
	}
	a.tweak = tweak
	block := (*[BlockSize]byte)(p)
	if !a.bulk.Begin(block, &a.tweak, &a.keys) {
		return nil
	}
	return block
}

const (
	hashPart    = 1024 // bytes that NH hashes as one
	hashKeySize = hashPart + 3*16
)

// nhPoly1305 is the hash of Adiantum: Poly1305 of length and tweak, and Poly1305
// of the NH hashes of the message's parts, added.
type nhPoly1305 struct {
	tweak, message [32]byte // the second half of each key is zeros
	nh             [hashKeySize]byte
}

// Sum implements hbsh.TweakableHash.
func (h *nhPoly1305) Sum(dst, message, tweak []byte) []byte {
	var head [16 + 64]byte
	binary.LittleEndian.PutUint64(head[:], uint64(8*len(message)))
	var ofTweak, ofMessage [16]byte
	poly1305.Sum(&ofTweak, append(head[:16], tweak...), &h.tweak)
	mac := poly1305.New(&h.message)
	for len(message) > 0 {
		part := message[:min(len(message), hashPart)]
		message = message[len(part):]
		if len(part)%16 != 0 {
			part = append(part[:len(part):len(part)], make([]byte, 16-len(part)%16)...)
		}
		var sum [32]byte
		nh.Sum(&sum, part, h.nh[:])
		mac.Write(sum[:])
	}
	mac.Sum(ofMessage[:0])
	low, carry := bits.Add64(binary.LittleEndian.Uint64(ofTweak[:]), binary.LittleEndian.Uint64(ofMessage[:]), 0)
	high, _ := bits.Add64(binary.LittleEndian.Uint64(ofTweak[8:]), binary.LittleEndian.Uint64(ofMessage[8:]), carry)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst[:0], low), high)
}

// xChaCha12 is XChaCha with twelve rounds, which golang.org/x/crypto/chacha20 has
// not: it has twenty.
//
// https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha
type xChaCha12 struct {
	constant [4]uint32
	key      [16]uint32 // words 4–11 of a state
}

func newXChaCha12(key Key) *xChaCha12 {
	s := &xChaCha12{constant: [4]uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}}
	for i := range 8 {
		s.key[4+i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	return s
}

// XORKeyStream implements hbsh.StreamCipher: the nonce is of 0 or 16 bytes.
func (s *xChaCha12) XORKeyStream(message, nonce []byte) {
	var long [24]byte
	long[copy(long[:], nonce)] = 1
	state := s.key
	copy(state[:], s.constant[:])
	for i := range 4 {
		state[12+i] = binary.LittleEndian.Uint32(long[4*i:])
	}
	// HChaCha: the words that an attacker does not know, without what was added, are
	// the key of this message.
	var mixed [64]byte
	before := state
	xorBlocks(mixed[:], &state)
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(mixed[4*i:]) - before[i] }
	state = [16]uint32{s.constant[0], s.constant[1], s.constant[2], s.constant[3],
		word(0), word(1), word(2), word(3), word(12), word(13), word(14), word(15),
		0, 0, binary.LittleEndian.Uint32(long[16:]), binary.LittleEndian.Uint32(long[20:])}
	whole := len(message) / 64 * 64
	xorBlocks(message[:whole], &state)
	if whole < len(message) {
		var last [64]byte
		copy(last[:], message[whole:])
		xorBlocks(last[:], &state)
		copy(message[whole:], last[:])
	}
}

// xorBlocks does whole blocks of 64 bytes, up to 2^32 with one state, and counts
// them. It is the half of the cipher's time: the words stay in local variables.
func xorBlocks(p []byte, s *[16]uint32) {
	for ; len(p) >= 64; p = p[64:] {
		x0, x1, x2, x3, x4, x5, x6, x7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		x8, x9, x10, x11, x12, x13, x14, x15 := s[8], s[9], s[10], s[11], s[12], s[13], s[14], s[15]
		for range 6 {
			x0, x4, x8, x12 = quarter(x0, x4, x8, x12)
			x1, x5, x9, x13 = quarter(x1, x5, x9, x13)
			x2, x6, x10, x14 = quarter(x2, x6, x10, x14)
			x3, x7, x11, x15 = quarter(x3, x7, x11, x15)
			x0, x5, x10, x15 = quarter(x0, x5, x10, x15)
			x1, x6, x11, x12 = quarter(x1, x6, x11, x12)
			x2, x7, x8, x13 = quarter(x2, x7, x8, x13)
			x3, x4, x9, x14 = quarter(x3, x4, x9, x14)
		}
		b := (*[64]byte)(p)
		xorWord(b[0:4], x0+s[0])
		xorWord(b[4:8], x1+s[1])
		xorWord(b[8:12], x2+s[2])
		xorWord(b[12:16], x3+s[3])
		xorWord(b[16:20], x4+s[4])
		xorWord(b[20:24], x5+s[5])
		xorWord(b[24:28], x6+s[6])
		xorWord(b[28:32], x7+s[7])
		xorWord(b[32:36], x8+s[8])
		xorWord(b[36:40], x9+s[9])
		xorWord(b[40:44], x10+s[10])
		xorWord(b[44:48], x11+s[11])
		xorWord(b[48:52], x12+s[12])
		xorWord(b[52:56], x13+s[13])
		xorWord(b[56:60], x14+s[14])
		xorWord(b[60:64], x15+s[15])
		s[12]++
	}
}

func xorWord(p []byte, x uint32) {
	binary.LittleEndian.PutUint32(p, binary.LittleEndian.Uint32(p)^x)
}

func quarter(a, b, c, d uint32) (uint32, uint32, uint32, uint32) {
	a += b
	d = bits.RotateLeft32(d^a, 16)
	c += d
	b = bits.RotateLeft32(b^c, 12)
	a += b
	d = bits.RotateLeft32(d^a, 8)
	c += d
	b = bits.RotateLeft32(b^c, 7)
	return a, b, c, d
}
