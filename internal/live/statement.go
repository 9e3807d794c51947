package live

import (
	"context"
	"errors"
	"maps"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// statement is an SQL text, as the schema of a generation understands it. The queries
// of it differ in their parameters alone.
type statement struct {
	generation uint64
	deps       store.Deps
	fixedPlan  bool           // deps hold for all parameters
	tapped     *tap.Statement // nil if the tap does not know it

	// Guarded by Engine.mu.
	families map[string]*family // by table
	joins    JoinCounts
}

// join returns what the changed rows of a table are to the statement's joins.
func (st *statement) join(table string) *tap.Join {
	if st.tapped != nil {
		for _, j := range st.tapped.Joins {
			if j.Table == table {
				return j
			}
		}
	}
	return nil
}

// maxStatements bounds the statements that are remembered.
const maxStatements = 256

// prepared is what decides when a query runs.
type prepared struct {
	generation uint64 // of the schema
	st         *statement
	deps       store.Deps
	places     []*place
	told       int // the first of them are those that the tap told
	patches
}

// prepare finds out what a query reads, and what else decides its result.
func (e *Engine) prepare(ctx context.Context, sql string, params value.Params) (p prepared, err error) {
	e.mu.Lock()
	p.generation = e.generation
	st := e.statements[sql]
	e.mu.Unlock()
	if st == nil || st.generation != p.generation {
		if st, err = e.analyze(ctx, sql, params, p.generation); err != nil {
			return p, err
		}
		e.mu.Lock()
		if len(e.statements) >= maxStatements {
			clear(e.statements)
		}
		e.statements[sql] = st
		e.mu.Unlock()
	}
	p.st, p.deps = st, st.deps
	if !st.fixedPlan {
		p.deps.Reads = make(map[string]map[string]bool, len(st.deps.Reads))
		for table, cols := range st.deps.Reads {
			p.deps.Reads[table] = maps.Clone(cols)
		}
		e.plan(ctx, sql, params, &p.deps)
	}
	e.bind(st, params, &p)
	return p, nil
}

// analyze compiles a statement, on the database and on the tap.
func (e *Engine) analyze(ctx context.Context, sql string, params value.Params, generation uint64) (*statement, error) {
	st := &statement{generation: generation}
	var err error
	if st.deps, err = e.check(ctx, sql); err != nil {
		return nil, err
	}
	deps := st.deps
	deps.Reads = make(map[string]map[string]bool, len(st.deps.Reads))
	for table, cols := range st.deps.Reads {
		deps.Reads[table] = maps.Clone(cols)
	}
	if st.fixedPlan = e.plan(ctx, sql, params, &deps); st.fixedPlan {
		st.deps = deps
	}
	// A volatile function makes any row matter.
	if !st.deps.Volatile && len(st.deps.Reads) > 0 {
		e.onTap(ctx, generation, func(t *tap.Tap) {
			st.tapped, _ = t.Analyze(sql)
		})
	}
	return st, nil
}

// plan adds what the plan depends on; everything if it is not known.
func (e *Engine) plan(ctx context.Context, sql string, params value.Params, deps *store.Deps) (fixed bool) {
	fixed, err := e.db.Plan(ctx, sql, params, deps)
	if err != nil { // it says why when it runs
		e.db.All(deps)
	}
	return fixed && err == nil
}

// check finds out what a statement reads.
func (e *Engine) check(ctx context.Context, sql string) (store.Deps, error) {
	deps, err := e.db.Deps(ctx, sql)
	switch {
	case err != nil:
	case deps.Temp:
		err = &errcode.Error{Code: errcode.Unsupported, Op: "live: subscribe", SQL: sql,
			Msg: "a live query does not see temporary tables, whose changes are not announced: use a table, or query"}
	case !deps.ReadOnly:
		err = &errcode.Error{Code: errcode.Unsupported, Op: "live: subscribe", SQL: sql,
			Msg: "a live query reads, it does not write"}
	}
	return deps, err
}

// bind makes the places of a query: those of its statement with its parameters, and
// one without conditions for a table of which the tap has not told where it is read.
func (e *Engine) bind(st *statement, params value.Params, p *prepared) {
	placed := map[string]bool{}
	if st.tapped != nil {
		p.follow(st.tapped)
		e.onTap(context.Background(), st.generation, func(t *tap.Tap) {
			for i := range st.tapped.Places {
				at := &st.tapped.Places[i]
				placed[at.Table] = true
				made := &place{table: at.Table}
				for _, k := range at.Constraints {
					if values, ok := t.Bind(k, params); ok {
						made.conditions = append(made.conditions, condition{column: k.Column, op: k.Op, collation: k.Collation,
							values: values, literal: k.Literal()})
					}
				}
				p.places = append(p.places, made)
			}
		})
	}
	p.told = len(p.places)
	for table := range p.deps.Reads {
		if !placed[table] {
			p.places = append(p.places, &place{table: table})
		}
	}
}

// onTap calls f with the tap of a generation of the schema, inside SQLite. It is not
// called if there is none.
func (e *Engine) onTap(ctx context.Context, generation uint64, f func(*tap.Tap)) {
	e.tapMu.Lock()
	defer e.tapMu.Unlock()
	if e.tapOf != generation || !e.tapTried {
		m, err := e.db.Mirror(ctx)
		if err != nil {
			return
		}
		e.closeTap()
		e.tapOf, e.tapTried = generation, true
		if m.UTF8 { // other encodings order text in other ways
			e.db.Alone(func() (err error) {
				e.tap, err = tap.Open(m)
				return err
			})
		}
	}
	if e.tap != nil {
		e.db.Alone(func() error { f(e.tap); return nil })
	}
}

// reading calls f with the tap of a generation of the schema and with what reads rows
// of a snapshot, inside SQLite. It waits for nobody: who makes another tap may wait for
// the snapshot to end.
func (e *Engine) reading(read *store.ReadTx, generation uint64, f func(*tap.Tap, tap.Lookup) error) error {
	if !e.tapMu.TryLock() {
		return errNoTap
	}
	defer e.tapMu.Unlock()
	if e.tap == nil || e.tapOf != generation {
		return errNoTap
	}
	return read.Inside(e.ctx, func(lookup store.Lookup) error { return f(e.tap, tap.Lookup(lookup)) })
}

var errNoTap = errors.New("live: there is no tap of this schema now")

// closeTap ends the tap. tapMu is held.
func (e *Engine) closeTap() {
	if t := e.tap; t != nil {
		e.db.Alone(t.Close)
		e.tap = nil
	}
}
