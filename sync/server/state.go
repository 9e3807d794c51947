package server

import (
	"errors"
	"iter"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// past is what a turn reads of a space: a logstore.View has it, and a state as far
// as that goes.
type past interface {
	Meta() (logstore.Meta, error)
	Chain(seq uint64) (chain wire.Hash, found bool, err error)
	Find(client wire.ClientID, counter uint64) (hash wire.Hash, found bool, err error)
	Clients(ids []wire.ClientID) ([]logstore.Client, error)
	AllClients() iter.Seq2[logstore.Client, error]
	Rows(ids []logstore.RowID) ([][]byte, error)
	Uploads() ([]logstore.Upload, error)
	Parts(client wire.ClientID) ([][]byte, error)
	Sizes(after uint64, n int) ([]logstore.Size, error)
}

// errUnknown says that a state does not have it: the store is to be read.
var errUnknown = errors.New("server: not in memory")

// state is a space at one head, as far as it is in memory: what the last turn has
// read, and what its commit has left. A turn decides on it; that it is still the
// store's is proven by the commit alone. A turn changes nothing of it before its
// commit stands, but for the digest, which it can undo.
type state struct {
	meta    logstore.Meta
	schema  *fold.Schema
	digest  *fold.Digest
	uploads []logstore.Upload
	chains  []wire.Hash // those at the last seqs, up to the head's
	clients recent[wire.ClientID, logstore.Client]
	rows    recent[logstore.RowID, []byte] // encoded cells; nil: there is none
	luck    int                            // what guesses that a row is new have been like; see guess
}

const (
	chainsKept   = 256     // positions of devices that follow are not further back
	clientsKept  = 1024    // and as many again of those before
	rowsKept     = 2 << 20 // bytes, and as many again
	rowBytes     = 128     // what a row takes beside its bytes
	mostLuck     = 8
	unluckyUntil = -8
)

func newState(m *logstore.Meta, schema *fold.Schema, digest *fold.Digest) *state {
	return &state{meta: *m, schema: schema, digest: digest, chains: []wire.Hash{m.Head.Chain},
		clients: recent[wire.ClientID, logstore.Client]{most: clientsKept},
		rows:    recent[logstore.RowID, []byte]{most: rowsKept}}
}

// Meta implements past, as do the others of that interface.
func (st *state) Meta() (logstore.Meta, error) { return st.meta, nil }

func (st *state) Chain(seq uint64) (chain wire.Hash, found bool, err error) {
	back := st.meta.Head.Seq - seq // more than all where seq is beyond the head
	if back >= uint64(len(st.chains)) {
		return chain, false, errUnknown
	}
	return st.chains[uint64(len(st.chains))-1-back], true, nil
}

func (st *state) Find(wire.ClientID, uint64) (hash wire.Hash, found bool, err error) {
	return hash, false, errUnknown
}

func (st *state) Clients(ids []wire.ClientID) ([]logstore.Client, error) {
	all := make([]logstore.Client, len(ids))
	for i, id := range ids {
		c, known := st.clients.get(id)
		if !known {
			return nil, errUnknown
		}
		all[i] = c
	}
	return all, nil
}

func (st *state) AllClients() iter.Seq2[logstore.Client, error] {
	return func(yield func(logstore.Client, error) bool) { yield(logstore.Client{}, errUnknown) }
}

func (st *state) Rows(ids []logstore.RowID) ([][]byte, error) {
	all := make([][]byte, len(ids))
	for i, id := range ids {
		cells, known := st.rows.get(id)
		if !known {
			return nil, errUnknown
		}
		all[i] = cells
	}
	return all, nil
}

func (st *state) Uploads() ([]logstore.Upload, error)        { return st.uploads, nil }
func (st *state) Parts(wire.ClientID) ([][]byte, error)      { return nil, errUnknown }
func (st *state) Sizes(uint64, int) ([]logstore.Size, error) { return nil, errUnknown }

// unread says of a row whether nothing is known of it, and whether a turn may take it
// to be new then, if it is inserted: the commit proves that. A wrong guess costs more
// than to have read the row, and where there was one there are more, so some are read
// then before the next guess.
func (st *state) unread(id logstore.RowID) (unread, guess bool) {
	_, known := st.rows.get(id)
	return !known, !known && st.luck >= 0
}

// met notes whether a row that was inserted, and that was unread, was there.
func (st *state) met(there bool) {
	if there {
		st.luck = unluckyUntil
	} else {
		st.luck = min(st.luck+1, mostLuck)
	}
}

// knows remembers what a turn has read, or has left. The owner of a client is settled
// once it was read: a commit does not prove it.
func (st *state) knows(t *turn) {
	for _, c := range t.clients {
		if t.o.settled(&c.Client) && !c.claimed {
			st.clients.put(c.ID, c.Client, 1)
		}
	}
	st.uploads = t.uploads.all()
	for id, r := range t.rows {
		st.putRow(id, r.cells)
	}
}

func (st *state) putRow(id logstore.RowID, cells []byte) {
	st.rows.put(id, cells, int64(len(id.Table)+len(id.Key)+len(cells))+rowBytes)
}

// advance makes it the state that the turn's commit has left.
func (st *state) advance(t *turn) {
	w := &t.w
	for i := range w.Entries {
		e := &w.Entries[i]
		st.meta.Logged += int64(len(e.Body)) + entryBytes
		st.chains = append(st.chains, e.Chain)
	}
	if n := len(st.chains); n > 2*chainsKept {
		st.chains = append(make([]wire.Hash, 0, 2*chainsKept), st.chains[n-chainsKept:]...)
	}
	for _, s := range t.sizes {
		if s.Seq <= w.Cut {
			st.meta.Logged -= s.Bytes + entryBytes
			st.meta.Horizon = s.Seq
		}
	}
	st.meta.State = w.State
	st.schema = t.schema
	st.digest.Settle()
	st.knows(t)
}

// recent remembers what was put last: two generations, of which the older one goes
// when the younger one is full.
type recent[K comparable, V any] struct {
	most       int64 // the size of a generation
	young, old generation[K, V]
}

type generation[K comparable, V any] struct {
	all  map[K]remembered[V]
	size int64
}

type remembered[V any] struct {
	value V
	size  int64
}

func (r *recent[K, V]) get(k K) (value V, known bool) {
	one, known := r.young.all[k]
	if !known {
		one, known = r.old.all[k]
	}
	return one.value, known
}

func (r *recent[K, V]) put(k K, value V, size int64) {
	if r.young.all == nil {
		r.young.all = map[K]remembered[V]{}
	}
	r.young.size += size - r.young.all[k].size
	r.young.all[k] = remembered[V]{value, size}
	if r.young.size > r.most {
		r.old, r.young = r.young, generation[K, V]{}
	}
}

// size is that of all it has.
func (r *recent[K, V]) size() int64 { return r.young.size + r.old.size }
