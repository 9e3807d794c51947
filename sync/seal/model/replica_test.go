package model

import (
	"math/rand/v2"
	"slices"
)

// host is a server as a replica sees it.
type host interface {
	// pull gives the entries behind p; it is false where p is not on the log.
	pull(p position) ([]*entry, bool)
	push(from position, p *pushed) (code string)
	heads() []head
	postHead(h head) (n int)
	// members is what GET members shows: the Changes, and where they stand.
	members() *log
}

// pushed is a seal on its way to the server.
type pushed struct {
	client  clientID
	counter int
	body    *body
}

// Codes of refused pushes, beside those of voids.
const (
	diverged   = "HEDDLE_DIVERGED"
	clientFork = "HEDDLE_CLIENT_FORK"
	protocol   = "HEDDLE_PROTOCOL"
)

type sentTx struct {
	tx     txID
	client clientID
}

// replica is one copy of a database with its device's keys.
type replica struct {
	w       *world
	device  signer
	user    userID
	log     *log
	anchor  *change
	word    position          // the inviter's: the log must have it
	promise hash              // what the observer knows of the inviter's log there
	led     position          // the end of the history that was looked at then: the same
	gone    map[deviceID]bool // whom it has known to be removed, in any history
	client  clientID

	pending []txID
	sent    []sentTx
	seals   map[hash]txID // every seal ever made, of what was pending here
	stored  map[txID]*pushed

	caughtUp   bool
	stopped    string // by an entry: nothing but a start over ends it
	rolledBack bool
	headStop   bool
	heads      map[deviceID]head
	also       map[deviceID][]head // others of the same number
	covered    map[deviceID]int    // up to which number a device's heads are of a history that an admin has given up
	n          int
	told       []position
	gaveUp     *log    // of an admin's device whose user has said yes: to be told by a Change
	says       *change // the Change that tells of it
	resets     map[*change]bool
	chunks     map[chunk]chunk // that this device has made, by what they have
	trace      trace
}

func (r *replica) on(u rule) bool { return r.w.without != u }

func (r *replica) self() (member, bool) {
	m, is := r.log.members[r.device.id]
	return m, is
}

// started says whether the log is what the replica was promised.
func (r *replica) started() bool {
	return len(r.log.entries) >= max(1, r.word.seq) &&
		(len(r.log.entries) >= r.led.seq || !r.on(ruleLed))
}

func (r *replica) halted() bool { return r.stopped != "" || r.rolledBack || r.headStop }

func (r *replica) pull(s host) {
	r.caughtUp = false
	r.hear(s.heads())
	entries, on := s.pull(r.log.position())
	if r.headStop && r.stopped == "" {
		if r.rolledBack = !on && r.on(ruleRollback); r.rolledBack {
			r.obey(s)
		} else {
			r.excuse(s)
		}
	}
	if r.stopped != "" || r.headStop {
		return
	}
	if !r.started() && r.on(ruleInvitersWord) {
		_, promised := s.pull(r.word)
		_, led := s.pull(r.led)
		on = on && promised && (led || !r.on(ruleLed))
	}
	if !on {
		if r.on(ruleRollback) {
			r.rolledBack = true
			r.obey(s)
			return
		}
		r.startOver(s)
		return
	}
	r.rolledBack = false
	for _, e := range entries {
		if !r.take(e) {
			if r.headStop {
				r.excuse(s)
			}
			return
		}
	}
	r.rolledBack = !r.started() // what it was promised is not there
	r.caughtUp = !r.rolledBack
	r.compare()
}

// hear keeps the newest head of each device, and looks whether a stop still has its reason.
func (r *replica) hear(heads []head) {
	for _, h := range heads {
		old, is := r.heads[h.device]
		switch {
		case h.device == r.device.id:
		case !is || h.n > old.n:
			r.heads[h.device], r.also[h.device] = h, nil
		case h.n == old.n && h.pos != old.pos: // of a copy of the database; or the server had forgotten the other one
			r.also[h.device] = append(r.also[h.device], h)
		}
	}
	r.compare()
}

// said are the heads of members that count.
func (r *replica) said() (all []head) {
	for id, h := range r.heads {
		if _, is := r.log.members[id]; is && !r.covers(h) {
			all = append(append(all, h), r.also[id]...)
		}
	}
	return all
}

// compare looks for a member whose history is another one.
func (r *replica) compare() {
	r.headStop = false
	for _, h := range r.said() {
		if h.pos.seq <= len(r.log.entries) && !r.log.has(h.pos) && r.on(ruleHeadChain) {
			r.headStop = true
		}
		if slices.ContainsFunc(h.left, r.log.has) && r.on(ruleLeft) {
			r.headStop = true
		}
	}
}

// contradicts says whether a member has told of another entry in e's place.
func (r *replica) contradicts(e *entry) bool {
	for _, h := range r.said() {
		if h.pos.seq == e.seq && h.pos.chain != e.chain {
			return r.on(ruleHeadChain)
		}
	}
	return false
}

// cover: an admin has said that what follows a position is lost. What members have told of it by then stops nobody; it
// stays a warning, since the member may follow that history yet.
func (r *replica) cover(lost position) {
	for id, h := range r.heads {
		if h.pos.seq > lost.seq && r.on(ruleCovered) {
			r.covered[id] = h.n
		}
	}
}

// overrule is the yes of a user to a history that a member has told is another one.
func (r *replica) overrule() {
	for _, h := range r.said() {
		if h.pos.seq <= len(r.log.entries)+1 && !r.log.has(h.pos) || slices.ContainsFunc(h.left, r.log.has) {
			r.covered[h.device] = h.n
		}
	}
	r.w.hit("a user overrules a stop by a head")
}

func (r *replica) covers(h head) bool { return h.n <= r.covered[h.device] }

// take judges the next entry and applies it. It is false where the replica stops.
func (r *replica) take(e *entry) bool {
	v := r.log.judge(e, true)
	mine := e.client == r.client
	if mine && v.stop == "" && e.body.device != r.device.id {
		if v.counted && r.on(ruleClientsDevice) || !v.counted && r.on(ruleStrangersClient) {
			v = stop("forged")
		}
	}
	if e.seq == 1 && v.stop == "" && e.body.first() != r.anchor && r.on(ruleAnchor) {
		v = stop("anchor")
	}
	if e.seq == r.word.seq && e.chain != r.word.chain && r.on(ruleInvitersWord) {
		v = stop("fork")
	}
	if e.seq == r.led.seq && e.chain != r.led.chain && r.on(ruleLed) {
		v = stop("fork")
	}
	if v.stop != "" {
		r.stopped = v.stop
		r.w.stoppedBy(r, e, v)
		return false
	}
	if r.contradicts(e) {
		r.headStop = true
		return false
	}
	r.log.append(e, v)
	r.trace.applied(r, e, v)
	if e.body.kind == members {
		if c := e.body.box.change; v.code == ok && c.reset != nil {
			r.resets[c] = true
			r.cover(c.reset.pos)
		}
		return true
	}
	if mine {
		r.own(e, v)
	}
	return true
}

// own tells which pending transaction an entry under the replica's id is.
func (r *replica) own(e *entry, v verdict) {
	if !v.counted && r.on(ruleUncountedStays) {
		return // its author may see it in the log again
	}
	tx, known := r.seals[e.bodyHash]
	if p := r.stored[tx]; known && !r.on(ruleAllSeals) {
		known = p != nil && hashOf(*p.body) == e.bodyHash
	}
	same := v.code != badSeal && len(r.pending) > 0 && e.body.box.tx == r.pending[0]
	switch {
	case known:
	case same && r.on(ruleEqualContent) && r.on(ruleAllSeals):
		tx = r.pending[0]        // a copy has sealed it
		r.seals[e.bodyHash] = tx // and is known to have, should the replica start over
	default:
		r.fork(e)
		return
	}
	i := slices.Index(r.pending, tx)
	if i < 0 {
		return // decided before
	}
	delete(r.stored, tx)
	switch v.code {
	case stale, oldEpoch:
		return // it is sealed anew, under the next counter
	case ok:
		r.sent = append(r.sent, sentTx{tx, e.client})
	default:
		r.trace.rejected(tx, v)
	}
	r.pending = slices.Delete(r.pending, i, i+1)
}

// fork takes another id, since a copy of the database writes under this one.
func (r *replica) fork(e *entry) {
	// The id is a function of what both copies know; its bits are the same in each run.
	bits := r.w.random
	if len(r.pending) > 0 {
		bits = rand.New(rand.NewPCG(uint64(r.client), uint64(e.counter)<<32|uint64(r.pending[0])))
	}
	r.client = clientID(bits.Uint64()>>2) + 1
	r.w.see.owner[r.client] = r.device.id
	clear(r.stored)
	r.w.hit("a replica takes a fork id")
}

// push sends what is pending. It is sealed when it is sent, and sent again verbatim
// as long as it can be taken.
func (r *replica) push(s host, lose func() bool) {
	m, is := r.self()
	if !r.caughtUp || r.halted() || !r.started() || !is || m.role == read || r.gaveUp != nil {
		return
	}
	r.trace.acts()
	at := r.log.clients[r.client]
	for _, tx := range r.pending[:min(3, len(r.pending))] {
		at.counter++
		p := r.stored[tx]
		if p == nil || !r.fits(p, at) {
			p = &pushed{r.client, at.counter, r.seal(statement{client: r.client, counter: at.counter, sealed: sealed{
				kind: data, prev: at.last, epoch: r.log.epoch.number, seen: r.log.position()}}, tx)}
			r.stored[tx] = p
		}
		at.last = hashOf(p.body.sig.over)
		if lose() {
			continue // the request
		}
		code := s.push(r.log.position(), p)
		if lose() {
			continue // the answer
		}
		if code == stale || code == oldEpoch {
			delete(r.stored, tx)
		}
		if code != ok {
			return
		}
	}
}

func (r *replica) fits(p *pushed, at clientState) bool {
	b := p.body
	return p.client == r.client && p.counter == at.counter && b.prev == at.last && b.epoch == r.log.epoch.number &&
		r.log.has(b.seen) && len(r.log.entries)-b.seen.seq < window/2
}

func (r *replica) seal(st statement, tx txID) *body {
	b := r.device.seal(st, r.log.epoch.key, tx, nil)
	r.seals[hashOf(*b)] = tx
	r.w.see.sealed(r, &pushed{st.client, st.counter, b}, tx)
	return b
}

// change makes a Change and pushes it, as far as it is allowed here.
func (r *replica) change(s host, c *change) (code string) {
	if _, is := r.self(); !is || !r.caughtUp || r.halted() || !r.started() {
		return notAllowed
	}
	return r.changeAs(s, r.device, c)
}

// changeAs does so in the name of a device or a slot whose key is here.
func (r *replica) changeAs(s host, by signer, c *change) string {
	c.prev = r.log.newest
	client := -clientID(by.id)
	at := r.log.clients[client]
	b := by.seal(statement{client: client, counter: at.counter + 1, sealed: sealed{kind: members, prev: at.last,
		epoch: r.log.epoch.number, seen: r.log.position()}}, 0, 0, c)
	p := &pushed{client, at.counter + 1, b}
	r.w.see.sealed(r, p, 0)
	return s.push(r.log.position(), p)
}

// tell posts a head.
func (r *replica) tell(s host) {
	if _, is := r.self(); !is || !r.caughtUp || r.halted() || !r.started() {
		return
	}
	p := r.log.position()
	if len(r.told) > 0 && r.told[len(r.told)-1] == p {
		return
	}
	h := head{device: r.device.id, n: r.n + 1, pos: p}
	for _, old := range r.told {
		if !r.log.has(old) && r.on(ruleLeftSent) {
			h.left = append(h.left, old)
		}
	}
	if n := s.postHead(h); n > h.n {
		r.n = n // a copy has told more
		return
	}
	r.n = h.n
	r.told = append(r.told, p)
}
