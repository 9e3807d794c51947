package rpc

import "testing"

func TestAppendText_countsAndRepairs(t *testing.T) {
	for in, want := range map[string]struct {
		text  string
		units int
	}{
		"":                  {"", 0},
		"ascii only, long":  {"ascii only, long", 16},
		"é":                 {"é", 1},
		"€":                 {"€", 1},
		"😀":                 {"😀", 2},
		"\ufeff":            {"\ufeff", 1},
		"\x80":              {"\uFFFD", 1},
		"\xf0\x9f\x98":      {"\uFFFD", 1},
		"\xf0\x9f\x98A":     {"\uFFFDA", 2},
		"\xe0\x80\x80":      {"\uFFFD\uFFFD\uFFFD", 3},
		"\xed\xa0\x80":      {"\uFFFD\uFFFD\uFFFD", 3},
		"\xf4\x90\x80\x80":  {"\uFFFD\uFFFD\uFFFD\uFFFD", 4},
		"\xe2\x82\xe2\x82A": {"\uFFFD\uFFFDA", 3},
		"\xc0\xaf\xfe😀":     {"\uFFFD\uFFFD\uFFFD😀", 5},
	} {
		text, n := appendText(nil, []byte(in))
		if string(text) != want.text || n != want.units {
			t.Errorf("%q: got %q, %d units, want %q, %d", in, text, n, want.text, want.units)
		}
	}
}
