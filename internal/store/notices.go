package store

import (
	"fmt"
	"strings"
	"sync"

	"heddle.dev/heddle/internal/errcode"
)

// notices delivers commits to subscribers in order, one at a time, outside
// SQLite and outside every lock.
type notices struct {
	mu         sync.Mutex
	next       uint64
	queue      []Commit
	delivering bool
	subs       []*subscriber
	feeds      []*Feed
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
			for _, f := range n.feeds {
				f.add(*c)
			}
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

// maxNumber is far from the numbers that JavaScript does not hold exactly.
const maxNumber = 1 << 52

// NumberAbove lets the numbers of commits go on above n, the last one that another
// process gave: whoever has seen its commits sees them go up.
func (db *DB) NumberAbove(n uint64) {
	db.notices.mu.Lock()
	defer db.notices.mu.Unlock()
	if n < maxNumber {
		db.notices.next = max(db.notices.next, n+1)
	}
}

// MaxNotified bounds the notifications of one transaction, in bytes of channels
// and payloads.
const MaxNotified = 32 << 10

// Notification is what a transaction tells the subscribers of its commit.
type Notification struct{ Channel, Payload string }

// notified are the notifications of an open transaction. Those that come after a
// savepoint go when the transaction is rolled back to it.
type notified struct {
	list       []Notification
	size       int
	savepoints []savepoint
}

type savepoint struct {
	name string
	n    int // notifications before it
}

// Notify adds a notification to the transaction's [Commit]. A transaction that
// changed nothing else is a commit then too.
func (tx *Tx) Notify(channel, payload string) error {
	const op = "store: notify"
	return tx.run(op, "", func() error {
		n := &tx.c.notified
		if n.size+len(channel)+len(payload) > MaxNotified {
			return errcode.New(errcode.TooBig, op,
				fmt.Sprintf("the notifications of one transaction have %d bytes at most", MaxNotified))
		}
		n.size += len(channel) + len(payload)
		n.list = append(n.list, Notification{channel, payload})
		tx.notified = true
		return nil
	})
}

// savepoint follows a SAVEPOINT statement that is about to run: what it does,
// as the authorizer names it, and the savepoint.
func (n *notified) savepoint(does, name string) {
	at := len(n.savepoints) - 1
	for does != "BEGIN" && at >= 0 && !strings.EqualFold(n.savepoints[at].name, name) {
		at--
	}
	switch {
	case does == "BEGIN":
		n.savepoints = append(n.savepoints, savepoint{name, len(n.list)})
	case at < 0: // SQLite will say that there is none
	case does == "ROLLBACK":
		n.list = n.list[:n.savepoints[at].n]
		n.savepoints = n.savepoints[:at+1]
	default:
		n.savepoints = n.savepoints[:at]
	}
}
