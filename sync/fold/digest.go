package fold

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"golang.org/x/crypto/blake2b"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/wire"
)

const (
	domainRow    = "heddle/1/row\x00"
	domainGroup  = "heddle/1/group\x00"
	domainDigest = "heddle/1/digest\x00"
)

// BucketSize is the length of a marshalled Bucket in bytes.
const BucketSize = 40

// BucketID names a bucket: the rows of one table and migration group whose keys
// hash to one of 256 numbers.
type BucketID struct {
	Table  string
	Group  uint32
	Bucket uint8
}

// Bucket is a multiset of row hashes: their sum, lane by lane modulo 2^64, and
// their number.
type Bucket struct {
	Sum  [4]uint64
	Rows uint64
}

// Marshal returns b in BucketSize bytes.
func (b Bucket) Marshal() []byte { return b.append(make([]byte, 0, BucketSize)) }

func (b Bucket) append(out []byte) []byte {
	for _, lane := range b.Sum {
		out = binary.LittleEndian.AppendUint64(out, lane)
	}
	return binary.LittleEndian.AppendUint64(out, b.Rows)
}

// UnmarshalBucket undoes Marshal.
func UnmarshalBucket(data []byte) (b Bucket, err error) {
	if len(data) != BucketSize {
		return b, errcode.New(errcode.Protocol, "fold: read bucket", "a bucket has another length")
	}
	for i := range b.Sum {
		b.Sum[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	b.Rows = binary.LittleEndian.Uint64(data[32:])
	return b, nil
}

type groupID struct {
	table string
	group uint32
}

func (a groupID) compare(b groupID) int {
	return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.group, b.group))
}

// group has the buckets of one table and migration group that have rows, and
// their hash.
type group struct {
	id      groupID
	numbers []uint8 // of buckets, in order
	buckets []Bucket
	hash    wire.Hash
	stale   bool // hash is not of these buckets
}

// Digest is the digest of a folded state: a tree of row hashes that are summed
// up into buckets, a hash for each group over its buckets, and one over the
// groups. It is kept up to date row by row: its cost grows with the rows that
// change, and its memory with the buckets that have rows. A caller that persists
// it loads all buckets with Set, stores those that Dirty gives, and says by Settle
// that they are stored, or by Undo that they are not to be. The zero value is the
// digest of nothing. A Digest is not safe for concurrent use.
type Digest struct {
	groups map[groupID]*group
	order  []*group            // all of them, in order
	dirty  map[BucketID]Bucket // as they were before they were touched
	cells  []digestCell
	buf    []byte
	hashed []byte // of a group, while it is hashed
}

type digestCell struct {
	group uint32
	name  string
	value wire.Value
}

// Add counts a row in; a nil row does nothing. Cells of columns that s does not
// have are not counted: a replica may have migrated ahead of the log.
func (d *Digest) Add(table string, key []wire.Value, row *Row, s *Schema) {
	d.count(table, key, row, s, true)
}

// Remove counts a row out that was counted in with the same key, cells and
// schema.
func (d *Digest) Remove(table string, key []wire.Value, row *Row, s *Schema) {
	d.count(table, key, row, s, false)
}

func (d *Digest) count(table string, key []wire.Value, row *Row, s *Schema, in bool) {
	if row == nil {
		return
	}
	d.cells = d.cells[:0]
	for name, v := range row.Cells {
		c, ok := s.Column(table, name)
		if ok && !Same(v, c.Default) {
			d.cells = append(d.cells, digestCell{c.Group, name, v})
		}
	}
	slices.SortFunc(d.cells, func(a, b digestCell) int {
		if c := cmp.Compare(a.group, b.group); c != 0 {
			return c
		}
		return cmp.Compare(a.name, b.name)
	})
	var bucket uint8
	head := 0
	start := func(group uint32) {
		d.buf = append(d.buf[:0], domainRow...)
		d.buf = protowire.AppendString(d.buf, table)
		d.buf = protowire.AppendVarint(d.buf, uint64(group))
		d.buf = protowire.AppendVarint(d.buf, uint64(len(key)))
		head = len(d.buf)
		for _, v := range key {
			d.buf = value.AppendCanonical(d.buf, canonical(v))
		}
		bucket = bucketOf(d.buf[head:])
	}
	if len(d.cells) == 0 {
		start(0)
		d.sum(BucketID{table, 0, bucket}, in)
		return
	}
	for i := 0; i < len(d.cells); {
		group := d.cells[i].group
		start(group)
		for ; i < len(d.cells) && d.cells[i].group == group; i++ {
			d.buf = protowire.AppendString(d.buf, d.cells[i].name)
			d.buf = value.AppendCanonical(d.buf, canonical(d.cells[i].value))
		}
		d.sum(BucketID{table, group, bucket}, in)
	}
}

// bucketOf is FNV-1a over an encoded key, 32 bits, its bytes XORed together.
func bucketOf(key []byte) uint8 {
	h := uint32(2166136261)
	for _, c := range key {
		h = (h ^ uint32(c)) * 16777619
	}
	h ^= h >> 16
	return uint8(h ^ h>>8)
}

// sum counts the hash of d.buf in or out.
func (d *Digest) sum(id BucketID, in bool) {
	hash := blake2b.Sum256(d.buf)
	g := d.groups[groupID{id.Table, id.Group}]
	b := g.get(id.Bucket)
	d.touch(id, b)
	for i := range b.Sum {
		lane := binary.LittleEndian.Uint64(hash[8*i:])
		if in {
			b.Sum[i] += lane
		} else {
			b.Sum[i] -= lane
		}
	}
	if in {
		b.Rows++
	} else {
		b.Rows--
	}
	d.put(g, id, b)
}

// touch makes a bucket dirty, which is b now.
func (d *Digest) touch(id BucketID, b Bucket) {
	if d.dirty == nil {
		d.dirty = map[BucketID]Bucket{}
	}
	if _, touched := d.dirty[id]; !touched {
		d.dirty[id] = b
	}
}

// Set loads a bucket, which is not dirty by it.
func (d *Digest) Set(id BucketID, b Bucket) {
	d.put(d.groups[groupID{id.Table, id.Group}], id, b)
}

// put makes a bucket of g, which is nil where there is no such group, b.
func (d *Digest) put(g *group, id BucketID, b Bucket) {
	if g == nil {
		if b == (Bucket{}) {
			return
		}
		g = d.begin(groupID{id.Table, id.Group})
	}
	at, there := slices.BinarySearch(g.numbers, id.Bucket)
	g.stale = true
	switch {
	case b != (Bucket{}) && there:
		g.buckets[at] = b
	case b != (Bucket{}):
		g.numbers = slices.Insert(g.numbers, at, id.Bucket)
		g.buckets = slices.Insert(g.buckets, at, b)
	case there:
		g.numbers = slices.Delete(g.numbers, at, at+1)
		g.buckets = slices.Delete(g.buckets, at, at+1)
		if len(g.numbers) == 0 {
			d.end(g)
		}
	}
}

// begin adds a group that has no buckets yet.
func (d *Digest) begin(id groupID) *group {
	if d.groups == nil {
		d.groups = map[groupID]*group{}
	}
	g := &group{id: id}
	d.groups[id] = g
	d.order = slices.Insert(d.order, d.place(id), g)
	return g
}

// end takes a group away that has no buckets any more.
func (d *Digest) end(g *group) {
	delete(d.groups, g.id)
	at := d.place(g.id)
	d.order = slices.Delete(d.order, at, at+1)
}

// place is where a group stands in the order, or belongs.
func (d *Digest) place(id groupID) int {
	at, _ := slices.BinarySearchFunc(d.order, id, func(g *group, id groupID) int { return g.id.compare(id) })
	return at
}

// BucketOf returns the number of the buckets that a key's row is counted in.
func BucketOf(key []wire.Value) uint8 {
	var buf [64]byte
	b := buf[:0]
	for _, v := range key {
		b = value.AppendCanonical(b, canonical(v))
	}
	return bucketOf(b)
}

// Empty takes all rows out of a table's buckets of one number.
func (d *Digest) Empty(table string, number uint8) {
	for at := d.place(groupID{table, 0}); at < len(d.order) && d.order[at].id.table == table; {
		id := BucketID{table, d.order[at].id.group, number}
		if b := d.Get(id); b != (Bucket{}) {
			d.touch(id, b)
		}
		d.Set(id, Bucket{})
		if at < len(d.order) && d.order[at].id == (groupID{table, id.Group}) {
			at++ // else it was the group's last bucket
		}
	}
}

// Buckets returns all buckets that are not zero.
func (d *Digest) Buckets() map[BucketID]Bucket {
	found := map[BucketID]Bucket{}
	for _, g := range d.order {
		for i, n := range g.numbers {
			found[BucketID{g.id.table, g.id.group, n}] = g.buckets[i]
		}
	}
	return found
}

// Get returns a bucket.
func (d *Digest) Get(id BucketID) Bucket {
	return d.groups[groupID{id.Table, id.Group}].get(id.Bucket)
}

// get returns a bucket of g, which may be nil.
func (g *group) get(number uint8) Bucket {
	if g != nil {
		if at, there := slices.BinarySearch(g.numbers, number); there {
			return g.buckets[at]
		}
	}
	return Bucket{}
}

// Dirty returns the buckets that Add, Remove and Empty have touched since the last
// call of Settle or Undo, in order.
func (d *Digest) Dirty() []BucketID { return slices.SortedFunc(maps.Keys(d.dirty), compareIDs) }

// Settle makes all buckets clean: they are stored.
func (d *Digest) Settle() { clear(d.dirty) }

// Undo makes the dirty buckets what they were when they were clean.
func (d *Digest) Undo() {
	for id, b := range d.dirty {
		d.Set(id, b)
	}
	clear(d.dirty)
}

func compareIDs(a, b BucketID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket))
}

// Sum returns the digest of everything: a hash over those of the groups, in the
// order of table and group. Groups that have not changed since the last call are
// not hashed again.
func (d *Digest) Sum() wire.Hash {
	buf := append(d.buf[:0], domainDigest...)
	for _, g := range d.order {
		buf = protowire.AppendString(buf, g.id.table)
		buf = protowire.AppendVarint(buf, uint64(g.id.group))
		if g.stale {
			d.hashed = g.rehash(d.hashed[:0])
		}
		buf = append(buf, g.hash[:]...)
	}
	d.buf = buf
	return blake2b.Sum256(buf)
}

// rehash sets the hash of a group: over its buckets that have rows, in the order of
// their numbers. It returns buf, which it has used.
func (g *group) rehash(buf []byte) []byte {
	buf = append(buf, domainGroup...)
	for i, n := range g.numbers {
		buf = g.buckets[i].append(append(buf, n))
	}
	g.hash, g.stale = blake2b.Sum256(buf), false
	return buf
}

// RowHash returns what a row adds to the bucket of one of its groups: cells are
// those of the group that differ from their defaults. A row all of whose cells
// have their defaults adds one hash without cells to group 0.
func RowHash(table string, group uint32, key []wire.Value, cells map[string]wire.Value) [32]byte {
	b := protowire.AppendString([]byte(domainRow), table)
	b = protowire.AppendVarint(b, uint64(group))
	b = protowire.AppendVarint(b, uint64(len(key)))
	for _, v := range key {
		b = value.AppendCanonical(b, canonical(v))
	}
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		b = protowire.AppendString(b, name)
		b = value.AppendCanonical(b, canonical(cells[name]))
	}
	return blake2b.Sum256(b)
}
