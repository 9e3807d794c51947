package live

import (
	"slices"

	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// patches is how the result of a query follows from the rows that change.
type patches struct {
	probe *tap.Probe // nil if it does not
	keys  []tap.Key  // what orders the result; nil if it is not patched
	why   string     // it has to run
}

// Counts says how often what became of a query.
type Counts struct {
	Skipped uint64 // the rows that were changed left its result as it was
	Patched uint64 // its new result followed from them
	Runs    uint64
	Vain    uint64 // runs that found the former result
}

// JoinCounts says how often rows of one table of a statement's joins changed, and what
// became of its queries.
type JoinCounts struct {
	Probed  uint64 // one run over the rows told which queries they concern
	Unknown uint64 // it did not: all ran
	Spared  uint64 // queries that they did not concern
}

// add counts what became of a task. Engine.mu is held.
func (c *Counts) add(t *task) {
	same := t.err == nil && t.d != nil && t.d.same()
	switch {
	case t.patched && same:
		c.Skipped++
	case t.patched:
		c.Patched++
	default:
		c.Runs++
		if same && !slices.Contains(t.fresh, true) {
			c.Vain++
		}
	}
}

// follow finds out how a query can be patched. deps has its plan.
func (p *prepared) follow(st *tap.Statement) {
	p.probe, p.keys, p.why = st.Probe, nil, st.Why
	switch probe := st.Probe; {
	case probe == nil, probe.Aggregates != nil:
	case probe.Distinct:
		p.why = "DISTINCT"
	case probe.Sorted && probe.Order == nil:
		p.keys, p.why = anyOrder, "ORDER BY what is not a column of the result, or under another collation"
	case probe.Sorted:
		p.keys = probe.Order
	case p.deps.ByRowID && probe.RowID >= 0:
		p.keys = []tap.Key{{Column: probe.RowID, Collation: "BINARY"}}
	default:
		if p.keys = anyOrder; !st.KeyGiven() {
			p.why = "no ORDER BY"
		}
	}
}

// anyOrder are the keys of a result whose order is not known: all rows sort the same.
// One of a single row can be patched.
var anyOrder = []tap.Key{}

// keep returns the result's columns whose values patches need.
func (p *patches) keep() (columns []int) {
	switch {
	case p.probe == nil:
	case p.probe.Aggregates != nil:
		for i := range p.probe.Aggregates {
			columns = append(columns, i)
		}
	default:
		for _, k := range p.keys {
			columns = append(columns, k.Column)
		}
	}
	return columns
}

// maintain makes the new result of q of the former one and of the commits since. It
// returns nil where q has to run.
func (e *Engine) maintain(read *store.ReadTx, q *query, since *pending) (d *differ) {
	if q.failed || q.rows == nil || q.st == nil || since.unfit || len(since.tables) == 0 {
		return nil
	}
	table := since.tables[0].Of
	j := q.st.join(table.Name)
	if j == nil && (q.probe == nil || q.probe.Table != table.Name) {
		return nil
	}
	rows, ok := since.net()
	if !ok {
		return nil
	}
	e.mu.Lock() // Stop takes the places away, and a query that joins a family adds to their dependencies
	old, new, ok := images(table, rows, q.places)
	e.mu.Unlock()
	switch {
	case !ok:
		return nil
	case j != nil:
		return e.probeJoin(read, q, j, append(old, new...))
	}
	var leave, enter [][]value.Value
	var none []value.Value
	err := e.reading(read, q.st.generation, func(t *tap.Tap, _ tap.Lookup) (err error) {
		if leave, err = q.probe.Run(t, q.params, old); err != nil {
			return err
		}
		if enter, err = q.probe.Run(t, q.params, new); err != nil {
			return err
		}
		none, err = q.probe.None(t, q.params)
		return err
	})
	switch {
	case err != nil:
		return nil
	case q.probe.Aggregates != nil:
		return q.patchAggregates(leave, enter, none, len(new) > 1)
	case len(leave) == 0 && len(enter) == 0:
		return q.unchanged()
	}
	limit, ok := q.probe.Rows(q.params)
	if !ok || q.keys == nil || q.kept.lost || limit >= 0 && (tooMany(leave, old, limit) || tooMany(enter, new, limit)) {
		return nil
	}
	place := func(k tap.Key) bool { return k.Column == q.probe.RowID }
	l := list{keys: q.keys, unique: slices.ContainsFunc(q.keys, place), limit: int(max(limit, -1)),
		hashes: q.rows, kept: &q.kept}
	if d, ok = l.patch(leave, enter); !ok {
		return nil
	}
	return d
}

// probeJoin leaves the result of a join as it is, if the changed rows of a table bring
// nothing to it. No other of its tables has changed.
func (e *Engine) probeJoin(read *store.ReadTx, q *query, j *tap.Join, rows []tap.Image) *differ {
	concerned := true
	err := e.reading(read, q.st.generation, func(t *tap.Tap, lookup tap.Lookup) (err error) {
		concerned, err = j.Concerns(t, q.params, rows, lookup)
		return err
	})
	if err != nil || concerned {
		return nil
	}
	return q.unchanged()
}

// tooMany reports whether a LIMIT may have cut off rows of a probe: among those that sort
// the same it takes any.
func tooMany(result [][]value.Value, images []tap.Image, limit int64) bool {
	return int64(len(result)) >= limit && int64(len(images)) > limit
}

// unchanged is the former result.
func (q *query) unchanged() *differ {
	d := &differ{patched: true, hashes: q.rows, kept: q.kept}
	d.stretch(0, len(q.rows))
	return d
}

func (q *query) patchAggregates(leave, enter [][]value.Value, none []value.Value, several bool) *differ {
	if q.kept.lost || len(q.rows) != 1 || len(leave) != 1 || len(enter) != 1 || none == nil {
		return nil
	}
	row, ok := patchAggregates(q.probe, q.kept.of(0), leave[0], enter[0], none, several)
	switch {
	case !ok:
		return nil
	case value.EqualAll(row, q.kept.of(0)):
		return q.unchanged()
	}
	d := &differ{patched: true, moved: true, hashes: []rowHash{hashOf(row)},
		kept: kept{columns: q.kept.columns, values: row}}
	d.add(row)
	return d
}
