package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

// Tags of values. A value is its tag, then: nothing (NULL), a zigzag varint
// (integer), 8 bytes IEEE 754 little-endian (real), or a varint length and
// that many bytes (text, blob).
const (
	tagNull  = 0
	tagInt   = 1
	tagFloat = 2
	tagText  = 3
	tagBlob  = 4
)

// AppendValue appends v's encoding to b. NaN becomes NULL and -0 becomes 0, as
// SQLite stores them. It panics where v is of none of Value's types.
func AppendValue(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, tagNull)
	case int64:
		return protowire.AppendVarint(append(b, tagInt), protowire.EncodeZigZag(v))
	case float64:
		if v != v {
			return append(b, tagNull)
		}
		if v == 0 {
			v = 0 // loses the sign of -0
		}
		return binary.LittleEndian.AppendUint64(append(b, tagFloat), math.Float64bits(v))
	case string:
		return protowire.AppendString(append(b, tagText), v)
	case []byte:
		return protowire.AppendBytes(append(b, tagBlob), v)
	default:
		panic(fmt.Sprintf("wire: a value of type %T", v))
	}
}

func (r *strict) value() Value {
	switch v := r.scan(); v.Kind {
	case KindInt:
		return v.Int
	case KindFloat:
		return v.Float
	case KindText:
		return string(v.Bytes)
	case KindBlob:
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
		b = AppendValue(b, v)
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

// rowVersion is the first byte of an encoded row, so that no row, not even
// one without cells, encodes to nothing.
const rowVersion = 1

// EncodeRow encodes a row's cells in the order of their names.
func EncodeRow(cells map[string]Value) []byte {
	names := make([]string, 0, len(cells))
	for name := range cells {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte{rowVersion}
	for _, name := range names {
		b = AppendValue(protowire.AppendString(b, name), cells[name])
	}
	return b
}

// DecodeRow undoes EncodeRow. Blobs share b's memory.
func DecodeRow(b []byte) (map[string]Value, error) {
	r := strict{b: b}
	if len(b) == 0 || b[0] != rowVersion {
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
