package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

func (r *strict) value() Value {
	switch v := r.scan(); v.Kind {
	case value.Int:
		return v.Int
	case value.Float:
		return v.Float
	case value.Text:
		return string(v.Bytes)
	case value.Blob:
		if v.Bytes == nil {
			return []byte{}
		}
		return v.Bytes
	default:
		return nil
	}
}

// EncodeKey encodes a primary key's values, one after the other. Different
// keys have different encodings.
func EncodeKey(key []Value) []byte { return AppendValues(nil, key) }

// AppendValues appends the encodings of vs to b.
func AppendValues(b []byte, vs []Value) []byte {
	for _, v := range vs {
		b = value.AppendCanonical(b, v)
	}
	return b
}

// DecodeKey undoes EncodeKey. Blobs share b's memory.
func DecodeKey(b []byte) ([]Value, error) {
	r := strict{b: b}
	var key []Value
	for len(r.b) > 0 && r.bad == "" {
		key = append(key, r.value())
	}
	if r.bad != "" {
		return nil, errcode.New(errcode.Protocol, "wire: decode key", r.bad)
	}
	return key, nil
}

// RowVersion is the first byte of an encoded row, so that no row, not even
// one without cells, encodes to nothing.
const RowVersion = 1

// EncodeRow encodes a row's cells in the order of their names.
func EncodeRow(cells map[string]Value) []byte {
	names := make([]string, 0, len(cells))
	for name := range cells {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte{RowVersion}
	for _, name := range names {
		b = value.AppendCanonical(protowire.AppendString(b, name), cells[name])
	}
	return b
}

// DecodeRow undoes EncodeRow. Blobs share b's memory.
func DecodeRow(b []byte) (map[string]Value, error) {
	r := strict{b: b}
	if len(b) == 0 || b[0] != RowVersion {
		return nil, errcode.New(errcode.Protocol, "wire: decode row", "not a row, or one of another version")
	}
	r.b = b[1:]
	cells := map[string]Value{}
	last, first := "", true
	for len(r.b) > 0 && r.bad == "" {
		name := string(r.raw())
		if !first && name <= last {
			r.fail("cells are not in order")
		}
		last, first = name, false
		cells[name] = r.value()
	}
	if r.bad != "" {
		return nil, errcode.New(errcode.Protocol, "wire: decode row", r.bad)
	}
	return cells, nil
}
