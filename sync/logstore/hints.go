package logstore

import (
	"context"

	"heddle.dev/heddle/sync/wire"
)

// Hint says that a space has moved.
type Hint struct {
	Space string // "": any may have
	Seq   uint64 // how far it has come at least, by this commit; 0: not known
	News  *News  // what the commit has added to the log; nil: it is to be read
}

// News is a commit as streams send it. Who has the head Base needs to read nothing.
type News struct {
	Base    wire.Position // the log's end before
	Entries []wire.Entry  // one at least: Base.Seq+1, …
	Digest  wire.Hash     // of the folded state afterwards
}

// Head is the log's end after the commit.
func (n *News) Head() wire.Position {
	last := &n.Entries[len(n.Entries)-1]
	return wire.Position{Epoch: n.Base.Epoch, Seq: last.Seq, Chain: last.Chain}
}

// Proven says whether the chain hashes prove that the entries follow Base, and that
// their bodies are those that were hashed.
func (n *News) Proven() bool {
	at := n.Base
	for i := range n.Entries {
		e := &n.Entries[i]
		if e.Seq != at.Seq+1 || e.Chain != e.ChainAfter(at.Chain) ||
			(e.Outcome == "" || len(e.Body) > 0) && wire.HashBody(e.Body) != e.BodyHash {
			return false
		}
		at.Seq, at.Chain = e.Seq, e.Chain
	}
	return len(n.Entries) > 0
}

// Hints carry word of commits between the servers over one store. They may be lost,
// late or doubled, and are safe for concurrent use. Package storetest has the suite
// that all of them pass.
type Hints interface {
	// Send tells all who watch. It does not block, and keeps nothing of h. Where
	// nobody can be told the hint is lost.
	Send(h Hint)

	// Watch calls f with hints until ctx ends, or nil after Close. It begins with one
	// without a space, since those from before were not heard of; one comes also where
	// hints are known to be lost, unless Watch ends with an error: the caller watches
	// again then. f does not block.
	Watch(ctx context.Context, f func(Hint)) error

	// Close sends what waits, if it can be sent, and ends the watches.
	Close() error
}
