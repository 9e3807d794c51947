package model

import "slices"

// colluder is a member, or was one, that does what it likes with its key: by
// itself, or together with the server.
type colluder struct {
	key    signer
	member member
	client clientID
}

// corrupt makes colluders: devices and a code that an admin lets in like any other.
func (w *world) corrupt(a *replica) {
	for _, m := range []member{{user: 5, role: write}, {user: 6, role: read}, {user: 7, role: admin},
		{user: 8, role: write, slot: true}, {user: 9, role: read, slot: true}} {
		m.id = w.newDevice(m.user, m.role).id
		c := &colluder{signer{m.id}, m, clientID(w.random.Uint64()>>2) + 1}
		w.colluders = append(w.colluders, c)
		a.pull(w.host(a))
		a.change(w.host(a), &change{add: []member{m}, wraps: []deviceID{m.id}})
		a.pull(w.host(a))
	}
	// An admin may do all, so one that colludes counts as an attacker only once it is removed.
	for _, c := range w.colluders {
		if c.member.role == admin && !c.member.slot || w.chance(4) {
			ch := &change{remove: []deviceID{c.key.id}}
			a.newKey(ch)
			a.change(w.host(a), ch)
			a.pull(w.host(a))
		}
	}
}

// someColluder is rather one that was let in than a stranger.
func (w *world) someColluder() *colluder {
	n := len(w.colluders)
	if !w.chance(3) {
		n = min(n, 5)
	}
	return w.colluders[w.random.IntN(n)]
}

// collude pushes something to the honest server, or a head.
func (w *world) collude() {
	c := w.someColluder()
	if w.evil != nil {
		b := w.evil.at(w.replicas[w.random.IntN(len(w.replicas))])
		if m := b.l.members[c.key.id]; m.role == write && !m.slot {
			b.force(w.fair(c, b.l))
		}
		return
	}
	l := w.server.l
	if w.chance(6) {
		h := head{device: c.key.id, n: w.server.newest[c.key.id].n + 1, pos: w.somePosition(l)}
		if w.chance(2) {
			h.left = []position{w.somePosition(l)}
		}
		w.server.postHead(h)
		w.hit("a member's head: anything")
		return
	}
	what, p := w.craft(c, l, nil)
	before := len(l.entries)
	w.server.decide(p)
	if len(l.entries) > before {
		what += ": taken"
	}
	w.hit(what)
}

func (w *world) somePosition(l *log) position {
	p := position{seq: w.random.IntN(len(l.entries) + 3)}
	p.chain = hash(w.random.Uint64())
	if p.seq <= len(l.entries) && w.chance(2) {
		p.chain = l.chainAt(p.seq)
	}
	return p
}

// craft is something that c signs for l's end. others are other histories.
func (w *world) craft(c *colluder, l *log, others []*log) (string, *pushed) {
	if c.member.slot || w.chance(2) {
		return w.craftChange(c, l)
	}
	st := statement{client: c.client, sealed: sealed{kind: data, device: c.key.id, epoch: l.epoch.number,
		seen: l.position()}}
	key := l.epoch.key
	at := l.clients[st.client]
	st.counter, st.prev = at.counter+1, at.last
	next := func(id clientID) { st.client, st.counter, st.prev = id, l.clients[id].counter+1, l.clients[id].last }
	box := true
	var what string
	switch w.random.IntN(11) {
	case 0:
		what = "nothing wrong"
	case 1:
		what = "a number that does not follow"
		st.counter += w.random.IntN(4) - 1
	case 2:
		what = "another prev"
		st.prev = hash(w.random.Uint64())
	case 3:
		what = "a seen to come"
		st.seen.seq += 1 + w.random.IntN(3)
	case 4:
		what = "a seen of another history"
		st.seen.chain++
		if len(others) > 0 {
			st.seen = others[w.random.IntN(len(others))].position()
		}
	case 5:
		what = "an old seen"
		st.seen = w.somePosition(l)
	case 6:
		what = "another epoch"
		st.epoch += w.random.IntN(3) - 1
		key = keyID(w.random.IntN(int(w.lastKey)) + 1)
	case 7:
		what = "a box that does not open"
		box = false
		st.box = &box0
		if w.chance(2) {
			st.box = l.entries[w.random.IntN(len(l.entries))].body.box
		}
	case 8:
		what = "another device's client id"
		next(w.someClient(l))
	case 9:
		what = "another device's name"
		ids := sorted(l.members)
		st.device = ids[w.random.IntN(len(ids))]
		if w.chance(2) {
			next(w.clientOf(l, st.device))
		}
		st.box = c.key.seal(st, key, 0, nil).box
		return "a member signs: " + what, &pushed{st.client, st.counter, c.key.sign(st)}
	case 10:
		what = "in another batch what it has signed"
		if p := c.inAnotherBatch(others, at); p != nil {
			return "a member signs: " + what, p
		}
	}
	if box {
		return "a member signs: " + what, &pushed{st.client, st.counter, c.key.seal(st, key, 0, nil)}
	}
	return "a member signs: " + what, &pushed{st.client, st.counter, c.key.sign(st)}
}

// inAnotherBatch signs what c has signed already, in another history's next entry of c's; nil where there is none.
func (c *colluder) inAnotherBatch(others []*log, at clientState) *pushed {
	for _, l := range others {
		for _, e := range l.entries {
			if e.client == c.client && e.counter == at.counter+1 && e.body.prev == at.last && e.body.device == c.key.id {
				again := *e.body
				again.sig.batch++
				return &pushed{e.client, e.counter, &again}
			}
		}
	}
	return nil
}

// box0 is a ciphertext of nobody's key.
var box0 = box{key: -1}

// fair is a transaction of c's with nothing wrong in it.
func (w *world) fair(c *colluder, l *log) *pushed {
	at := l.clients[c.client]
	st := statement{client: c.client, counter: at.counter + 1, sealed: sealed{kind: data, epoch: l.epoch.number,
		prev: at.last, seen: l.position()}}
	return &pushed{st.client, st.counter, c.key.seal(st, l.epoch.key, txID(-w.random.IntN(1000)), nil)}
}

func (w *world) someClient(l *log) clientID {
	ids := sorted(l.clients)
	if w.chance(3) {
		return -clientID(w.random.IntN(int(w.lastDevice)+2) + 1)
	}
	return ids[w.random.IntN(len(ids))]
}

func (w *world) clientOf(l *log, id deviceID) clientID {
	for _, c := range sorted(l.clients) {
		if c > 0 && l.clients[c].device == id {
			return c
		}
	}
	return -clientID(id)
}

// craftChange is a Change that is wrong in one way, or not at all.
func (w *world) craftChange(c *colluder, l *log) (string, *pushed) {
	ids := sorted(l.members)
	var own []deviceID
	for _, id := range ids {
		if id != c.key.id && c.member.mayRemove(l.members[id], none) {
			own = append(own, id)
		}
	}
	some := func() deviceID {
		if len(own) > 0 && w.chance(2) {
			return own[w.random.IntN(len(own))]
		}
		return ids[w.random.IntN(len(ids))]
	}
	stranger := w.newDevice(c.member.user, c.member.role)
	w.colluders = append(w.colluders, &colluder{signer{stranger.id}, stranger, clientID(w.random.Uint64()>>2) + 1})
	ch := &change{prev: l.newest}
	newKey := func(not deviceID) {
		ch.epoch = &epoch{number: l.epoch.number + 1, key: w.newKey()}
		for _, id := range ids {
			if id != not {
				ch.epoch.wraps = append(ch.epoch.wraps, id)
			}
		}
		for _, m := range ch.add {
			ch.epoch.wraps = append(ch.epoch.wraps, m.id)
		}
		ch.wraps = nil
	}
	add := func(m member) { ch.add, ch.wraps = append(ch.add, m), append(ch.wraps, m.id) }
	remove := func(id deviceID) { ch.remove = append(ch.remove, id) }
	client := -clientID(c.key.id)
	what := w.wrongChange(c, l, changeParts{ch, stranger, some, add, remove, newKey, &client})
	if w.chance(5) && ch.epoch == nil && len(ch.remove) == 0 {
		newKey(0)
	}
	at := l.clients[client]
	st := statement{client: client, counter: at.counter + 1, sealed: sealed{kind: members, prev: at.last, epoch: 1,
		seen: l.position()}}
	return "a member's Change: " + what, &pushed{st.client, st.counter, c.key.seal(st, 0, 0, ch)}
}

type changeParts struct {
	*change
	stranger member
	some     func() deviceID
	add      func(member)
	remove   func(deviceID)
	newKey   func(not deviceID)
	client   *clientID
}

func (w *world) wrongChange(c *colluder, l *log, p changeParts) string {
	m := p.stranger
	switch w.random.IntN(15) {
	case 0:
		p.add(m)
		return "a device of its own"
	case 1:
		m.role = max(admin, m.role-1)
		p.add(m)
		return "more than it has"
	case 2:
		m.user = userID(w.random.IntN(9) + 1)
		p.add(m)
		return "a device of another user"
	case 3:
		id := p.some()
		p.remove(id)
		p.newKey(id)
		return "a removal"
	case 4:
		id := p.some()
		p.remove(id)
		p.newKey(0)
		return "a removal that leaves the key"
	case 5:
		p.remove(p.some())
		return "a removal without a new key"
	case 6:
		p.newKey(p.some())
		return "a key that one does not get"
	case 7:
		p.add(m)
		p.newKey(0)
		p.epoch.number += w.random.IntN(3) - 1
		return "another number of a key"
	case 8:
		p.change.prev = nil
		if l.newest != nil && l.newest.prev != nil {
			p.change.prev = l.newest.prev
		}
		p.add(m)
		return "another Change before"
	case 9:
		p.reset = &reset{pos: w.somePosition(l)}
		if w.chance(2) {
			p.add(m)
		}
		return "a word to start over"
	case 10:
		p.add(m)
		p.wraps = append(p.wraps, m.id+1)
		return "a key for a stranger"
	case 11:
		p.add(m)
		*p.client = w.someClient(l)
		return "another device's client id"
	case 12:
		p.add(m)
		m.id++
		p.add(m)
		w.lastDevice++
		return "two devices"
	case 13:
		m.slot = true
		p.add(m)
		return "a code"
	}
	removed := slices.DeleteFunc(sorted(l.ever), func(id deviceID) bool { return l.members[id].id != 0 })
	if len(removed) > 0 {
		m.id = removed[w.random.IntN(len(removed))]
	}
	p.add(m)
	return "a device that was removed"
}
