// Package live keeps the results of queries up to date: a query runs again
// when a commit may change its result, and its subscribers get the difference by
// row.
//
// Which rows a query depends on tells SQLite itself: see package tap. An index over
// these conditions finds the queries that a changed row concerns. What it tells is
// always enough: each delivered result equals a fresh run. docs/LIVE.md has the rules.
//
// Subscriptions of the same SQL and parameters share one run. All that is due runs in
// one round, on one snapshot: see round.go. Commits that arrive meanwhile are
// handled together, so a burst of writes costs two runs and not one each.
package live

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// Sink receives what becomes of a subscription. Its methods are called one at
// a time and in order, outside SQLite; they return soon and may call the
// database, but not the Engine's Close. What becomes of several subscriptions in one
// round is told after all of it has run.
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
	feed   *store.Feed
	wake   chan struct{}
	done   chan struct{}

	mu         sync.Mutex
	closed     bool
	generation uint64 // of the schema: it counts the changes
	statements map[string]*statement
	queries    map[string]*query
	index      *index
	loose      map[*query]bool  // those that the index does not have or may not skip
	touched    map[*family]bool // those with changes of which only a snapshot tells
	queue      []*query         // those to run
	deferred   []*query         // those to run once a group that pauses goes on
	resumed    map[*Group]bool  // groups to be told of the next round, whatever it brings
	ids        uint64
	commits    uint64 // that were decided
	runs       int    // how many times a query was due, for tests
	busy       bool   // a round is under way
	at         uint64 // the commit of the last round; of the engine's goroutine alone

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
	dirty   bool // in the queue, or deferred
	schema  bool // its dependencies must be read again
	failing bool // its last run failed
	st      *statement
	deps    store.Deps
	places  []*place // in the index, unless schema
	kin     []kin
	pending pending // the commits since its last result that concern it
	counts  Counts
	began   uint64        // Engine.commits when it came
	took    time.Duration // by its last run or patch
	subs    []*Subscription
	removed bool

	// Of the engine's goroutine alone.
	patches
	rows    []rowHash // of the last result
	kept    kept      // of the last result
	columns []string
	failed  bool // its last run failed, and the subscribers know it
	scratch []byte
}

// Subscription is a subscriber of a query.
type Subscription struct {
	e       *Engine
	q       *query
	group   *Group // nil if it is on its own
	sink    Sink
	stopped atomic.Bool

	// Guarded by Engine.mu.
	fresh  bool // has had no result yet
	begins bool // nor an error
}

// New starts an engine over db. Close ends it, before db is closed.
func New(db *store.DB) *Engine {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{db: db, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{}),
		queries: map[string]*query{}, statements: map[string]*statement{}, index: newIndex(),
		loose: map[*query]bool{}, touched: map[*family]bool{},
		resumed: map[*Group]bool{}, feed: db.NewFeed()}
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
	e.feed.Close()
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
	return e.subscribe(ctx, sql, params, sink, nil)
}

func (e *Engine) subscribe(
	ctx context.Context, sql string, params value.Params, sink Sink, group *Group,
) (*Subscription, error) {
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
		q = &query{id: e.ids, key: key, sql: sql, params: params, began: e.commits}
		e.queries[key] = q
		e.feed.CarryRows(true)
		if p.deps.Reads == nil { // it has gone meanwhile: its first run prepares it
			q.schema = true
			e.loosen(q)
		} else {
			e.adopt(q, p)
		}
	}
	s := &Subscription{e: e, q: q, group: group, sink: sink, fresh: true, begins: true}
	q.subs = append(q.subs, s)
	if group != nil {
		group.begin++
	}
	e.mark(q)
	e.retry()
	e.signal()
	return s, nil
}

// adopt takes over what decides when q runs. mu is held.
func (e *Engine) adopt(q *query, p prepared) {
	e.forget(q)
	q.st, q.deps, q.places, q.patches = p.st, p.deps, p.places, p.patches
	// The schema may have changed meanwhile.
	if q.schema = p.generation != e.generation; !q.schema {
		for i, at := range q.places {
			at.deps = &q.deps
			if i < p.told && e.kinship(q, at) {
				continue
			}
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
		if at.q == q {
			e.index.remove(at)
		}
	}
	for _, k := range q.kin {
		e.leave(q, k)
	}
	q.places, q.kin = nil, nil
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
			s.begun()
			break
		}
	}
	if len(q.subs) == 0 && !q.removed {
		q.removed = true
		delete(e.queries, q.key)
		e.feed.CarryRows(len(e.queries) > 0)
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

// decide marks the queries that commits concern. It reports whether the schema has
// changed.
func (e *Engine) decide(commits []store.Commit) (schema bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.commits += uint64(len(commits))
	marked := map[*query]bool{}
	for i := range commits {
		c := &commits[i]
		if !c.Schema {
			e.concerned(c, marked)
			continue
		}
		// What queries depend on is unknown, and so are their results.
		schema = true
		e.generation++
		clear(e.statements)
		e.index = newIndex()
		clear(e.touched)
		for _, q := range e.queries {
			q.schema, q.places, q.kin, q.pending = true, nil, nil, pending{unfit: true}
			e.loosen(q)
			marked[q] = true
		}
	}
	order := slices.SortedFunc(maps.Keys(marked), func(a, b *query) int { return cmp.Compare(a.id, b.id) })
	for _, q := range order {
		e.mark(q)
	}
	return schema
}

// concerned notes the queries whose results may differ after c. mu is held.
func (e *Engine) concerned(c *store.Commit, marked map[*query]bool) {
	for i := range c.Tables {
		t := &c.Tables[i]
		found, families := map[*query]bool{}, map[*family]bool{}
		note := func(p *place) {
			if p.family != nil {
				families[p.family] = true
			} else {
				found[p.q] = true
			}
		}
		if t.AllRows {
			for j := range t.Rows {
				e.index.find(t.Of, &t.Rows[j], note)
			}
		} else {
			e.index.each(t.Table, func(p *place) {
				if readsAny(p.deps, t) {
					note(p)
				}
			})
		}
		for q := range e.loose {
			if q.schema || readsAny(&q.deps, t) {
				found[q] = true
			}
		}
		for f := range families {
			e.touched[f] = true
			f.since.add(t)
		}
		for q := range found {
			marked[q] = true
			q.pending.add(t)
		}
	}
}
