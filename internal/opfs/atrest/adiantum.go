package atrest

import (
	"crypto/aes"
	"encoding/binary"
	"math/bits"

	//lint:ignore SA1019 Adiantum is made of Poly1305 itself, with keys that it derives
	"golang.org/x/crypto/poly1305"
	"lukechampine.com/adiantum/hbsh"
	"lukechampine.com/adiantum/nh"
)

// Bulk does most of the cipher's work where something is faster than Go's own code. A
// method that reports false has done nothing.
type Bulk interface {
	// NH writes the sums of a message's parts, of 1,024 bytes but for the last: 32 bytes for
	// each. The message has whole units of 16 bytes, the key 1,072 bytes.
	NH(sums, message, key []byte) bool
	// ChaCha12 adds the key stream to whole blocks of 64 bytes, and counts them in the
	// state's word 12.
	ChaCha12(text []byte, state *[16]uint32) bool
}

// newAdiantum is lukechampine.com/adiantum's New, and gives the same bytes: of its
// mode and NH, and of a stream that takes a third of the time in WebAssembly, where
// the whole then takes half: 11 µs a block, and not 20. A test compares them.
//
// https://github.com/google/adiantum/blob/master/specification
func newAdiantum(key Key, bulk Bulk) *hbsh.HBSH {
	s := newXChaCha12(key, bulk)
	var keys [32 + 16 + 16 + hashKeySize]byte
	s.XORKeyStream(keys[:], nil)
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		panic(err) // of another key size
	}
	h := &nhPoly1305{nh: [hashKeySize]byte(keys[64:]), bulk: bulk}
	copy(h.tweak[:], keys[32:48])
	copy(h.message[:], keys[48:64])
	return hbsh.New(s, block, h)
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
	bulk           Bulk
}

// Sum implements hbsh.TweakableHash.
func (h *nhPoly1305) Sum(dst, message, tweak []byte) []byte {
	var head [16 + 64]byte
	binary.LittleEndian.PutUint64(head[:], uint64(8*len(message)))
	var ofTweak, ofMessage [16]byte
	poly1305.Sum(&ofTweak, append(head[:16], tweak...), &h.tweak)
	mac := poly1305.New(&h.message)
	var sums [BlockSize / hashPart * 32]byte
	for len(message) > 0 {
		some := message[:min(len(message), BlockSize)]
		mac.Write(h.sums(sums[:], some))
		message = message[len(some):]
	}
	mac.Sum(ofMessage[:0])
	low, carry := bits.Add64(binary.LittleEndian.Uint64(ofTweak[:]), binary.LittleEndian.Uint64(ofMessage[:]), 0)
	high, _ := bits.Add64(binary.LittleEndian.Uint64(ofTweak[8:]), binary.LittleEndian.Uint64(ofMessage[8:]), carry)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst[:0], low), high)
}

// sums returns, in memory that is given, the NH of each part of a message.
func (h *nhPoly1305) sums(memory, message []byte) []byte {
	all := memory[:(len(message)+hashPart-1)/hashPart*32]
	if h.bulk != nil && len(message)%16 == 0 && h.bulk.NH(all, message, h.nh[:]) {
		return all
	}
	for sum := all; len(message) > 0; sum = sum[32:] {
		part := message[:min(len(message), hashPart)]
		message = message[len(part):]
		if len(part)%16 != 0 {
			part = append(part[:len(part):len(part)], make([]byte, 16-len(part)%16)...)
		}
		nh.Sum((*[32]byte)(sum), part, h.nh[:])
	}
	return all
}

// xChaCha12 is XChaCha with twelve rounds, which golang.org/x/crypto/chacha20 has
// not: it has twenty.
//
// https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha
type xChaCha12 struct {
	constant [4]uint32
	key      [16]uint32 // words 4–11 of a state
	bulk     Bulk
}

func newXChaCha12(key Key, bulk Bulk) *xChaCha12 {
	s := &xChaCha12{constant: [4]uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, bulk: bulk}
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
	if s.bulk == nil || !s.bulk.ChaCha12(message[:whole], &state) {
		xorBlocks(message[:whole], &state)
	}
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
