package live

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// A round takes all commits since the last one as one change, and runs what they
// concern on one snapshot. Before and after it, all results that were delivered are
// those of one commit: what holds for several queries at each commit holds for
// what a receiver has.

// task is what a round does with one query.
type task struct {
	q     *query
	subs  []*Subscription
	fresh []bool  // fresh[i]: subs[i] has had no result yet
	since pending // the commits since the last result

	// What became of it.
	err     error
	patched bool // it did not run
	took    time.Duration
	d       *differ
	columns []string
	renamed bool // its columns have other names now
}

// loop makes rounds until the engine closes.
func (e *Engine) loop() {
	defer close(e.done)
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.wake:
		case <-e.feed.Wake():
		}
		for e.ctx.Err() == nil && e.round() {
		}
	}
}

// round brings all results up to date. It reports false if nothing was due.
func (e *Engine) round() bool {
	e.setBusy(true)
	e.decide(e.feed.Take(math.MaxUint64))
	due, tell := e.due()
	if len(due) == 0 && !tell && !e.undecided() {
		e.setBusy(false)
		return false
	}
	failures := e.renew(due) // before the snapshot: with one connection nothing else can be read meanwhile
	read, err := e.db.BeginRead(e.ctx)
	if err != nil {
		tasks, groups := e.take()
		for _, t := range tasks {
			t.err = err
		}
		e.deliver(e.at, tasks, groups)
		return true
	}
	if e.decide(e.feed.Take(read.Commit)) { // another schema: what is due is prepared first
		read.Close()
		return true
	}
	e.resolve(read)
	tasks, groups := e.take()
	for i, t := range tasks {
		if t.err = failures[t.q]; t.err == nil {
			start := time.Now()
			e.run(read, t)
			t.took = time.Since(start)
		}
		// An error may have taken the snapshot with it, or its time is over.
		if t.err != nil && read.Lost() {
			own := max(i, 1) // the first has had the whole time
			e.putBack(tasks[own:])
			tasks = tasks[:own]
			break
		}
	}
	read.Close()
	e.at = max(e.at, read.Commit)
	e.deliver(e.at, tasks, groups)
	return true
}

func (e *Engine) setBusy(busy bool) {
	e.mu.Lock()
	e.busy = busy
	e.mu.Unlock()
}

// due returns the queries to run, and whether a group is to be told in any case.
func (e *Engine) due() (queries []*query, tell bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sift()
	return slices.Clone(e.queue), len(e.resumed) > 0
}

// sift takes out of the queue what nobody wants to see now. mu is held.
func (e *Engine) sift() {
	rest := e.queue[:0]
	for _, q := range e.queue {
		switch {
		case q.removed:
		case q.wanted():
			rest = append(rest, q)
		default:
			e.deferred = append(e.deferred, q)
		}
	}
	clear(e.queue[len(rest):])
	e.queue = rest
}

// wanted reports whether a subscriber shows q now. mu is held.
func (q *query) wanted() bool {
	return slices.ContainsFunc(q.subs, func(s *Subscription) bool { return s.group == nil || s.group.shows() })
}

// retry puts back what was deferred: somebody may want to see it now. mu is held.
func (e *Engine) retry() {
	e.queue = append(e.queue, e.deferred...)
	e.deferred = nil
}

// take begins the tasks of what is due, each with the subscribers as of now, and
// returns the groups to tell of them. One that shows later than now is not among
// them: what was deferred for it is not either.
func (e *Engine) take() (tasks []*task, groups []*Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sift()
	tell := e.resumed
	e.resumed = map[*Group]bool{}
	for _, q := range e.queue {
		q.dirty = false
		t := &task{q: q, since: q.pending, subs: slices.Clone(q.subs), fresh: make([]bool, len(q.subs))}
		q.pending = pending{}
		for i, s := range t.subs {
			t.fresh[i] = s.fresh
			if s.group != nil && s.group.shows() {
				tell[s.group] = true
			}
		}
		tasks = append(tasks, t)
	}
	e.runs += len(tasks)
	e.queue = nil
	groups = slices.SortedFunc(maps.Keys(tell), func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
	return tasks, groups
}

// putBack leaves tasks for the next round.
func (e *Engine) putBack(tasks []*task) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range tasks {
		e.runs--
		t.q.pending.before(t.since)
		e.mark(t.q)
	}
}

// run runs the query of t.
func (e *Engine) run(read *store.ReadTx, t *task) {
	q := t.q
	whole := q.rows == nil || slices.Contains(t.fresh, true)
	if !whole {
		if t.d = e.maintain(read, q, &t.since); t.d != nil {
			t.columns, t.patched = q.columns, true
			return
		}
	}
	begin := func(names []string) {
		t.columns = names
		// The receivers keep rows by their columns' names.
		t.renamed = q.rows != nil && !slices.Equal(names, q.columns)
		t.d = newDiffer(q.rows, whole || t.renamed)
		t.d.kept.columns = q.keep()
	}
	t.err = read.Query(e.ctx, q.sql, q.params, begin, func(s *sqlite3.Stmt) (err error) {
		q.scratch, err = t.d.row(s, q.scratch)
		return err
	})
}

// renew reads the dependencies of queries again whose schema has changed. It returns
// why they cannot run.
func (e *Engine) renew(queries []*query) (failures map[*query]error) {
	for _, q := range queries {
		e.mu.Lock()
		schema := q.schema
		e.mu.Unlock()
		if !schema {
			continue
		}
		p, err := e.prepare(e.ctx, q.sql, q.params)
		e.mu.Lock()
		switch {
		case err != nil: // its dependencies are unknown: any commit may matter
			if failures == nil {
				failures = map[*query]error{}
			}
			failures[q] = err
		case !q.removed:
			e.adopt(q, p)
		}
		e.mu.Unlock()
	}
	return failures
}

// deliver tells the subscribers what became of the tasks of a round, and then the
// groups that the results up to a commit are there.
func (e *Engine) deliver(commit uint64, tasks []*task, groups []*Group) {
	if e.ctx.Err() != nil {
		return
	}
	vain := e.conclude(tasks)
	for _, t := range tasks {
		t.tell()
	}
	for g, list := range vain {
		for _, s := range list {
			g.vain(s)
		}
	}
	for _, g := range groups {
		g.moved(commit)
	}
}

// conclude notes that the subscribers of tasks have had a result. It returns what ran
// so often in vain that the groups which show it are told.
func (e *Engine) conclude(tasks []*task) (vain map[*Group][]Statement) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range tasks {
		before := t.q.counts.Vain
		t.q.counts.add(t)
		t.q.took = t.took
		often := before < vainRuns && t.q.counts.Vain == vainRuns && 2*vainRuns > t.q.counts.Runs
		for _, s := range t.subs {
			s.begun()
			s.fresh = s.fresh && t.err != nil
			if often && s.group != nil {
				if vain == nil {
					vain = map[*Group][]Statement{}
				}
				one := e.describe(t.q)
				one.count(e, t.q)
				vain[s.group] = append(vain[s.group], one)
			}
		}
		if failing := t.err != nil; failing != t.q.failing {
			// Which rows a run meets before it fails is the plan's affair: no row may be
			// skipped then.
			t.q.failing = failing
			e.loosen(t.q)
		}
	}
	return vain
}

// tell sends the subscribers of t their results, or why there are none. The next
// round compares with this result.
func (t *task) tell() {
	q := t.q
	if t.err != nil {
		q.failed = true
		for _, s := range t.subs {
			s.failure(t.err)
		}
		return
	}
	d := t.d
	changed := !d.same() || q.failed
	diff := value.Update{Columns: t.columns, Total: len(d.hashes), Runs: d.runs}
	full := value.Update{Reset: true, Columns: t.columns, Total: len(d.hashes)}
	if len(d.all) > 0 {
		full.Runs = []value.Run{{N: len(d.all), Rows: d.all}}
	}
	q.failed, q.rows, q.kept, q.columns = false, d.hashes, d.kept, t.columns
	for i, s := range t.subs {
		switch {
		case t.fresh[i], t.renamed:
			s.result(full)
		case changed:
			s.result(diff)
		}
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
