package value

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// The tags of encoded values, SQLite's own type numbers except for NULL.
const (
	Null  = 0
	Int   = 1
	Float = 2
	Text  = 3
	Blob  = 4
)

// Append appends v in the page encoding: its tag, then nothing (NULL), 8 bytes
// little-endian (integer, real), or a u32 length and that many bytes (text,
// blob). It panics if v is of none of Value's types.
func Append(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, Null)
	case int64:
		return AppendInt(b, v)
	case float64:
		return AppendFloat(b, v)
	case string:
		return AppendText(b, v)
	case []byte:
		return AppendBlob(b, v)
	}
	panic(fmt.Sprintf("value: %T is not an SQLite value", v))
}

// AppendAll appends values, one after the other.
func AppendAll(b []byte, values []Value) []byte {
	for _, v := range values {
		b = Append(b, v)
	}
	return b
}

// AppendInt appends an integer in the page encoding.
func AppendInt(b []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, Int), uint64(v))
}

// AppendFloat appends a real in the page encoding.
func AppendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, Float), math.Float64bits(v))
}

// AppendText appends a text in the page encoding, as it is.
func AppendText[T string | []byte](b []byte, v T) []byte {
	return append(binary.LittleEndian.AppendUint32(append(b, Text), uint32(len(v))), v...)
}

// AppendBlob appends a blob in the page encoding.
func AppendBlob(b, v []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(append(b, Blob), uint32(len(v))), v...)
}

// Cut splits the first value in page encoding off b: its tag, and its content
// without the length, which aliases b. ok is false if b does not begin with a value.
func Cut(b []byte) (tag byte, content, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, nil, false
	}
	tag, b = b[0], b[1:]
	n := uint64(0)
	switch tag {
	case Null:
	case Int, Float:
		n = 8
	case Text, Blob:
		if len(b) < 4 {
			return 0, nil, nil, false
		}
		n, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
	default:
		return 0, nil, nil, false
	}
	if n > uint64(len(b)) {
		return 0, nil, nil, false
	}
	return tag, b[:n:n], b[n:], true
}

// Decode takes the first value in page encoding off b. A blob aliases b.
func Decode(b []byte) (v Value, rest []byte, ok bool) {
	tag, p, rest, ok := Cut(b)
	switch {
	case !ok, tag == Null:
	case tag == Int:
		v = int64(binary.LittleEndian.Uint64(p))
	case tag == Float:
		v = math.Float64frombits(binary.LittleEndian.Uint64(p))
	case tag == Text:
		v = string(p)
	default:
		v = p
	}
	return v, rest, ok
}

// AppendCanonical appends v in the canonical encoding: its tag, then nothing
// (NULL), a zigzag varint (integer), 8 bytes IEEE 754 little-endian (real), or a
// varint length and that many bytes (text, blob). NaN becomes NULL and -0
// becomes 0, as SQLite stores them. It panics if v is of none of Value's types.
func AppendCanonical(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, Null)
	case int64:
		return binary.AppendVarint(append(b, Int), v)
	case float64:
		if v != v {
			return append(b, Null)
		}
		if v == 0 {
			v = 0 // loses the sign of -0
		}
		return AppendFloat(b, v)
	case string:
		return append(binary.AppendUvarint(append(b, Text), uint64(len(v))), v...)
	case []byte:
		return append(binary.AppendUvarint(append(b, Blob), uint64(len(v))), v...)
	}
	panic(fmt.Sprintf("value: %T is not an SQLite value", v))
}

// Equal reports whether a and b are the same value of the same type. Reals are
// compared by their bits.
func Equal(a, b Value) bool {
	switch a := a.(type) {
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	}
	if _, blob := b.([]byte); blob {
		return false
	}
	return a == b
}

// EqualAll reports whether a and b hold the same values in the same order.
func EqualAll(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
