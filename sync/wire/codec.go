package wire

import "google.golang.org/protobuf/encoding/protowire"

// The writers below leave out what equals its default, as proto3 does.

func putUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func putString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return putStringAlways(b, num, s)
}

// putStringAlways is for elements of a repeated field, where "" counts.
func putStringAlways(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func putBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return putMessage(b, num, v)
}

// putMessage is for messages, where an empty one counts.
func putMessage(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// strict reads a message whose every byte is hashed: fields in ascending
// order, shortest varints, no defaults, nothing unknown. Its methods ask for a
// field by number and say whether it stands next.
type strict struct {
	b   []byte
	bad string // the first fault, "" for none
}

func (r *strict) fail(msg string) {
	if r.bad == "" {
		r.bad = msg
	}
	r.b = nil
}

// tag consumes the tag of field num (below 16, so one byte) if it is next.
func (r *strict) tag(num protowire.Number, typ protowire.Type) bool {
	if len(r.b) == 0 || r.b[0] != byte(num)<<3|byte(typ) {
		return false
	}
	r.b = r.b[1:]
	return true
}

func (r *strict) varint() uint64 {
	v, n := protowire.ConsumeVarint(r.b)
	if n < 0 || n != protowire.SizeVarint(v) {
		r.fail("a number is not in its shortest form")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *strict) raw() []byte {
	n := r.varint()
	if n > uint64(len(r.b)) {
		r.fail("a field is cut short")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// uint returns field num, 0 where it is absent.
func (r *strict) uint(num protowire.Number) uint64 {
	if !r.tag(num, protowire.VarintType) {
		return 0
	}
	v := r.varint()
	if v == 0 {
		r.fail("a default is written out")
	}
	return v
}

// bytes returns field num, nil where it is absent; it is never empty.
func (r *strict) bytes(num protowire.Number) []byte {
	if !r.tag(num, protowire.BytesType) {
		return nil
	}
	v := r.raw()
	if len(v) == 0 {
		r.fail("a default is written out")
		return nil
	}
	return v
}

// each returns the next element of repeated field num.
func (r *strict) each(num protowire.Number) ([]byte, bool) {
	if !r.tag(num, protowire.BytesType) {
		return nil, false
	}
	v := r.raw()
	return v, r.bad == ""
}

// end demands that nothing is left.
func (r *strict) end() {
	if len(r.b) > 0 {
		r.fail("an unknown field, or one out of order")
	}
}
