package main

import (
	"bytes"
	"testing"
)

// module has one function a size, each of size bytes of body.
func module(sizes ...int) []byte {
	types := []byte{byte(len(sizes))}
	code := []byte{byte(len(sizes))}
	for _, size := range sizes {
		types = append(types, 0)
		code = append(append(code, byte(size)), bytes.Repeat([]byte{1}, size)...)
	}
	return join([]byte("\x00asm\x01\x00\x00\x00"), []section{
		{1, []byte{1, 0x60, 0, 0}}, {3, types}, {10, code}, {11, []byte{0}},
	})
}

func TestAllowInlining(t *testing.T) {
	for name, tt := range map[string]struct {
		sizes []int
		added int
	}{
		"none is small":     {[]int{60, 60, 60}, 3},
		"one is small":      {[]int{49, 60, 60}, 1},
		"of the exact size": {[]int{50}, 1},
		"half are small":    {[]int{60, 3}, 0},
		"most are small":    {[]int{60, 3, 3, 3}, 0},
		"without functions": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := allowInlining(module(tt.sizes...))
			if err != nil {
				t.Fatal(err)
			}
			sections, err := split(got)
			if err != nil {
				t.Fatal(err)
			}
			want := byte(len(tt.sizes) + tt.added)
			if len(sections) != 4 || sections[1].body[0] != want || sections[2].body[0] != want {
				t.Errorf("sections %v, want %d functions", sections, want)
			}
			if !bytes.HasSuffix(sections[2].body, bytes.Repeat([]byte{3, 0, 0, 0x0B}, tt.added)) {
				t.Errorf("code %v", sections[2].body)
			}
		})
	}
}

func TestAllowInlining_refuses(t *testing.T) {
	whole := module(60, 3)
	for n := range len(whole) - 3 { // all but the section after the code
		if got, err := allowInlining(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d gave %v", n, len(whole), got)
		}
	}
}
