package live

import (
	"encoding/binary"
	"math"

	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// index finds the places that a changed row can concern. A place with an equality is
// found by its value, one with a range by its bounds: looking up a row costs what it
// finds, however many places there are. A place without either is looked at for each
// row.
type index struct {
	tables map[string]*tableIndex
	round  uint64
}

type tableIndex struct {
	all    map[*place]bool // for changes without rows
	equal  map[side]map[string]map[*place]bool
	ranges map[side]*intervals
	rest   map[*place]bool
}

// side is what is compared: a column under a collation.
type side struct {
	column    int
	collation string
}

func newIndex() *index { return &index{tables: map[string]*tableIndex{}} }

func (x *index) add(p *place) {
	t := x.tables[p.table]
	if t == nil {
		t = &tableIndex{all: map[*place]bool{}, equal: map[side]map[string]map[*place]bool{},
			ranges: map[side]*intervals{}, rest: map[*place]bool{}}
		x.tables[p.table] = t
	}
	t.all[p] = true
	if p.by = t.choose(p); p.by >= 0 {
		c := &p.conditions[p.by]
		values := t.equal[c.side()]
		if values == nil {
			values = map[string]map[*place]bool{}
			t.equal[c.side()] = values
		}
		for _, v := range c.values {
			k := hashKey(v, c.collation)
			if values[k] == nil {
				values[k] = map[*place]bool{}
			}
			values[k][p] = true
		}
	} else if c, i := p.interval(); c != nil {
		if t.ranges[c.side()] == nil {
			t.ranges[c.side()] = newIntervals(c.collation)
		}
		t.ranges[c.side()].add(i)
	} else {
		t.rest[p] = true
	}
}

func (x *index) remove(p *place) {
	t := x.tables[p.table]
	if t == nil {
		return
	}
	delete(t.all, p)
	if len(t.all) == 0 {
		delete(x.tables, p.table)
		return
	}
	if p.by >= 0 {
		c := &p.conditions[p.by]
		values := t.equal[c.side()]
		for _, v := range c.values {
			k := hashKey(v, c.collation)
			if delete(values[k], p); len(values[k]) == 0 {
				delete(values, k)
			}
		}
		if len(values) == 0 {
			delete(t.equal, c.side())
		}
	} else if c, i := p.interval(); c != nil {
		if t.ranges[c.side()].remove(i); t.ranges[c.side()].empty() {
			delete(t.ranges, c.side())
		}
	} else {
		delete(t.rest, p)
	}
}

// find calls found with each place that a changed row concerns.
func (x *index) find(table *store.Table, r *store.RowChange, found func(*place)) {
	t := x.tables[table.Name]
	if t == nil {
		return
	}
	x.round++
	look := func(p *place) {
		if p.round != x.round {
			p.round = x.round
			if p.concerns(table, r) {
				found(p)
			}
		}
	}
	for s, values := range t.equal {
		for _, row := range [2][]value.Value{r.Old, r.New} {
			if row == nil {
				continue
			}
			c := condition{column: s.column}
			v := c.of(row, r.RowID)
			if !tap.Opaque(v) {
				for p := range values[hashKey(v, s.collation)] {
					look(p)
				}
				continue
			}
			for _, places := range values { // it may equal anything
				for p := range places {
					look(p)
				}
			}
		}
	}
	for s, ranges := range t.ranges {
		for _, row := range [2][]value.Value{r.Old, r.New} {
			if row == nil {
				continue
			}
			c := condition{column: s.column}
			v := c.of(row, r.RowID)
			ranges.find(v, tap.Opaque(v), look)
		}
	}
	for p := range t.rest {
		look(p)
	}
}

// each calls found with each place of a table.
func (x *index) each(table string, found func(*place)) {
	if t := x.tables[table]; t != nil {
		for p := range t.all {
			found(p)
		}
	}
}

func (c *condition) side() side { return side{c.column, c.collation} }

// choose picks the equality to find a place by: the one that fewest other places are
// found by, so that looking up a row tells most of them apart.
func (t *tableIndex) choose(p *place) int {
	best, least := -1, 0
	for i := range p.conditions {
		c := &p.conditions[i]
		if c.op != tap.Eq && c.op != tap.Is && c.op != tap.In {
			continue
		}
		n := 0
		if c.literal {
			n = 1
		}
		for _, v := range c.values {
			n += 2 * len(t.equal[c.side()][hashKey(v, c.collation)])
		}
		if best < 0 || n < least {
			best, least = i, n
		}
	}
	return best
}

// hashKey is the same for values that are equal.
func hashKey(v value.Value, collation string) string {
	switch v := v.(type) {
	case nil:
		return "n"
	case string:
		return "t" + tap.Fold(v, collation)
	case []byte:
		return "b" + string(v)
	case float64:
		if i := int64(v); v >= -(1<<63) && v < 1<<63 && float64(i) == v {
			return hashKey(i, collation)
		}
		return "f" + string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	case int64:
		return "i" + string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
	}
	return ""
}
