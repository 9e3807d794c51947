package server

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// space is what the server remembers of a space while somebody uses it. The store
// has the truth; this is what streams follow, and what spares reads.
type space struct {
	s    *Server
	name string

	turn   chan struct{} // holds one token: the right to decide
	st     *state        // by who has the turn; nil: the store is to be read
	sealed *sealedLog    // by who has the turn; nil: the space is plain, or to be read

	mu    sync.Mutex // guards what follows
	queue []*push    // that wait for the turn
	head  head
	moves uint64 // of head
	tail  tail
	feeds int // streams that follow
	// In a sealed space: devices whose removal was seen, and its entry, with which their streams end.
	removed map[seal.ID]uint64
	heads   *deviceHeads // what streams send of heads; nil: to be read
	wanted  wanting      // snapshots, and their proof
	cuts    int          // how often its log was to be cut since that began; 0: it is not being cut
	stocked int64        // bytes in chunks, about; 0: to be read

	refs int           // guarded by Server.mu
	warm *list.Element // guarded by Server.mu: st may be there
	held int64         // guarded by Server.mu: bytes of rows that st has
}

// head is the log's end as streams see it. next is closed when it moves.
type head struct {
	wire.Position
	next  chan struct{}
	at    time.Time // when the server came to know of it
	kicks uint64    // streams that began with fewer are to end
	told  uint64    // how often devices have told their heads
	err   error     // why all are to end
}

func newSpace(s *Server, name string) *space {
	return &space{s: s, name: name, turn: make(chan struct{}, 1), head: head{next: make(chan struct{})}}
}

// currentHead returns the log's end and the channel that closes when it has moved.
func (sp *space) currentHead() head {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.head
}

// move sets the head and wakes the streams. The caller holds sp.mu.
func (sp *space) move(to wire.Position, err error) {
	sp.moves++
	close(sp.head.next)
	sp.head = head{Position: to, next: make(chan struct{}), at: time.Now(), kicks: sp.head.kicks, told: sp.head.told,
		err: err}
}

// read reads the space as it is now, and lets streams know of a head that is not
// the one they know. f is as for logstore.Store.Read. Where ctx has no bound, that of
// a call of the store counts.
func (sp *space) read(ctx context.Context, f func(logstore.View) error) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sp.s.o.Limits.Store)
		defer cancel()
	}
	sp.mu.Lock()
	moves := sp.moves
	sp.mu.Unlock()
	var found logstore.Meta
	err := sp.s.store.Read(ctx, sp.name, func(v logstore.View) (err error) {
		if found, err = v.Meta(); err != nil {
			return err
		}
		return f(v)
	})
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch {
	case sp.moves != moves: // what was found may be older than what is known by now
	case errors.Is(err, logstore.ErrGone):
		if sp.head.err == nil {
			sp.move(wire.Position{}, err)
		}
	case found.Head != (wire.Position{}):
		sp.found(found.Head, found.Kicks, found.Told)
	}
	return err
}

// found takes what the store has told. The caller holds sp.mu.
func (sp *space) found(head wire.Position, kicks, told uint64) {
	news := kicks > sp.head.kicks || told != sp.head.told
	sp.head.kicks, sp.head.told = max(kicks, sp.head.kicks), told
	if news || head != sp.head.Position {
		sp.move(head, nil)
	}
}

// readOrMake is read of a space that comes into being with it.
func (sp *space) readOrMake(ctx context.Context, f func(logstore.View) error) error {
	err := sp.read(ctx, f)
	if !errors.Is(err, logstore.ErrNotFound) {
		return err
	}
	var epoch wire.Epoch
	rand.Read(epoch[:]) // never fails
	if err := sp.create(ctx, epoch); err != nil {
		return err
	}
	return sp.read(ctx, f)
}

func (sp *space) create(ctx context.Context, epoch wire.Epoch) error {
	ctx, cancel := context.WithTimeout(ctx, sp.s.o.Limits.Store)
	defer cancel()
	return sp.s.store.Create(ctx, sp.name, epoch)
}

// refresh reads what has come to a space that somebody follows, by a hint.
func (sp *space) refresh(ctx context.Context) error {
	at := sp.currentHead().Position
	var entries []wire.Entry
	var found logstore.Meta
	err := sp.s.store.Read(ctx, sp.name, func(v logstore.View) (err error) {
		entries = nil
		if found, err = v.Meta(); err != nil {
			return err
		}
		if found.Head.Seq > at.Seq && found.Head.Seq-at.Seq <= tailEntries && found.Head.Epoch == at.Epoch {
			entries, err = v.Entries(at.Seq, tailEntries*tailBytes, wire.ClientID{})
		}
		return err
	})
	if err != nil {
		return err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch n := len(entries); {
	case sp.head.Position != at: // it has moved meanwhile, or was not known before
		return nil
	case n > 0 && entries[n-1].Seq == found.Head.Seq && entries[0].ChainAfter(at.Chain) == entries[0].Chain:
		sp.noteRemoved(entries)
		sp.tail.add(at, entries, found.Head, found.Digest)
	}
	sp.found(found.Head, found.Kicks, found.Told)
	return nil
}

// advance tells the streams of a commit of this server.
func (sp *space) advance(base wire.Position, w *logstore.WriteSet) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.noteRemoved(w.Entries)
	if sp.feeds > 0 {
		sp.tail.add(base, w.Entries, w.Head, w.Digest)
	} else {
		sp.tail = tail{}
	}
	if sp.head.Position != w.Head {
		sp.move(w.Head, nil)
	}
}

// awaits says whether streams follow that have come to this position.
func (sp *space) awaits(at wire.Position) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.feeds > 0 && sp.head.err == nil && sp.head.Position == at
}

// hear tells the streams of another server's commit. It is false where nobody follows,
// or where the commit is not proven to come next.
func (sp *space) hear(n *logstore.News) bool {
	if !sp.awaits(n.Base) || !n.Proven() {
		return false
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.head.err != nil || sp.head.Position != n.Base { // meanwhile
		return false
	}
	sp.noteRemoved(n.Entries)
	sp.tail.add(n.Base, n.Entries, n.Head(), n.Digest)
	sp.move(n.Head(), nil)
	return true
}

// follow counts a stream in.
func (sp *space) follow() (leave func()) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.feeds++
	return func() {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.feeds--; sp.feeds == 0 {
			sp.tail = tail{}
		}
	}
}

// told takes a head from the store, and says whether what is new is to be read.
func (sp *space) told(h *logstore.Head) (read bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch {
	case h.Gone:
		sp.move(wire.Position{}, logstore.ErrGone)
		return false
	case h.Epoch == (wire.Epoch{}):
		return false
	}
	sp.found(sp.head.Position, h.Kicks, h.Told)
	return h.Position != sp.head.Position
}

var errEpoch = errcode.New(errcode.Diverged, "server: check position", "the space has begun a new epoch")

// checkPosition says whether a replica at p follows this log.
func checkPosition(v past, m *logstore.Meta, p wire.Position) error {
	const op = "server: check position"
	if p.Epoch == (wire.Epoch{}) {
		if p.Seq != 0 {
			return errcode.New(errcode.Protocol, op, "a position without epoch has a seq")
		}
		return nil
	}
	if p.Epoch != m.Head.Epoch {
		return errEpoch
	}
	if p.Seq > 0 && p.Seq < m.Horizon { // also where a cut has kept the entry
		return errBehind
	}
	if p.Seq > m.Head.Seq {
		return errcode.New(errcode.Diverged, op, fmt.Sprintf("the log ends at %d, before %d", m.Head.Seq, p.Seq))
	}
	var chain wire.Hash
	if p.Seq > 0 {
		found, known, err := v.Chain(p.Seq)
		switch {
		case err != nil:
			return err
		case !known:
			return errBehind
		}
		chain = found
	}
	if chain != p.Chain {
		return errcode.New(errcode.Diverged, op, fmt.Sprintf("the log has another past at %d", p.Seq))
	}
	return nil
}

// batchBytes is how much of the log is read, and sent in a frame, at a time;
// one entry may be larger.
const batchBytes = 1 << 20

// batch is what a stream sends next.
type batch struct {
	entries []wire.Entry
	head    wire.Position
	digest  wire.Hash // at head
}

// after reads the log after a position up to a batch. The bodies of author's own
// entries are left out.
func (sp *space) after(ctx context.Context, p wire.Position, author wire.ClientID) (b batch, err error) {
	err = sp.read(ctx, func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		if err := checkPosition(v, &m, p); err != nil {
			return err
		}
		b.head, b.digest = m.Head, digestOf(&m)
		if p.Seq < m.Horizon {
			return errBehind
		}
		b.entries, err = v.Entries(p.Seq, batchBytes, author)
		if err == nil && p.Seq < m.Head.Seq && (len(b.entries) == 0 || b.entries[0].Seq != p.Seq+1) {
			err = errBehind
		}
		return err
	})
	return b, err
}

// digestAt returns the digest at seq, that of the log's end where end is set;
// HEDDLE_NOT_FOUND if it is not kept any more, or seq was not the log's end after
// a commit.
func (sp *space) digestAt(ctx context.Context, seq uint64, end bool) (*wire.DigestResponse, error) {
	d := &wire.DigestResponse{}
	err := sp.read(ctx, func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		if end {
			seq = m.Head.Seq
		}
		*d = wire.DigestResponse{Epoch: m.Head.Epoch, Seq: seq}
		if seq == 0 {
			d.Digest = (&fold.Digest{}).Sum()
			return nil
		}
		st, found, err := v.At(seq)
		if err == nil && !found {
			err = errcode.New(errcode.NotFound, "server: digest", fmt.Sprintf("there is no digest at %d: "+
				"it is too old or yet to come, or was decided together with the entry after it", seq))
		}
		d.Chain, d.Digest, d.Rows = st.Head.Chain, st.Digest, st.RowCount
		return err
	})
	return d, err
}
