package model

import (
	"fmt"
	"maps"
	"slices"
)

// observer knows what each honest device has sealed. It does not judge: it says
// what must be true of the entries that a replica has taken, in other words than
// the rules.
type observer struct {
	w        *world
	seals    map[hash]sealInfo
	devices  map[deviceID]bool     // the honest ones
	owner    map[clientID]deviceID // of their databases
	outcomes map[hash]string       // by the true history up to an entry
	chains   map[hash]hash         // to the true history
	words    map[*change]hash      // of admins that history is lost: the digest that each stands under
}

type sealInfo struct {
	client  clientID
	counter int
	tx      txID
	prev    hash
	seen    []hash // the author's true history
}

// trace is what the observer keeps of a replica: its true history, and who can
// read and write by that.
type trace struct {
	w       *world
	history []hash // one for each entry: of all entries up to it
	members map[deviceID]member
	ever    map[deviceID]bool
	holders map[deviceID]bool // who has the newest key
	key     keyID
	number  int
	changes map[*change]int // to their seq
	last    *change         // of those
	effects map[txID]int
	hashes  map[clientID][]hash // of counted entries, in order
	counts  map[clientID]int
	word    bool               // the user's, or an admin's, to start over
	obeyed  *change            // the last such word of an admin
	gone    map[*change]*trace // by a Change with a word of this device: the history given up
	removed map[deviceID]bool  // whom it has ever known to be removed
}

func newTrace(w *world) trace {
	return trace{w: w, members: map[deviceID]member{}, ever: map[deviceID]bool{}, holders: map[deviceID]bool{},
		changes: map[*change]int{}, effects: map[txID]int{}, hashes: map[clientID][]hash{}, counts: map[clientID]int{},
		gone: map[*change]*trace{}, removed: map[deviceID]bool{}}
}

func (t *trace) clone() trace {
	c := *t
	c.history = slices.Clone(t.history)
	c.members, c.ever, c.holders = maps.Clone(t.members), maps.Clone(t.ever), maps.Clone(t.holders)
	c.changes, c.effects, c.counts = maps.Clone(t.changes), maps.Clone(t.effects), maps.Clone(t.counts)
	c.gone, c.hashes, c.removed = maps.Clone(t.gone), map[clientID][]hash{}, maps.Clone(t.removed)
	for id, all := range t.hashes {
		c.hashes[id] = slices.Clone(all)
	}
	return c
}

func (o *observer) sealed(r *replica, p *pushed, tx txID) {
	o.seals[hashOf(p.body.sig.over)] = sealInfo{p.client, p.counter, tx, p.body.prev, slices.Clone(r.trace.history)}
}

// ownerOf is the honest device whose client id it is.
func (o *observer) ownerOf(c clientID) deviceID {
	if c < 0 && o.devices[deviceID(-c)] {
		return deviceID(-c)
	}
	return o.owner[c]
}

// applied looks at an entry that r has taken.
func (t *trace) applied(r *replica, e *entry, v verdict) {
	w := t.w
	what := struct {
		before, body hash
		client       clientID
		counter      int
		outcome      string
	}{client: e.client, counter: e.counter, outcome: e.outcome, body: hashOf(*e.body)}
	if len(t.history) > 0 {
		what.before = t.history[len(t.history)-1]
	}
	t.history = append(t.history, hashOf(what))
	here := t.history[len(t.history)-1]
	was, known := w.see.outcomes[here]
	if known && was != v.code {
		w.violate("one history, two outcomes: %q and %q", was, v.code)
	}
	w.see.outcomes[here] = v.code
	if other, known := w.see.chains[e.chain]; known && other != here {
		w.violate("one chain hash, two histories")
	}
	w.see.chains[e.chain] = here
	if e.body.first() != w.anchor && len(t.history) == 1 {
		w.violate("a replica follows another space")
	}
	if n := r.word.seq; n > 0 && r.started() && (len(t.history) < n || t.history[n-1] != r.promise) {
		w.violate("a new device starts on a history that is not its inviter's")
	}
	t.authors(r, e, v)
	if v.counted {
		if e.counter != t.counts[e.client]+1 {
			w.violate("number %d of a client follows number %d", e.counter, t.counts[e.client])
		}
		t.counts[e.client] = e.counter
		t.hashes[e.client] = append(t.hashes[e.client], e.digest())
	}
	if v.code != ok {
		return
	}
	t.sight(e)
	if e.body.kind == data {
		t.written(e)
		return
	}
	t.changed(e.body.device, e.body.box.change)
	if c := e.body.box.change; c.reset != nil {
		if other, is := w.see.words[c]; is && other != e.digest() {
			w.violate("two words of admins are the same: who has followed the one does not obey the other")
		}
		w.see.words[c] = e.digest()
	}
	if gone := t.gone[e.body.box.change]; gone != nil {
		for id := range gone.ever {
			if _, was := gone.members[id]; !was && t.members[id].id != 0 {
				w.violate("an admin's word brings back whom the admin knew to be removed")
			}
		}
	}
}

// authors: under an honest device's id stands what it made, each once and none left out.
func (t *trace) authors(r *replica, e *entry, v verdict) {
	owner := t.w.see.ownerOf(e.client)
	if owner == 0 || e.client < 0 && !t.ever[owner] {
		return // the id of one who is not let in here is nobody's
	}
	if !v.counted {
		if owner != e.body.device && (e.client == r.client || len(t.hashes[e.client]) > 0 && t.members[owner].id != 0) {
			t.w.violate("an entry of another device stands under an honest one's id")
		}
		return
	}
	h := e.digest()
	s, made := t.w.see.seals[h]
	all := t.hashes[e.client]
	switch {
	case !made || s.client != e.client || s.counter != e.counter:
		t.w.violate("an entry that its author has not made (%s)", v.code)
	case slices.Contains(all, h):
		t.w.violate("an entry twice")
	case s.prev != 0 && !slices.Contains(all, s.prev):
		t.w.violate("an entry without the one before it")
	}
}

// sight: no effect before what its author had seen, and no other history than that.
func (t *trace) sight(e *entry) {
	s, honest := t.w.see.seals[e.digest()]
	if !honest {
		return
	}
	n := len(s.seen)
	if n >= len(t.history) || n > 0 && t.history[n-1] != s.seen[n-1] {
		t.w.violate("an entry takes effect in another history than its author's")
	}
}

// written: by a member that may write, for the members alone, once.
func (t *trace) written(e *entry) {
	b := e.body
	m, is := t.members[b.device]
	switch {
	case !is || m.slot:
		t.w.violate("one who is no member writes")
	case m.role == read:
		t.w.violate("a reader writes")
	case b.box.key != t.key:
		t.w.violate("text under a key that is not the members' own takes effect")
	case !b.box.opens(b.box.key, statement{e.client, e.counter, b.sealed}):
		t.w.violate("an entry takes effect that does not open")
	}
	if s, honest := t.w.see.seals[hashOf(b.sig.over)]; honest {
		if t.effects[s.tx]++; t.effects[s.tx] > 1 {
			t.w.violate("a transaction takes effect twice")
		}
	}
}

// changed: nobody gives or takes more than it may, and the members have the key, alone.
func (t *trace) changed(by deviceID, c *change) {
	w := t.w
	author, is := t.members[by]
	if c.prev != t.last {
		w.violate("a Change takes effect whose author has seen other members than there are")
	}
	t.last = c
	if !c.first {
		switch {
		case !is:
			w.violate("one who is no member changes the members")
		case author.slot && (len(c.add) != 1 || len(c.remove) > 0 || c.epoch != nil || c.reset != nil):
			w.violate("a code does more than let one device in")
		case author.role == read && !author.slot:
			w.violate("a reader changes the members")
		case author.role == write && c.reset != nil:
			w.violate("one who is no admin gives history up")
		}
		for _, m := range c.add {
			if (author.role != admin || author.slot) && (m.user != author.user || m.role < author.role) ||
				author.slot && m.slot {
				w.violate("a member gives more than it has")
			}
			if t.ever[m.id] {
				w.violate("a device is added twice")
			}
			if len(t.hashes[-clientID(m.id)]) > 0 {
				w.violate("a new device cannot change the members: its id is in use")
			}
		}
		for _, id := range c.remove {
			if m := t.members[id]; author.role != admin && (m.user != author.user || m.role < author.role) {
				w.violate("a member removes whom it may not")
			}
		}
	}
	for _, id := range c.remove {
		delete(t.members, id)
		t.removed[id] = true
	}
	for _, m := range c.add {
		t.members[m.id], t.ever[m.id] = m, true
	}
	if c.epoch != nil {
		if c.epoch.number != t.number+1 {
			w.violate("epoch %d follows epoch %d", c.epoch.number, t.number)
		}
		t.number, t.key, t.holders = c.epoch.number, c.epoch.key, map[deviceID]bool{by: true}
		for _, id := range c.epoch.wraps {
			t.holders[id] = true
		}
	}
	for _, id := range c.wraps {
		t.holders[id] = true
	}
	t.changes[c] = len(t.history)
	admins := 0
	for id, m := range t.members {
		if !t.holders[id] {
			w.violate("a member has not got the key")
		}
		if m.role == admin && !m.slot {
			admins++
		}
	}
	for id := range t.holders {
		if _, is := t.members[id]; !is {
			w.violate("one who is no member has the key")
		}
	}
	if admins == 0 {
		w.violate("a space without an admin")
	}
}

func (t *trace) rejected(tx txID, v verdict) {
	if !v.counted || v.code == notMember && t.w.evil == nil {
		t.w.violate("a transaction is dropped for a verdict that need not last")
	}
	t.w.rejected[tx] = true
}

// acts: who has obeyed an admin's word works in the history that the admin means.
func (t *trace) acts() {
	if t.obeyed != nil && t.changes[t.obeyed] == 0 {
		t.w.violate("a replica follows an admin's word into a history that has no such word")
	}
	for id := range t.removed {
		if _, is := t.members[id]; is {
			t.w.violate("a replica works beside one whom it has known to be removed")
		}
	}
}

func (t *trace) acceptedByUser(r *replica) {
	if m := t.members[r.device.id]; m.role != admin || m.slot {
		t.w.violate("a user who is no admin gives history up")
	}
	t.word, t.obeyed = true, nil
}

// obeys: an admin's word, about this history, once.
func (t *trace) obeys(r *replica, c *change, by deviceID) {
	t.word, t.obeyed = true, c
	m, is := t.members[by]
	if !is || m.role != admin || m.slot {
		t.w.violate("a replica obeys one who is no admin")
	}
	if t.changes[c] > 0 {
		t.w.violate("a replica obeys one word twice")
	}
	if !r.log.has(c.reset.pos) {
		t.w.violate("a replica obeys a word about another history")
		return
	}
	t.w.hit("a replica obeys an admin's word")
}

// told notes what an admin's device knew when it told of the loss.
func (t *trace) told(c *change, gaveUp *log) {
	old := newTrace(t.w)
	for id := range gaveUp.ever {
		old.ever[id] = true
	}
	maps.Copy(old.members, gaveUp.members)
	t.gone[c] = &old
}

func (t *trace) startsOver(*replica, host) {
	if !t.word {
		t.w.violate("a replica gives its history up without a word of its user or an admin")
	}
	gone, obeyed, removed := t.gone, t.obeyed, t.removed
	*t = newTrace(t.w)
	t.gone, t.obeyed, t.removed = gone, obeyed, removed
}

func (w *world) violate(format string, args ...any) {
	if len(w.violations) < 20 {
		w.violations = append(w.violations, fmt.Sprintf(format, args...))
	}
}
