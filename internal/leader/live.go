package leader

import (
	"slices"
	"sync"

	"heddle.dev/heddle/internal/live"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
)

// liveQuery is a tab's live query. Until the page acknowledges the last update,
// further ones are merged into one.
type liveQuery struct {
	s  *Session
	id uint32

	mu      sync.Mutex
	sub     *live.Subscription
	stopped bool
	waits   bool // the page has an update that it has not acknowledged
	pending *value.Update
	failed  bool // the page has an error that it has not acknowledged
	failure error
}

func (s *Session) startLive(c *call) error {
	c.begin()
	q := &liveQuery{s: s, id: c.ID}
	s.mu.Lock()
	if s.closed || c.answered {
		s.mu.Unlock()
		return nil
	}
	s.lives[c.ID] = q
	s.mu.Unlock()
	sub, err := s.l.live.Subscribe(c.ctx, c.Stmt.SQL, c.Stmt.Params, q)
	if err != nil {
		s.mu.Lock()
		delete(s.lives, c.ID)
		s.mu.Unlock()
		return err
	}
	q.mu.Lock()
	q.sub = sub
	stopped := q.stopped
	q.mu.Unlock()
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

func (q *liveQuery) stop() {
	q.mu.Lock()
	q.stopped = true
	sub := q.sub
	q.mu.Unlock()
	if sub != nil {
		sub.Stop()
	}
}

// Result is called by the engine.
func (q *liveQuery) Result(u value.Update) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	if q.waits {
		u = compose(q.pending, u)
		q.pending = &u
		return
	}
	q.waits = true
	q.send(&u)
}

// Error is called by the engine.
func (q *liveQuery) Error(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	if q.failed {
		q.failure = err
		return
	}
	q.failed = true
	q.s.send(rpc.LiveErrorEvent(q.id, err))
}

// ack sends what is pending since the event that the page has acknowledged.
func (q *liveQuery) ack(e rpc.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case e == rpc.EventLive && q.pending != nil:
		u := q.pending
		q.pending = nil
		q.send(u)
	case e == rpc.EventLive:
		q.waits = false
	case e == rpc.EventLiveError && q.failure != nil:
		err := q.failure
		q.failure = nil
		q.s.send(rpc.LiveErrorEvent(q.id, err))
	case e == rpc.EventLiveError:
		q.failed = false
	}
}

func (q *liveQuery) send(u *value.Update) {
	p := q.s.l.packers.Get().(*rpc.Packer)
	defer q.s.l.packers.Put(p)
	rpc.EncodeLive(p, q.id, u, q.s.send)
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
	s.mu.Lock()
	if q := s.lives[c.Target]; q != nil {
		s.mu.Unlock()
		q.ack(e)
		return nil
	}
	defer s.mu.Unlock()
	var g *coalescer
	switch {
	case c.Target != 0 || s.closed:
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
