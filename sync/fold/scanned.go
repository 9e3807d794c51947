package fold

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/wire"
)

// Rows counts rows of one table into a digest as they lie encoded: a snapshot
// has many, and to decode each into a Row would cost more than its hash.
type Rows struct {
	d       *Digest
	table   string
	s       *Schema
	columns []*digestColumn // in the order in which the last row had them
	cells   []scannedCell
	heads   map[uint32][]byte // what is hashed before the key, by group
}

type digestColumn struct {
	name    string
	there   bool // the schema has it
	group   uint32
	initial []byte // its default, encoded
}

type scannedCell struct {
	column *digestColumn
	raw    []byte
}

// Rows returns where rows of a table are counted in, as long as s stays.
func (d *Digest) Rows(table string, s *Schema) *Rows {
	return &Rows{d: d, table: table, s: s, heads: map[uint32][]byte{}}
}

// Add is Digest.Add for a row that is there.
func (r *Rows) Add(key []wire.Scanned, cells []wire.Cell) {
	r.cells = r.cells[:0]
	sorted, last := true, uint32(0)
	for i := range cells {
		c := r.column(i, cells[i].Name)
		raw := canonicalRaw(&cells[i].Value)
		if !c.there || bytes.Equal(raw, c.initial) {
			continue
		}
		sorted, last = sorted && c.group >= last, c.group
		r.cells = append(r.cells, scannedCell{c, raw})
	}
	if !sorted { // by group, and in it by name, as they came
		slices.SortStableFunc(r.cells,
			func(a, b scannedCell) int { return int(int64(a.column.group) - int64(b.column.group)) })
	}
	if len(r.cells) == 0 {
		r.d.sum(BucketID{r.table, 0, r.start(0, key)}, true)
	}
	for i := 0; i < len(r.cells); {
		group := r.cells[i].column.group
		bucket := r.start(group, key)
		for ; i < len(r.cells) && r.cells[i].column.group == group; i++ {
			r.d.buf = protowire.AppendString(r.d.buf, r.cells[i].column.name)
			r.d.buf = append(r.d.buf, r.cells[i].raw...)
		}
		r.d.sum(BucketID{r.table, group, bucket}, true)
	}
}

// start begins what is hashed for a group.
func (r *Rows) start(group uint32, key []wire.Scanned) (bucket uint8) {
	head := r.heads[group]
	if head == nil {
		head = protowire.AppendString([]byte(domainRow), r.table)
		head = protowire.AppendVarint(head, uint64(group))
		r.heads[group] = head
	}
	buf := append(r.d.buf[:0], head...)
	buf = protowire.AppendVarint(buf, uint64(len(key)))
	at := len(buf)
	for i := range key {
		buf = append(buf, canonicalRaw(&key[i])...)
	}
	r.d.buf = buf
	return bucketOf(buf[at:])
}

// column finds a column: the rows of a table have mostly the same ones.
func (r *Rows) column(i int, name []byte) *digestColumn {
	if i < len(r.columns) && r.columns[i].name == string(name) {
		return r.columns[i]
	}
	r.columns = r.columns[:min(i, len(r.columns))]
	c := &digestColumn{name: string(name)}
	if known, ok := r.s.Column(r.table, c.name); ok {
		c.there, c.group, c.initial = true, known.Group, value.AppendCanonical(nil, canonical(known.Default))
	}
	r.columns = append(r.columns, c)
	return c
}

// canonicalRaw is canonical for an encoded value.
func canonicalRaw(v *wire.Scanned) []byte {
	if v.Kind != value.Float {
		return v.Raw
	}
	return value.AppendCanonical(nil, canonical(v.Float))
}
