package fold

import (
	"slices"

	"heddle.dev/heddle/sync/wire"
)

// Delta returns what added to before gives after, or comes as near to it as
// arithmetic does: see Join. ok is false where after is no number, or the
// difference is none.
func Delta(before, after wire.Value) (delta wire.Value, ok bool) {
	switch after.(type) {
	case int64, float64:
	default:
		return nil, false
	}
	x, xInt := number(before)
	y, yInt := number(after)
	if xInt && yInt {
		i, k := x.(int64), y.(int64)
		if d := k - i; (d < k) == (i > 0) {
			return d, true
		}
		return nil, false // a real would lose digits
	}
	d := real(y) - real(x)
	if d-d != 0 { // an infinity, or no number
		return nil, false
	}
	return d + 0, true // never -0
}

// SetDelta returns what makes the set before into the set after: the elements
// to remove and to add, each a set, "" where there are none.
func SetDelta(before, after wire.Value) (remove, add string) {
	x, y := parseSet(before), parseSet(after)
	return without(x, y), without(y, x)
}

// without returns the set of those elements of x that y does not have, "" if
// there is none.
func without(x, y []string) string {
	has := make(map[string]bool, len(y))
	for _, e := range y {
		has[e] = true
	}
	rest := slices.DeleteFunc(slices.Clone(x), func(e string) bool { return has[e] })
	if len(rest) == 0 {
		return ""
	}
	return formatSet(rest)
}
