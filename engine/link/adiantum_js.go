package sqlite3_wasm

import "unsafe"

// Adiantum is the bulk of the cipher of files, in C with SIMD: engine/adiantum.wasm, which
// works in Go's memory and needs no connection. A method that reports false has done
// nothing: the browser has no SIMD.
type Adiantum struct{}

// Begin adds the hash of a block's left part to its right part, the last 16 bytes. keys are
// the stream's, the tweak's and the message's, and NH's.
func (Adiantum) Begin(block *[4096]byte, tweak *[16]byte, keys *[32 + 16 + 16 + 1072]byte) bool {
	return engineBegin(unsafe.Pointer(block), unsafe.Pointer(tweak), unsafe.Pointer(keys)) != 0
}

// End adds the key stream of a nonce to the left part, and takes the hash of what that
// becomes from the right part.
func (Adiantum) End(block *[4096]byte, tweak *[16]byte, keys *[32 + 16 + 16 + 1072]byte, nonce *[16]byte) bool {
	return engineEnd(unsafe.Pointer(block), unsafe.Pointer(tweak), unsafe.Pointer(keys), unsafe.Pointer(nonce)) != 0
}

//go:wasmimport engine adiantum_begin
//go:noescape
func engineBegin(block, tweak, keys unsafe.Pointer) int32

//go:wasmimport engine adiantum_end
//go:noescape
func engineEnd(block, tweak, keys, nonce unsafe.Pointer) int32
