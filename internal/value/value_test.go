package value

import (
	"bytes"
	"math"
	"testing"
)

var values = []Value{nil, int64(0), int64(-1), int64(math.MaxInt64), 0.5, math.Inf(-1), math.Copysign(0, -1),
	math.NaN(),
	"", "a\x00é", "\xff", []byte{}, []byte{0, 255}}

func TestDecode_undoesAppend(t *testing.T) {
	all := AppendAll(nil, values)
	for i, want := range values {
		got, rest, ok := Decode(all)
		if !ok || !Equal(got, want) {
			t.Fatalf("value %d: got %#v, want %#v", i, got, want)
		}
		all = rest
	}
	if len(all) != 0 {
		t.Errorf("%d bytes are left", len(all))
	}
}

func TestEqual(t *testing.T) {
	for i, a := range values {
		for j, b := range values {
			same := bytes.Equal(Append(nil, a), Append(nil, b))
			if Equal(a, b) != (i == j) || same != (i == j) {
				t.Errorf("%#v and %#v: equal %v, equal encodings %v", a, b, Equal(a, b), same)
			}
		}
		if n := Size(a); n > len(Append(nil, a)) {
			t.Errorf("the size of %#v is %d", a, n)
		}
	}
	if !EqualAll(values, values) || EqualAll(values, values[1:]) || EqualAll(values[:1], values[1:2]) {
		t.Error("lists are compared wrongly")
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct{ given, want any }{
		{true, int64(1)}, {false, int64(0)}, {7, int64(7)}, {int32(-7), int64(-7)}, {uint32(7), int64(7)}, {"a", "a"}, {nil,
			nil},
	} {
		if got, ok := Of(c.given); !ok || got != c.want {
			t.Errorf("%T: got %#v, %v", c.given, got, ok)
		}
	}
	if _, ok := Of(struct{}{}); ok {
		t.Error("a struct is taken")
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range values {
		f.Add(Append(nil, v))
	}
	f.Add([]byte{Text, 255, 255, 255, 255, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, ok := Decode(b)
		if ok && !bytes.Equal(append(Append(nil, v), rest...), b) {
			t.Errorf("%x is decoded to %#v, which is encoded otherwise", b, v)
		}
	})
}
