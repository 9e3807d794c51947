package live

import (
	"context"

	"heddle.dev/heddle/internal/value"
)

// Group is subscriptions that are shown together, as those of a page.
type Group struct {
	e     *Engine
	id    uint64
	moved func(commit uint64)
	vain  func(Statement)

	// Guarded by Engine.mu.
	paused bool
	begin  int // subscriptions that have had no outcome yet
}

// NewGroup makes a group. moved is called after each round that concerned it, when
// its sinks have all results of the round: they are those of the commit of this
// number, which never goes down. vain is called once for a query of the group that
// has run a hundred times, and most often found the result that it had. Both are
// called as a Sink's methods are.
func (e *Engine) NewGroup(moved func(commit uint64), vain func(Statement)) *Group {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids++
	return &Group{e: e, id: e.ids, moved: moved, vain: vain}
}

// Subscribe is [Engine.Subscribe] for a subscription of the group.
func (g *Group) Subscribe(
	ctx context.Context, sql string, params value.Params, sink Sink,
) (*Subscription, error) {
	return g.e.subscribe(ctx, sql, params, sink, g)
}

// Pause says whether nobody looks at what the group shows. What only such groups
// subscribe to does not run; a subscription that begins meanwhile brings all of its
// group up to date. After Pause(false) moved is called soon, whether or not
// something has changed.
func (g *Group) Pause(paused bool) {
	e := g.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if g.paused == paused || e.closed {
		return
	}
	g.paused = paused
	if !paused {
		e.resumed[g] = true
		e.retry()
		e.signal()
	}
}

// shows reports whether the group is to be brought up to date. Engine.mu is held.
func (g *Group) shows() bool { return !g.paused || g.begin > 0 }

// begun notes that s has had an outcome, or ends without one. Engine.mu is held.
func (s *Subscription) begun() {
	if s.begins && s.group != nil {
		s.group.begin--
	}
	s.begins = false
}
