package leader

import (
	"slices"
	"sync"

	"heddle.dev/heddle/internal/live"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
)

// delivery sends a tab what becomes of its live queries: all of a round in one event.
// Until the page acknowledges it, and while nobody looks at the page, what comes is
// merged: then one event follows.
type delivery struct {
	s     *Session
	group *live.Group

	mu      sync.Mutex
	commit  uint64       // the results that are pending are those of this commit
	changed []*liveQuery // those with something to send
	waits   bool         // the page has an event that it has not acknowledged
	due     bool         // the engine has told that all results of a round are here
}

// liveQuery is a tab's live query. delivery.mu guards it.
type liveQuery struct {
	d       *delivery
	id      uint32
	sub     *live.Subscription
	stopped bool
	pending bool          // it is in delivery.changed
	update  *value.Update // merged since the last event
	err     error         // what came after it
}

func newDelivery(s *Session) *delivery {
	d := &delivery{s: s}
	d.group = s.l.live.NewGroup(d.moved)
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

// pauseLive is called when the page is hidden, and when it is shown.
func (s *Session) pauseLive(c *call) error {
	s.delivery.group.Pause(c.Paused)
	return nil
}

func (q *liveQuery) stop() {
	d := q.d
	d.mu.Lock()
	q.stopped = true
	q.update, q.err = nil, nil
	d.changed = slices.DeleteFunc(d.changed, func(p *liveQuery) bool { return p == q })
	sub := q.sub
	d.mu.Unlock()
	if sub != nil {
		sub.Stop()
	}
}

// Result is called by the engine.
func (q *liveQuery) Result(u value.Update) {
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	if q.note() {
		u = compose(q.update, u)
		q.update, q.err = &u, nil
	}
}

// Error is called by the engine.
func (q *liveQuery) Error(err error) {
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	if q.note() {
		q.err = err
	}
}

// note puts q among those with something to send, unless it has ended. The mutex is
// held.
func (q *liveQuery) note() bool {
	if !q.stopped && !q.pending {
		q.pending = true
		q.d.changed = append(q.d.changed, q)
	}
	return !q.stopped
}

// moved is called by the engine, after the results of a round.
func (d *delivery) moved(commit uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commit, d.due = commit, true
	d.flush()
}

// ack is called when the page has shown what it was sent.
func (d *delivery) ack() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits = false
	d.flush()
}

// flush sends what is due, if the page is ready for it. The mutex is held.
func (d *delivery) flush() {
	if d.waits || !d.due {
		return
	}
	d.due = false
	if len(d.changed) == 0 {
		return
	}
	d.waits = true
	results := make([]rpc.LiveResult, len(d.changed))
	for i, q := range d.changed {
		results[i] = rpc.LiveResult{Query: q.id, Update: q.update, Err: q.err}
		q.update, q.err, q.pending = nil, nil, false
	}
	d.changed = nil
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
