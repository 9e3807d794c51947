package model

import "slices"

// accept is the yes of an admin's user to a history without the end that the replica
// knows, in which its device is an admin's as well.
func (r *replica) accept(s host) {
	if !r.rolledBack {
		if r.headStop {
			r.overrule()
		}
		return
	}
	offered := s.members()
	is := func(l *log) bool { return l.members[r.device.id].role == admin && !l.members[r.device.id].slot }
	if (!is(r.log) || !is(offered)) && r.on(ruleAcceptAdmin) {
		return
	}
	old := r.log
	r.cover(old.last(offered))
	r.trace.acceptedByUser(r)
	r.startOver(s)
	r.gaveUp, r.says, r.led = old, nil, offered.position()
}

// giveUp is an admin's word for others: this one has lost nothing.
func (r *replica) giveUp(s host) {
	if m, is := r.self(); !is || m.role != admin || r.gaveUp != nil || !r.caughtUp {
		return
	}
	c := r.reset(position{1, r.log.chainAt(1)}, nil, nil)
	r.trace.told(c, r.log)
	if r.change(s, c) == ok {
		r.w.hit("an admin's word for others")
	}
}

// reset makes the Change with an admin's word. It begins a key of its own, so that no two words are the same: of two
// that were, who has obeyed one would not obey the other, after another restore.
func (r *replica) reset(at position, lost []*change, remove []deviceID) *change {
	c := &change{prev: r.log.newest, remove: remove, reset: &reset{at, lost}}
	if len(remove) > 0 || r.on(ruleWordKey) {
		r.newKey(c)
		return c
	}
	for _, o := range r.w.words { // a hash covers the content alone
		if o.prev == c.prev && o.reset.pos == at && slices.Equal(o.reset.lost, lost) {
			r.w.hit("two words are the same")
			return o
		}
	}
	r.w.words = append(r.w.words, c)
	return c
}

// startOver follows the server's log from its beginning. What was sent under the
// present id and is pending is sent anew: under the numbers that follow in that log.
func (r *replica) startOver(s host) {
	var again []txID
	var rest []sentTx
	for _, t := range r.sent {
		if t.client == r.client && r.on(ruleNumberOn) {
			again = append(again, t.tx)
		} else {
			rest = append(rest, t)
		}
	}
	r.sent, r.pending = rest, append(again, r.pending...)
	clear(r.stored)
	r.gone = r.knownGone()
	r.trace.startsOver(r, s)
	r.log = newLog(r.w.without)
	r.word, r.rolledBack, r.stopped = position{}, false, ""
	r.led = position{}
	r.w.hit("a replica starts over")
}

// finish tells of an admin's yes, when the log has been followed to its end: the
// position up to which the histories are the same, the Changes that were lost, and
// the removals among them, made again.
func (r *replica) finish(s host) {
	if r.gaveUp == nil || !r.caughtUp || r.halted() {
		return
	}
	if r.resets[r.says] {
		r.gaveUp = nil // the log has it
		return
	}
	if m, is := r.self(); !is || m.role != admin {
		r.gaveUp = nil // it is no admin's word in this history
		return
	}
	at := r.gaveUp.last(r.log)
	var remove []deviceID
	for _, id := range sorted(r.log.members) {
		if r.gone[id] && r.on(ruleRemoveAgain) {
			remove = append(remove, id)
		}
	}
	c := r.reset(at, r.gaveUp.changes(at.seq), remove)
	r.trace.told(c, r.gaveUp)
	if r.change(s, c) == ok {
		r.w.hit("an admin's word is told")
		r.says, r.caughtUp = c, false // it is followed by what it has told
	}
}

// obey looks for an admin's word that the history that the replica stopped at is lost.
func (r *replica) obey(s host) {
	r.obeyed(s, func(offered *log, c *change, by deviceID) bool {
		if !r.harmless(offered) && r.on(ruleResetLost) {
			return false
		}
		r.cover(c.reset.pos)
		r.trace.obeys(r, c, by)
		r.startOver(s)
		r.led = offered.position()
		return true
	})
}

// excuse looks for an admin's word about heads that have stopped the replica, which has lost nothing itself.
func (r *replica) excuse(s host) {
	r.obeyed(s, func(offered *log, c *change, _ deviceID) bool {
		if !offered.has(r.log.position()) {
			return false
		}
		r.cover(c.reset.pos)
		r.compare()
		return !r.headStop
	})
}

// obeyed calls f with each admin's word that counts for the replica, until it takes one.
func (r *replica) obeyed(s host, f func(offered *log, c *change, by deviceID) bool) {
	offered := s.members()
	at := offered.last(r.log)
	for _, e := range offered.entries[at.seq:] {
		c := e.body.box.change
		if e.body.kind != members || c == nil || c.reset == nil {
			continue
		}
		by, is := r.log.members[e.body.device]
		switch {
		case (!is || by.role != admin || by.slot) && r.on(ruleResetAdmin),
			!r.log.has(c.reset.pos) && r.on(ruleResetPosition),
			r.resets[c] || slices.Contains(r.log.changes(0), c) || !slices.Contains(offered.changes(0), c),
			e.body.sig.by != e.body.device || e.body.sig.over != (statement{e.client, e.counter, e.body.sealed}):
			continue
		}
		if f(offered, c, e.body.device) {
			return
		}
	}
}

// knownGone returns whom the replica knows to be removed, in this history and in those
// that it has given up.
func (r *replica) knownGone() map[deviceID]bool {
	all := map[deviceID]bool{}
	for id := range r.gone {
		all[id] = true
	}
	for id := range r.log.ever {
		if _, stays := r.log.members[id]; !stays {
			all[id] = true
		}
	}
	return all
}

// harmless says whether none of those is a member in another history.
func (r *replica) harmless(other *log) bool {
	for id := range r.knownGone() {
		if _, is := other.members[id]; is {
			return false
		}
	}
	return true
}

// newKey begins an epoch for all that stay and come.
func (r *replica) newKey(c *change) {
	e := &epoch{number: r.log.epoch.number + 1, key: r.w.newKey()}
	for _, id := range sorted(r.log.members) {
		if !slices.Contains(c.remove, id) {
			e.wraps = append(e.wraps, id)
		}
	}
	for _, m := range c.add {
		e.wraps = append(e.wraps, m.id)
	}
	c.epoch, c.wraps = e, nil
}
