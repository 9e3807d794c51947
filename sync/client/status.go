package client

import (
	"sync"

	"heddle.dev/heddle/internal/errcode"
)

// State is what sync is doing.
type State string

// The states.
const (
	Off           State = "off"           // Run does not run
	Bootstrapping State = "bootstrapping" // the state of the space is being fetched; rows come as they are then
	Connecting    State = "connecting"    // a request is on its way, or waits to be tried again
	Live          State = "live"          // the pull stream is open and the prefix was its head
	Offline       State = "offline"       // no network, or the server does not answer; tried again
	Paused        State = "paused"        // Pause was called
	Error         State = "error"         // waiting may not mend it; tried again within a minute; see LastError
	Stopped       State = "stopped"       // the content cannot be synced; nothing is tried before Resume; see LastError
)

// Status is what sync is doing, for people to see.
type Status struct {
	State     State
	Seq       uint64         // the prefix's last entry
	Pending   int            // transactions without an entry at or before Seq
	LastError *errcode.Error // of the last attempt; nil after one that succeeded
	// Incomplete: the database is new, and the rows of the space have not all come
	// yet: what is read may lack some. Never true again once they have.
	Incomplete bool
	Polling    Polling // why the log is polled; "" where it is followed by a stream
	Repairs    int     // how often the digest differed from the server's and rows were fetched again

	// Of a sealed space. Withheld: what a member has told of has not come for a minute, though the
	// server answers. Differs: a member has other rows at that entry; one of the two has a fault.
	Withheld, Differs Withheld
	Snapshot          SnapshotStatus
}

// SnapshotStatus is what a device of a sealed space knows of a snapshot: of the last one that it has made, has started
// from, or has read back whole. The server's word is not in it: members have signed what it counts.
type SnapshotStatus struct {
	Seq uint64 // the entry that the snapshot stands at; 0 for none
	// Proved: a device has read the snapshot back, or has started from it after another had, and not its maker, unless
	// the space has no other. The server may cut the log up to it.
	Proved bool
	// Confirmed counts the devices beside the maker and this one that have done so, or that have told the same digest of
	// their rows as this one, at the snapshot's entry or later. Devices is how many there are.
	Confirmed, Devices int
}

// Progress says how far a transfer has got that takes a while.
type Progress struct {
	Phase string // "snapshot", "pull" or "push"
	Done  uint64 // snapshot: rows applied; pull: the prefix's last entry; push: bytes sent
	Total uint64 // snapshot: rows in all, about; pull: the log's head; push: bytes to send
	Rows  uint64 // snapshot, pull: rows applied since the transfer began
}

// listeners are the functions that an event goes to. Events are delivered in
// order, one at a time, by whichever goroutine sent one while none was being
// delivered; no lock is held then.
type listeners struct {
	mu      sync.Mutex
	next    int
	funcs   map[int]func(any)
	order   []int
	queue   []any
	sending bool
}

func (l *listeners) add(f func(any)) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.funcs == nil {
		l.funcs = map[int]func(any){}
	}
	id := l.next
	l.next++
	l.funcs[id] = f
	l.order = append(l.order, id)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.funcs, id)
		for i, o := range l.order {
			if o == id {
				l.order = append(l.order[:i:i], l.order[i+1:]...)
				break
			}
		}
	}
}

// put queues an event; deliver must follow.
func (l *listeners) put(event any) {
	l.mu.Lock()
	l.queue = append(l.queue, event)
	l.mu.Unlock()
}

func (l *listeners) deliver() {
	l.mu.Lock()
	if l.sending {
		l.mu.Unlock()
		return
	}
	l.sending = true
	for len(l.queue) > 0 {
		event := l.queue[0]
		l.queue = l.queue[1:]
		funcs := make([]func(any), 0, len(l.order))
		for _, id := range l.order {
			funcs = append(funcs, l.funcs[id])
		}
		l.mu.Unlock()
		for _, f := range funcs {
			f(event)
		}
		l.mu.Lock()
	}
	l.sending = false
	l.mu.Unlock()
}

func on[T any](l *listeners, f func(T)) (remove func()) {
	return l.add(func(event any) {
		if e, ok := event.(T); ok {
			f(e)
		}
	})
}

// OnStatus calls f after each change of the status. f must not wait for the
// client. The same goes for the other events.
func (c *Client) OnStatus(f func(Status)) (remove func()) { return on(&c.events, f) }

// OnRejected calls f after a transaction of this replica's was rejected and
// its effects were undone.
func (c *Client) OnRejected(f func(Rejected)) (remove func()) { return on(&c.events, f) }

// OnConflict calls f after a conflict.
func (c *Client) OnConflict(f func(Conflict)) (remove func()) { return on(&c.events, f) }

// OnProgress calls f now and then during long transfers.
func (c *Client) OnProgress(f func(Progress)) (remove func()) { return on(&c.events, f) }

// Status returns the present status.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cond.status()
}

// update changes what the status is made of by f, and tells the listeners
// where the status differs.
func (c *Client) update(f func(*condition)) {
	c.mu.Lock()
	before := c.cond.status()
	wanted, life := c.cond.active(), c.cond.life
	f(&c.cond)
	after := c.cond.status()
	if wanted != c.cond.active() || life != c.cond.life {
		c.changed.send()
	}
	if after != before {
		c.events.put(after)
	}
	c.mu.Unlock()
	c.events.deliver()
}

// condition is what the status is made of.
type condition struct {
	running, paused, online bool
	bootstrapping           bool           // a snapshot is being applied
	complete                bool           // see replica.View
	live                    bool           // the pull stream has caught up
	serverKnown             bool           // the server has answered as one, now or in an earlier session
	fatal                   *errcode.Error // why sync has stopped
	push, pull              *errcode.Error // of the last attempt
	life                    int            // counts replacements of the database's content
	polling                 Polling        // how the log was asked for last
	seq                     uint64
	repairs                 int
	withheld, differs       Withheld
	snapshot                SnapshotStatus
	first, last             int64 // ids of the pending transactions: after first, up to last
}

func (c *condition) status() Status {
	s := Status{
		State: Connecting, Seq: c.seq, Pending: int(max(0, c.last-c.first)),
		Repairs: c.repairs, Incomplete: !c.complete, Polling: c.polling, Withheld: c.withheld, Differs: c.differs,
		Snapshot: c.snapshot,
	}
	for _, err := range []*errcode.Error{c.fatal, c.pull, c.push} {
		if err != nil {
			s.LastError = err
			break
		}
	}
	switch {
	case !c.running:
		s.State = Off
	case c.fatal != nil:
		s.State = Stopped
	case c.paused:
		s.State = Paused
	case !c.online:
		s.State = Offline
	case needsAttention(c.pull, c.serverKnown) || needsAttention(c.push, c.serverKnown):
		s.State = Error
	case c.bootstrapping && c.pull == nil:
		s.State = Bootstrapping
	case c.live:
		s.State = Live
	case c.pull != nil && c.pull.Code == errcode.Network:
		s.State = Offline
	}
	return s
}

// needsAttention reports whether an error may outlast any wait, unlike a server or
// a network that will be back. A server that has never answered may be a wrong URL.
func needsAttention(err *errcode.Error, met bool) bool {
	if err == nil {
		return false
	}
	switch err.Code {
	case errcode.Network:
		return !met
	case errcode.Server, errcode.RateLimited, errcode.Behind, errcode.Aborted, errcode.Timeout:
		return false
	}
	return true
}
