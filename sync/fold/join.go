package fold

import (
	"cmp"
	"math"
	"strings"

	"heddle.dev/heddle/sync/wire"
)

// Join combines the value before with the value that an operation brings. It
// is total: what makes no sense, such as adding to a text, has a defined result
// and not an error.
func Join(j wire.Join, before, v wire.Value) wire.Value {
	switch j {
	case wire.JoinAdd:
		return add(before, v)
	case wire.JoinMax:
		return extreme(before, v, +1)
	case wire.JoinMin:
		return extreme(before, v, -1)
	case wire.JoinSetAdd:
		return setAdd(before, v)
	case wire.JoinSetRemove:
		return setRemove(before, v)
	default:
		return v
	}
}

// add adds two numbers; what is no number counts as 0. Integers stay integers
// as long as their sum fits, else they become reals. To an integer, a whole real
// is that integer: which of the two a column holds depends on its affinity. A
// sum that is no number (of two infinities) is NULL, as SQLite has it.
func add(a, b wire.Value) wire.Value {
	y, yInt := number(b)
	if yInt {
		a = canonical(a)
	}
	x, xInt := number(a)
	if xInt && yInt {
		i, k := x.(int64), y.(int64)
		if sum := i + k; (sum > i) == (k > 0) {
			return sum
		}
	}
	sum := real(x) + real(y)
	if sum != sum {
		return nil
	}
	if sum == 0 {
		return float64(0) // never -0
	}
	return sum
}

func number(v wire.Value) (n wire.Value, isInt bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return v, false
	default:
		return int64(0), true
	}
}

func real(n wire.Value) float64 {
	if i, ok := n.(int64); ok {
		return float64(i)
	}
	return n.(float64)
}

// extreme returns the larger (sign +1) or the smaller (-1) of two values. NULL
// loses against everything; of an integer and a real that are equal the
// integer wins, so that the order of joining does not matter.
func extreme(a, b wire.Value, sign int) wire.Value {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	switch c := Compare(a, b) * sign; {
	case c > 0:
		return a
	case c < 0:
		return b
	}
	if _, ok := b.(int64); ok {
		return b
	}
	return a
}

// Compare orders two values as SQLite's BINARY collation does: NULL, numbers,
// text, blobs. An integer and a real are compared by their exact values.
func Compare(a, b wire.Value) int {
	if ra, rb := rank(a), rank(b); ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch x := a.(type) {
	case int64:
		switch y := b.(type) {
		case int64:
			return cmp.Compare(x, y)
		case float64:
			return compareIntReal(x, y)
		}
	case float64:
		switch y := b.(type) {
		case int64:
			return -compareIntReal(y, x)
		case float64:
			return cmp.Compare(x, y)
		}
	case string:
		return strings.Compare(x, b.(string))
	case []byte:
		return strings.Compare(string(x), string(b.([]byte)))
	}
	return 0
}

func rank(v wire.Value) int {
	switch v.(type) {
	case int64, float64:
		return 1
	case string:
		return 2
	case []byte:
		return 3
	default:
		return 0
	}
}

func compareIntReal(i int64, f float64) int {
	switch {
	case f != f: // no NaN is ever stored; NULL sorts first
		return +1
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return +1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(whole, f)
}

// Same reports whether two values are the same value to the digest: of the
// same type and bytes, where a real that is a whole number counts as that
// integer. (A column of REAL affinity turns 2 into 2.0, one of INTEGER affinity
// 2.0 into 2; the fold does not know affinities.)
func Same(a, b wire.Value) bool {
	a, b = canonical(a), canonical(b)
	switch x := a.(type) {
	case []byte:
		y, ok := b.([]byte)
		return ok && string(x) == string(y)
	default:
		if _, ok := b.([]byte); ok {
			return false
		}
		return a == b
	}
}

// canonical turns whole reals into integers and NaN into NULL.
func canonical(v wire.Value) wire.Value {
	f, ok := v.(float64)
	if !ok {
		return v
	}
	if f != f {
		return nil
	}
	if f > -1<<63 && f < 1<<63 {
		if i := int64(f); float64(i) == f {
			return i
		}
	}
	return f
}
