package live

import (
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// family is all queries of one statement, as far as the changed rows of one of its
// tables concern them alike: the table stands in a join, and no condition of its own
// tells the queries apart. One run of the join over the changed rows tells which of
// them are concerned.
type family struct {
	st      *statement
	join    *tap.Join
	place   *place     // in the index, of all of them
	deps    store.Deps // the columns of the table that one of them reads
	size    int
	queries map[string]map[*query]bool // by the value that their parameter is compared with
	rest    map[*query]bool            // those whose value is not known

	since pending // what has changed in this round
}

// kin is a query's membership in a family.
type kin struct {
	f   *family
	key string // in queries; "" in rest
}

// kinship has q join the family of a place, and reports whether there is one. mu is
// held.
func (e *Engine) kinship(q *query, at *place) bool {
	st := q.st
	j := st.join(at.table)
	if j == nil || j.Free == nil || !at.alike() {
		return false
	}
	f := st.families[at.table]
	if f == nil {
		f = &family{st: st, join: j, place: at, queries: map[string]map[*query]bool{}, rest: map[*query]bool{},
			deps: store.Deps{Reads: map[string]map[string]bool{at.table: {}}}}
		e.ids++
		at.id, at.q, at.family, at.deps = e.ids, nil, f, &f.deps
		e.index.add(at)
		if st.families == nil {
			st.families = map[string]*family{}
		}
		st.families[at.table] = f
	}
	for column := range q.deps.Reads[at.table] { // their plans may differ
		f.deps.Reads[at.table][column] = true
	}
	k := kin{f: f}
	if c := q.places[j.Free.Place].equal(j.Free.Column); c != nil {
		k.key = "=" + hashKey(c.values[0], c.collation)
		if f.queries[k.key] == nil {
			f.queries[k.key] = map[*query]bool{}
		}
		f.queries[k.key][q] = true
	} else {
		f.rest[q] = true
	}
	f.size++
	q.kin = append(q.kin, k)
	return true
}

// leave takes a query out of a family. mu is held.
func (e *Engine) leave(q *query, k kin) {
	f := k.f
	if delete(f.rest, q); k.key != "" {
		if delete(f.queries[k.key], q); len(f.queries[k.key]) == 0 {
			delete(f.queries, k.key)
		}
	}
	if f.size--; f.size == 0 {
		e.index.remove(f.place)
		delete(f.st.families, f.place.table)
		delete(e.touched, f)
	}
}

// alike reports whether the place's conditions are those of all queries of the text.
func (p *place) alike() bool {
	for i := range p.conditions {
		if !p.conditions[i].literal {
			return false
		}
	}
	return true
}

// equal returns the condition that a column equals a parameter.
func (p *place) equal(column int) *condition {
	for i := range p.conditions {
		if c := &p.conditions[i]; c.op == tap.Eq && c.column == column && !c.literal {
			return c
		}
	}
	return nil
}

// each calls f with all queries of the family.
func (f *family) each(call func(*query)) {
	for _, queries := range f.queries {
		for q := range queries {
			call(q)
		}
	}
	for q := range f.rest {
		call(q)
	}
}

// resolve marks the queries of families that the changes of the round concern. What
// the tables hold is that of the snapshot.
func (e *Engine) resolve(read *store.ReadTx) {
	e.mu.Lock()
	touched := e.touched
	e.touched = map[*family]bool{}
	e.mu.Unlock()
	families := map[*statement]int{}
	for f := range touched {
		families[f.st]++
	}
	for f := range touched {
		var values map[string]bool
		known := false
		if families[f.st] == 1 { // what rows of two tables had brought together, neither tells alone
			values, known = e.values(read, f)
		}
		f.since = pending{}
		e.markFamily(f, values, known)
	}
	if len(touched) > 0 {
		e.unsettle(touched)
	}
}

// undecided reports whether the changes concern queries that only a snapshot tells.
func (e *Engine) undecided() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.touched) > 0
}

// values runs the family's join over the changed rows. It returns the values that tell
// the queries which are concerned; all are if it reports false.
func (e *Engine) values(read *store.ReadTx, f *family) (found map[string]bool, ok bool) {
	if f.since.unfit {
		return nil, false
	}
	rows, ok := f.since.net()
	if !ok {
		return nil, false
	}
	old, new, ok := images(f.since.tables[0].Of, rows, []*place{f.place})
	if !ok {
		return nil, false
	}
	found = map[string]bool{}
	collation := f.collation()
	err := e.reading(read, f.st.generation, func(t *tap.Tap, lookup tap.Lookup) error {
		return f.join.Values(t, append(old, new...), lookup, func(v value.Value) {
			if tap.Opaque(v) {
				ok = false // it may equal anything
			}
			found["="+hashKey(v, collation)] = true
		})
	})
	return found, ok && err == nil
}

// collation is that under which the parameter is compared.
func (f *family) collation() string {
	for i := range f.st.tapped.Places[f.join.Free.Place].Constraints {
		k := &f.st.tapped.Places[f.join.Free.Place].Constraints[i]
		if k.Op == tap.Eq && k.Column == f.join.Free.Column && !k.Literal() {
			return k.Collation
		}
	}
	return ""
}

func (e *Engine) markFamily(f *family, values map[string]bool, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	marked := 0
	mark := func(q *query) {
		q.pending = pending{unfit: true}
		e.mark(q)
		marked++
	}
	if !known {
		f.st.joins.Unknown++
		f.each(mark)
		return
	}
	defer func() {
		f.st.joins.Probed++
		f.st.joins.Spared += uint64(f.size - marked)
	}()
	for v := range values {
		for q := range f.queries[v] {
			mark(q)
		}
	}
	for q := range f.rest {
		mark(q)
	}
}

// unsettle has the queries run that are due for a change of another table too.
func (e *Engine) unsettle(touched map[*family]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, due := range [][]*query{e.queue, e.deferred} {
		for _, q := range due {
			for _, k := range q.kin {
				if touched[k.f] {
					q.pending = pending{unfit: true}
				}
			}
		}
	}
}
