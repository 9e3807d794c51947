package fold

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

func TestSchema(t *testing.T) {
	s := testSchema()
	first := s.Tables()
	s.Apply([]wire.TableSchema{{Table: "notes", Key: []string{"other"},
		Columns: []wire.ColumnSchema{{Name: "done", Group: 9, Default: "x"}, {Name: "id", Group: 9}}}})
	if !reflect.DeepEqual(s.Tables(), first) {
		t.Errorf("the first descriptor did not win: %+v", s.Tables())
	}
	again, err := UnmarshalSchema(s.Marshal())
	if err != nil || !reflect.DeepEqual(again.Tables(), first) {
		t.Errorf("stored and loaded: got %+v, %v", again, err)
	}
	if m := s.Missing(first); len(m) > 0 {
		t.Errorf("nothing is missing, got %+v", m)
	}
	want := slices.Clone(first)
	want = append(want[:0:0], wire.TableSchema{Table: "notes", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "new", Group: 3}}},
		wire.TableSchema{Table: "bare", Key: []string{"k"}})
	asked := append(slices.Clone(first), want...)
	if got := s.Missing(asked); !reflect.DeepEqual(got, want) {
		t.Errorf("missing: got %+v, want %+v", got, want)
	}
}

func TestCheck(t *testing.T) {
	s := testSchema()
	up := func(table string, columns ...string) *wire.Shape {
		return &wire.Shape{Kind: wire.Update, Table: table, Columns: columns, Joins: make([]wire.Join, len(columns))}
	}
	one := func(shape *wire.Shape, key ...wire.Value) *wire.Body {
		return &wire.Body{Shapes: []*wire.Shape{shape},
			Ops: []wire.Op{{Shape: shape, Key: key, Cells: make([]wire.Value, len(shape.Columns))}}}
	}
	with := func(b *wire.Body, d ...wire.TableSchema) *wire.Body { b.Schema = d; return b }
	tests := []struct {
		name string
		body *wire.Body
		code string
	}{
		{"known", one(up("notes", "body"), "k"), ""},
		{"unknown table", one(up("other", "body"), "k"), errcode.BadBody},
		{"unknown column", one(up("notes", "other"), "k"), errcode.BadBody},
		{"cell of the key", one(up("notes", "id"), "k"), errcode.BadBody},
		{"key too long", one(up("notes", "body"), "k", "l"), errcode.BadBody},
		{"key too short", one(up("tags", "x"), "k"), errcode.BadBody},
		{"null key", one(up("notes", "body"), nil), errcode.NullKey},
		{"described column", with(one(up("notes", "new"), "k"),
			wire.TableSchema{Table: "notes", Key: []string{"id"}, Columns: []wire.ColumnSchema{{Name: "new", Group: 4}}}), ""},
		{"another key", with(one(up("notes", "body"), "k"), wire.TableSchema{Table: "notes", Key: []string{"uid"}}),
			errcode.BadBody},
		{"column in the key", with(one(up("notes", "body"), "k"),
			wire.TableSchema{Table: "x", Key: []string{"a"}, Columns: []wire.ColumnSchema{{Name: "a"}}}), errcode.BadBody},
		{"key column twice", with(one(up("notes", "body"), "k"), wire.TableSchema{Table: "x", Key: []string{"a", "a"}}),
			errcode.BadBody},
		{"nothing at all", &wire.Body{}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := s.Tables()
			if got := errcode.Of(Check(test.body, s)); got != test.code {
				t.Errorf("got code %q, want %q", got, test.code)
			}
			if !reflect.DeepEqual(s.Tables(), before) {
				t.Error("the schema changed")
			}
		})
	}
}

// Check and Apply are linear: a million columns beside a key of a million would
// take hours otherwise.
func TestCheck_linear(t *testing.T) {
	const n = 1_000_000
	table := wire.TableSchema{Table: "t"}
	for i := range n {
		table.Key = append(table.Key, fmt.Sprint("k", i))
		table.Columns = append(table.Columns, wire.ColumnSchema{Name: fmt.Sprint("c", i), Group: 1})
	}
	s := &Schema{}
	if err := Check(&wire.Body{Schema: []wire.TableSchema{table}}, s); err != nil {
		t.Error(err)
	}
	s.Apply([]wire.TableSchema{table})
	if len(s.tables["t"].columns) != n {
		t.Errorf("got %d columns, want %d", len(s.tables["t"].columns), n)
	}
	// Many descriptors of one table, each with a column of its own.
	s = &Schema{}
	var each []wire.TableSchema
	for _, c := range table.Columns[:200_000] {
		each = append(each, wire.TableSchema{Table: "t", Key: []string{"id"}, Columns: []wire.ColumnSchema{c}})
	}
	s.Apply(each)
	if got := len(s.tables["t"].columns); got != len(each) {
		t.Errorf("got %d columns, want %d", got, len(each))
	}
}

// described makes descriptors of tables from, from+1, … with so many columns
// each, of as many groups.
func described(from, tables, columns, groups int) []wire.TableSchema {
	var all []wire.TableSchema
	for i := range tables {
		d := wire.TableSchema{Table: fmt.Sprint("t", from+i), Key: []string{"id"}}
		for c := range columns {
			d.Columns = append(d.Columns, wire.ColumnSchema{Name: fmt.Sprint("c", c), Group: uint32(1 + c%groups)})
		}
		all = append(all, d)
	}
	return all
}

func TestSchema_fits(t *testing.T) {
	long := described(0, 1, 1, 1)
	long[0].Columns[0].Default = string(make([]byte, wire.MaxSchema))
	wide := wire.TableSchema{Table: "w"}
	for i := range wire.MaxKeyColumns + 1 {
		wide.Key = append(wide.Key, fmt.Sprint("k", i))
	}
	least := wide
	least.Key = wide.Key[:wire.MaxKeyColumns]
	for _, test := range []struct {
		name         string
		before, then []wire.TableSchema
		fits         bool
	}{
		{"nothing", nil, nil, true},
		{"tables", described(0, wire.MaxSchemaTables-1, 1, 1), described(2000, 1, 1, 1), true},
		{"tables, one more", described(0, wire.MaxSchemaTables, 1, 1), described(2000, 1, 1, 1), false},
		{"tables, at once", nil, described(0, 6000, 1, 1), false},
		{"columns", described(0, 10, 1000, 1), described(10, 10, 1000, 1), true},
		{"columns, one more", described(0, 10, 1000, 1), append(described(10, 10, 1000, 1), described(20, 1, 1, 1)...),
			false},
		{"groups", described(0, 1, 600, 600), described(0, 1, wire.MaxGroups, wire.MaxGroups), true},
		{"groups, one more", described(0, 1, 600, 600), described(0, 1, wire.MaxGroups+1, wire.MaxGroups+1), false},
		{"bytes", nil, long, false},
		{"key", nil, []wire.TableSchema{least}, true},
		{"key, one more", nil, []wire.TableSchema{wide}, false},
		// What a log has does not count against a transaction that adds nothing.
		{"known already", described(0, 6000, 1, 1), described(7, 1, 1, 1), true},
		{"beyond already", described(0, 6000, 1, 1), described(7, 1, 2, 1), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := &Schema{}
			before.Apply(test.before)
			was := before.Marshal()
			next := before.Clone()
			next.Apply(test.then)
			want := errcode.TooBig
			if test.fits {
				want = ""
			}
			if err := next.Fits(before, test.then); errcode.Of(err) != want {
				t.Errorf("got %v, want code %q", err, want)
			}
			if !reflect.DeepEqual(before.Marshal(), was) {
				t.Error("the schema before changed")
			}
			again, err := UnmarshalSchema(next.Marshal()) // however much it is
			if err != nil || !reflect.DeepEqual(again.Tables(), next.Tables()) {
				t.Errorf("it is not read as it was stored: %v", err)
			}
			size := 0
			for name, table := range next.tables {
				size += table.bytes(name)
			}
			if size != len(next.Marshal()) {
				t.Errorf("counted %d bytes of %d", size, len(next.Marshal()))
			}
		})
	}
}
