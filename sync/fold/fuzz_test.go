package fold

import (
	"bytes"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// Whatever body can be folded is folded, by each replica alike: rows counted out
// leave the digest as it was, and the schema is read as it was stored.
func FuzzFold(f *testing.F) {
	in := &wire.Shape{Kind: wire.Insert, Table: "notes", Columns: []string{"body", "due"},
		Joins: []wire.Join{wire.JoinSetAdd, wire.JoinAdd}}
	f.Add((&wire.Body{Schema: testSchema().Tables(), Shapes: []*wire.Shape{in},
		Ops: []wire.Op{{Shape: in, Key: []wire.Value{"a"}, Cells: []wire.Value{`["x"]`, int64(2)}},
			{Shape: in, Key: []wire.Value{"a"}, Cells: []wire.Value{`["y"]`, 2.5}}}}).Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := wire.UnmarshalBody(data)
		if err != nil {
			return
		}
		before := testSchema()
		if Check(body, before) != nil {
			return
		}
		s := before.Clone()
		s.Apply(body.Schema)
		if !bytes.Equal(before.Marshal(), testSchema().Marshal()) {
			t.Fatal("the schema before has changed")
		}
		_ = s.Fits(before, body.Schema)
		read, err := UnmarshalSchema(s.Marshal())
		if err != nil || !bytes.Equal(read.Marshal(), s.Marshal()) {
			t.Fatalf("the schema is read as another: %v", err)
		}
		d, rows := &Digest{}, map[string]*Row{}
		for _, op := range body.Ops {
			id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
			next := Apply(op, rows[id], s)
			d.Remove(op.Shape.Table, op.Key, rows[id], s)
			d.Add(op.Shape.Table, op.Key, next, s)
			rows[id] = next
		}
		fresh := &Digest{}
		for _, op := range body.Ops {
			id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
			fresh.Add(op.Shape.Table, op.Key, rows[id], read)
			d.Remove(op.Shape.Table, op.Key, rows[id], s)
			if row := rows[id]; row != nil {
				if again, err := wire.DecodeRow(wire.EncodeRow(row.Cells)); err != nil ||
					!Equal(op.Shape.Table, row, &Row{again}, s) {
					t.Fatalf("a row is read as another: %v", err)
				}
			}
			rows[id] = nil
		}
		if d.Sum() != (&Digest{}).Sum() || len(d.groups) > 0 {
			t.Fatal("something is left of no rows")
		}
	})
}

func FuzzBucket(f *testing.F) {
	f.Add(Bucket{Sum: [4]uint64{1, 2, 3, 4}, Rows: 5}.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := UnmarshalBucket(data)
		if err == nil && !bytes.Equal(b.Marshal(), data) {
			t.Fatalf("got %x, want %x", b.Marshal(), data)
		}
	})
}
