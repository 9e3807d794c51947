package accept

import "testing"

func TestEncoding(t *testing.T) {
	for header, want := range map[string]bool{
		"":                           false,
		"gzip":                       true,
		"GZip":                       true,
		"deflate, gzip;q=1.0, *;q=0": true,
		"gzip;q=0.001":               true,
		"gzip;q=0":                   false,
		"gzip; q=0":                  false,
		"gzip;q = 0.000":             false,
		"gzip;Q=0":                   false,
		"gzip;q=x":                   false,
		"gzip;x=0":                   true,
		"*":                          true,
		"*;q=0":                      false,
		"*;q=0, gzip":                true,
		"gzip;q=0, *":                false,
		"x-gzip":                     false,
		"br":                         false,
		"identity;q=0":               false,
	} {
		if got := Encoding(header, "gzip"); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func FuzzEncoding(f *testing.F) {
	f.Add("gzip;q=0, *")
	f.Fuzz(func(t *testing.T, header string) {
		if Encoding(header, "gzip") != Encoding(header+", identity", "gzip") {
			t.Errorf("%q: another coding at the end makes a difference", header)
		}
	})
}
