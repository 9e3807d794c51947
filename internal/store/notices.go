package store

import "sync"

// notices delivers commits to subscribers in order, one at a time, outside
// SQLite and outside every lock.
type notices struct {
	mu         sync.Mutex
	next       uint64
	queue      []Commit
	delivering bool
	subs       []*subscriber
}

type subscriber struct{ f func(Commit) }

// OnCommit calls f after each commit that changed something, in order. f runs
// on the goroutine of a committing caller: it returns soon and may call the
// database. The commit's slices are shared and not to be changed.
func (db *DB) OnCommit(f func(Commit)) (remove func()) {
	s := &subscriber{f}
	n := &db.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subs = append(n.subs[:len(n.subs):len(n.subs)], s)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		var rest []*subscriber
		for _, t := range n.subs {
			if t != s {
				rest = append(rest, t)
			}
		}
		n.subs = rest
	}
}

// add queues commits and numbers them; a nil one is nothing to announce.
func (n *notices) add(commits ...*Commit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range commits {
		if c != nil {
			n.next++
			c.Number = n.next
			n.queue = append(n.queue, *c)
		}
	}
}

// deliver empties the queue, unless another goroutine is doing it.
func (n *notices) deliver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delivering {
		return
	}
	n.delivering = true
	defer func() { n.delivering = false }()
	for len(n.queue) > 0 {
		c, subs := n.queue[0], n.subs
		n.queue = n.queue[1:]
		n.mu.Unlock()
		func() {
			defer n.mu.Lock()
			for _, s := range subs {
				s.f(c)
			}
		}()
	}
}

// CommitNumber returns the number of the last commit that was announced or is
// about to be.
func (db *DB) CommitNumber() uint64 {
	db.notices.mu.Lock()
	defer db.notices.mu.Unlock()
	return db.notices.next
}
