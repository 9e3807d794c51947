package wire

import (
	"fmt"
	"math"
	"unicode/utf8"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

// Marshal returns b's canonical encoding. It panics where an Op's Shape is not
// among b.Shapes or a value is of no SQLite type; it does not check limits,
// UnmarshalBody does.
func (b *Body) Marshal() []byte {
	var out, tmp, col []byte
	for i := range b.Schema {
		t := &b.Schema[i]
		tmp = putString(tmp[:0], 1, t.Table)
		for _, k := range t.Key {
			tmp = putStringAlways(tmp, 2, k)
		}
		for _, c := range t.Columns {
			col = putString(col[:0], 1, c.Name)
			col = putUint(col, 2, uint64(c.Group))
			if d := value.AppendCanonical(nil, c.Default); d[0] != value.Null {
				col = putBytes(col, 3, d)
			}
			tmp = putMessage(tmp, 3, col)
		}
		out = putMessage(out, 1, tmp)
	}
	index := make(map[*Shape]uint64, len(b.Shapes))
	for i, s := range b.Shapes {
		index[s] = uint64(i)
		tmp = putUint(tmp[:0], 1, uint64(s.Kind))
		tmp = putString(tmp, 2, s.Table)
		plain := true
		for _, c := range s.Columns {
			tmp = putStringAlways(tmp, 3, c)
		}
		col = col[:0]
		for _, j := range s.Joins {
			col = append(col, byte(j))
			plain = plain && j == JoinLast
		}
		if !plain {
			tmp = putBytes(tmp, 4, col)
		}
		out = putMessage(out, 2, tmp)
	}
	for i := range b.Ops {
		op := &b.Ops[i]
		n, ok := index[op.Shape]
		if !ok {
			panic("wire: an operation's shape is not in its body")
		}
		tmp = putUint(tmp[:0], 1, n)
		col = AppendValues(col[:0], op.Key)
		tmp = putBytes(tmp, 2, col)
		col = AppendValues(col[:0], op.Cells)
		tmp = putBytes(tmp, 3, col)
		out = putMessage(out, 3, tmp)
	}
	return out
}

// Sealed says whether an entry's body is one of a sealed space, which package seal
// decodes. Its first field is a number; a Body's first field is a message.
func Sealed(body []byte) bool { return len(body) > 0 && body[0] == 1<<3 }

// UnmarshalBody decodes a body. It accepts exactly what Marshal gives for some
// well-formed body: marshalling the result gives data again. Blobs share data's
// memory. Errors are HEDDLE_BAD_BODY, or HEDDLE_TOO_BIG beyond MaxBody.
func UnmarshalBody(data []byte) (*Body, error) {
	const op = "wire: decode body"
	if len(data) > MaxBody {
		return nil, errcode.New(errcode.TooBig, op,
			fmt.Sprintf("the body has %d bytes; at most %d are taken", len(data), MaxBody))
	}
	r := strict{b: data}
	b := &Body{}
	for {
		m, ok := r.each(1)
		if !ok {
			break
		}
		t := TableSchema{}
		r.note(t.read(m, MaxColumns))
		if b.Schema = append(b.Schema, t); len(b.Schema) > MaxTables {
			r.fail("too many tables")
		}
	}
	for {
		m, ok := r.each(2)
		if !ok {
			break
		}
		s := &Shape{}
		r.note(s.read(m))
		if b.Shapes = append(b.Shapes, s); len(b.Shapes) > MaxShapes {
			r.fail("too many shapes")
		}
	}
	used := 0
	// One allocation for the values of many operations; small for a small body.
	slab := make([]Value, 0, min(slabSize, len(r.b)/4+16))
	for {
		m, ok := r.each(3)
		if !ok {
			break
		}
		f := strict{b: m}
		n := f.uint(1)
		if n >= uint64(len(b.Shapes)) || n > uint64(used) {
			r.fail("an operation's shape is missing, or shapes are not in order of use")
			break
		}
		if n == uint64(used) {
			used++
		}
		o := Op{Shape: b.Shapes[n]}
		key := strict{b: f.bytes(2)}
		if len(key.b) > MaxKey {
			r.fail("a key is too long")
			break
		}
		o.Key, slab = key.values(slab, -1)
		cells := strict{b: f.bytes(3)}
		o.Cells, slab = cells.values(slab, len(o.Shape.Columns))
		f.end()
		r.note(key.bad)
		r.note(cells.bad)
		r.note(f.bad)
		if len(o.Key) == 0 || len(o.Key) > MaxColumns {
			r.fail("an operation has no key")
		}
		if b.Ops = append(b.Ops, o); len(b.Ops) > MaxOps {
			r.fail("too many operations")
		}
	}
	if used < len(b.Shapes) {
		r.fail("a shape is not used")
	}
	r.end()
	if r.bad != "" {
		return nil, errcode.New(errcode.BadBody, op, r.bad)
	}
	return b, nil
}

const slabSize = 1024

func (r *strict) note(bad string) {
	if bad != "" {
		r.fail(bad)
	}
}

// values reads values up to r's end into a piece of slab; want of them, or any
// number where want is negative.
func (r *strict) values(slab []Value, want int) (vs, rest []Value) {
	from := len(slab)
	for len(r.b) > 0 && r.bad == "" {
		if len(slab) == cap(slab) { // only these values move
			begun := slab[from:]
			slab = append(make([]Value, 0, max(slabSize, 2*len(begun))), begun...)
			from = 0
		}
		slab = append(slab, r.value())
	}
	vs = slab[from:len(slab):len(slab)]
	if len(vs) == 0 {
		vs = nil
	}
	if want >= 0 && len(vs) != want {
		r.fail("an operation has not one cell for each column")
	}
	return vs, slab
}

// UnmarshalSchema decodes a body that has nothing but descriptors, without limits
// of their number: a schema as it is stored, and as it stands in a snapshot.
func UnmarshalSchema(data []byte) (tables []TableSchema, err error) {
	r := strict{b: data}
	for m, ok := r.each(1); ok; m, ok = r.each(1) {
		t := TableSchema{}
		r.note(t.read(m, math.MaxInt))
		tables = append(tables, t)
	}
	r.end()
	if r.bad != "" {
		return nil, errcode.New(errcode.BadBody, "wire: decode schema", r.bad)
	}
	return tables, nil
}

// read decodes a descriptor with at most so many columns in its key, and as many
// beside.
func (t *TableSchema) read(data []byte, columns int) string {
	r := strict{b: data}
	t.Table = r.name(r.bytes(1))
	for m, ok := r.each(2); ok; m, ok = r.each(2) {
		t.Key = append(t.Key, r.name(m))
	}
	for m, ok := r.each(3); ok; m, ok = r.each(3) {
		c := strict{b: m}
		col := ColumnSchema{Name: c.name(c.bytes(1))}
		if g := c.uint(2); g > 1<<31-1 {
			c.fail("a column's group is too large")
		} else {
			col.Group = uint32(g)
		}
		if d := c.bytes(3); d != nil {
			v := strict{b: d}
			col.Default = v.value()
			v.end()
			c.note(v.bad)
			if d[0] == value.Null {
				c.fail("a default is written out")
			}
		}
		c.end()
		r.note(c.bad)
		t.Columns = append(t.Columns, col)
	}
	if len(t.Key) == 0 || len(t.Key) > columns || len(t.Columns) > columns {
		r.fail("a table has no key or too many columns")
	}
	r.end()
	return r.bad
}

func (s *Shape) read(data []byte) string {
	r := strict{b: data}
	s.Kind = Kind(min(r.uint(1), 255))
	s.Table = r.name(r.bytes(2))
	seen := map[string]bool{}
	for m, ok := r.each(3); ok; m, ok = r.each(3) {
		name := r.name(m)
		if seen[name] {
			r.fail("a column is named twice")
		}
		seen[name] = true
		s.Columns = append(s.Columns, name)
	}
	joins := r.bytes(4)
	r.end()
	switch {
	case s.Kind < Insert || s.Kind > Delete:
		r.fail("an operation is of an unknown kind")
	case s.Kind == Delete && len(s.Columns) > 0:
		r.fail("a delete has cells")
	case s.Kind == Update && len(s.Columns) == 0:
		r.fail("an update has no cells")
	case len(s.Columns) > MaxColumns:
		r.fail("too many columns")
	case joins != nil && len(joins) != len(s.Columns):
		r.fail("there is not one join for each column")
	}
	if r.bad != "" {
		return r.bad
	}
	if len(s.Columns) > 0 {
		s.Joins = make([]Join, len(s.Columns))
	}
	plain := true
	for i, j := range joins {
		if Join(j) > JoinSetRemove {
			return "a join is unknown"
		}
		s.Joins[i] = Join(j)
		plain = plain && j == 0
	}
	if joins != nil && plain {
		return "a default is written out"
	}
	return ""
}

// name checks the name of a table or a column.
func (r *strict) name(b []byte) string {
	if len(b) == 0 || len(b) > MaxName || !utf8.Valid(b) {
		r.fail("a name is missing, too long or not UTF-8")
		return ""
	}
	return string(b)
}

// SplitBody cuts a marshalled body into parts. They share body's memory.
func SplitBody(counter uint64, body []byte) []Part {
	hash := HashBody(body)
	total := max(1, (len(body)+PartSize-1)/PartSize)
	parts := make([]Part, 0, total)
	for i := range total {
		from := i * PartSize
		to := min(from+PartSize, len(body))
		parts = append(parts, Part{Counter: counter, Index: uint32(i), Total: uint32(total), BodyHash: hash,
			Bytes: body[from:to:to]})
	}
	return parts
}
