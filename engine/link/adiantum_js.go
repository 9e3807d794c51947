package sqlite3_wasm

import "unsafe"

// Adiantum is the bulk of the cipher of files, in C with SIMD: engine/adiantum.wasm, which
// works in Go's memory and needs no connection. A method that reports false has done
// nothing: the browser has no SIMD.
type Adiantum struct{}

// NH writes the hashes of a message's parts, of 1,024 bytes but for the last: 32 bytes of
// sums for each. The message has whole units of 16 bytes, the key 1,072 bytes.
func (Adiantum) NH(sums, message, key []byte) bool {
	units := len(message) / 16
	if units == 0 || len(sums) < (units+63)/64*32 || len(key) < 1072 {
		return units == 0
	}
	return engineNH(unsafe.Pointer(&sums[0]), unsafe.Pointer(&message[0]), uint32(units), unsafe.Pointer(&key[0])) != 0
}

// ChaCha12 adds the key stream to whole blocks of 64 bytes, and counts them in the state's
// word 12.
func (Adiantum) ChaCha12(text []byte, state *[16]uint32) bool {
	blocks := len(text) / 64
	return blocks == 0 || engineChaCha12(unsafe.Pointer(&text[0]), uint32(blocks), unsafe.Pointer(state)) != 0
}

//go:wasmimport engine nh
//go:noescape
func engineNH(sums, message unsafe.Pointer, units uint32, key unsafe.Pointer) int32

//go:wasmimport engine chacha12
//go:noescape
func engineChaCha12(text unsafe.Pointer, blocks uint32, state unsafe.Pointer) int32
