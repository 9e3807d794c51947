package fold

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"heddle.dev/heddle/internal/growth"
	"heddle.dev/heddle/sync/wire"
)

func TestJoin(t *testing.T) {
	type v = wire.Value
	const big = int64(math.MaxInt64)
	tests := []struct {
		join         wire.Join
		before, with v
		want         v
	}{
		{wire.JoinLast, int64(1), "x", "x"},
		{wire.JoinLast, "x", nil, nil},

		{wire.JoinAdd, int64(2), int64(3), int64(5)},
		{wire.JoinAdd, int64(2), int64(-3), int64(-1)},
		{wire.JoinAdd, nil, int64(3), int64(3)},
		{wire.JoinAdd, "text", int64(3), int64(3)},
		{wire.JoinAdd, int64(3), []byte("4"), int64(3)},
		{wire.JoinAdd, int64(1), 0.5, 1.5},
		{wire.JoinAdd, 1.5, 0.5, 2.0},
		{wire.JoinAdd, big, int64(1), float64(1 << 63)},
		{wire.JoinAdd, int64(math.MinInt64), int64(-1), float64(-1 << 63)},
		{wire.JoinAdd, big, int64(0), big},
		{wire.JoinAdd, 2.0, int64(1), int64(3)},
		{wire.JoinAdd, float64(1 << 53), int64(1), int64(1<<53 + 1)},
		{wire.JoinAdd, float64(1 << 63), int64(-1), float64(1 << 63)},
		{wire.JoinAdd, int64(2), 1.0, 3.0},
		{wire.JoinAdd, math.Inf(1), math.Inf(-1), nil},
		{wire.JoinAdd, math.MaxFloat64, math.MaxFloat64, math.Inf(1)},

		{wire.JoinMax, int64(10), int64(3), int64(10)},
		{wire.JoinMax, int64(3), int64(10), int64(10)},
		{wire.JoinMax, nil, int64(-1), int64(-1)},
		{wire.JoinMax, int64(-1), nil, int64(-1)},
		{wire.JoinMax, int64(1), "0", "0"},
		{wire.JoinMax, "z", []byte{0}, []byte{0}},
		{wire.JoinMax, big, float64(1 << 63), float64(1 << 63)},
		{wire.JoinMax, int64(2), 2.0, int64(2)},
		{wire.JoinMax, 2.0, int64(2), int64(2)},
		{wire.JoinMin, int64(10), int64(3), int64(3)},
		{wire.JoinMin, nil, int64(3), int64(3)},
		{wire.JoinMin, "a", int64(3), int64(3)},
		{wire.JoinMin, 2.0, int64(2), int64(2)},
		{wire.JoinMin, int64(1<<53 + 1), float64(1 << 53), float64(1 << 53)},

		{wire.JoinSetAdd, nil, `["b","a","b"]`, `["a","b"]`},
		{wire.JoinSetAdd, `["a"]`, ` [ "\u0061" , 1, 1.0, {"x": [ true ]} ] `, `["a",1,1.0,{"x":[true]}]`},
		{wire.JoinSetAdd, `not json`, `["a"]`, `["a"]`},
		{wire.JoinSetAdd, `["a"]`, `{"a":1}`, `["a"]`},
		{wire.JoinSetAdd, `["a"]`, int64(7), `["a"]`},
		{wire.JoinSetAdd, `[]`, `["\ud83c\udf0d","\/","\u000a\u0001\"\\"]`, `["/","\n\u0001\"\\","🌍"]`},
		{wire.JoinSetAdd, `["a"]`, `["\ud83c"]`, `["a"]`},
		{wire.JoinSetAdd, `["a"]`, `[1,]`, `["a"]`},
		{wire.JoinSetAdd, `["a"]`, `[01]`, `["a"]`},
		{wire.JoinSetAdd, `["a"]`, `["b"] x`, `["a"]`},
		{wire.JoinSetAdd, nil, strings.Repeat("[", 100) + strings.Repeat("]", 100), `[]`},
		{wire.JoinSetAdd, nil, `[[1, -0, 1e+5], null, false]`, `[[1,-0,1e+5],false,null]`},
		{wire.JoinSetRemove, `["a","b"]`, `["b","c"]`, `["a"]`},
		{wire.JoinSetRemove, `["a"]`, `["a"]`, `[]`},
		{wire.JoinSetRemove, nil, `["a"]`, `[]`},
		{wire.JoinSetRemove, `["a"]`, nil, `["a"]`},
	}
	for _, test := range tests {
		got := Join(test.join, test.before, test.with)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("join %d of %#v with %#v: got %#v, want %#v", test.join, test.before, test.with, got, test.want)
		}
	}
}

var sampleValues = []wire.Value{
	nil, int64(0), int64(1), int64(-7), int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), int64(math.MinInt64),
	0.0, 1.0, -0.5, float64(1 << 53), float64(1 << 63), float64(-1 << 63), math.Inf(1), math.Inf(-1), 1e300,
	"", "1", "a", "b", "[]", `["a"]`, `["b", "a"]`, `[1,"a"]`, []byte{}, []byte("a"), []byte{0xff},
}

// The algebra that lets concurrent work merge: max, min and set+ are
// commutative, associative and idempotent; integers add in any order; and all
// are total and give one stored form.
func TestJoin_algebra(t *testing.T) {
	same := func(law string, a, b wire.Value, of ...wire.Value) {
		t.Helper()
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s of %#v: %#v is not %#v", law, of, a, b)
		}
	}
	for _, j := range []wire.Join{wire.JoinMax, wire.JoinMin, wire.JoinSetAdd} {
		// The first join brings a value into the join's own form.
		in := func(v wire.Value) wire.Value { return Join(j, nil, v) }
		for _, a := range sampleValues {
			same(fmt.Sprintf("join %d: idempotence", j), Join(j, in(a), a), in(a), a)
			for _, b := range sampleValues {
				same(fmt.Sprintf("join %d: commutativity", j), Join(j, in(a), b), Join(j, in(b), a), a, b)
				for _, c := range sampleValues {
					same(fmt.Sprintf("join %d: associativity", j), Join(j, Join(j, in(a), b), c), Join(j, in(a), Join(j, in(b), c)),
						a, b, c)
				}
			}
		}
	}
	for _, a := range []int64{0, 1, -7, 1 << 40} {
		for _, b := range []int64{0, 1, -7, 1 << 40} {
			same("join add: commutativity", Join(wire.JoinAdd, a, b), Join(wire.JoinAdd, b, a), a, b)
			same("join add: inverse", Join(wire.JoinAdd, Join(wire.JoinAdd, a, b), -b), a, a, b)
		}
	}
	for j := wire.JoinLast; j <= wire.JoinSetRemove; j++ {
		for _, a := range sampleValues {
			for _, b := range sampleValues {
				got := Join(j, a, b)
				key, err := wire.DecodeKey(wire.EncodeKey([]wire.Value{got}))
				if err != nil || !reflect.DeepEqual(key[0], got) {
					t.Errorf("join %d of %#v with %#v gives %#v, which is stored as %#v, %v", j, a, b, got, key, err)
				}
			}
		}
	}
}

// A set accepts what encoding/json does (save half surrogate pairs, bytes that
// are not UTF-8 and deep nesting), and has one canonical text.
func FuzzSet(f *testing.F) {
	for _, v := range sampleValues {
		if s, ok := v.(string); ok {
			f.Add(s)
		}
	}
	f.Add(`["\ud83c\udf0d", "\/", -0.5e+10, {"a": [null, true]}, "\u0000"]`)
	f.Fuzz(func(t *testing.T, s string) {
		got := setAdd(nil, s).(string)
		if again := setAdd(nil, got); again != got {
			t.Fatalf("%q: got %q, then %q", s, got, again)
		}
		if again := setAdd(got, s); again != got {
			t.Fatalf("%q: added to itself: got %q, want %q", s, again, got)
		}
		if rest := setRemove(got, s); rest != "[]" {
			t.Fatalf("%q: without itself: got %q", s, rest)
		}
		var array []json.RawMessage
		valid := json.Unmarshal([]byte(s), &array) == nil && array != nil
		var back []json.RawMessage
		if err := json.Unmarshal([]byte(got), &back); err != nil {
			t.Fatalf("%q: the canonical text %q is no JSON: %v", s, got, err)
		}
		if !valid && got != "[]" {
			t.Fatalf("%q is no array, yet gives %q", s, got)
		}
		if valid && len(array) > 0 && got == "[]" && utf8.ValidString(s) && !strings.Contains(s, `\u`) &&
			strings.Count(s, "[")+strings.Count(s, "{") < maxDepth {
			t.Fatalf("%q is an array, yet the empty set", s)
		}
	})
}

func TestCompare_isATotalOrder(t *testing.T) {
	for _, a := range sampleValues {
		for _, b := range sampleValues {
			if Compare(a, b) != -Compare(b, a) {
				t.Errorf("%#v and %#v compare differently the other way round", a, b)
			}
			for _, c := range sampleValues {
				if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
					t.Errorf("%#v <= %#v <= %#v, but not the first and the last", a, b, c)
				}
			}
		}
	}
}

func TestApply(t *testing.T) {
	s := &Schema{}
	s.Apply([]wire.TableSchema{{Table: "t", Key: []string{"id"}, Columns: []wire.ColumnSchema{
		{Name: "a", Group: 1, Default: "def"}, {Name: "n", Group: 1, Default: int64(5)}}}})
	op := func(kind wire.Kind, cells map[string]wire.Value, join wire.Join) wire.Op {
		o := wire.Op{Shape: &wire.Shape{Kind: kind, Table: "t"}, Key: []wire.Value{"k"}}
		for name, v := range cells {
			o.Shape.Columns = append(o.Shape.Columns, name)
			o.Shape.Joins = append(o.Shape.Joins, join)
			o.Cells = append(o.Cells, v)
		}
		return o
	}
	type cells = map[string]wire.Value
	tests := []struct {
		name string
		op   wire.Op
		row  *Row
		want *Row
	}{
		{"insert into nothing", op(wire.Insert, cells{"a": "x"}, 0), nil, &Row{cells{"a": "x", "n": int64(5)}}},
		{"insert into nothing joins the default", op(wire.Insert, cells{"n": int64(2)}, wire.JoinAdd), nil,
			&Row{cells{"n": int64(7)}}},
		{"insert without cells", op(wire.Insert, nil, 0), nil, &Row{}},
		{"insert into a row joins", op(wire.Insert, cells{"n": int64(2)}, wire.JoinAdd),
			&Row{cells{"a": "y", "n": int64(1)}}, &Row{cells{"a": "y", "n": int64(3)}}},
		{"update", op(wire.Update, cells{"a": "x"}, 0), &Row{cells{"a": "y", "n": int64(1)}},
			&Row{cells{"a": "x", "n": int64(1)}}},
		{"update of nothing", op(wire.Update, cells{"a": "x"}, 0), nil, nil},
		{"delete", op(wire.Delete, nil, 0), &Row{cells{"a": "y"}}, nil},
		{"delete of nothing", op(wire.Delete, nil, 0), nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before *Row
			if test.row != nil {
				before = &Row{Cells: map[string]wire.Value{}}
				for name, v := range test.row.Cells {
					before.Cells[name] = v
				}
			}
			got := Apply(test.op, test.row, s)
			if !Equal("t", got, test.want, s) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if !reflect.DeepEqual(before, test.row) {
				t.Errorf("the argument became %+v", test.row)
			}
		})
	}
}

// Sets come from other members: a large one must not take longer than reading
// it does.
func TestJoin_largeSets(t *testing.T) {
	growth.Linear(t, 5_000, func(n int) func() {
		var all, some strings.Builder
		for i := range n {
			fmt.Fprintf(&all, ",%d", i)
			if i%2 == 0 {
				fmt.Fprintf(&some, ",%d", i)
			}
		}
		from, less := "["+all.String()[1:]+"]", "["+some.String()[1:]+"]"
		return func() {
			got := Join(wire.JoinSetRemove, from, less)
			if left := strings.Count(got.(string), ",") + 1; left != n/2 {
				t.Errorf("got %d elements, want %d", left, n/2)
			}
		}
	})
}
