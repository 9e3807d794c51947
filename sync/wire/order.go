package wire

import (
	"bytes"
	"cmp"

	"heddle.dev/heddle/internal/value"
)

// CompareKeys orders encoded keys of one table as SQLite orders the values that they are
// of, under the collation BINARY: NULL, numbers, texts, blobs
// (https://sqlite.org/datatype3.html#sort_order). It is not the order of the encodings,
// in which snapshots of plain spaces come. It returns an error for what is no key.
func CompareKeys(a, b []byte) (int, error) {
	x, y := strict{b: a}, strict{b: b}
	for len(x.b) > 0 && len(y.b) > 0 {
		v, w := x.scan(), y.scan()
		if x.bad != "" || y.bad != "" {
			break
		}
		if order := compareScanned(&v, &w); order != 0 {
			return order, nil
		}
	}
	if x.bad != "" || y.bad != "" {
		_, err := ScanKey(nil, append(append([]byte(nil), a...), b...))
		return 0, err
	}
	return cmp.Compare(len(x.b), len(y.b)), nil
}

// CompareScanned is CompareKeys of keys that ScanKey has read.
func CompareScanned(a, b []Scanned) int {
	for i := range min(len(a), len(b)) {
		if order := compareScanned(&a[i], &b[i]); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

// class is where a value stands by its type: numbers are of one.
func class(v *Scanned) int {
	if v.Kind == value.Float {
		return value.Int
	}
	return int(v.Kind)
}

func compareScanned(a, b *Scanned) int {
	if order := cmp.Compare(class(a), class(b)); order != 0 {
		return order
	}
	switch {
	case a.Kind == value.Int && b.Kind == value.Int:
		return cmp.Compare(a.Int, b.Int)
	case a.Kind == value.Float && b.Kind == value.Float:
		return cmp.Compare(a.Float, b.Float)
	case a.Kind == value.Int:
		return compareIntFloat(a.Int, b.Float)
	case a.Kind == value.Float:
		return -compareIntFloat(b.Int, a.Float)
	}
	return bytes.Compare(a.Bytes, b.Bytes)
}

// compareIntFloat compares exactly: not every integer is a float64.
func compareIntFloat(i int64, f float64) int {
	switch {
	case f < -1<<63:
		return 1
	case f >= 1<<63:
		return -1
	}
	whole := int64(f) // toward zero
	if order := cmp.Compare(i, whole); order != 0 {
		return order
	}
	return cmp.Compare(float64(whole), f) // what was cut off
}
