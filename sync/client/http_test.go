package client

import (
	"testing"
	"time"
)

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
