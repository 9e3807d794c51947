package model

// fill writes so much that a replica forgets where its own history began to differ
// from an author's, then brings in what the author wrote.
func (a *attacker) fill(b *branch) string {
	for _, c := range a.w.colluders {
		if m := b.l.members[c.key.id]; m.role != write || m.slot {
			continue
		}
		for range window + 1 {
			b.force(a.w.fair(c, b.l))
		}
		a.unstash(b)
		return "the server fills the log up"
	}
	return ""
}

// double shows r another entry than others have seen, under the same hash.
func (a *attacker) double(r *replica, b *branch) string {
	w := a.w
	all := a.at(r).l.entries
	for i := len(r.log.entries); i < len(all); i++ {
		e := *all[i]
		b.l = prefix(a.at(r).l, i)
		for _, c := range w.colluders {
			if c.key.id == e.body.device && e.body.kind == data && w.chance(2) {
				st := statement{e.client, e.counter, e.body.sealed}
				e.body = c.key.seal(st, b.l.epoch.key, txID(-w.random.IntN(1000)), nil)
				b.l.append(&e, verdict{})
				return "the server shows two bodies of one hash"
			}
		}
		if len(a.stash) > 0 && w.chance(2) {
			a.unstash(b)
			other := *b.l.entries[len(b.l.entries)-1]
			other.chain = e.chain
			b.l.entries[len(b.l.entries)-1] = &other
			return "the server shows two entries of one chain hash"
		}
	}
	return ""
}

// persuade takes the end of the log away, has an admin's user say yes, and uses the
// word on others.
func (a *attacker) persuade() {
	w := a.w
	for _, r := range w.replicas {
		m, is := r.self()
		if !is || m.role != admin || r.halted() || !r.caughtUp || len(r.log.entries) < 4 || w.chance(3) {
			continue
		}
		old := a.at(r)
		b := a.branch(prefix(r.log, len(r.log.entries)-1-w.random.IntN(3)))
		for range w.random.IntN(3) {
			a.unstash(b)
		}
		a.shown[r] = b
		if r.pull(b); !r.rolledBack {
			return
		}
		r.accept(b)
		r.pull(b)
		w.begun = false // its push is not hidden
		r.finish(b)
		w.begun = true
		r.pull(b)
		r.tell(b)
		if r.halted() || r.gaveUp != nil || len(b.l.entries) < 3 {
			return
		}
		w.hit("the server has an admin say yes")
		a.use(b, old)
		return
	}
}

// use shows a history with an admin's word to others, or the word alone, or the
// word twice.
func (a *attacker) use(b, old *branch) {
	w := a.w
	last := b.l.entries[len(b.l.entries)-1]
	word := &pushed{last.client, last.counter, last.body}
	for _, q := range w.replicas {
		if q.stopped != "" || a.at(q) != old || w.chance(3) {
			continue
		}
		switch w.random.IntN(3) {
		case 0:
			a.shown[q] = b
			q.pull(b)
			twice := a.branch(prefix(b.l, len(b.l.entries)-1))
			a.unstash(twice)
			twice.force(word)
			a.shown[q] = twice
			w.hit("the server uses an admin's word twice")
		case 1:
			without := a.branch(prefix(b.l, len(b.l.entries)-1))
			without.shows = b.l
			a.shown[q] = without
			w.hit("the server uses an admin's word for another history")
		case 2:
			a.shown[q] = b
		}
		for range 3 {
			q.pull(a.at(q))
			q.push(a.at(q), func() bool { return false })
		}
	}
}

// recall lets an admin that was removed say that the history with its removal is lost.
func (a *attacker) recall(r *replica, b *branch) string {
	for i, e := range r.log.entries {
		c := e.body.box.change
		if e.body.kind != members || c == nil || r.log.clients[e.client].device == 0 {
			continue
		}
		for _, x := range a.w.colluders {
			at := prefix(r.log, i)
			if m := at.members[x.key.id]; m.role != admin || m.slot || r.log.members[x.key.id].id != 0 {
				continue
			}
			if len(c.remove) == 0 || c.remove[0] != x.key.id {
				continue
			}
			b.l = at
			client := -clientID(x.key.id)
			cs := at.clients[client]
			word := &change{prev: at.newest, reset: &reset{at.position(), r.log.changes(i)}}
			st := statement{client: client, counter: cs.counter + 1, sealed: sealed{kind: members, prev: cs.last, epoch: 1,
				seen: at.position()}}
			b.force(&pushed{client, st.counter, x.key.seal(st, 0, 0, word)})
			return "the server has a removed admin's word"
		}
	}
	return ""
}
