package rpc

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"heddle.dev/heddle/internal/errcode"
)

// writer appends primitives to a message.
type writer struct{ b []byte }

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *writer) i64(v int64)  { w.u64(uint64(v)) }

func (w *writer) flag(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *writer) bytes(v []byte) {
	w.u32(uint32(len(v)))
	w.b = append(w.b, v...)
}

// str writes v; what is not UTF-8 in it (an SQL statement in a message of
// SQLite's, say) becomes U+FFFD.
func (w *writer) str(v string) {
	if !utf8.ValidString(v) {
		v = string(appendRepaired(nil, []byte(v)))
	}
	w.u32(uint32(len(v)))
	w.b = append(w.b, v...)
}

func (w *writer) strs(v []string) {
	w.u32(uint32(len(v)))
	for _, s := range v {
		w.str(s)
	}
}

// pad fills up to a multiple of 8 bytes from the message's start.
func (w *writer) pad() {
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
}

// reader takes primitives off a message. Its first error stays; after it every
// read gives zero.
type reader struct {
	b     []byte // the whole message
	at    int
	err   error
	alias bool // text was checked before: values alias the message
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = errcode.New(errcode.Protocol, "rpc: decode", fmt.Sprintf(format, args...))
		r.at = len(r.b)
	}
}

// take returns the next n bytes, aliasing the message.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail("the message ends %d bytes early", n-(len(r.b)-r.at))
		return nil
	}
	p := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return p
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) i64() int64   { return int64(r.u64()) }
func (r *reader) f64() float64 { return math.Float64frombits(r.u64()) }

func (r *reader) flag() bool {
	v := r.u8()
	if v > 1 {
		r.fail("a bool is %d", v)
	}
	return v == 1
}

// bytes returns a byte string, aliasing the message.
func (r *reader) bytes() []byte { return r.take(r.length()) }

// length reads a u32 that counts bytes still to come.
func (r *reader) length() int {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.fail("a length of %d where %d bytes are left", n, len(r.b)-r.at)
		return 0
	}
	return int(n)
}

// count reads a u32 that counts items of at least size bytes each, so that no
// count allocates more than its message could hold.
func (r *reader) count(size int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(len(r.b)-r.at) {
		r.fail("a count of %d where %d bytes are left", n, len(r.b)-r.at)
		return 0
	}
	return int(n)
}

func (r *reader) str() string {
	p := r.bytes()
	if !utf8.Valid(p) {
		r.fail("a string is not UTF-8")
		return ""
	}
	return string(p)
}

func (r *reader) strs() []string {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.str())
	}
	return list
}

func (r *reader) pad() { r.take((8 - r.at%8) % 8) }

// rest returns what is left, aliasing the message.
func (r *reader) rest() []byte { return r.take(len(r.b) - r.at) }
