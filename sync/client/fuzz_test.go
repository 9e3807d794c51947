package client

import (
	"testing"
	"time"
)

func FuzzDecodeRefs(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRef(appendRef(nil, ref{1, 0}), ref{1 << 40, 300}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		refs, err := decodeRefs(data)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range refs {
			again = appendRef(again, r)
		}
		if more, err := decodeRefs(again); err != nil || len(more) != len(refs) {
			t.Errorf("%x: %v became %v (%v)", data, refs, more, err)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "0": 0, " 7 ": 7 * time.Second, "99999999": time.Hour, "99999999999999": 0,
		// Whatever the time is here.
		"Mon, 02 Jan 2006 15:04:05 GMT": 0,
		"Mon, 02 Jan 2006 15:05:45 GMT": 40 * time.Second,
		"Mon, 02 Jan 2906 15:04:05 GMT": time.Hour,
	} {
		if got := parseRetryAfter(v, "Mon, 02 Jan 2006 15:05:05 GMT"); got != want {
			t.Errorf("%q: got %v, want %v", v, got, want)
		}
	}
	if got := parseRetryAfter("Mon, 02 Jan 2906 15:04:05 GMT", ""); got != 0 {
		t.Errorf("a date beside no date: got %v, want 0", got)
	}
}
