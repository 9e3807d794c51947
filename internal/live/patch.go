package live

import (
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// A patch makes the new result of a query of the former one and of the rows that leave
// and enter it, without a run. It reports false where these do not tell the new result:
// where equal keys leave an order open, or a window has to be refilled.

// maxKept bounds the values of a row by which a result is ordered, in bytes.
const maxKept = 1 << 10

// kept are the values of a result's rows that patches need: a row's keys, or the
// aggregates themselves.
type kept struct {
	columns []int         // of the result
	values  []value.Value // row by row
	lost    bool          // they are too large, or do not compare
}

func (k *kept) add(row []value.Value) {
	if k.lost || len(k.columns) == 0 {
		return
	}
	size := 0
	for _, column := range k.columns {
		v := row[column]
		size += value.Size(v)
		if tap.Opaque(v) || size > maxKept {
			k.lost, k.values = true, nil
			return
		}
		k.values = append(k.values, v)
	}
}

// scan adds the row that s stands on. raw are its values: see sqlite3.Stmt.ColumnsRaw.
func (k *kept) scan(s *sqlite3.Stmt, raw []any) {
	if k.lost || len(k.columns) == 0 {
		return
	}
	row := make([]value.Value, len(raw))
	for _, column := range k.columns {
		row[column] = raw[column]
		if b, ok := raw[column].([]byte); ok && s.ColumnType(column) == sqlite3.TEXT {
			row[column] = string(b)
		} else if ok || s.ColumnType(column) == sqlite3.BLOB {
			row[column] = append([]byte{}, b...)
		}
	}
	k.add(row)
}

// of returns what is kept of the i-th row.
func (k *kept) of(i int) []value.Value { return k.values[i*len(k.columns) : (i+1)*len(k.columns)] }

// change is a row of a result that leaves or enters.
type change struct {
	row  []value.Value
	hash rowHash
	keys []value.Value
	at   int // of one that enters: before this row of the former result
}

// list is a result whose order is known.
type list struct {
	keys   []tap.Key
	unique bool // no two rows have the same keys
	limit  int  // how many rows it has at most; -1 if it has all
	hashes []rowHash
	kept   *kept

	gone map[int]bool // rows that leave
	come []change     // rows that enter, in order
}

// patch returns the result after rows have left and entered.
func (l *list) patch(leave, enter [][]value.Value) (d *differ, ok bool) {
	if l.limit == 0 {
		leave, enter = nil, nil
	}
	l.gone = map[int]bool{}
	for _, row := range leave {
		if !l.remove(row) {
			return nil, false
		}
	}
	for _, row := range enter {
		if !l.insert(row) {
			return nil, false
		}
	}
	l.cancel()
	total := len(l.hashes) - len(l.gone) + len(l.come)
	if l.full() && total < l.limit {
		return nil, false
	}
	return l.build(), true
}

// full reports whether there may be rows behind the last one.
func (l *list) full() bool { return l.limit >= 0 && len(l.hashes) >= l.limit }

// change describes a row. It reports false if its keys do not compare.
func (l *list) change(row []value.Value) (c change, ok bool) {
	k := kept{columns: l.kept.columns}
	k.add(row)
	return change{row: row, hash: hashOf(row), keys: k.values}, !k.lost
}

// behind compares keys with the last row of a full window. What sorts behind it is not
// seen; for what sorts the same it is not known whether it is.
func (l *list) behind(keys []value.Value) (behind, known bool) {
	if !l.full() {
		return false, true
	}
	d := l.compare(keys, l.kept.of(len(l.hashes)-1))
	return d > 0, d != 0 || l.unique
}

func (l *list) remove(row []value.Value) bool {
	c, ok := l.change(row)
	if !ok {
		return false
	}
	if behind, known := l.behind(c.keys); behind || !known {
		return known
	}
	from, to := l.equal(c.keys)
	at, same := -1, 0
	for i := from; i < to; i++ {
		if l.hashes[i] == c.hash && !l.gone[i] {
			at = i
			same++
		}
	}
	// Which one of several equal rows goes matters to the others between them.
	if at < 0 || same > 1 && !l.alike(from, to, c.hash) {
		return false
	}
	l.gone[at] = true
	return true
}

func (l *list) insert(row []value.Value) bool {
	c, ok := l.change(row)
	if !ok {
		return false
	}
	if behind, known := l.behind(c.keys); behind || !known {
		return known
	}
	from, to := l.equal(c.keys)
	if !l.alike(from, to, c.hash) {
		return false
	}
	c.at = from
	i := len(l.come)
	for ; i > 0; i-- {
		if d := l.compare(l.come[i-1].keys, c.keys); d < 0 {
			break
		} else if d == 0 && l.come[i-1].hash != c.hash {
			return false
		}
	}
	l.come = append(l.come, c)
	copy(l.come[i+1:], l.come[i:])
	l.come[i] = c
	return true
}

// alike reports whether all rows from one to another that stay are the same.
func (l *list) alike(from, to int, hash rowHash) bool {
	for i := from; i < to; i++ {
		if l.hashes[i] != hash && !l.gone[i] {
			return false
		}
	}
	return true
}

// cancel lets stay what leaves and enters at the same place.
func (l *list) cancel() {
	come := l.come[:0]
	for _, c := range l.come {
		if !l.stays(&c) {
			come = append(come, c)
		}
	}
	l.come = come
}

func (l *list) stays(c *change) bool {
	from, to := l.equal(c.keys)
	for i := from; i < to; i++ {
		if l.gone[i] && l.hashes[i] == c.hash {
			delete(l.gone, i)
			return true
		}
	}
	return false
}

// equal returns the rows whose keys are the given ones.
func (l *list) equal(keys []value.Value) (from, to int) {
	find := func(after int) int { // the first row that compares with the keys as more than that
		lo, hi := 0, len(l.hashes)
		for lo < hi {
			if mid := (lo + hi) / 2; l.compare(l.kept.of(mid), keys) > after {
				hi = mid
			} else {
				lo = mid + 1
			}
		}
		return lo
	}
	return find(-1), find(0)
}

func (l *list) compare(a, b []value.Value) int {
	for i, k := range l.keys {
		if d := tap.Compare(a[i], b[i], k.Collation); d != 0 {
			if k.Desc {
				return -d
			}
			return d
		}
	}
	return 0
}

// build edits the result. Only what lies between the first and the last of the edits
// is made anew: a long list costs little.
func (l *list) build() *differ {
	d := &differ{patched: true, moved: len(l.gone)+len(l.come) > 0, hashes: l.hashes, kept: *l.kept}
	n := len(l.hashes)
	from, to := n, 0
	for i := range l.gone {
		from, to = min(from, i), max(to, i+1)
	}
	for i := range l.come {
		from, to = min(from, l.come[i].at), max(to, l.come[i].at)
	}
	if !d.moved {
		d.stretch(0, n)
		return d
	}
	var hashes []rowHash
	var values []value.Value
	stay := func(i int) {
		d.stretch(i, i+1)
		hashes = append(hashes, l.hashes[i])
		values = append(values, l.kept.of(i)...)
	}
	d.stretch(0, from)
	come := l.come
	for i := from; i <= to; i++ {
		for len(come) > 0 && come[0].at == i {
			d.add(come[0].row)
			hashes = append(hashes, come[0].hash)
			values = append(values, come[0].keys...)
			come = come[1:]
		}
		if i < to && !l.gone[i] {
			stay(i)
		}
	}
	d.stretch(to, n)
	keys := len(l.kept.columns)
	if grown := len(hashes) - (to - from); grown > 0 {
		d.hashes = append(d.hashes, hashes[:grown]...)
		d.kept.values = append(d.kept.values, values[:grown*keys]...)
	}
	copy(d.hashes[from+len(hashes):], l.hashes[to:n])
	copy(d.hashes[from:], hashes)
	copy(d.kept.values[from*keys+len(values):], l.kept.values[to*keys:n*keys])
	copy(d.kept.values[from*keys:], values)
	n += len(hashes) - (to - from)
	d.hashes, d.kept.values = d.hashes[:n], d.kept.values[:n*keys]
	if l.limit >= 0 && len(d.hashes) > l.limit {
		d.hashes, d.kept.values = d.hashes[:l.limit], d.kept.values[:l.limit*keys]
		d.runs = cut(d.runs, l.limit)
	}
	return d
}

// maxSum bounds the sums that are added to, so that none overflows: the order in which
// SQLite adds does not matter then.
const maxSum = 1 << 40

// patchAggregates returns the aggregates after rows have left and entered: leave and
// enter are the aggregates of these, none those of no rows; several says that more than
// one row may have entered.
func patchAggregates(
	p *tap.Probe, former, leave, enter, none []value.Value, several bool,
) (row []value.Value, ok bool) {
	row = make([]value.Value, len(former))
	for i, f := range p.Aggregates {
		switch {
		case f.Function == "min", f.Function == "max":
			row[i], ok = extreme(f, former[i], leave[i], enter[i], several)
		case f.Function == "total": // rows whose sum is 0 change how others are rounded
			ok = false
		case value.Equal(leave[i], none[i]) && value.Equal(enter[i], none[i]):
			row[i], ok = former[i], true
		case p.Distinct: // it is not known which values are there already
			ok = false
		case f.Function == "count", f.Function == "sum":
			row[i], ok = addUp(f.Function == "sum", former[i], leave[i], enter[i])
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return row, true
}

// addUp is count and sum, of integers.
func addUp(null bool, former, leave, enter value.Value) (value.Value, bool) {
	sum, nothing := int64(0), true
	for i, v := range []value.Value{former, leave, enter} {
		switch v := v.(type) {
		case nil:
			continue
		case int64:
			if v >= maxSum || v <= -maxSum {
				return nil, false
			}
			if nothing = false; i == 1 {
				v = -v
			}
			sum += v
		default:
			return nil, false
		}
	}
	switch {
	case !null:
		return sum, true
	case nothing:
		return nil, true
	case former == nil:
		return enter, leave == nil
	case enter == nil && sum == 0 && leave != nil: // perhaps nothing is left to add up
		return nil, false
	}
	return sum, true
}

// extreme is min and max.
func extreme(f tap.Aggregate, former, leave, enter value.Value, several bool) (value.Value, bool) {
	compare := func(a, b value.Value) int { // below 0 if a wins
		d := tap.Compare(a, b, f.Collation)
		if f.Function == "max" {
			return -d
		}
		return d
	}
	if tap.Opaque(former) || tap.Opaque(leave) || tap.Opaque(enter) {
		return nil, false
	}
	if several = several && !alone(enter, f.Collation); former == nil {
		return enter, leave == nil && !several
	}
	if leave != nil && compare(former, leave) >= 0 {
		return nil, false // the winner may be the one that has left
	}
	switch {
	case enter == nil:
		return former, true
	case compare(enter, former) < 0:
		return enter, !several
	}
	return former, compare(enter, former) > 0 || value.Equal(enter, former) && !several
}

// alone reports whether a value compares as equal with no other: 1 does with 1.0, and
// which one of them SQLite takes is the plan's affair.
func alone(v value.Value, collation string) bool {
	switch v.(type) {
	case nil, []byte:
		return true
	case string:
		return collation == "BINARY"
	}
	return false
}
