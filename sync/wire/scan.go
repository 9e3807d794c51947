package wire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

// Scanned is a value read where it lies: nothing of it is copied.
type Scanned struct {
	Kind  byte // its tag: value.Null, value.Int, …
	Int   int64
	Float float64
	Bytes []byte // of a text or blob
	Raw   []byte // its encoding
}

// Cell is a scanned cell.
type Cell struct {
	Name  []byte
	Value Scanned
}

// scan reads a value.
func (r *strict) scan() (v Scanned) {
	from := r.b
	if len(from) == 0 {
		r.fail("a value is missing")
		return v
	}
	v.Kind = from[0]
	switch r.b = from[1:]; v.Kind {
	case value.Null:
	case value.Int:
		v.Int = protowire.DecodeZigZag(r.varint())
	case value.Float:
		if len(r.b) < 8 {
			r.fail("a value is cut short")
			return v
		}
		bits := binary.LittleEndian.Uint64(r.b)
		r.b = r.b[8:]
		if v.Float = math.Float64frombits(bits); v.Float != v.Float || bits == 1<<63 {
			r.fail("a real is NaN or -0")
		}
	case value.Text, value.Blob:
		v.Bytes = r.raw()
	default:
		r.fail("a value has an unknown tag")
	}
	v.Raw = from[:len(from)-len(r.b)]
	return v
}

// ScanKey is DecodeKey without copies. It appends to key.
func ScanKey(key []Scanned, b []byte) ([]Scanned, error) {
	r := strict{b: b}
	for len(r.b) > 0 && r.bad == "" {
		key = append(key, r.scan())
	}
	if r.bad != "" {
		return nil, errcode.New(errcode.Protocol, "wire: decode key", r.bad)
	}
	return key, nil
}

// ScanRow is DecodeRow without copies. It appends to cells.
func ScanRow(cells []Cell, b []byte) ([]Cell, error) {
	if len(b) == 0 || b[0] != RowVersion {
		return nil, errcode.New(errcode.Protocol, "wire: decode row", "not a row, or one of another version")
	}
	r := strict{b: b[1:]}
	for first := true; len(r.b) > 0 && r.bad == ""; first = false {
		c := Cell{Name: r.raw()}
		if !first && string(c.Name) <= string(cells[len(cells)-1].Name) {
			r.fail("cells are not in order")
		}
		c.Value = r.scan()
		cells = append(cells, c)
	}
	if r.bad != "" {
		return nil, errcode.New(errcode.Protocol, "wire: decode row", r.bad)
	}
	return cells, nil
}
