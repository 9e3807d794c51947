package seal

import (
	"maps"
	"math"
	"slices"

	"heddle.dev/heddle/sync/wire"
)

type clientState struct {
	device  ID // zero: not known
	counter uint64
	last    Hash // the digest of the last one that counts
}

// Log is what is kept of a sealed log in order to judge the next entry: no entry itself.
type Log struct {
	Records
	space   string
	anchor  Anchor
	window  uint64
	head    Position
	chains  []Hash // of the last entries, up to the head
	clients map[wire.ClientID]clientState
	undo    []undo         // of the entries since Keep
	before  []clientBefore // what those entries have changed of clients, in order
}

// undo is what an entry has changed, as it was before.
type undo struct {
	head    Position
	records *recordsBefore // of a Change that counts alone
	clients int            // how much of Log.before comes before the entry
}

type recordsBefore struct {
	Records
	anchor Anchor
}

type clientBefore struct {
	id    wire.ClientID
	state clientState
	known bool
}

// NewLog begins a log of a space. An anchor of zeros takes the first entry's: a server's.
// window is Window.
func NewLog(space string, anchor Anchor, window uint64) *Log {
	return &Log{space: space, anchor: anchor, window: window, clients: map[wire.ClientID]clientState{}}
}

// Head returns the last entry's position.
func (l *Log) Head() Position { return l.head }

// Anchor returns the space's anchor; zeros as long as it is not known.
func (l *Log) Anchor() Anchor { return l.anchor }

// Client returns the last counter that counts of a client, with the digest of that Sealed.
func (l *Log) Client(id wire.ClientID) (counter uint64, last Hash) {
	c := l.clients[id]
	return c.counter, c.last
}

// Has says whether a position is on the log, as far as chain hashes are kept.
func (l *Log) Has(p Position) bool {
	at, kept := l.chain(p.Seq)
	return kept && at == p.Chain
}

// MayHave says whether a position is on the log, or lies before all whose hashes are kept: who began with a snapshot
// knows no hash from before it.
func (l *Log) MayHave(p Position) bool {
	at, kept := l.chain(p.Seq)
	return p.Seq <= l.head.Seq && (!kept || at == p.Chain)
}

// Chain returns the chain hash at an entry, as far as it is kept.
func (l *Log) Chain(seq uint64) (h Hash, kept bool) { return l.chain(seq) }

// Position returns that of an entry, as far as chain hashes are kept.
func (l *Log) Position(seq uint64) (p Position, kept bool) {
	chain, kept := l.chain(seq)
	return Position{seq, chain}, kept && seq > 0
}

// Common returns the last position that two logs have; zeros where they have none, or where it lies before what is kept
// of their hashes.
func (l *Log) Common(other *Log) (at Position) {
	for seq := min(l.head.Seq, other.head.Seq); seq > 0; seq-- {
		mine, kept := l.chain(seq)
		theirs, keptToo := other.chain(seq)
		switch {
		case !kept || !keptToo:
			return at
		case mine == theirs:
			return Position{seq, mine}
		}
	}
	return at
}

// Same says whether two logs, however they have begun, end at the same entry, with the same members, whom the newest
// Change names with all before it, and know the same of each client.
func (l *Log) Same(other *Log) bool {
	return l.head == other.head && l.newest == other.newest && maps.Equal(l.clients, other.clients)
}

// Oldest returns the oldest position whose hash is kept.
func (l *Log) Oldest() (at Position) {
	if n := uint64(len(l.chains)); n > 0 {
		at = Position{l.head.Seq - n + 1, l.chains[0]}
	}
	return at
}

// Saved is what is kept of a Log outside of memory.
type Saved struct {
	Head    Position
	Chains  []Hash        // of the last entries, up to the head's; Window of them, or all
	Clients []SavedClient // in any order
	Changes []SavedChange // those that are ok, in order
}

// Base is what a server keeps of a log whose beginning is cut, so that it can judge what
// follows: without the Changes, which no cut takes away.
type Base struct {
	Head    Position // the last entry that was cut
	Clients []SavedClient
	Changes []uint64 // the entries of those that count
}

func (b *Base) fields(c *coder) {
	c.uint(1, &b.Head.Seq, 1<<63)
	c.fixed(2, b.Head.Chain[:])
	c.messages(3, len(b.Clients), math.MaxInt, func(i int) message { return element(&b.Clients, i) })
	c.messages(4, len(b.Changes), math.MaxInt, func(i int) message { return (*seqOf)(element(&b.Changes, i)) })
}

type seqOf uint64

func (s *seqOf) fields(c *coder) { c.uint(1, (*uint64)(s), 1<<63) }

// Marshal returns b's canonical encoding.
func (b *Base) Marshal() []byte { return marshal(b) }

// UnmarshalBase decodes a Base. Errors are HEDDLE_PROTOCOL.
func UnmarshalBase(data []byte) (*Base, error) {
	b := &Base{}
	return b, unmarshal(data, "seal: decode Base", b)
}

// Base returns what is to be kept if the log is cut behind its head.
func (l *Log) Base() *Base {
	b := &Base{Head: l.head, Clients: l.Clients()}
	for _, c := range l.changes {
		b.Changes = append(b.Changes, c.seq)
	}
	return b
}

// Clients returns what is known of all clients, in no order.
func (l *Log) Clients() []SavedClient {
	all := make([]SavedClient, 0, len(l.clients))
	for id, c := range l.clients {
		all = append(all, SavedClient{id, c.device, c.counter, c.last})
	}
	return all
}

// SavedChange is a Change, encoded, and the entry that it stands in.
type SavedChange struct {
	Seq uint64
	Box []byte
}

// SavedClient is what is kept of a client.
type SavedClient struct {
	ID      wire.ClientID
	Device  ID
	Counter uint64
	Last    Hash
}

// Restore makes an empty log one that was saved. One that does not know its anchor takes
// the first Change's. Errors are HEDDLE_PROTOCOL: what was saved is damaged.
func (l *Log) Restore(s *Saved) error {
	l.head, l.chains = s.Head, slices.Clone(s.Chains)
	for _, c := range s.Clients {
		l.clients[c.ID] = clientState{c.Device, c.Counter, c.Last}
	}
	for _, saved := range s.Changes {
		c, err := UnmarshalChange(saved.Box)
		if err != nil {
			return err
		}
		if l.anchor == (Anchor{}) && saved.Seq == 1 && len(c.Add) > 0 {
			l.anchor = AnchorOf(l.space, c.Random, c.Add[0].Sign)
		}
		l.apply(c, HashChange(saved.Box), saved.Seq)
	}
	return nil
}

// Touched returns the clients of which something else is known since Keep.
func (l *Log) Touched() (all []SavedClient) {
	seen := map[wire.ClientID]bool{}
	for _, b := range l.before {
		if !seen[b.id] {
			c := l.clients[b.id]
			all = append(all, SavedClient{b.id, c.device, c.counter, c.last})
			seen[b.id] = true
		}
	}
	return all
}

// Clone returns a log of its own.
func (l *Log) Clone() *Log {
	c := *l
	c.members, c.ever, c.clients = maps.Clone(l.members), maps.Clone(l.ever), maps.Clone(l.clients)
	c.chains, c.undo, c.before = slices.Clone(l.chains), slices.Clone(l.undo), slices.Clone(l.before)
	return &c
}

// chain returns the chain hash at seq, as far as it is kept. Where the log begins it is zero: that is always known.
func (l *Log) chain(seq uint64) (h Hash, kept bool) {
	back := l.head.Seq - seq
	if seq == 0 || seq > l.head.Seq || back >= uint64(len(l.chains)) {
		return Hash{}, seq == 0
	}
	return l.chains[uint64(len(l.chains))-1-back], true
}

// Append adds the entry that was judged v, which is no stop. Until Keep, Rollback takes
// it back.
func (l *Log) Append(e *wire.Entry, v Verdict) {
	l.undo = append(l.undo, undo{head: l.head, clients: len(l.before)})
	l.head = Position{e.Seq, e.Chain}
	least := int(l.window) + len(l.undo)
	if l.chains = append(l.chains, e.Chain); len(l.chains) > least+int(l.window) {
		l.chains = slices.Clone(l.chains[len(l.chains)-least:])
	}
	if !v.Counted {
		return
	}
	l.set(e.Client, clientState{v.sealed.Device, e.Counter, v.digest})
	if v.Code != "" || v.change == nil {
		return
	}
	l.undo[len(l.undo)-1].records = &recordsBefore{l.Records, l.anchor}
	if e.Seq == 1 {
		_, l.anchor, _ = v.founder(l.space)
	}
	l.apply(v.change, HashChange(v.sealed.Box), e.Seq)
	for _, m := range v.change.added() {
		// Its client id for Changes is its own from here on.
		if id := m.ID.Members(); l.clients[id].device == (ID{}) {
			l.set(id, clientState{device: m.ID})
		}
	}
}

// set changes what is known of a client.
func (l *Log) set(id wire.ClientID, to clientState) {
	before, known := l.clients[id]
	l.before = append(l.before, clientBefore{id, before, known})
	l.clients[id] = to
}

// Keep makes what was appended final.
func (l *Log) Keep() { l.undo, l.before = nil, nil }

// Rollback takes back the entries behind seq that were appended since Keep.
func (l *Log) Rollback(seq uint64) {
	for l.head.Seq > seq && len(l.undo) > 0 {
		u := l.undo[len(l.undo)-1]
		l.undo, l.chains = l.undo[:len(l.undo)-1], l.chains[:len(l.chains)-1]
		if l.head = u.head; u.records != nil {
			l.Records, l.anchor = u.records.Records, u.records.anchor
		}
		for _, c := range slices.Backward(l.before[u.clients:]) {
			if l.clients[c.id] = c.state; !c.known {
				delete(l.clients, c.id)
			}
		}
		l.before = l.before[:u.clients]
	}
}
