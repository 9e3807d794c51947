package model

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// snapshots are what a world has of them. They have a source of chance of their own: what else happens in the world of
// a seed is as it is without them.
type snapshots struct {
	dice      *rand.Rand
	chunks    map[hash]chunk // all that were ever sent, by their names
	parts     []chunk        // the same, in order
	manifests []*manifest
	made      map[hash]*log // what the honest makers' logs were
	vouches   []vouch       // all that were ever told
	newcomers []*newcomer
}

func newSnapshots(seed uint64, s sort) snapshots {
	return snapshots{dice: rand.New(rand.NewPCG(seed, 1000+uint64(s))), chunks: map[hash]chunk{}, made: map[hash]*log{}}
}

// stall is what the server offers a newcomer.
func (w *world) stall(n *newcomer) stall {
	if w.evil == nil {
		return w.server.shelf
	}
	if w.dice.IntN(4) == 0 {
		w.hit("the server shows a new device another history than its inviter")
		return &falseStall{w, w.evil.branches[w.dice.IntN(len(w.evil.branches))].l}
	}
	return &falseStall{w, w.evil.at(n.of).l}
}

// truth is a log by the honest judge of all its entries; nil where that stops.
func truth(entries []*entry) *log {
	l := newLog(none)
	for _, e := range entries {
		v := l.judge(e, true)
		if v.stop != "" {
			return nil
		}
		l.append(e, v)
	}
	return l
}

// plain says whether a world goes without snapshots: the rules of entries have to show without them.
func (w *world) plain() bool { return w.without != none && w.without < ruleMakerMember }

// snapshot does something about snapshots, beside what else happens.
func (w *world) snapshot() {
	if w.plain() {
		return
	}
	r := w.replicas[w.dice.IntN(len(w.replicas))]
	switch w.dice.IntN(16) {
	case 0, 1:
		w.make(r)
	case 2:
		if w.sort != honest {
			w.makeFalse()
		}
	case 3, 4:
		w.prove(r)
	case 5:
		w.vouch(r)
	case 6:
		if len(w.newcomers) < 6 {
			w.arrive(r)
		}
	case 7, 8, 9:
		if len(w.newcomers) > 0 {
			n := w.newcomers[w.dice.IntN(len(w.newcomers))]
			n.step(w.stall(n))
		}
	}
}

// active says whether a replica follows the log as a member that has started.
func (r *replica) active() (m member, is bool) {
	m, is = r.self()
	return m, is && r.caughtUp && !r.halted() && r.started() && r.gaveUp == nil
}

func (w *world) make(r *replica) {
	if m, is := r.active(); !is || m.role == read {
		return
	}
	if m := r.snapshotOf(); m != nil && (w.evil != nil || w.server.shelf.put(m)) {
		w.manifests = append(w.manifests, m)
		w.hit("a snapshot is made")
	}
}

func (w *world) makeFalse() {
	c := w.someOf(w.colluders)
	var l *log
	if w.evil == nil {
		l = w.server.l
	} else if l = w.evil.branches[w.dice.IntN(len(w.evil.branches))].l; len(l.entries) < 2 || l.epoch == nil {
		return
	}
	what, m := w.lie(c, l)
	if w.evil == nil && !w.server.shelf.put(m) {
		return
	}
	w.manifests = append(w.manifests, m)
	w.hit("a member makes a snapshot: " + what)
	if w.evil == nil {
		w.server.shelf.prove(m.id(), c.key.id) // its own word
	}
}

func (w *world) someOf(all []*colluder) *colluder { return all[w.dice.IntN(len(all))] }

// prove has r read back what nobody has proved yet.
func (w *world) prove(r *replica) {
	if _, is := r.active(); !is {
		return
	}
	if w.evil != nil {
		f := &falseStall{w, w.evil.at(r).l}
		for _, m := range f.offers() {
			if r.proves(m, f.changes(), f.chunk) {
				w.proved(r, m)
			}
		}
		return
	}
	s := w.server.shelf
	for _, k := range slices.Clone(s.kept) {
		if k.proved || !r.log.has(k.at) {
			continue
		}
		if r.proves(k.manifest, s.changes(), s.chunk) {
			w.proved(r, k.manifest)
			s.prove(k.id(), r.device.id)
		} else {
			s.doubted[k.id()] = true
			w.hit("a snapshot is not proved")
		}
	}
}

// proved looks at what an honest device has said to be right.
func (w *world) proved(r *replica, m *manifest) {
	w.hit("a snapshot is proved")
	l := truth(r.log.entries[:m.at.seq])
	if l == nil {
		return // what r has taken shows elsewhere
	}
	var state rows
	for i, name := range m.chunks {
		if c := w.chunks[name]; c.of == i {
			state[i] = c.value
		}
	}
	if state != l.rows || m.box.digest != l.rows.digest() {
		w.violate("a device proves rows that are not the log's")
	}
	if !maps.Equal(m.box.clients, l.clients) && !w.sameEnd(m, r.log) {
		w.violate("a device proves clients that are not the log's")
	}
	if l.position() != m.at || l.newest != m.members || l.epoch.number != m.epoch {
		w.violate("a device proves a snapshot of another log")
	}
}

// sameEnd says whether the clients of a snapshot become those of a log as it goes on.
func (w *world) sameEnd(m *manifest, l *log) bool {
	end := truth(l.entries[:m.at.seq])
	end.clients = maps.Clone(m.box.clients)
	for _, e := range l.entries[m.at.seq:] {
		v := end.judge(e, true)
		if v.stop != "" {
			return false
		}
		end.append(e, v)
	}
	return maps.Equal(end.clients, l.clients)
}

// vouch has r tell the digest of its rows.
func (w *world) vouch(r *replica) {
	if _, is := r.active(); !is {
		return
	}
	w.tells(vouch{r.device.id, r.log.position(), r.log.rows.digest()})
	if w.sort != honest && w.dice.IntN(4) == 0 {
		w.tells(vouch{w.someOf(w.colluders).key.id, r.log.position(), 1})
	}
}

func (w *world) tells(v vouch) {
	if w.evil != nil {
		w.vouches = append(w.vouches, v)
	} else if _, is := w.server.l.members[v.device]; is {
		w.server.shelf.vouched[v.device] = v
	}
}

// arrive lets a new device of r's in, or the same with an empty database, at some inviter's word.
func (w *world) arrive(r *replica) {
	if _, is := r.active(); !is {
		return
	}
	w.newcomers = append(w.newcomers, &newcomer{w: w, of: r, told: r.log.clone(), refused: map[hash]bool{},
		confirmed: map[deviceID]bool{}})
}

// endSnapshots lets an honest server's devices come to an end, and looks that each new one has what the log says.
func (w *world) endSnapshots() {
	if len(w.violations) > 0 || w.plain() {
		return
	}
	end := truth(w.server.l.entries)
	told := map[deviceID]bool{}
	for round := range 12 {
		for _, r := range w.replicas {
			if round == 0 {
				w.arrive(r)
			}
			if _, is := r.active(); is && round < 6 && r.log.position() == w.server.l.position() {
				if w.server.shelf.wanted() {
					w.make(r)
				}
				w.prove(r)
				w.vouch(r)
				told[r.device.id] = true
			}
		}
		for _, n := range w.newcomers {
			n.step(w.server.shelf)
		}
	}
	others := func(all map[deviceID]bool, self deviceID) bool { return len(all) > 1 || len(all) > 0 && !all[self] }
	for _, n := range w.newcomers {
		switch {
		case w.restores && n.lost(): // it has to be told of another history
		case n.want == nil && n.base != nil && n.says(): // it has begun with a lie, which it says
		case n.rolled:
			w.violate("a new device finds another log where the server is honest")
		case n.stopped != "":
			w.violate("a new device of an honest server stops (%s)", n.stopped)
		case n.log == nil:
			w.violate("a new device of an honest server cannot start")
		case n.log.position() != end.position():
			w.violate("a new device is not at the log's end")
		case n.log.rows != end.rows && others(told, n.of.device.id):
			w.violate("a new device ends with other rows than the log")
		case n.log.rows != end.rows && len(n.confirmed) > 0:
			w.violate("a new device takes other rows than the log's for confirmed")
		case !maps.Equal(n.log.members, end.members):
			w.violate("a new device ends with other members than the log")
		}
	}
}
