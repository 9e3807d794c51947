package fold

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

func testSchema() *Schema {
	s := &Schema{}
	s.Apply([]wire.TableSchema{
		{Table: "notes", Key: []string{"id"}, Columns: []wire.ColumnSchema{
			{Name: "body", Group: 1}, {Name: "done", Group: 1, Default: int64(0)}, {Name: "due", Group: 2, Default: "never"}}},
		{Table: "tags", Key: []string{"note", "tag"}},
	})
	return s
}

// A digest kept up to date through random changes, and through storing and
// loading its buckets, is the digest of the rows that are left.
func TestDigest_incremental(t *testing.T) {
	s := testSchema()
	rng := rand.New(rand.NewPCG(1, 2))
	rows := map[string]*Row{}
	stored := map[BucketID][]byte{}
	d := &Digest{}
	for step := range 3000 {
		key := []wire.Value{fmt.Sprint("n", rng.IntN(60))}
		id := string(wire.EncodeKey(key))
		d.Remove("notes", key, rows[id], s)
		rows[id] = nil
		if rng.IntN(3) > 0 {
			cells := map[string]wire.Value{"body": fmt.Sprint(rng.IntN(5))}
			if rng.IntN(2) == 0 {
				cells["due"] = []wire.Value{"never", "soon", nil}[rng.IntN(3)]
			}
			if rng.IntN(2) == 0 {
				cells["done"] = int64(rng.IntN(2))
			}
			rows[id] = &Row{cells}
			d.Add("notes", key, rows[id], s)
		}
		if step%100 != 99 {
			continue
		}
		for _, b := range d.Dirty() {
			stored[b] = d.Get(b).Marshal()
		}
		d.Settle()
		loaded, fresh := &Digest{}, &Digest{}
		for b, data := range stored {
			bucket, err := UnmarshalBucket(data)
			if err != nil {
				t.Fatal(err)
			}
			loaded.Set(b, bucket)
		}
		for id, row := range rows {
			key, _ := wire.DecodeKey([]byte(id))
			fresh.Add("notes", key, row, s)
		}
		if d.Sum() != fresh.Sum() || loaded.Sum() != fresh.Sum() {
			t.Fatalf("step %d: kept %x, loaded %x, fresh %x", step, d.Sum(), loaded.Sum(), fresh.Sum())
		}
		if len(loaded.Dirty()) > 0 {
			t.Fatal("loading made buckets dirty")
		}
		checkUndo(t, loaded, rows, s)
		d = loaded
	}
}

// A digest takes memory for the buckets that have rows, and gives it back: a body
// of some kilobytes may name tens of thousands of groups.
func TestDigest_sparse(t *testing.T) {
	d, s := &Digest{}, &Schema{}
	const tables, groups = 40, 500
	key := []wire.Value{"k"}
	rows := make([]*Row, tables)
	for n := range tables {
		table := wire.TableSchema{Table: fmt.Sprint("t", n), Key: []string{"id"}}
		rows[n] = &Row{map[string]wire.Value{}}
		for g := range groups {
			name := fmt.Sprint("c", g)
			table.Columns = append(table.Columns, wire.ColumnSchema{Name: name, Group: uint32(g + 1)})
			rows[n].Cells[name] = int64(1)
		}
		s.Apply([]wire.TableSchema{table})
	}
	for n := range tables {
		d.Add(fmt.Sprint("t", n), key, rows[n], s)
	}
	held := 0
	for _, g := range d.order {
		held += cap(g.buckets)
	}
	if len(d.order) != tables*groups || held > 2*len(d.order) {
		t.Errorf("%d groups hold %d buckets, and each group has one row", len(d.order), held)
	}
	full := d.Sum()
	for i, g := range d.order {
		if g.stale {
			t.Fatalf("group %d was not hashed", i)
		}
	}
	d.Add("t7", []wire.Value{"l"}, &Row{map[string]wire.Value{"c3": int64(1)}}, s)
	stale := 0
	for _, g := range d.order {
		if g.stale {
			stale++
		}
	}
	if stale != 1 {
		t.Errorf("a row of one group makes %d be hashed again", stale)
	}
	d.Remove("t7", []wire.Value{"l"}, &Row{map[string]wire.Value{"c3": int64(1)}}, s)
	if d.Sum() != full {
		t.Error("a row that came and went leaves something")
	}
	for n := range tables {
		d.Empty(fmt.Sprint("t", n), BucketOf(key))
	}
	if len(d.groups) != 0 || len(d.order) != 0 || d.Sum() != (&Digest{}).Sum() {
		t.Errorf("%d groups are left of no rows", len(d.groups))
	}
	if dirty := d.Dirty(); len(dirty) < tables*groups {
		t.Errorf("%d buckets are to be stored, %d are empty now", len(dirty), tables*groups)
	}
}

func TestDigest_tellsRowsApart(t *testing.T) {
	s := testSchema()
	type row struct {
		table string
		key   []wire.Value
		cells map[string]wire.Value
	}
	rows := []row{
		{"notes", []wire.Value{"a"}, nil},
		{"notes", []wire.Value{"b"}, nil},
		{"notes", []wire.Value{[]byte("a")}, nil},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"body": "x"}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"body": []byte("x")}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"body": ""}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"due": "x"}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"due": nil}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"done": int64(1)}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"done": 1.5}},
		{"notes", []wire.Value{"a"}, map[string]wire.Value{"done": nil}},
		{"tags", []wire.Value{"a", "b"}, nil},
		{"tags", []wire.Value{"ab", ""}, nil},
	}
	empty := (&Digest{}).Sum()
	seen := map[wire.Hash]string{empty: "nothing"}
	for _, r := range rows {
		d := &Digest{}
		d.Add(r.table, r.key, &Row{r.cells}, s)
		sum := d.Sum()
		if other, ok := seen[sum]; ok {
			t.Errorf("%v has the digest of %s", r, other)
		}
		seen[sum] = fmt.Sprint(r)
		d.Add(r.table, r.key, &Row{r.cells}, s)
		if d.Sum() == sum {
			t.Errorf("%v counted twice is %v counted once", r, r)
		}
		d.Remove(r.table, r.key, &Row{r.cells}, s)
		d.Remove(r.table, r.key, &Row{r.cells}, s)
		if d.Sum() != empty {
			t.Errorf("%v counted in and out leaves something", r)
		}
	}
}

// What differs in form alone is one state: a cell at its default or left out,
// a whole real or the integer, a column that the log does not know yet.
func TestDigest_oneStateOneDigest(t *testing.T) {
	s := testSchema()
	sum := func(cells map[string]wire.Value) wire.Hash {
		d := &Digest{}
		d.Add("notes", []wire.Value{"a"}, &Row{cells}, s)
		return d.Sum()
	}
	want := sum(map[string]wire.Value{"body": "x", "done": int64(2)})
	for _, cells := range []map[string]wire.Value{
		{"body": "x", "done": 2.0},
		{"body": "x", "done": int64(2), "due": "never"},
		{"body": "x", "done": int64(2), "unknown": "y"},
	} {
		if got := sum(cells); got != want {
			t.Errorf("%v: got %x, want %x", cells, got, want)
		}
	}
	// A column that comes later leaves the digest alone until it is used.
	d := &Digest{}
	d.Add("notes", []wire.Value{"a"}, &Row{map[string]wire.Value{"body": "x"}}, s)
	before := d.Sum()
	s.Apply([]wire.TableSchema{{Table: "notes", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "late", Group: 3, Default: int64(9)}}}})
	again := &Digest{}
	again.Add("notes", []wire.Value{"a"}, &Row{map[string]wire.Value{"body": "x", "late": int64(9)}}, s)
	if again.Sum() != before {
		t.Error("a new column at its default changed the digest")
	}
}

// checkUndo takes rows out of a clean digest, puts others in, and takes that back.
func checkUndo(t *testing.T, d *Digest, rows map[string]*Row, s *Schema) {
	t.Helper()
	before := d.Buckets()
	for id, row := range rows {
		key, _ := wire.DecodeKey([]byte(id))
		d.Remove("notes", key, row, s)
		d.Add("tags", key, row, s)
		if len(d.Dirty()) > 20 {
			d.Empty("notes", d.Dirty()[0].Bucket)
			break
		}
	}
	if len(rows) > 0 && maps.Equal(d.Buckets(), before) {
		t.Fatal("nothing has changed")
	}
	if d.Undo(); !maps.Equal(d.Buckets(), before) || len(d.Dirty()) > 0 {
		t.Fatal("what was undone is not as it was")
	}
}

func TestDigest_isTheSumOfRowHashes(t *testing.T) {
	s := testSchema()
	key := []wire.Value{"k"}
	d := &Digest{}
	d.Add("notes", key, &Row{map[string]wire.Value{"body": "x", "done": int64(0), "due": "soon"}}, s)
	d.Add("tags", []wire.Value{"k", "t"}, &Row{}, s)
	want := [][32]byte{
		RowHash("notes", 1, key, map[string]wire.Value{"body": "x"}),
		RowHash("notes", 2, key, map[string]wire.Value{"due": "soon"}),
		RowHash("tags", 0, []wire.Value{"k", "t"}, nil),
	}
	dirty := d.Dirty()
	if len(dirty) != len(want) {
		t.Fatalf("got buckets %v, want %d", dirty, len(want))
	}
	for i, id := range dirty {
		b := d.Get(id)
		if got := b.Marshal(); hex.EncodeToString(got[:32]) != hex.EncodeToString(want[i][:]) || b.Rows != 1 {
			t.Errorf("bucket %v: got %x, want %x and 1 row", id, got, want[i])
		}
	}
}

// The digest of testdata/digest.json is a promise to other implementations.
func TestDigest_vectors(t *testing.T) {
	data, err := os.ReadFile("testdata/digest.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Body, Digest, Empty string
		Groups              []struct {
			Table string
			Group uint32
			Hash  string
		}
		Buckets []struct {
			Table  string
			Group  uint32
			Bucket uint8
			Sum    string
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(v.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := wire.UnmarshalBody(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := &Digest{}
	if got := d.Sum(); hex.EncodeToString(got[:]) != v.Empty {
		t.Errorf("empty: got %x, want %s", got, v.Empty)
	}
	s := &Schema{}
	if err := Check(body, s); err != nil {
		t.Fatal(err)
	}
	s.Apply(body.Schema)
	rows := map[string]*Row{}
	for _, op := range body.Ops {
		id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
		next := Apply(op, rows[id], s)
		d.Remove(op.Shape.Table, op.Key, rows[id], s)
		d.Add(op.Shape.Table, op.Key, next, s)
		rows[id] = next
	}
	if got := d.Sum(); hex.EncodeToString(got[:]) != v.Digest {
		t.Errorf("got %x, want %s", got, v.Digest)
	}
	if len(d.order) != len(v.Groups) {
		t.Errorf("got %d groups, want %d", len(d.order), len(v.Groups))
	}
	for i, g := range v.Groups {
		sum := d.order[i].hash
		if d.order[i].id != (groupID{g.Table, g.Group}) || hex.EncodeToString(sum[:]) != g.Hash {
			t.Errorf("group %+v: got %x", g, sum)
		}
	}
	for _, b := range v.Buckets {
		if got := d.Get(BucketID{b.Table, b.Group, b.Bucket}).Marshal(); hex.EncodeToString(got) != b.Sum {
			t.Errorf("bucket %+v: got %x", b, got)
		}
	}
}

func BenchmarkDigest_row(b *testing.B) {
	s := testSchema()
	d := &Digest{}
	row := &Row{map[string]wire.Value{"body": "a note of some length, as people write them", "done": int64(1)}}
	key := []wire.Value{"018f3b1c-0000-7000-8000-000000000000"}
	for b.Loop() {
		d.Add("notes", key, row, s)
	}
}
