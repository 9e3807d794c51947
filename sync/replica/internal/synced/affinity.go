package synced

import (
	"strings"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/wire"
)

// affinity is what a column makes of the values that it is given.
//
// https://sqlite.org/datatype3.html#determination_of_column_affinity
type affinity byte

const (
	affinityNone    affinity = iota // it keeps them as they are
	affinityText                    // numbers become text
	affinityNumeric                 // text that is a number becomes one
	affinityReal                    // the same, and integers become reals
	affinityInteger                 // as affinityNumeric
)

// affinityOf returns the affinity of a declared type.
func affinityOf(decl string) affinity {
	d := strings.ToUpper(strings.TrimSpace(decl))
	has := func(s string) bool { return strings.Contains(d, s) }
	switch {
	case has("INT"):
		return affinityInteger
	case has("CHAR"), has("CLOB"), has("TEXT"):
		return affinityText
	case d == "", has("BLOB"):
		return affinityNone
	case has("REAL"), has("FLOA"), has("DOUB"):
		return affinityReal
	}
	return affinityNumeric
}

func columnAffinity(info *store.Table, i int) affinity {
	decl := info.Columns[i].Decl
	if info.Strict && strings.EqualFold(decl, "ANY") {
		return affinityNone
	}
	return affinityOf(decl)
}

// keeps reports whether a column stores what the digest takes for the same as v.
func (a affinity) keeps(v wire.Value) bool {
	switch v := v.(type) {
	case int64:
		return a.keepsInt(v)
	case float64:
		return a != affinityText
	case string:
		return a <= affinityText || !numeric(v)
	}
	return true
}

func (a affinity) keepsInt(v int64) bool {
	return a != affinityText && (a != affinityReal || int64(float64(v)) == v && v != 1<<63-1)
}

// keepsKey reports whether a key column stores exactly v, and tells it from all
// other values: 5.0 is not 5 to the log, and is to SQLite.
func (a affinity) keepsKey(v wire.Value) bool {
	f, ok := v.(float64)
	return a.keeps(v) && !(ok && isWhole(f))
}

func isWhole(f float64) bool { return f >= -1<<63 && f < 1<<63 && f == float64(int64(f)) }

// KeepsScanned is keeps, or keepsKey, for a value that is not decoded.
func (a affinity) KeepsScanned(v *wire.Scanned, key bool) bool {
	switch v.Kind {
	case value.Int:
		return a.keepsInt(v.Int)
	case value.Float:
		return a != affinityText && !(key && isWhole(v.Float))
	case value.Text:
		return a <= affinityText || !numeric(string(v.Bytes))
	}
	return true
}

// numeric reports whether SQLite takes a text for a number as a whole.
//
// https://sqlite.org/datatype3.html#type_conversions_prior_to_comparison
func numeric(s string) bool {
	s = strings.Trim(s, " \t\n\v\f\r")
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	digits, s := cutDigits(s)
	fraction := 0
	if strings.HasPrefix(s, ".") {
		fraction, s = cutDigits(s[1:])
	}
	if digits+fraction == 0 {
		return false
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		exponent := 0
		if exponent, s = cutDigits(s); exponent == 0 {
			return false
		}
	}
	return s == ""
}

func cutDigits(s string) (n int, rest string) {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n, s[n:]
}
