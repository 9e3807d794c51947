package live

import (
	"cmp"
	"context"
	"slices"
	"time"

	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/value"
)

// Statement says how the queries of an SQL text are kept up to date, and what became of
// them since they began or the schema changed.
type Statement struct {
	SQL     string
	Queries int
	Commits uint64 // since they began, counted for each query
	Counts
	Took   time.Duration // the slowest of their last runs and patches
	Joins  JoinCounts
	Places []Lookup
	Why    string // they run where a patch would be cheaper; "" if they need not
}

// Lookup is how a changed row finds the queries of a statement.
type Lookup struct {
	Table  string
	Column string // whose value tells them apart; "" if none does, or the rowid
	How    How
}

// How a changed row finds the queries of a statement at one of their places.
type How string

// The ways.
const (
	ByValue  How = "value"  // one column equals one of few values
	ByRange  How = "range"  // one column lies in a range
	ByFamily How = "family" // one run over the row tells, for all of them
	ByAll    How = "all"    // each query is looked at
)

// Explain says how a query would be kept up to date. Its counts are those of the
// statement's live queries.
func (e *Engine) Explain(ctx context.Context, sql string, params value.Params) (Statement, error) {
	p, err := e.prepare(ctx, sql, params)
	if err != nil {
		return Statement{}, err
	}
	s := e.describe(&query{sql: sql, st: p.st, places: p.places, patches: p.patches})
	for _, live := range e.Statements() {
		if live.SQL == sql {
			live.Places, live.Why = s.Places, s.Why
			s = live
		}
	}
	return s, nil
}

// Statements describes the statements of all live queries, in the order of their texts.
func (e *Engine) Statements() []Statement {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := map[string]int{}
	seen := map[*statement]bool{nil: true}
	var all []Statement
	for _, q := range e.queries {
		i, known := at[q.sql]
		if !known {
			i = len(all)
			at[q.sql] = i
			all = append(all, e.describe(q))
		}
		s := &all[i]
		s.count(e, q)
		if !seen[q.st] {
			seen[q.st] = true
			s.Joins.sum(q.st.joins)
		}
	}
	slices.SortFunc(all, func(a, b Statement) int { return cmp.Compare(a.SQL, b.SQL) })
	return all
}

// vainRuns is after how many runs in vain a group is told of a query.
const vainRuns = 100

// count adds what became of a live query. mu is held.
func (s *Statement) count(e *Engine, q *query) {
	s.Queries++
	s.Commits += e.commits - q.began
	s.Counts.sum(q.counts)
	s.Took = max(s.Took, q.took)
}

// describe says how a query is kept up to date.
func (e *Engine) describe(q *query) Statement {
	s := Statement{SQL: q.sql}
	for _, p := range q.places {
		s.Places = append(s.Places, e.lookup(q, p))
	}
	switch st := q.st; {
	case st == nil:
		s.Why = "it has not run since the schema changed"
	case st.deps.Volatile:
		s.Why = "a function whose value depends on more than its arguments"
	case st.tapped == nil && len(st.deps.Reads) > 0:
		s.Why = "a virtual table, or a function of the app's"
	case st.tapped == nil:
	case len(st.tapped.Joins) > 0:
		s.Why = "a join"
	default:
		s.Why = q.why
	}
	return s
}

func (e *Engine) lookup(q *query, p *place) Lookup {
	l := Lookup{Table: p.table, How: ByAll}
	if j := q.st.join(p.table); j != nil && j.Free != nil && p.alike() {
		l.How = ByFamily
		return l
	}
	column := -1
	if c, _ := p.interval(); c != nil {
		l.How, column = ByRange, c.column
	}
	for i := range p.conditions {
		c := &p.conditions[i]
		if c.op == tap.Eq || c.op == tap.Is || c.op == tap.In {
			if l.How, column = ByValue, c.column; !c.literal {
				break
			}
		}
	}
	if t, ok := e.db.Table(p.table); ok && column >= 0 && column < len(t.Columns) {
		l.Column = t.Columns[column].Name
	}
	return l
}

func (c *Counts) sum(d Counts) {
	c.Skipped += d.Skipped
	c.Patched += d.Patched
	c.Runs += d.Runs
	c.Vain += d.Vain
}

func (c *JoinCounts) sum(d JoinCounts) {
	c.Probed += d.Probed
	c.Unknown += d.Unknown
	c.Spared += d.Spared
}
