package model

import "slices"

// accept is the user's yes to a history without the end that the replica knows.
func (r *replica) accept(s host) {
	if !r.rolledBack {
		return
	}
	m, is := r.self()
	old := r.log
	r.trace.acceptedByUser()
	r.startOver(s)
	if is && m.role == admin {
		r.gaveUp = old
	}
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
	r.trace.startsOver(r, s)
	r.log = newLog(r.w.without)
	r.word, r.follows, r.rolledBack, r.stopped, r.overruled = position{}, nil, false, "", false
	r.w.hit("a replica starts over")
}

// finish tells of an admin's yes, when the log has been followed to its end: the
// position up to which the histories are the same, the Changes that were lost, and
// the removals among them, made again.
func (r *replica) finish(s host) {
	if r.gaveUp == nil || !r.caughtUp || r.halted() {
		return
	}
	if m, is := r.self(); !is || m.role != admin {
		r.gaveUp = nil // it is no admin's word in this history
		return
	}
	at := r.gaveUp.last(r.log)
	c := &change{reset: &reset{at, r.gaveUp.changes(at.seq)}}
	for _, id := range sorted(r.log.members) {
		_, stayed := r.gaveUp.members[id]
		if r.gaveUp.ever[id] && !stayed && r.on(ruleRemoveAgain) {
			c.remove = append(c.remove, id)
		}
	}
	if len(c.remove) > 0 {
		r.newKey(c)
	}
	r.trace.told(r, c, r.gaveUp)
	if r.change(s, c) == ok {
		r.w.hit("an admin's word is told")
		r.gaveUp = nil
	}
}

// obey looks for an admin's word that the history that the replica stopped at is lost.
func (r *replica) obey(s host) {
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
			r.log.has(c.reset.pos) && !covers(c.reset, r.log) && r.on(ruleResetLost),
			e.body.sig.by != e.body.device || e.body.sig.over != (statement{e.client, e.counter, e.body.sealed}):
			continue
		}
		r.trace.obeys(r, c, e.body.device)
		r.startOver(s)
		if r.on(ruleResetReached) {
			r.follows = c
		}
		return
	}
}

// covers says whether the admin knew each Change that is lost with its word. The
// word itself is a Change: no word is obeyed twice.
func covers(w *reset, l *log) bool {
	for _, c := range l.changes(w.pos.seq) {
		if !slices.Contains(w.lost, c) {
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
