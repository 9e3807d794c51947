package leader

import (
	"slices"
	"sync"

	"heddle.dev/heddle/internal/live"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
)

// delivery sends a tab what becomes of its live queries: all of a round in one event.
// Until the page acknowledges it, what comes is merged: then one event follows. While
// nobody looks at the page, rounds bring what others show too; it stays apart until
// the engine tells that all of the page has been brought up to date.
type delivery struct {
	s     *Session
	group *live.Group

	mu     sync.Mutex
	staged []*liveQuery // those with outcomes since the engine told last
	ready  []*liveQuery // those with outcomes to send, of one commit
	commit uint64       // this one
	waits  bool         // the page has an event that it has not acknowledged
}

// liveQuery is a tab's live query. delivery.mu guards it.
type liveQuery struct {
	d             *delivery
	id            uint32
	sub           *live.Subscription
	stopped       bool
	staged, ready outcome
}

// outcome is what became of a query in one or more rounds.
type outcome struct {
	update *value.Update // nil if there was none
	err    error         // that of the last run, if it failed
}

func (o *outcome) none() bool { return o.update == nil && o.err == nil }

// add merges what came later.
func (o *outcome) add(later outcome) {
	if later.update != nil {
		u := compose(o.update, *later.update)
		o.update, o.err = &u, nil
	}
	if later.err != nil {
		o.err = later.err
	}
}

func newDelivery(s *Session) *delivery {
	d := &delivery{s: s}
	d.group = s.l.live.NewGroup(d.moved, func(v live.Statement) { s.tell(rpc.LiveVainEvent(liveStatement(v))) })
	return d
}

func (s *Session) startLive(c *call) error {
	c.begin()
	q := &liveQuery{d: s.delivery, id: c.ID}
	s.mu.Lock()
	if s.closed || c.answered {
		s.mu.Unlock()
		return nil
	}
	s.lives[c.ID] = q
	s.mu.Unlock()
	sub, err := s.delivery.group.Subscribe(c.ctx, c.Stmt.SQL, c.Stmt.Params, q)
	if err != nil {
		s.mu.Lock()
		delete(s.lives, c.ID)
		s.mu.Unlock()
		return err
	}
	q.d.mu.Lock()
	q.sub = sub
	stopped := q.stopped
	q.d.mu.Unlock()
	if stopped { // while Subscribe ran
		sub.Stop()
	}
	c.done()
	return nil
}

// stopLive ends a live query; the page has already forgotten it.
func (s *Session) stopLive(c *call) error {
	s.mu.Lock()
	q := s.lives[c.Target]
	delete(s.lives, c.Target)
	s.mu.Unlock()
	if q != nil {
		q.stop()
	} else {
		s.cancelCall(c.Target)
	}
	return nil
}

func (s *Session) liveStats(c *call) error {
	statements := s.l.live.Statements()
	list := make([]rpc.LiveStatement, len(statements))
	for i, v := range statements {
		list[i] = liveStatement(v)
	}
	c.reply(rpc.ReplyLiveStatements(c.ID, list))
	return nil
}

func (s *Session) liveExplain(c *call) error {
	v, err := s.l.live.Explain(c.ctx, c.Stmt.SQL, c.Stmt.Params)
	if err != nil {
		return err
	}
	c.reply(rpc.ReplyLiveStatement(c.ID, liveStatement(v)))
	return nil
}

func liveStatement(v live.Statement) rpc.LiveStatement {
	s := rpc.LiveStatement{Sql: v.SQL, Queries: uint32(v.Queries), Commits: v.Commits, Probed: v.Skipped,
		Patched: v.Patched, Runs: v.Runs, Vain: v.Vain, Micros: uint64(v.Took.Microseconds()), Why: v.Why}
	for _, p := range v.Places {
		s.Places = append(s.Places, rpc.LivePlace{Table: p.Table, Column: p.Column, How: string(p.How)})
	}
	return s
}

// pauseLive is called when the page is hidden, and when it is shown.
func (s *Session) pauseLive(c *call) error {
	s.delivery.group.Pause(c.Paused)
	return nil
}

// listen is called when one more open() of the page listens to commits, or one fewer.
func (s *Session) listen(c *call) error {
	s.send(rpc.ReplyU64(c.ID, s.l.listen(s, c.Listens)))
	return nil
}

func (q *liveQuery) stop() {
	d := q.d
	d.mu.Lock()
	q.stopped = true
	is := func(p *liveQuery) bool { return p == q }
	d.staged, d.ready = slices.DeleteFunc(d.staged, is), slices.DeleteFunc(d.ready, is)
	q.staged, q.ready = outcome{}, outcome{}
	sub := q.sub
	d.mu.Unlock()
	if sub != nil {
		sub.Stop()
	}
}

// Result is called by the engine.
func (q *liveQuery) Result(u value.Update) { q.stage(outcome{update: &u}) }

// Error is called by the engine.
func (q *liveQuery) Error(err error) { q.stage(outcome{err: err}) }

func (q *liveQuery) stage(o outcome) {
	d := q.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.stopped {
		return
	}
	if q.staged.none() {
		d.staged = append(d.staged, q)
	}
	q.staged.add(o)
}

// moved is called by the engine, after the results of a round.
func (d *delivery) moved(commit uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.staged {
		if q.ready.none() {
			d.ready = append(d.ready, q)
		}
		q.ready.add(q.staged)
		q.staged = outcome{}
	}
	d.staged, d.commit = nil, commit
	d.flush()
}

// ack is called when the page has taken what it was sent.
func (d *delivery) ack() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits = false
	d.flush()
}

// flush sends what is ready, unless the page has not acknowledged the last event. The
// mutex is held.
func (d *delivery) flush() {
	if d.waits || len(d.ready) == 0 {
		return
	}
	d.waits = true
	results := make([]rpc.LiveResult, len(d.ready))
	for i, q := range d.ready {
		results[i] = rpc.LiveResult{Query: q.id, Update: q.ready.update, Err: q.ready.err}
		q.ready = outcome{}
	}
	d.ready = nil
	p := d.s.l.packers.Get().(*rpc.Packer)
	defer d.s.l.packers.Put(p)
	rpc.EncodeLive(p, d.commit, results, d.s.send)
}

// compose makes one update of two: the first, which may be nil, turned A into
// B, the second B into C.
func compose(first *value.Update, second value.Update) value.Update {
	if first == nil || second.Reset {
		return second
	}
	starts := make([]int, len(first.Runs)+1) // of each run, in B
	for i, run := range first.Runs {
		starts[i+1] = starts[i] + run.N
	}
	out := value.Update{Reset: first.Reset, Columns: second.Columns, Total: second.Total}
	owned := false // the last run's rows are out's own
	add := func(run value.Run) {
		if run.N == 0 {
			return
		}
		if n := len(out.Runs); n > 0 {
			last := &out.Runs[n-1]
			if last.Copy && run.Copy && last.From+last.N == run.From {
				last.N += run.N
				return
			}
			if !last.Copy && !run.Copy {
				if !owned {
					last.Rows, owned = slices.Clone(last.Rows), true
				}
				last.Rows = append(last.Rows, run.Rows...)
				last.N += run.N
				return
			}
		}
		owned = false
		out.Runs = append(out.Runs, run)
	}
	for _, run := range second.Runs {
		if !run.Copy {
			add(run)
			continue
		}
		// The copied rows of B, run by run of the first update.
		i, _ := slices.BinarySearch(starts[1:], run.From+1)
		for ; i < len(first.Runs) && starts[i] < run.From+run.N; i++ {
			made := first.Runs[i]
			from, to := max(run.From, starts[i]), min(run.From+run.N, starts[i+1])
			if from >= to {
				continue
			}
			at := from - starts[i]
			if made.Copy {
				add(value.Run{Copy: true, From: made.From + at, N: to - from})
			} else {
				add(value.Run{N: to - from, Rows: made.Rows[at : at+to-from]})
			}
		}
	}
	return out
}

// coalescer sends one event of a kind at a time and keeps only the latest meanwhile.
// Session.mu guards it.
type coalescer struct {
	waits   bool
	pending []byte
}

func (s *Session) coalesce(g *coalescer, message []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || !s.greeted:
	case g.waits:
		g.pending = message
	default:
		g.waits = true
		s.peer.Send(message)
	}
}

// ack is called when the page has dealt with an event.
func (s *Session) ack(c *call) error {
	e := rpc.Event(c.Event)
	if e == rpc.EventLive {
		s.delivery.ack()
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var g *coalescer
	switch {
	case s.closed:
		return nil
	case e == rpc.EventStatus:
		g = &s.status
	case e == rpc.EventProgress:
		g = &s.progress
	default:
		return nil
	}
	if g.waits = g.pending != nil; g.waits {
		s.peer.Send(g.pending)
		g.pending = nil
	}
	return nil
}
