package fold

import (
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// What Delta and SetDelta say, joined to what was before, gives what is after.
func TestDelta(t *testing.T) {
	found := 0
	for _, a := range sampleValues {
		for _, b := range sampleValues {
			d, ok := Delta(a, b)
			if !ok {
				continue
			}
			found++
			got := Join(wire.JoinAdd, a, d)
			x, xInt := number(a)
			y, yInt := number(b)
			if xInt && yInt && got != b {
				t.Errorf("%#v and the difference %#v give %#v, want %#v", a, d, got, b)
			}
			if g, w := real(got), real(y); g != w && g-w > 1e-9*max(w, -w, real(x), -real(x)) {
				t.Errorf("%#v and the difference %#v give %#v, want about %#v", a, d, got, b)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d pairs have a difference", found)
	}
	for _, b := range []wire.Value{nil, "7", []byte{1}} {
		if d, ok := Delta(int64(1), b); ok {
			t.Errorf("%#v is no number, and differs from 1 by %#v", b, d)
		}
	}
}

func TestSetDelta(t *testing.T) {
	for _, a := range append([]wire.Value{`["b","c","c"]`, `[1, 2, {"x": null}]`}, sampleValues...) {
		for _, b := range append([]wire.Value{`["d","c"]`, `[2]`}, sampleValues...) {
			remove, add := SetDelta(a, b)
			if remove == "[]" || add == "[]" {
				t.Errorf("from %#v to %#v: an empty set is not nothing", a, b)
			}
			got := Join(wire.JoinSetAdd, Join(wire.JoinSetRemove, a, remove), add)
			if want := setAdd(nil, b); got != want {
				t.Errorf("%#v without %s and with %s is %v, want %v", a, remove, add, got, want)
			}
		}
	}
}
