package rpc

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"heddle.dev/heddle/internal/errcode"
)

// Writer appends primitives to a message. The zero Writer begins one.
type Writer struct{ b []byte }

// Message returns what was written.
func (w *Writer) Message() []byte { return w.b }

// The primitives are not inlined: messages are many and rare, and the browser's
// binary is to stay small.

//go:noinline
func (w *Writer) U8(v uint8) { w.b = append(w.b, v) }

//go:noinline
func (w *Writer) U16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }

//go:noinline
func (w *Writer) U32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }

//go:noinline
func (w *Writer) U64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }

func (w *Writer) I64(v int64) { w.U64(uint64(v)) }

func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

func (w *Writer) Bytes(v []byte) {
	w.U32(uint32(len(v)))
	w.b = append(w.b, v...)
}

// Str writes v. What is not UTF-8 in it (a statement in an error text of SQLite,
// for example) becomes U+FFFD.
func (w *Writer) Str(v string) {
	if !utf8.ValidString(v) {
		v = string(appendRepaired(nil, []byte(v)))
	}
	w.U32(uint32(len(v)))
	w.b = append(w.b, v...)
}

func (w *Writer) Strs(v []string) { WriteList(w, v, (*Writer).Str) }

// Append writes bytes as they are.
func (w *Writer) Append(p []byte) { w.b = append(w.b, p...) }

// pad fills up to a multiple of 8 bytes from the message's start.
func (w *Writer) pad() {
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
}

// Reader takes primitives off a message. Its first error stays: every read after
// it gives zero.
type Reader struct {
	b     []byte // the whole message
	at    int
	err   error
	alias bool // text was checked before: values alias the message
}

// NewReader returns a reader of message.
func NewReader(message []byte) *Reader { return &Reader{b: message} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Left is how many bytes are left.
func (r *Reader) Left() int { return len(r.b) - r.at }

// Fail makes it an error of code HEDDLE_PROTOCOL, unless there was one before.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = errcode.New(errcode.Protocol, "rpc: decode", fmt.Sprintf(format, args...))
		r.at = len(r.b)
	}
}

// Take returns the next n bytes, aliasing the message.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.Fail("the message ends %d bytes early", n-(len(r.b)-r.at))
		return nil
	}
	p := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return p
}

func (r *Reader) U8() uint8 {
	if p := r.Take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *Reader) U16() uint16 {
	if p := r.Take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *Reader) U32() uint32 {
	if p := r.Take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *Reader) U64() uint64 {
	if p := r.Take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *Reader) I64() int64   { return int64(r.U64()) }
func (r *Reader) F64() float64 { return math.Float64frombits(r.U64()) }

func (r *Reader) Bool() bool {
	v := r.U8()
	if v > 1 {
		r.Fail("a bool is %d", v)
	}
	return v == 1
}

// Bytes returns a byte string, aliasing the message.
func (r *Reader) Bytes() []byte { return r.Take(r.length()) }

// length reads a u32 that counts bytes still to come.
func (r *Reader) length() int {
	n := r.U32()
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.Fail("a length of %d where %d bytes are left", n, len(r.b)-r.at)
		return 0
	}
	return int(n)
}

// Count reads a u32 that counts items of at least size bytes each, so that no
// count allocates more than its message could hold.
func (r *Reader) Count(size int) int {
	n := r.U32()
	if uint64(n)*uint64(size) > uint64(len(r.b)-r.at) {
		r.Fail("a count of %d where %d bytes are left", n, len(r.b)-r.at)
		return 0
	}
	return int(n)
}

func (r *Reader) Str() string {
	p := r.Bytes()
	if !utf8.Valid(p) {
		r.Fail("a string is not UTF-8")
		return ""
	}
	return string(p)
}

func (r *Reader) Strs() []string { return ReadList(r, 4, (*Reader).Str) }

// Pad passes over the bytes up to a multiple of 8 from the message's start.
func (r *Reader) Pad() { r.Take((8 - r.at%8) % 8) }

// Rest returns what is left, aliasing the message.
func (r *Reader) Rest() []byte { return r.Take(len(r.b) - r.at) }

// WriteList writes a list with write.
//
//go:noinline
func WriteList[T any](w *Writer, list []T, write func(*Writer, T)) {
	w.U32(uint32(len(list)))
	for _, v := range list {
		write(w, v)
	}
}

// ReadList reads a list with read, which takes at least size bytes; nil if it is empty.
//
//go:noinline
func ReadList[T any](r *Reader, size int, read func(*Reader) T) []T {
	n := r.Count(size)
	if n == 0 {
		return nil
	}
	list := make([]T, 0, n)
	for range n {
		list = append(list, read(r))
	}
	return list
}

// WriteOptional writes whether v is there, and then v with write.
func WriteOptional[T any](w *Writer, v *T, write func(*Writer, T)) {
	w.Bool(v != nil)
	if v != nil {
		write(w, *v)
	}
}

// ReadOptional reads what WriteOptional writes.
func ReadOptional[T any](r *Reader, read func(*Reader) T) *T {
	if !r.Bool() {
		return nil
	}
	v := read(r)
	return &v
}
