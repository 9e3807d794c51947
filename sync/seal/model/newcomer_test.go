package model

import (
	"maps"
	"slices"
)

// newcomer is a device with an empty database, which starts from a snapshot.
type newcomer struct {
	w    *world
	of   *replica // its device's other database, which shows it the server's histories
	told *log     // its inviter's log: position and newest Change are known to it
	led  position // where it was when it gave a snapshot up

	log     *log
	sum     hash // the digest that it keeps of its rows
	base    *plan
	refused map[hash]bool // snapshots that are not what they say
	doubted map[hash]bool // those that it has given up since

	stopped   string
	rolled    bool // the server was put back
	confirmed map[deviceID]bool
	differs   bool

	want *log // by the honest judge of the whole log; nil where a member has lied about that
}

func (n *newcomer) on(u rule) bool { return n.w.without != u }

// step starts, or follows the log.
func (n *newcomer) step(s stall) {
	if n.stopped != "" && !n.giveUp(s, ruleGivesWayToStop) || n.rolled || n.log == nil && !n.start(s) {
		return
	}
	entries, found, cut := s.after(n.log.position())
	if cut && found {
		if !n.start(s) { // it was away too long
			n.giveUp(s, ruleGivesWayToStop)
			return
		}
		entries, found, cut = s.after(n.log.position())
	}
	if !found || cut {
		n.rolled = true
		return
	}
	for _, e := range entries {
		if !n.take(s, e) {
			return
		}
	}
	n.compare(s)
}

// start begins with the newest snapshot that is what it says, else with the log's first entry. Those that were given
// up come last.
func (n *newcomer) start(s stall) bool {
	offers := slices.DeleteFunc(slices.Clone(s.offers()), func(m *manifest) bool { return n.refused[m.id()] })
	doubted := func(m *manifest) bool { return n.doubted[m.id()] }
	roll := n.w.roll(s.changes())
	if n.try(s, roll, slices.DeleteFunc(slices.Clone(offers), doubted)) {
		return true
	}
	if _, found, cut := s.after(position{}); n.log == nil && found && !cut {
		n.log, n.base, n.sum, n.want = newLog(n.w.without), nil, 0, newLog(none)
		n.sum = n.log.rows.digest()
		return true
	}
	slices.Reverse(offers)
	return n.try(s, roll, slices.DeleteFunc(offers, func(m *manifest) bool { return !doubted(m) }))
}

func (n *newcomer) try(s stall, roll *log, offers []*manifest) bool {
	if roll == nil {
		return false
	}
	for i, m := range offers {
		p, why := n.survey(m, roll, n.log)
		if why == "" {
			why = p.fill(n.w, s.chunk)
		}
		if _, found, _ := s.after(m.at); why == "" && !found {
			why = "the log does not go on from it"
		}
		if why == "" {
			if i > 0 {
				n.w.hit("a new device takes another snapshot than the first")
			}
			n.adopt(p)
			return true
		}
		n.w.hit("a snapshot is refused: " + why)
		if slices.Contains(madeOtherwise, why) {
			n.refused[m.id()] = true
		}
		if n.w.sort == honest && !n.w.restores && why != tooOld && why != noMember {
			n.w.violate("an honest snapshot is refused: %s", why)
		}
		if !n.on(ruleNextSnapshot) {
			return false
		}
	}
	return false
}

// survey also holds a snapshot against what the device was told, and what it has followed; nil for nothing.
func (n *newcomer) survey(m *manifest, roll, known *log) (*plan, string) {
	told := n.told.position()
	switch {
	case m.at.seq == told.seq && m.at.chain != told.chain && n.on(ruleManifestChain),
		m.at.seq == n.led.seq && m.at.chain != n.led.chain:
		return nil, "it is of another history"
	case !roll.hasChange(n.told.newest) && n.on(ruleManifestWord):
		return nil, "changes are not there that the inviter knew"
	case known != nil && m.at.seq < len(known.entries):
		return nil, tooOld
	}
	p, why := n.w.survey(m, roll)
	if known == nil || why != "" {
		return p, why
	}
	for id, had := range known.clients {
		if now := m.box.clients[id]; now.counter < had.counter || now.counter == had.counter && now.last != had.last {
			return nil, "it lacks what was seen"
		}
	}
	return p, ""
}

func (l *log) hasChange(c *change) bool {
	for is := l.newest; is != nil; is = is.prev {
		if is == c {
			return true
		}
	}
	return false
}

func (n *newcomer) adopt(p *plan) {
	n.log, n.base, n.sum = p.log(n.w.without), p, p.rows.digest()
	if !n.on(ruleCounted) {
		n.sum = p.box.digest
	}
	n.want = nil
	if made := n.w.made[p.id()]; made != nil {
		n.want = made.clone()
		n.want.without = none
	}
	clear(n.confirmed)
	n.differs = false
	n.w.started(n)
}

// take judges the next entry. It is false where the device goes no further.
func (n *newcomer) take(s stall, e *entry) bool {
	v := n.log.judge(e, true)
	told := n.told.position()
	switch {
	case v.stop != "":
	case e.seq == 1 && e.body.first() != n.w.anchor:
		v = stop("anchor")
	case e.seq == told.seq && e.chain != told.chain, e.seq == n.led.seq && e.chain != n.led.chain:
		n.rolled = true
		return false
	}
	if v.stop != "" {
		if !n.giveUp(s, ruleGivesWayToStop) {
			n.stopped = v.stop
		}
		return false
	}
	before := n.log.rows.digest()
	n.log.append(e, v)
	n.sum += n.log.rows.digest() - before
	n.follow(e)
	return true
}

// giveUp gives up the snapshot that the device has begun with, since the log or a member contradicts it, where there is
// another: one that was not given up before, or, for the first time, any.
func (n *newcomer) giveUp(s stall, u rule) bool {
	if n.base == nil || !n.on(u) {
		return false
	}
	_, found, cut := s.after(position{})
	another, fresh := found && !cut, false
	roll := n.w.roll(s.changes())
	for _, m := range s.offers() {
		if roll == nil || m.id() == n.base.id() || n.refused[m.id()] {
			continue
		}
		if _, why := n.survey(m, roll, nil); why == "" {
			another, fresh = true, fresh || !n.doubted[m.id()]
		}
	}
	if !fresh && (!another || n.doubted[n.base.id()]) {
		return false
	}
	n.w.hit("a snapshot is given up that was started from")
	if n.w.sort == honest && !n.w.restores {
		n.w.violate("an honest snapshot is given up")
	}
	n.doubted[n.base.id()] = true
	n.led, n.log, n.base, n.want, n.stopped = n.log.position(), nil, nil, nil, ""
	return true
}

// compare holds the digest against what members have told.
func (n *newcomer) compare(s stall) {
	for _, v := range s.vouches() {
		if _, is := n.log.members[v.device]; !is || v.at != n.log.position() || v.device == n.of.device.id {
			continue
		}
		if v.digest == n.sum {
			n.confirmed[v.device] = true
			continue
		}
		if n.giveUp(s, ruleGivesWayToDigest) {
			return
		}
		n.differs = true
	}
}

// follow has the honest judge of the whole log look at an entry that a newcomer has taken.
func (n *newcomer) follow(e *entry) {
	if n.want == nil {
		return
	}
	v := n.want.judge(e, true)
	if v.stop == "fork" && e.body.seen.seq < n.log.from {
		n.w.hit("a new device cannot see that an author has followed another history before its snapshot")
		n.want = nil
		return
	}
	if v.stop != "" {
		n.w.violate("a new device takes what stops others (%s)", v.stop)
		n.want = nil
		return
	}
	n.want.append(e, v)
	if n.want.rows != n.log.rows || n.sum != n.want.rows.digest() {
		n.w.violate("a new device has other rows than the log")
	}
}

// started looks at the snapshot that a newcomer has begun with.
func (w *world) started(n *newcomer) {
	p := n.base
	maker, is := p.roll.members[p.device]
	before, was := n.told.members[p.device]
	switch {
	case !is || n.told.ever[p.device] && !was:
		w.violate("a new device starts from a snapshot of one who is no member")
	case maker.slot || maker.role == read || was && (before.slot || before.role == read):
		w.violate("a new device starts from a snapshot of one who may not write")
	case !p.roll.hasChange(n.told.newest):
		w.violate("a new device starts without a Change that its inviter knew")
	case p.at.seq == len(n.told.entries) && p.at.chain != n.told.position().chain:
		w.violate("a new device starts on another history than its inviter's")
	case n.want == nil && w.see.devices[p.device]:
		w.violate("a new device starts from a snapshot that its maker has not made")
	case n.want != nil && (n.want.rows != n.log.rows || !maps.Equal(n.want.clients, n.log.clients)):
		w.violate("a new device starts with another state than its snapshot's maker had")
	case n.want != nil && (!maps.Equal(n.want.members, n.log.members) || n.want.newest != n.log.newest):
		w.violate("a new device starts with other members than its snapshot's maker had")
	}
	w.hit("a new device starts from a snapshot")
}

// lost says whether an honest server that was put back has lost what a newcomer has seen, or was told of.
func (n *newcomer) lost() bool {
	l := n.w.server.l
	return n.rolled || !l.has(n.told.position()) || !l.has(n.led) || n.log != nil && !l.has(n.log.position())
}
