package tap

import (
	"cmp"
	"strings"

	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Op is how a column is compared.
type Op uint8

// The comparisons.
const (
	Eq        = Op(sqlite3.INDEX_CONSTRAINT_EQ)
	Is        = Op(sqlite3.INDEX_CONSTRAINT_IS)
	Lt        = Op(sqlite3.INDEX_CONSTRAINT_LT)
	Le        = Op(sqlite3.INDEX_CONSTRAINT_LE)
	Gt        = Op(sqlite3.INDEX_CONSTRAINT_GT)
	Ge        = Op(sqlite3.INDEX_CONSTRAINT_GE)
	IsNull    = Op(sqlite3.INDEX_CONSTRAINT_ISNULL)
	IsNotNull = Op(sqlite3.INDEX_CONSTRAINT_ISNOTNULL)
	In        = Op(1) // is one of several values
)

var known = map[sqlite3.IndexConstraintOp]bool{
	sqlite3.INDEX_CONSTRAINT_EQ: true, sqlite3.INDEX_CONSTRAINT_IS: true,
	sqlite3.INDEX_CONSTRAINT_LT: true, sqlite3.INDEX_CONSTRAINT_LE: true,
	sqlite3.INDEX_CONSTRAINT_GT: true, sqlite3.INDEX_CONSTRAINT_GE: true,
	sqlite3.INDEX_CONSTRAINT_ISNULL: true, sqlite3.INDEX_CONSTRAINT_ISNOTNULL: true,
}

// Constraint is a condition on a column, the same for each row.
type Constraint struct {
	Column    int // index in the table's stored columns; -1 for the rowid
	Op        Op
	Collation string    // of text: BINARY, NOCASE or RTRIM
	Values    []Operand // one, several of In, none of IsNull and IsNotNull

	affinity Affinity
	unstored bool // of a virtual generated column
}

// compares reports whether [Compare] knows the collation.
func (k *Constraint) compares() bool { return knows(k.Collation) }

func knows(collation string) bool {
	return collation == "BINARY" || collation == "NOCASE" || collation == "RTRIM"
}

// Operand is what a column is compared with: a literal or a parameter.
type Operand struct {
	Param int    // from 1 on; 0 for a literal
	Name  string // of the parameter, as written; "" for ?
	Value value.Value
}

// Compare orders two values as SQLite does: NULL, numbers, text, blobs. Text has no
// NUL.
func Compare(a, b value.Value, collation string) int {
	if d := cmp.Compare(rank(a), rank(b)); d != 0 {
		return d
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(Fold(a, collation), Fold(b.(string), collation))
	case []byte:
		return strings.Compare(string(a), string(b.([]byte)))
	case nil:
		return 0
	}
	return compareNumbers(a, b)
}

func rank(v value.Value) int {
	switch v.(type) {
	case nil:
		return 0
	case string:
		return 2
	case []byte:
		return 3
	}
	return 1
}

func compareNumbers(a, b value.Value) int {
	x, xInt := a.(int64)
	y, yInt := b.(int64)
	switch {
	case xInt && yInt:
		return order(x < y, x > y)
	case xInt:
		return -compareMixed(b.(float64), x)
	case yInt:
		return compareMixed(a.(float64), y)
	}
	f, g := a.(float64), b.(float64)
	return order(f < g, f > g)
}

// compareMixed is exact where the integer has more digits than a float.
func compareMixed(f float64, i int64) int {
	switch {
	case f < -(1 << 63):
		return -1
	case f >= 1<<63:
		return 1
	}
	whole := int64(f)
	if whole != i {
		return order(whole < i, whole > i)
	}
	return order(f < float64(whole), f > float64(whole))
}

func order(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}

// Fold makes texts that a collation calls equal the same.
//
// https://sqlite.org/datatype3.html#collating_sequences
func Fold(s, collation string) string {
	switch collation {
	case "NOCASE":
		for i := 0; i < len(s); i++ {
			if 'A' <= s[i] && s[i] <= 'Z' {
				return foldCase(s)
			}
		}
	case "RTRIM":
		return strings.TrimRight(s, " ")
	}
	return s
}

// foldCase folds the letters of ASCII alone, byte by byte.
func foldCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Opaque reports whether this package does not compare a value: text with a NUL, at
// which a collation stops.
func Opaque(v value.Value) bool {
	s, ok := v.(string)
	return ok && strings.IndexByte(s, 0) >= 0
}

// Literal reports whether no value is a parameter.
func (k *Constraint) Literal() bool {
	for _, o := range k.Values {
		if o.Param > 0 {
			return false
		}
	}
	return true
}
