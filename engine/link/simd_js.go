package sqlite3_wasm

import "unsafe"

// What C does with SIMD is in engine/simd.wasm, which works in Go's memory and needs no
// connection. A method that reports false, or done as false, has done nothing: the browser
// has no SIMD.

// Adiantum is the bulk of the cipher of files.
type Adiantum struct{}

// Begin adds the hash of a block's left part to its right part, the last 16 bytes. keys are
// the stream's, the tweak's and the message's, and NH's.
func (Adiantum) Begin(block *[4096]byte, tweak *[16]byte, keys *[32 + 16 + 16 + 1072]byte) bool {
	return adiantumBegin(unsafe.Pointer(block), unsafe.Pointer(tweak), unsafe.Pointer(keys)) != 0
}

// End adds the key stream of a nonce to the left part, and takes the hash of what that
// becomes from the right part.
func (Adiantum) End(block *[4096]byte, tweak *[16]byte, keys *[32 + 16 + 16 + 1072]byte, nonce *[16]byte) bool {
	return adiantumEnd(unsafe.Pointer(block), unsafe.Pointer(tweak), unsafe.Pointer(keys), unsafe.Pointer(nonce)) != 0
}

// Boxes opens what is sealed.
type Boxes struct{}

// Decrypt opens a box of XChaCha20-Poly1305, whose tag's 16 bytes come last. It does nothing
// unless plain has a multiple of 256 bytes, and about is not empty.
func (Boxes) Decrypt(plain, box, about []byte, nonce *[24]byte, key *[32]byte) (done, valid bool) {
	if len(plain) == 0 || len(plain)%256 != 0 || len(box) != len(plain)+16 || len(about) == 0 {
		return false, false
	}
	return answer(boxOpen(start(plain), start(box), uint32(len(plain)), start(about), uint32(len(about)),
		unsafe.Pointer(nonce), unsafe.Pointer(key)))
}

// Unpack writes the content of a block of Snappy, whose length in front is cut off.
func (Boxes) Unpack(content, block []byte) (done, valid bool) {
	if len(content) == 0 || len(block) == 0 {
		return false, false
	}
	return answer(snappyDecode(start(content), uint32(len(content)), start(block), uint32(len(block))))
}

func start(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

// answer is what csrc/box.c means by a number.
func answer(n int32) (done, valid bool) { return n != 0, n == 1 }

//go:wasmimport engine adiantum_begin
//go:noescape
func adiantumBegin(block, tweak, keys unsafe.Pointer) int32

//go:wasmimport engine adiantum_end
//go:noescape
func adiantumEnd(block, tweak, keys, nonce unsafe.Pointer) int32

//go:wasmimport engine box_open
//go:noescape
func boxOpen(plain, box unsafe.Pointer, n uint32, about unsafe.Pointer, m uint32, nonce, key unsafe.Pointer) int32

//go:wasmimport engine snappy_decode
//go:noescape
func snappyDecode(content unsafe.Pointer, size uint32, block unsafe.Pointer, n uint32) int32
