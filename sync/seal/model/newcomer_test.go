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

	log     *log
	sum     hash // the digest that it keeps of its rows
	base    *plan
	refused map[hash]bool // snapshots that are not what they say

	stopped   string
	rolled    bool // the server was put back
	confirmed map[deviceID]bool
	differs   bool

	want *log // by the honest judge of the whole log; nil where a member has lied about that
}

func (n *newcomer) on(u rule) bool { return n.w.without != u }

// step starts, or follows the log.
func (n *newcomer) step(s stall) {
	if n.stopped != "" || n.rolled || n.log == nil && !n.start(s) {
		return
	}
	entries, found, cut := s.after(n.log.position())
	if cut && found {
		if !n.start(s) { // it was away too long
			return
		}
		entries, found, cut = s.after(n.log.position())
	}
	if !found || cut {
		n.rolled = true
		return
	}
	for _, e := range entries {
		if !n.take(e) {
			return
		}
	}
	n.compare(s.vouches())
}

// start begins with the first snapshot that is what it says, else with the log's first entry.
func (n *newcomer) start(s stall) bool {
	offers := slices.DeleteFunc(slices.Clone(s.offers()), func(m *manifest) bool { return n.refused[m.id()] })
	if n.try(s, n.w.roll(s.changes()), offers) {
		return true
	}
	if _, found, cut := s.after(position{}); n.log != nil || !found || cut {
		return false
	}
	n.log, n.want = newLog(n.w.without), newLog(none)
	n.sum = n.log.rows.digest()
	return true
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
	case m.at.seq == told.seq && m.at.chain != told.chain && n.on(ruleManifestChain):
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
	if n.w.evil == nil && n.log == nil && n.w.made[p.id()] == nil {
		n.passedOver(p)
	}
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

// passedOver looks whether there is a proved snapshot in the place of a lie that a new device begins with.
func (n *newcomer) passedOver(p *plan) {
	kept := n.w.server.shelf.kept
	if slices.ContainsFunc(kept, func(k *shelved) bool { return k.proved && k.id() == p.id() }) {
		return // it was true after all
	}
	for _, k := range kept {
		if _, why := n.survey(k.manifest, p.roll, nil); why == "" && k.proved {
			n.w.violate("a new device begins with a lie, though there is a snapshot that is proved")
		}
	}
}

// take judges the next entry. It is false where the device goes no further.
func (n *newcomer) take(e *entry) bool {
	v := n.log.judge(e, true)
	told := n.told.position()
	switch {
	case v.stop != "":
	case e.seq == 1 && e.body.first() != n.w.anchor:
		v = stop("anchor")
	case e.seq == told.seq && e.chain != told.chain:
		n.rolled = true
		return false
	}
	if v.stop != "" {
		n.stopped = v.stop
		return false
	}
	before := n.log.rows.digest()
	n.log.append(e, v)
	n.sum += n.log.rows.digest() - before
	n.follow(e)
	return true
}

// compare holds the digest against what members have told.
func (n *newcomer) compare(all []vouch) {
	for _, v := range all {
		if _, is := n.log.members[v.device]; !is || v.at != n.log.position() || v.device == n.of.device.id {
			continue
		}
		if v.digest == n.sum {
			n.confirmed[v.device] = true
			continue
		}
		n.differs = n.on(ruleDiffers)
	}
}

// says says whether the device's status shows that something is wrong: it is stopped, or a member has other rows.
func (n *newcomer) says() bool {
	wrong := n.stopped != "" || n.rolled || n.differs || n.log.position().seq < n.w.server.shelf.horizon
	if wrong {
		n.w.hit("a new device says that it has begun with a lie")
	}
	return wrong
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
	return n.rolled || !l.has(n.told.position()) || n.log != nil && !l.has(n.log.position())
}
