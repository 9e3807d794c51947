// Package live keeps the results of queries up to date: a query runs again
// when a commit may change its result, and its subscribers get the difference by
// row.
//
// Which rows a query depends on tells SQLite itself: see package tap. An index over
// these conditions finds the queries that a changed row concerns. What it tells is
// always enough: each delivered result equals a fresh run. docs/LIVE.md has the rules.
//
// Subscriptions of the same SQL and parameters share one run. Commits that arrive
// while queries run are handled together, so a burst of writes costs two runs and
// not one each.
package live

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/live/tap"
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

	mu         sync.Mutex
	closed     bool
	generation uint64 // of the schema: it counts the changes
	statements map[string]*statement
	queries    map[string]*query
	index      *index
	loose      map[*query]bool // those that the index does not have or may not skip
	queue      []*query        // those to run
	ids        uint64
	runs       int  // how many times queries ran, for tests
	busy       bool // a query runs, for tests

	tapMu    sync.Mutex // taken before the database's own
	tap      *tap.Tap   // nil if there can be none
	tapOf    uint64     // the generation
	tapTried bool
}

// query is one shared run.
type query struct {
	id     uint64 // in the order in which they came
	key    string
	sql    string
	params value.Params

	// Guarded by Engine.mu.
	dirty   bool
	schema  bool // its dependencies must be read again
	failing bool // its last run failed
	deps    store.Deps
	places  []*place // in the index, unless schema
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
		queries: map[string]*query{}, statements: map[string]*statement{}, index: newIndex(), loose: map[*query]bool{}}
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
	e.tapMu.Lock()
	defer e.tapMu.Unlock()
	e.closeTap()
}

// Subscribe starts a live query. The first result comes to the sink soon
// after. A statement that writes or does not compile is an error here and now.
// ctx bounds this call alone; Stop ends the subscription.
func (e *Engine) Subscribe(ctx context.Context, sql string, params value.Params, sink Sink) (*Subscription, error) {
	const op = "live: subscribe"
	key := keyOf(sql, params)
	e.mu.Lock()
	known := e.queries[key] != nil
	e.mu.Unlock()
	var p prepared
	if !known {
		var err error
		if p, err = e.prepare(ctx, sql, params); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errcode.New(errcode.Closed, op, "the database is closed")
	}
	q := e.queries[key]
	if q == nil {
		e.ids++
		q = &query{id: e.ids, key: key, sql: sql, params: params}
		e.queries[key] = q
		if p.deps.Reads == nil { // it has gone meanwhile: its first run prepares it
			q.schema = true
			e.loosen(q)
		} else {
			e.adopt(q, p)
		}
	}
	s := &Subscription{e: e, q: q, sink: sink, fresh: true}
	q.subs = append(q.subs, s)
	e.mark(q)
	e.signal()
	return s, nil
}

// adopt takes over what decides when q runs. mu is held.
func (e *Engine) adopt(q *query, p prepared) {
	e.forget(q)
	q.deps, q.places = p.deps, p.places
	// The schema may have changed meanwhile.
	if q.schema = p.generation != e.generation; !q.schema {
		for _, at := range q.places {
			e.ids++
			at.q, at.id = q, e.ids
			e.index.add(at)
		}
	} else {
		q.places = nil
	}
	e.loosen(q)
}

// forget takes q out of the index. mu is held.
func (e *Engine) forget(q *query) {
	for _, at := range q.places {
		e.index.remove(at)
	}
	q.places = nil
}

// loosen notes whether the index may skip q. mu is held.
func (e *Engine) loosen(q *query) {
	if q.removed || !q.schema && !q.failing {
		delete(e.loose, q)
	} else {
		e.loose[q] = true
	}
}

// mark has q run. mu is held.
func (e *Engine) mark(q *query) {
	if !q.dirty {
		q.dirty = true
		e.queue = append(e.queue, q)
	}
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
		e.forget(q)
		e.loosen(q)
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
	marked := map[*query]bool{}
	if c.Schema {
		// What queries depend on is unknown, and so are their results.
		e.generation++
		clear(e.statements)
		e.index = newIndex()
		for _, q := range e.queries {
			q.schema, q.places = true, nil
			e.loosen(q)
			marked[q] = true
		}
	} else {
		e.concerned(&c, marked)
	}
	if len(marked) == 0 {
		return
	}
	var order []*query
	for q := range marked {
		order = append(order, q)
	}
	slices.SortFunc(order, func(a, b *query) int { return cmp.Compare(a.id, b.id) })
	for _, q := range order {
		e.mark(q)
	}
	e.signal()
}

// concerned notes the queries whose results may differ after c. mu is held.
func (e *Engine) concerned(c *store.Commit, marked map[*query]bool) {
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.AllRows {
			for j := range t.Rows {
				e.index.find(t.Of, &t.Rows[j], func(p *place) { marked[p.q] = true })
			}
		} else {
			e.index.each(t.Table, func(p *place) {
				if p.q.readsAny(t) {
					marked[p.q] = true
				}
			})
		}
		for q := range e.loose {
			if q.schema || q.readsAny(t) {
				marked[q] = true
			}
		}
	}
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
	for len(e.queue) > 0 {
		t := e.queue[0]
		e.queue[0] = nil
		e.queue = e.queue[1:]
		t.dirty = false
		if t.removed {
			continue
		}
		e.busy = true
		e.runs++
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
	q.rows, q.columns = d.hashes, columns
	e.failing(q, false)
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
	e.mu.Unlock()
	if !schema {
		return nil
	}
	p, err := e.prepare(e.ctx, q.sql, q.params)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		q.schema = true // its dependencies are unknown: any commit may matter
		e.loosen(q)
		return err
	}
	if !q.removed {
		e.adopt(q, p)
	}
	return nil
}

// fail reports err to the subscribers, unless the engine is closing.
func (q *query) fail(e *Engine, subs []*Subscription, err error) {
	if e.ctx.Err() != nil {
		return
	}
	e.failing(q, true)
	for _, s := range subs {
		s.failure(err)
	}
}

// failing notes whether the last run of q failed. Which rows a run meets before it
// fails is the plan's affair: no row may be skipped then.
func (e *Engine) failing(q *query, failing bool) {
	if q.failed == failing {
		return
	}
	q.failed = failing
	e.mu.Lock()
	defer e.mu.Unlock()
	q.failing = failing
	e.loosen(q)
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
