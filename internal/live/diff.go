package live

import (
	"hash/maphash"
	"maps"
	"slices"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// rowHash stands for the content of a row. 128 bits with seeds of this process
// make an accidental match of two rows impossible in practice.
type rowHash [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashBytes(b []byte) rowHash {
	return rowHash{maphash.Bytes(seeds[0], b), maphash.Bytes(seeds[1], b)}
}

// hashOf is the hash of a row of values.
func hashOf(row []value.Value) rowHash { return hashBytes(value.AppendAll(nil, row)) }

// differ takes the rows of a new result, one by one, and describes them as runs of
// the former one. A row of the former result costs a hash and no allocation.
type differ struct {
	old    []rowHash
	index  map[rowHash]int // first place of each row in old; made when needed
	next   int             // the place in old that is likely to come next
	hashes []rowHash
	runs   []value.Run
	whole  bool // collect all rows, too
	all    [][]value.Value
	raw    []any
	kept   kept // of the new rows

	patched, moved bool // the former result was edited, by rows that left or entered it
}

func newDiffer(old []rowHash, whole bool) *differ {
	return &differ{old: old, whole: whole, hashes: make([]rowHash, 0, len(old))}
}

// row takes the row that s stands on. It returns scratch, perhaps grown.
func (d *differ) row(s *sqlite3.Stmt, scratch []byte) ([]byte, error) {
	if d.raw == nil {
		d.raw = make([]any, s.ColumnCount())
	}
	if err := s.ColumnsRaw(d.raw...); err != nil {
		return scratch, err
	}
	scratch = scratch[:0]
	for i, v := range d.raw {
		if text, ok := v.([]byte); ok && s.ColumnType(i) == sqlite3.TEXT {
			scratch = value.AppendText(scratch, text)
		} else {
			scratch = value.Append(scratch, v)
		}
	}
	h := hashBytes(scratch)
	d.hashes = append(d.hashes, h)
	d.kept.scan(s, d.raw)
	at := d.find(h)
	if at >= 0 {
		d.copy(at)
		if !d.whole {
			return scratch, nil
		}
	}
	row := make([]value.Value, len(d.raw))
	if err := store.Scan(s, row); err != nil {
		return scratch, err
	}
	if d.whole {
		d.all = append(d.all, row)
	}
	if at < 0 {
		d.add(row)
	}
	return scratch, nil
}

// find returns the place of a row in old, or -1: the one after the last if it
// is there, one a little further on, or else the first of all.
func (d *differ) find(h rowHash) int {
	const near = 8
	for i := d.next; i < len(d.old) && i < d.next+near; i++ {
		if d.old[i] == h {
			return i
		}
	}
	if d.index == nil {
		d.index = make(map[rowHash]int, len(d.old))
		for i := len(d.old) - 1; i >= 0; i-- {
			d.index[d.old[i]] = i
		}
	}
	if at, ok := d.index[h]; ok {
		return at
	}
	return -1
}

func (d *differ) copy(at int) {
	d.next = at + 1
	d.stretch(at, at+1)
}

// stretch adds rows of the former result.
func (d *differ) stretch(from, to int) {
	if from >= to {
		return
	}
	if n := len(d.runs); n > 0 {
		if r := &d.runs[n-1]; r.Copy && r.From+r.N == from {
			r.N += to - from
			return
		}
	}
	d.runs = append(d.runs, value.Run{Copy: true, From: from, N: to - from})
}

// cut leaves the first rows alone.
func cut(runs []value.Run, rows int) []value.Run {
	for i := range runs {
		r := &runs[i]
		if r.N < rows {
			rows -= r.N
			continue
		}
		if r.N = rows; !r.Copy {
			r.Rows = r.Rows[:rows]
		}
		return runs[:i+1]
	}
	return runs
}

func (d *differ) add(row []value.Value) {
	if n := len(d.runs); n > 0 {
		if r := &d.runs[n-1]; !r.Copy {
			r.Rows = append(r.Rows, row)
			r.N++
			return
		}
	}
	d.runs = append(d.runs, value.Run{N: 1, Rows: [][]value.Value{row}})
}

// same reports whether the new result is the former one.
func (d *differ) same() bool {
	if d.patched {
		return !d.moved
	}
	if len(d.hashes) != len(d.old) {
		return false
	}
	return len(d.runs) == 0 || len(d.runs) == 1 && d.runs[0].Copy && d.runs[0].From == 0
}

// keyOf names a query by its SQL and parameters.
func keyOf(sql string, p value.Params) string {
	b := append([]byte(sql), 0)
	for _, v := range p.Positional {
		b = appendParam(b, v)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Named)) {
		b = appendParam(value.AppendText(append(b, 'n'), name), p.Named[name])
	}
	return string(b)
}

// appendParam encodes a parameter. One of a type that SQLite does not have makes
// every run of the query fail, so its value does not matter.
func appendParam(b []byte, v any) []byte {
	v, _ = value.Of(v)
	return value.Append(b, v)
}
