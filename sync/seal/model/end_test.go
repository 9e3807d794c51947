package model

import "slices"

// end lets the faults of an honest server's world end, and looks that all come together.
func (w *world) end() {
	never := func() bool { return false }
	rounds := 40
	for round := range rounds {
		if len(w.violations) > 0 {
			return
		}
		for _, r := range w.replicas {
			r.pull(w.server)
			if r.rolledBack && w.restores {
				r.accept(w.server)
				r.pull(w.server)
			}
			if r.rolledBack && w.restores && round > 10 {
				w.agree(r)
			}
			r.finish(w.server)
			r.push(w.server, never)
			r.tell(w.server)
			if r.headStop && round > 20 && w.restores {
				w.agree(r) // who told of the lost part is gone: an admin says that it is
				w.hit("an admin's word for a replica that a head has stopped")
			}
			if r.headStop && round > 30 && w.restores {
				r.overrule() // where who has told of it is dishonest
			}
		}
		w.readmit()
	}
	for _, r := range w.replicas {
		_, is := r.self()
		m := r.log.members[r.device.id]
		_, stays := w.server.l.members[r.device.id]
		switch {
		case w.server.l.ever[r.device.id] && !stays: // it was removed, and may not know who has said so
		case r.rolledBack && !w.knowsAdmin(r): // it begins as a new device: nobody is left whose word it would take
		case r.halted():
			w.violate("a replica stays stopped (%s, rolled back %v, by a head %v)", r.stopped, r.rolledBack, r.headStop)
		case !r.log.has(w.server.l.position()):
			w.violate("a replica is not at the log's end")
		case !r.started():
			w.violate("a replica has not started")
		case is && m.role != read && len(r.pending) > 0:
			w.violate("a member's transactions stay pending")
		}
	}
	w.everyTransaction()
}

// knowsAdmin says whether an honest admin is left in the server's log whose word the replica would take.
func (w *world) knowsAdmin(r *replica) bool {
	is := func(l *log, id deviceID) bool { return l.members[id].role == admin && !l.members[id].slot }
	return slices.ContainsFunc(w.replicas, func(a *replica) bool {
		id := a.device.id
		return !a.halted() && is(w.server.l, id) && is(r.log, id) && !r.knownGone()[id]
	})
}

// agree is what people do for a device that an admin's word does not reach: an admin
// removes again whom it knows to be removed, and says that the rest is lost.
func (w *world) agree(r *replica) {
	if r.rolledBack && !w.knowsAdmin(r) {
		return
	}
	for _, a := range w.replicas {
		m, is := a.self()
		if !is || m.role != admin || a.halted() || a.gaveUp != nil || r.knownGone()[a.device.id] {
			continue
		}
		a.pull(w.server)
		c := &change{}
		for _, id := range sorted(a.log.members) {
			if r.knownGone()[id] {
				c.remove = append(c.remove, id)
			}
		}
		if len(c.remove) > 0 && a.caughtUp {
			a.newKey(c)
			a.change(w.server, c)
			w.hit("a removal is made again for another")
			a.pull(w.server)
		}
		a.giveUp(w.server)
		a.pull(w.server)
		return
	}
}

// readmit lets devices in again whose admission was lost.
func (w *world) readmit() {
	if !w.restores {
		return
	}
	for _, r := range w.replicas {
		l := w.server.l
		if r.rolledBack && len(r.log.entries) == 0 { // it has nothing: an admin lets it in like a new one
			for _, a := range w.replicas {
				if m, is := a.self(); is && m.role == admin && a.caughtUp && a.gaveUp == nil {
					r.word, r.promise = a.log.position(), a.trace.history[len(a.log.entries)-1]
					r.led, r.trace.obeyed = position{}, nil
					clear(r.gone)
					clear(r.trace.removed)
					w.hit("a device without a history is told of another")
					break
				}
			}
		}
		if _, is := l.members[r.device.id]; is || l.ever[r.device.id] || w.leaving[r.device.id] ||
			!r.caughtUp && len(r.log.entries) > 0 {
			continue
		}
		for _, a := range w.replicas {
			if m, is := a.self(); is && m.role == admin && a.caughtUp && a.gaveUp == nil {
				m := member{id: r.device.id, user: r.user, role: write}
				a.pull(w.server)
				if a.change(w.server, &change{add: []member{m}, wraps: []deviceID{m.id}}) == ok {
					w.hit("a device is let in again")
				}
				break
			}
		}
	}
}

// everyTransaction of a device that is a member has taken effect, once, or was refused.
func (w *world) everyTransaction() {
	var end *replica
	for _, r := range w.replicas {
		if r.log.has(w.server.l.position()) {
			end = r
		}
	}
	if end == nil || len(w.violations) > 0 {
		return
	}
	for tx, r := range w.wrote {
		m, is := w.server.l.members[r.device.id]
		if !is || m.role == read || w.rejected[tx] || slices.Contains(r.pending, tx) || r.rolledBack && !w.knowsAdmin(r) {
			continue
		}
		if end.trace.effects[tx] != 1 {
			w.violate("a transaction has taken effect %d times at the end", end.trace.effects[tx])
		}
	}
}

// stoppedBy notes a stop by an entry.
func (w *world) stoppedBy(_ *replica, e *entry, v verdict) {
	w.hit("a replica stops: " + v.stop)
	if w.evil == nil {
		w.violate("a replica of an honest server stops: %s, at %s", v.stop, e)
	}
}
