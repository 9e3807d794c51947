package fold

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"golang.org/x/crypto/blake2b"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle/internal/errcode"
	"heddle/sync/wire"
)

const (
	domainRow    = "heddle/1/row\x00"
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
func (b Bucket) Marshal() []byte {
	out := make([]byte, 0, BucketSize)
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

// Digest is the digest of a folded state, kept up to date row by row: its cost
// grows with the rows that change. A caller that persists it loads all buckets
// with Set and stores those that Dirty gives. The zero value is the digest of
// nothing. A Digest is not safe for concurrent use.
type Digest struct {
	groups map[groupID]*[256]Bucket
	dirty  map[BucketID]struct{}
	cells  []digestCell
	buf    []byte
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
			d.buf = wire.AppendValue(d.buf, canonical(v))
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
			d.buf = wire.AppendValue(d.buf, canonical(d.cells[i].value))
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
	b := d.bucket(id)
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
	if d.dirty == nil {
		d.dirty = map[BucketID]struct{}{}
	}
	d.dirty[id] = struct{}{}
}

func (d *Digest) bucket(id BucketID) *Bucket {
	g := groupID{id.Table, id.Group}
	all := d.groups[g]
	if all == nil {
		if d.groups == nil {
			d.groups = map[groupID]*[256]Bucket{}
		}
		all = new([256]Bucket)
		d.groups[g] = all
	}
	return &all[id.Bucket]
}

// BucketOf returns the number of the buckets that a key's row is counted in.
func BucketOf(key []wire.Value) uint8 {
	var buf [64]byte
	b := buf[:0]
	for _, v := range key {
		b = wire.AppendValue(b, canonical(v))
	}
	return bucketOf(b)
}

// Empty takes all rows out of a table's buckets of one number.
func (d *Digest) Empty(table string, number uint8) {
	for g, all := range d.groups {
		if g.table != table || all[number] == (Bucket{}) {
			continue
		}
		all[number] = Bucket{}
		if d.dirty == nil {
			d.dirty = map[BucketID]struct{}{}
		}
		d.dirty[BucketID{g.table, g.group, number}] = struct{}{}
	}
}

// Buckets returns all buckets that are not zero.
func (d *Digest) Buckets() map[BucketID]Bucket {
	found := map[BucketID]Bucket{}
	for g, all := range d.groups {
		for n, b := range all {
			if b != (Bucket{}) {
				found[BucketID{g.table, g.group, uint8(n)}] = b
			}
		}
	}
	return found
}

// Set loads a bucket, which is not dirty by it.
func (d *Digest) Set(id BucketID, b Bucket) { *d.bucket(id) = b }

// Get returns a bucket.
func (d *Digest) Get(id BucketID) Bucket {
	if all := d.groups[groupID{id.Table, id.Group}]; all != nil {
		return all[id.Bucket]
	}
	return Bucket{}
}

// Dirty returns the buckets that Add and Remove have touched since the last
// call of Dirty, in order.
func (d *Digest) Dirty() []BucketID {
	ids := slices.SortedFunc(maps.Keys(d.dirty), compareIDs)
	clear(d.dirty)
	return ids
}

func compareIDs(a, b BucketID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket))
}

// Clone returns a copy that nothing that happens to d changes.
func (d *Digest) Clone() *Digest {
	c := &Digest{groups: make(map[groupID]*[256]Bucket, len(d.groups)), dirty: maps.Clone(d.dirty)}
	for id, all := range d.groups {
		copied := *all
		c.groups[id] = &copied
	}
	return c
}

// Sum returns the digest of everything: a hash over the buckets that are not
// empty, in the order of table, group and number.
func (d *Digest) Sum() wire.Hash {
	ids := slices.SortedFunc(maps.Keys(d.groups), func(a, b groupID) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.group, b.group))
	})
	buf := append(d.buf[:0], domainDigest...)
	for _, id := range ids {
		all := d.groups[id]
		for n := range all {
			b := &all[n]
			if *b == (Bucket{}) {
				continue
			}
			buf = protowire.AppendString(buf, id.table)
			buf = protowire.AppendVarint(buf, uint64(id.group))
			buf = append(buf, byte(n))
			for _, lane := range b.Sum {
				buf = binary.LittleEndian.AppendUint64(buf, lane)
			}
			buf = binary.LittleEndian.AppendUint64(buf, b.Rows)
		}
	}
	d.buf = buf
	return blake2b.Sum256(buf)
}

// RowHash returns what a row adds to the bucket of one of its groups: cells are
// those of the group that differ from their defaults. A row all of whose cells
// have their defaults adds one hash without cells to group 0.
func RowHash(table string, group uint32, key []wire.Value, cells map[string]wire.Value) [32]byte {
	b := protowire.AppendString([]byte(domainRow), table)
	b = protowire.AppendVarint(b, uint64(group))
	b = protowire.AppendVarint(b, uint64(len(key)))
	for _, v := range key {
		b = wire.AppendValue(b, canonical(v))
	}
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		b = protowire.AppendString(b, name)
		b = wire.AppendValue(b, canonical(cells[name]))
	}
	return blake2b.Sum256(b)
}
