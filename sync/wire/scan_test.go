package wire

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/value"
)

// What is scanned is what decodes, and what does not decode is refused alike.
func TestScan_agreesWithDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	some := []Value{nil, int64(0), int64(-1), int64(1 << 40), 1.5, -2.0, "", "text", []byte{}, []byte{1, 2}}
	value := func(v Scanned) Value {
		switch v.Kind {
		case value.Int:
			return v.Int
		case value.Float:
			return v.Float
		case value.Text:
			return string(v.Bytes)
		case value.Blob:
			return append([]byte{}, v.Bytes...)
		}
		return nil
	}
	good, bad := 0, 0
	for range 20_000 {
		cells := map[string]Value{}
		for _, name := range []string{"a", "b", "long name", ""} {
			if rng.IntN(2) == 0 {
				cells[name] = some[rng.IntN(len(some))]
			}
		}
		row, key := EncodeRow(cells), EncodeKey([]Value{some[rng.IntN(len(some))], some[rng.IntN(len(some))]})
		for _, b := range []*[]byte{&row, &key} {
			switch rng.IntN(4) {
			case 0:
				(*b)[rng.IntN(len(*b))] ^= 1 << rng.IntN(8)
			case 1:
				*b = (*b)[:rng.IntN(len(*b))]
			}
		}
		want, err := DecodeRow(row)
		scanned, err2 := ScanRow(nil, row)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("row %x: decoded %v, scanned %v", row, err, err2)
		}
		if err != nil {
			bad++
		} else {
			good++
			got := map[string]Value{}
			for _, c := range scanned {
				got[string(c.Name)] = value(c.Value)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("row %x: scanned %v, want %v", row, got, want)
			}
		}
		wantKey, err := DecodeKey(key)
		scannedKey, err2 := ScanKey(nil, key)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("key %x: decoded %v, scanned %v", key, err, err2)
		}
		if err != nil {
			continue
		}
		var gotKey []Value
		for _, v := range scannedKey {
			gotKey = append(gotKey, value(v))
		}
		if !reflect.DeepEqual(gotKey, wantKey) {
			t.Fatalf("key %x: scanned %v, want %v", key, gotKey, wantKey)
		}
	}
	if good < 1000 || bad < 1000 {
		t.Errorf("%d rows decode, %d do not: too few to say anything", good, bad)
	}
}
