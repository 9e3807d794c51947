// Package live keeps the results of queries up to date: a query runs again
// when a commit touches the tables and columns that it reads, and its
// subscribers get the difference by row.
//
// Subscriptions of the same SQL and parameters share one run. Commits that arrive
// while queries run are handled together, so a burst of writes costs two runs and
// not one each.
package live

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Sink receives what becomes of a subscription. Its methods are called one at
// a time and in order, outside SQLite; they return soon and may call the
// database, but not the Engine's Close.
type Sink interface {
	// Result gets the first result, then each one that differs from the last.
	Result(value.Update)
	// Error gets the failure of a run. The query stays subscribed and runs again
	// after the next relevant commit.
	Error(error)
}

// Engine runs the live queries of one database.
type Engine struct {
	db     *store.DB
	ctx    context.Context
	cancel context.CancelFunc
	remove func()
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	closed  bool
	queries map[string]*query
	order   []*query // queries run in the order in which they came
	runs    int      // how many times queries ran, for tests
	busy    bool     // a query runs, for tests
}

// query is one shared run.
type query struct {
	key    string
	sql    string
	params value.Params

	// Guarded by Engine.mu.
	dirty   bool
	schema  bool // its dependencies must be read again
	deps    store.Deps
	pin     *pin
	subs    []*Subscription
	removed bool

	// Of the engine's goroutine alone.
	rows    []rowHash // of the last result
	columns []string
	failed  bool // the last run failed, and the subscribers know it
	scratch []byte
}

// Subscription is a subscriber of a query.
type Subscription struct {
	e       *Engine
	q       *query
	sink    Sink
	fresh   bool // has had no result yet; guarded by Engine.mu
	stopped atomic.Bool
}

// New starts an engine over db. Close ends it, before db is closed.
func New(db *store.DB) *Engine {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{db: db, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{}),
		queries: map[string]*query{}}
	e.remove = db.OnCommit(e.commit)
	go e.loop()
	return e
}

// Close ends all subscriptions and waits for the query that runs.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	e.mu.Unlock()
	e.remove()
	e.cancel()
	<-e.done
}

// Subscribe starts a live query. The first result comes to the sink soon
// after. A statement that writes or does not compile is an error here and now.
// ctx bounds this call alone; Stop ends the subscription.
func (e *Engine) Subscribe(ctx context.Context, sql string, params value.Params, sink Sink) (*Subscription, error) {
	const op = "live: subscribe"
	deps, err := e.check(ctx, sql, params)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errcode.New(errcode.Closed, op, "the database is closed")
	}
	key := keyOf(sql, params)
	q := e.queries[key]
	if q == nil {
		q = &query{key: key, sql: sql, params: params, deps: deps, pin: findPin(e.db, sql, params, deps)}
		e.queries[key] = q
		e.order = append(e.order, q)
	}
	s := &Subscription{e: e, q: q, sink: sink, fresh: true}
	q.subs = append(q.subs, s)
	q.dirty = true
	e.signal()
	return s, nil
}

// check finds out what a query reads, and what else decides its result.
func (e *Engine) check(ctx context.Context, sql string, params value.Params) (store.Deps, error) {
	deps, err := e.db.Deps(ctx, sql)
	switch {
	case err != nil:
	case deps.Temp:
		err = &errcode.Error{Code: errcode.Unsupported, Op: "live: subscribe", SQL: sql,
			Msg: "a live query does not see temporary tables, whose changes are not announced: use a table, or query"}
	case !deps.ReadOnly:
		err = &errcode.Error{Code: errcode.Unsupported, Op: "live: subscribe", SQL: sql,
			Msg: "a live query reads, it does not write"}
	default:
		if e.db.Plan(ctx, sql, params, &deps) != nil {
			e.db.All(&deps) // it says why when it runs
		}
	}
	return deps, err
}

// Stop ends the subscription. A call of the sink that has begun may go on, no
// other begins.
func (s *Subscription) Stop() {
	s.stopped.Store(true)
	e, q := s.e, s.q
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, t := range q.subs {
		if t == s {
			q.subs = append(q.subs[:i:i], q.subs[i+1:]...)
			break
		}
	}
	if len(q.subs) == 0 && !q.removed {
		q.removed = true
		delete(e.queries, q.key)
		for i, t := range e.order {
			if t == q {
				e.order = append(e.order[:i:i], e.order[i+1:]...)
				break
			}
		}
	}
}

func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// commit marks the queries that a commit concerns.
func (e *Engine) commit(c store.Commit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	marked := false
	for _, q := range e.order {
		// The dependencies of a query are unknown after a change of the schema, and
		// while it does not compile.
		q.schema = q.schema || c.Schema
		if !q.dirty && (q.schema || q.concerns(&c)) {
			q.dirty, marked = true, true
		}
	}
	if marked {
		e.signal()
	}
}

// concerns reports whether the result may differ after c.
func (q *query) concerns(c *store.Commit) bool {
	for i := range c.Tables {
		t := &c.Tables[i]
		cols, read := q.deps.Reads[t.Table]
		if !read {
			continue
		}
		if q.pin != nil && !q.deps.Volatile && q.pin.excludes(t) {
			continue
		}
		if t.HasInsertOrDelete || len(t.Columns) == 0 || q.deps.Volatile {
			return true
		}
		for _, name := range t.Columns {
			if cols[name] {
				return true
			}
		}
	}
	return false
}

// loop runs what is marked until the engine closes.
func (e *Engine) loop() {
	defer close(e.done)
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.wake:
		}
		for {
			q, subs, fresh := e.next()
			if q == nil || e.ctx.Err() != nil {
				break
			}
			e.run(q, subs, fresh)
		}
	}
}

// next takes a marked query with its subscribers as of now; fresh[i] says that
// subs[i] has had no result yet.
func (e *Engine) next() (q *query, subs []*Subscription, fresh []bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy = false
	for i, t := range e.order {
		if !t.dirty {
			continue
		}
		t.dirty = false
		e.busy = true
		e.runs++
		// The search goes on after this query, so that none starves.
		rest := append([]*query{}, e.order[i+1:]...)
		e.order = append(rest, e.order[:i+1]...)
		for _, s := range t.subs {
			subs = append(subs, s)
			fresh = append(fresh, s.fresh)
		}
		return t, subs, fresh
	}
	return nil, nil, nil
}

// run runs q and sends its subscribers the result.
func (e *Engine) run(q *query, subs []*Subscription, fresh []bool) {
	if err := e.renew(q); err != nil {
		q.fail(e, subs, err)
		return
	}
	whole := q.rows == nil
	for _, f := range fresh {
		whole = whole || f
	}
	var d *differ
	var columns []string
	renamed := false
	begin := func(names []string) {
		columns = names
		// The receivers keep rows by their columns' names.
		renamed = q.rows != nil && !slices.Equal(columns, q.columns)
		d = newDiffer(q.rows, whole || renamed)
	}
	err := e.db.Query(e.ctx, q.sql, q.params, begin,
		func(s *sqlite3.Stmt) (err error) {
			q.scratch, err = d.row(s, q.scratch)
			return err
		})
	if err != nil {
		q.fail(e, subs, err)
		return
	}
	changed := !d.same()
	diff := value.Update{Columns: columns, Total: len(d.hashes), Runs: d.runs}
	full := value.Update{Reset: true, Columns: columns, Total: len(d.hashes)}
	if len(d.all) > 0 {
		full.Runs = []value.Run{{N: len(d.all), Rows: d.all}}
	}
	failed := q.failed
	q.rows, q.columns, q.failed = d.hashes, columns, false
	if q.rows == nil {
		q.rows = []rowHash{}
	}
	for i, s := range subs {
		switch {
		case fresh[i]:
			e.mu.Lock()
			s.fresh = false
			e.mu.Unlock()
			s.result(full)
		case renamed:
			s.result(full)
		case changed || failed:
			s.result(diff)
		}
	}
}

// renew reads the dependencies of q again, if the schema has changed.
func (e *Engine) renew(q *query) error {
	e.mu.Lock()
	schema := q.schema
	q.schema = false
	e.mu.Unlock()
	if !schema {
		return nil
	}
	deps, err := e.check(e.ctx, q.sql, q.params)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		q.schema = true // its dependencies are unknown: any commit may matter
		return err
	}
	q.deps, q.pin = deps, findPin(e.db, q.sql, q.params, deps)
	return nil
}

// fail reports err to the subscribers, unless the engine is closing.
func (q *query) fail(e *Engine, subs []*Subscription, err error) {
	if e.ctx.Err() != nil {
		return
	}
	q.failed = true
	for _, s := range subs {
		s.failure(err)
	}
}

func (s *Subscription) result(u value.Update) {
	if !s.stopped.Load() {
		s.sink.Result(u)
	}
}

func (s *Subscription) failure(err error) {
	if !s.stopped.Load() {
		s.sink.Error(err)
	}
}
