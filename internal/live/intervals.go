package live

import (
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/value"
)

// interval is the range in which a place's column must lie. Its ends belong to it; a
// missing one is nil: NULL lies in no range.
type interval struct {
	from, to value.Value
	p        *place
}

// interval returns the tightest range that the place's conditions on one column say,
// and the first of these conditions.
func (p *place) interval() (first *condition, in interval) {
	in.p = p
	for i := range p.conditions {
		c := &p.conditions[i]
		if c.op != tap.Lt && c.op != tap.Le && c.op != tap.Gt && c.op != tap.Ge || c.values[0] == nil {
			continue
		}
		if first != nil && c.side() != first.side() {
			continue
		}
		if first == nil {
			first = c
		}
		switch v := c.values[0]; c.op {
		case tap.Lt, tap.Le:
			if in.to == nil || tap.Compare(v, in.to, c.collation) < 0 {
				in.to = v
			}
		default:
			if in.from == nil || tap.Compare(v, in.from, c.collation) > 0 {
				in.from = v
			}
		}
	}
	return first, in
}

// intervals is a treap by the lower end; each node knows the highest upper end below
// it.
type intervals struct {
	collation string
	root      *node
}

type node struct {
	interval
	priority    uint64
	left, right *node
	max         value.Value
	open        bool // one below has no upper end
}

func newIntervals(collation string) *intervals { return &intervals{collation: collation} }

func (t *intervals) empty() bool { return t.root == nil }

// less orders by the lower end. Equal ones go by what tells places apart.
func (t *intervals) less(a, b *interval) bool {
	if d := tap.Compare(a.from, b.from, t.collation); d != 0 {
		return d < 0
	}
	return a.p.id < b.p.id
}

func (t *intervals) add(in interval) {
	left, right := t.split(t.root, &in)
	n := &node{interval: in, priority: scatter(in.p.id)}
	t.update(n)
	t.root = t.merge(t.merge(left, n), right)
}

// scatter makes of a number one that looks random, as a treap's balance wants. It is
// the finalizer of SplitMix64.
func scatter(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func (t *intervals) remove(in interval) { t.root = t.without(t.root, &in) }

func (t *intervals) without(n *node, in *interval) *node {
	switch {
	case n == nil:
		return nil
	case n.p == in.p:
		return t.merge(n.left, n.right)
	case t.less(in, &n.interval):
		n.left = t.without(n.left, in)
	default:
		n.right = t.without(n.right, in)
	}
	t.update(n)
	return n
}

// find calls found with the places whose intervals hold v, or with all of them.
func (t *intervals) find(v value.Value, all bool, found func(*place)) {
	if v != nil {
		t.walk(t.root, v, all, found)
	}
}

func (t *intervals) walk(n *node, v value.Value, all bool, found func(*place)) {
	if n == nil || !all && !n.open && tap.Compare(n.max, v, t.collation) < 0 {
		return
	}
	t.walk(n.left, v, all, found)
	if !all && n.from != nil && tap.Compare(n.from, v, t.collation) > 0 {
		return // all to the right begin higher still
	}
	if all || n.to == nil || tap.Compare(n.to, v, t.collation) >= 0 {
		found(n.p)
	}
	t.walk(n.right, v, all, found)
}

// split parts a tree into what comes before in and the rest.
func (t *intervals) split(n *node, in *interval) (left, right *node) {
	if n == nil {
		return nil, nil
	}
	if t.less(&n.interval, in) {
		n.right, right = t.split(n.right, in)
		t.update(n)
		return n, right
	}
	left, n.left = t.split(n.left, in)
	t.update(n)
	return left, n
}

func (t *intervals) merge(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a.right = t.merge(a.right, b)
		t.update(a)
		return a
	}
	b.left = t.merge(a, b.left)
	t.update(b)
	return b
}

func (t *intervals) update(n *node) {
	n.max, n.open = n.to, n.to == nil
	for _, m := range [2]*node{n.left, n.right} {
		if m == nil {
			continue
		}
		n.open = n.open || m.open
		if !m.open && (n.max == nil || tap.Compare(m.max, n.max, t.collation) > 0) {
			n.max = m.max
		}
	}
}
