package model

import "slices"

// attacker is a server that shows each replica a history of its choice. It has no
// key of an honest device, and the help of all colluders.
type attacker struct {
	w        *world
	branches []*branch
	shown    map[*replica]*branch
	stash    []*pushed // all that it was ever sent
	heads    []head
}

// branch is one history. What honest devices push to it passes the honest server's
// checks, unless it is hidden; what the attacker appends passes none.
type branch struct {
	*server
	a     *attacker
	shows *log // in place of the records of the log that is sent
}

func newAttacker(w *world) *attacker {
	a := &attacker{w: w, shown: map[*replica]*branch{}}
	a.branches = []*branch{a.branch(newLog(none))}
	return a
}

func (a *attacker) branch(l *log) *branch {
	b := &branch{&server{w: a.w, l: l, newest: map[deviceID]head{}}, a, nil}
	a.branches = append(a.branches, b)
	return b
}

func (a *attacker) at(r *replica) *branch {
	if b := a.shown[r]; b != nil {
		return b
	}
	return a.branches[0]
}

func (b *branch) push(from position, p *pushed) string {
	b.a.stash = append(b.a.stash, p)
	if b.a.w.begun && b.a.w.chance(6) {
		b.a.w.hit("the server hides a push")
		return []string{ok, stale, clientFork, notMember}[b.a.w.random.IntN(4)]
	}
	return b.server.push(from, p)
}

func (b *branch) postHead(h head) int {
	b.a.heads = append(b.a.heads, h)
	return b.server.postHead(h)
}

// heads are those of the branch, or some that were told at some time.
func (b *branch) heads() []head {
	all := b.server.heads()
	if n := len(b.a.heads); n > 0 && b.a.w.chance(8) {
		all = append(all, b.a.heads[b.a.w.random.IntN(n)])
	}
	return all
}

// members may be those of another history than the one that is then sent.
func (b *branch) members() *log {
	if b.shows != nil {
		return b.shows
	}
	if b.a.w.chance(4) {
		b.a.w.hit("the server shows other records than it sends")
		return b.a.branches[b.a.w.random.IntN(len(b.a.branches))].l
	}
	return b.l
}

// force appends whatever it is given, so that it follows by number and chain.
func (b *branch) force(p *pushed) {
	e := b.l.next(p)
	b.l.append(e, b.l.judge(e, false))
}

// attack does something to r, on a history of its own, and lets it pull.
func (a *attacker) attack(r *replica) {
	if r.stopped != "" {
		return
	}
	w := a.w
	base := a.at(r).l
	if w.chance(2) && len(r.log.entries) > 0 {
		base = r.log // what r has not seen is kept from it
	}
	b := a.branch(base.clone())
	b.l.without = none
	what := a.alter(r, b)
	if what == "" {
		return
	}
	a.shown[r] = b
	before := len(r.trace.history)
	r.pull(b)
	switch {
	case r.stopped != "":
		what += ": stopped, " + r.stopped
	case r.rolledBack:
		what += ": stopped, rollback"
	case r.headStop:
		what += ": stopped by a head"
	case len(r.trace.history) > before:
		what += ": taken or void"
	}
	w.hit(what)
}

func (a *attacker) alter(r *replica, b *branch) string {
	w, l := a.w, b.l
	if len(l.entries) == 0 {
		return ""
	}
	switch w.random.IntN(16) {
	case 0:
		return "the server shows two histories"
	case 1:
		e := l.entries[w.random.IntN(len(l.entries))]
		p := &pushed{e.client, e.counter, e.body}
		if w.chance(2) {
			p.counter = l.clients[e.client].counter + 1
		}
		b.force(p)
		return "the server repeats an entry"
	case 2, 3, 4:
		return a.unstash(b)
	case 5, 6:
		return a.tamper(b)
	case 7, 8:
		var others []*log
		for _, o := range a.branches {
			others = append(others, o.l)
		}
		what, p := w.craft(w.someColluder(), l, others)
		b.force(p)
		return what + ", and the server takes it"
	case 9:
		return a.void(b)
	case 10:
		return a.wrongChain(b)
	case 11:
		n := w.random.IntN(len(l.entries))
		b.l = prefix(l, n)
		for range w.random.IntN(4) {
			if b.l.clients == nil || len(b.l.entries) == 0 {
				break
			}
			a.unstash(b)
		}
		return "the server rolls back"
	}
	if n := len(r.log.entries); n == 0 {
		return a.otherSpace(r, b)
	}
	switch w.random.IntN(5) {
	case 0:
		return a.recall(r, b)
	case 1, 2:
		return a.fill(b)
	}
	return a.double(r, b)
}

func prefix(l *log, n int) *log {
	p := newLog(none)
	for _, e := range l.entries[:n] {
		p.append(e, p.judge(e, false))
	}
	return p
}

// unstash appends something that was pushed at some time, rather what fits.
func (a *attacker) unstash(b *branch) string {
	if len(a.stash) == 0 {
		return ""
	}
	var fit []*pushed
	for _, p := range a.stash {
		at := b.l.clients[p.client]
		if p.counter == at.counter+1 && p.body.prev == at.last {
			fit = append(fit, p)
		}
	}
	if len(fit) > 0 && !a.w.chance(4) {
		b.force(fit[a.w.random.IntN(len(fit))])
		return "the server brings in late, or early, what follows its author's last"
	}
	b.force(a.stash[a.w.random.IntN(len(a.stash))])
	return "the server brings in what it was sent at some time"
}

// tamper changes one field of something that was signed.
func (a *attacker) tamper(b *branch) string {
	if len(a.stash) == 0 {
		return ""
	}
	w := a.w
	p, q := *a.stash[w.random.IntN(len(a.stash))], a.stash[w.random.IntN(len(a.stash))]
	body, at := *p.body, b.l.clients[p.client]
	if w.chance(2) {
		p.counter, body.prev = at.counter+1, at.last
	}
	switch w.random.IntN(9) {
	case 0:
		p.client = q.client
		at = b.l.clients[p.client]
		p.counter, body.prev = at.counter+1, at.last
	case 1:
		p.counter = at.counter + 1
	case 2:
		body.device = q.body.device
	case 3:
		body.prev = at.last
	case 4:
		body.epoch = b.l.epoch.number
	case 5:
		body.seen = b.l.position()
	case 6:
		body.box = q.body.box
	case 7:
		body.kind = q.body.kind
	case 8:
		body.sig = q.body.sig
	}
	p.body = &body
	b.force(&p)
	return "the server alters what was signed"
}

// void says that something was refused, whether it was or not.
func (a *attacker) void(b *branch) string {
	if len(a.stash) == 0 {
		return ""
	}
	w := a.w
	p := a.stash[w.random.IntN(len(a.stash))]
	for _, q := range a.stash {
		if q.counter == b.l.clients[q.client].counter+1 && w.chance(3) {
			p = q
		}
	}
	e := b.l.next(p)
	e.outcome = []string{quota, stale, notMember}[w.random.IntN(3)]
	if w.chance(3) {
		e.counter = b.l.clients[e.client].counter + 1
	}
	e.chain = e.chainAfter(b.l.chainAt(e.seq - 1))
	b.l.append(e, b.l.judge(e, false))
	return "the server refuses what it was sent, or was not"
}

// wrongChain is an entry that is not what its hashes say.
func (a *attacker) wrongChain(b *branch) string {
	if len(a.stash) == 0 {
		return ""
	}
	w := a.w
	e := b.l.next(a.stash[w.random.IntN(len(a.stash))])
	switch w.random.IntN(3) {
	case 0:
		e.chain++
	case 1:
		e.seq++
		e.chain = e.chainAfter(b.l.chainAt(len(b.l.entries)))
	case 2:
		e.bodyHash = hashOf(*a.stash[w.random.IntN(len(a.stash))].body)
		e.chain = e.chainAfter(b.l.chainAt(len(b.l.entries)))
	}
	b.l.append(e, verdict{})
	return "the server sends what does not hash"
}

// otherSpace shows r, as a new device, a space of the attacker's own, or the space
// as it was before what the device's inviter knew.
func (a *attacker) otherSpace(r *replica, b *branch) string {
	w := a.w
	if w.chance(2) {
		b.l = prefix(b.l, w.random.IntN(len(b.l.entries)))
		for range w.random.IntN(6) + 1 {
			if len(b.l.entries) > 0 {
				a.unstash(b)
			}
		}
		return "the server shows a new device an older history"
	}
	m := w.newDevice(1, admin)
	c := &colluder{signer{m.id}, m, clientID(w.random.Uint64()>>2) + 1}
	w.colluders = append(w.colluders, c)
	add := []member{m, {id: r.device.id, user: r.user, role: write}}
	ch := &change{first: true, add: add, epoch: &epoch{1, w.newKey(), []deviceID{m.id, r.device.id}}}
	b.l = newLog(none)
	b.force(&pushed{-clientID(m.id), 1, c.key.seal(statement{client: -clientID(m.id), counter: 1,
		sealed: sealed{kind: members, epoch: 1}}, 0, 0, ch)})
	return "the server shows a new device a space of its own"
}

// end lets all that are left hear each other's newest heads, and looks that none
// follows another history than a member that it has heard.
func (a *attacker) end() {
	w := a.w
	for _, r := range w.replicas {
		if r.stopped == "" && !r.halted() {
			r.pull(a.at(r))
			r.tell(a.at(r))
		}
	}
	newest := map[deviceID]head{}
	for _, h := range a.heads {
		if h.n > newest[h.device].n {
			newest[h.device] = h
		}
	}
	var all []head
	for _, id := range sorted(newest) {
		all = append(all, newest[id])
	}
	for _, r := range w.replicas {
		if r.stopped != "" || r.rolledBack {
			continue
		}
		if r.hear(all); r.headStop {
			w.hit("a replica stops by a head")
			continue
		}
		for _, d := range w.replicas {
			a.agree(r, d, newest[d.device.id])
		}
	}
}

// agree: r has heard d, a member, and d has told of its history at h.
func (a *attacker) agree(r, d *replica, h head) {
	_, is := r.trace.members[d.device.id]
	if !is || r.device == d.device || len(d.told) == 0 || d.told[len(d.told)-1] != h.pos {
		return // a copy has told more
	}
	if r.covers(h) && !r.log.has(h.pos) {
		a.w.hit("a replica is warned by a head of a history that an admin has given up")
		return
	}
	if n := h.pos.seq; n <= len(d.trace.history) && n <= len(r.trace.history) && d.log.has(h.pos) &&
		r.trace.history[n-1] != d.trace.history[n-1] {
		a.w.violate("two members that have heard each other follow two histories")
	}
	if slices.ContainsFunc(d.told, func(p position) bool { return r.log.has(p) && !d.log.has(p) }) && d.log.has(h.pos) {
		a.w.violate("a replica follows a history that a member has told it has left")
	}
}
