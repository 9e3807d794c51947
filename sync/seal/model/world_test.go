package model

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// sort of a world: who is honest in it.
type sort int

const (
	honest  sort = iota // everybody
	lying               // the server; some members are not
	hostile             // no server, and some members are not either
	sorts
)

func (s sort) String() string { return [...]string{"honest", "members", "server"}[s] }

type world struct {
	random  *rand.Rand
	without rule
	sort    sort
	// An honest server is put back to backups, or devices are copied, not both: two
	// copies that have parted by the time of a restore may give it one transaction
	// under two ids, in a plain space too.
	restores bool

	main      host
	server    *server // of an honest world
	evil      *attacker
	replicas  []*replica
	colluders []*colluder
	anchor    *change
	begun     bool // from here on there are faults
	see       *observer

	rejected   map[txID]bool
	wrote      map[txID]*replica
	leaving    map[deviceID]bool // removed on purpose
	lastTx     txID
	lastKey    keyID
	lastDevice deviceID
	slots      []slotKey
	words      []*change // of admins that history is lost, without a key of their own

	snapshots
	hits       map[string]int
	violations []string
}

// slotKey is a recovery code: the key of a slot, and where the log was then.
type slotKey struct {
	member  member
	word    position
	promise hash
}

func newWorld(seed uint64, s sort, without rule) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, uint64(s))), sort: s, without: without, hits: map[string]int{},
		rejected: map[txID]bool{}, wrote: map[txID]*replica{}, leaving: map[deviceID]bool{}, snapshots: newSnapshots(seed, s)}
	w.see = &observer{w: w, seals: map[hash]sealInfo{}, devices: map[deviceID]bool{}, owner: map[clientID]deviceID{},
		outcomes: map[hash]string{}, chains: map[hash]hash{}, words: map[*change]hash{}}
	w.restores = w.chance(2)
	if s == hostile {
		w.evil = newAttacker(w)
		w.main = w.evil.branches[0]
	} else {
		w.server = &server{w: w, l: newLog(without), newest: map[deviceID]head{}, shelf: newShelf(w)}
		w.main = w.server
	}
	w.begin()
	w.begun = true
	return w
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

func (w *world) hit(what string) { w.hits[what]++ }

func (w *world) newKey() keyID {
	w.lastKey++
	return w.lastKey
}

func (w *world) newDevice(u userID, r role) member {
	w.lastDevice++
	return member{id: w.lastDevice, user: u, role: r}
}

func (w *world) newReplica(m member) *replica {
	r := &replica{w: w, device: signer{m.id}, user: m.user, log: newLog(w.without), anchor: w.anchor,
		client: clientID(w.random.Uint64()>>2) + 1, seals: map[hash]txID{}, stored: map[txID]*pushed{},
		heads: map[deviceID]head{}, also: map[deviceID][]head{},
		covered: map[deviceID]int{}, resets: map[*change]bool{}, chunks: map[chunk]chunk{}, trace: newTrace(w)}
	w.see.devices[m.id], w.see.owner[r.client] = true, m.id
	w.replicas = append(w.replicas, r)
	return r
}

// host is the server, or the history that the attacker shows to r.
func (w *world) host(r *replica) host {
	if w.evil != nil {
		return w.evil.at(r)
	}
	return w.server
}

// begin makes a space with an admin and some others.
func (w *world) begin() {
	m := w.newDevice(1, admin)
	c := &change{first: true, add: []member{m}, epoch: &epoch{1, w.newKey(), []deviceID{m.id}}}
	w.anchor = c
	a := w.newReplica(m)
	b := a.device.seal(statement{client: -clientID(m.id), counter: 1, sealed: sealed{kind: members, epoch: 1}}, 0, 0, c)
	p := &pushed{-clientID(m.id), 1, b}
	w.see.sealed(a, p, 0)
	w.host(a).push(position{}, p)
	a.pull(w.host(a))
	if w.evil != nil && w.chance(4) {
		w.newReplica(m) // the founder's key, and a database that has seen nothing
	}
	for _, m := range []member{{user: 2, role: admin}, {user: 3, role: write}, {user: 4, role: read}} {
		if w.chance(4) {
			continue
		}
		w.invite(a, w.newDevice(m.user, m.role))
	}
	if w.chance(2) {
		w.code(a)
	}
	if w.sort != honest {
		w.corrupt(a)
	}
}

// invite lets m in through inviter, whose word it takes.
func (w *world) invite(inviter *replica, m member) *replica {
	c := &change{add: []member{m}, wraps: []deviceID{m.id}}
	if w.chance(6) {
		inviter.newKeyFor(c)
	}
	if inviter.change(w.host(inviter), c) != ok {
		return nil
	}
	inviter.pull(w.host(inviter))
	if _, is := inviter.log.members[m.id]; !is || inviter.halted() {
		return nil
	}
	r := w.newReplica(m)
	r.word = inviter.log.position()
	r.promise = inviter.trace.history[r.word.seq-1]
	w.hit("a device is let in")
	return r
}

func (r *replica) newKeyFor(c *change) {
	if _, is := r.self(); is {
		r.newKey(c)
	}
}

// code makes a recovery code of r's user.
func (w *world) code(r *replica) {
	self, is := r.self()
	if !is {
		return
	}
	m := w.newDevice(self.user, self.role)
	m.slot = true
	if r.change(w.host(r), &change{add: []member{m}, wraps: []deviceID{m.id}}) == ok {
		r.pull(w.host(r))
		if _, is := r.log.members[m.id]; is {
			w.slots = append(w.slots, slotKey{m, r.log.position(), r.trace.history[len(r.log.entries)-1]})
		}
	}
}

// unlock lets a new device in by a recovery code.
func (w *world) unlock(s slotKey) {
	r := w.newReplica(w.newDevice(s.member.user, s.member.role))
	r.word, r.promise = s.word, s.promise
	r.pull(w.host(r))
	if !r.caughtUp || r.halted() || r.log.members[s.member.id].id == 0 {
		w.replicas = w.replicas[:len(w.replicas)-1]
		return
	}
	m := member{id: r.device.id, user: s.member.user, role: s.member.role}
	r.changeAs(w.host(r), signer{s.member.id}, &change{add: []member{m}, wraps: []deviceID{m.id}})
	r.pull(w.host(r))
	w.hit("a device is let in by a code")
}

// copyOf is r's database and keys once more.
func (w *world) copyOf(r *replica) {
	c := *r
	c.log, c.trace, c.chunks = r.log.clone(), r.trace.clone(), maps.Clone(r.chunks)
	c.pending, c.sent, c.told = slices.Clone(r.pending), slices.Clone(r.sent), slices.Clone(r.told)
	c.seals, c.stored, c.heads = maps.Clone(r.seals), maps.Clone(r.stored), maps.Clone(r.heads)
	c.resets, c.covered, c.also = maps.Clone(r.resets), maps.Clone(r.covered), maps.Clone(r.also)
	w.replicas = append(w.replicas, &c)
	if w.evil != nil {
		w.evil.shown[&c] = w.evil.at(r)
	}
	w.hit("a database is copied")
}

// run takes steps, then lets the faults end.
func (w *world) run(steps int) {
	for range steps {
		if len(w.violations) > 0 {
			return
		}
		w.step(w.replicas[w.random.IntN(len(w.replicas))])
		w.snapshot()
	}
	if w.evil != nil {
		w.evil.end()
		return
	}
	w.end()
	w.endSnapshots()
}

func (w *world) step(r *replica) {
	lose := func() bool { return w.chance(8) }
	switch n := w.random.IntN(100); {
	case n < 25:
		w.commit(r)
	case n < 50:
		r.pull(w.host(r))
	case n < 68:
		r.push(w.host(r), lose)
	case n < 75:
		r.tell(w.host(r))
	case n < 83:
		w.manage(r)
	case n < 85 && !w.restores && len(w.replicas) < 8:
		w.copyOf(r)
	case w.sort == honest || n < 88:
		w.serve(r)
	case w.sort == lying || n < 90:
		w.collude()
	case n == 99:
		w.evil.persuade()
	default:
		w.evil.attack(r)
	}
}

func (w *world) commit(r *replica) {
	if m, is := r.self(); is && m.role != read && len(r.pending) < 6 {
		w.lastTx++
		r.pending = append(r.pending, w.lastTx)
		w.wrote[w.lastTx] = r
	}
}

// manage changes the members through r, whatever r may do.
func (w *world) manage(r *replica) {
	self, is := r.self()
	h := w.host(r)
	if !is {
		return
	}
	switch w.random.IntN(6) {
	case 0, 1:
		if len(w.replicas) < 8 {
			u, ro := self.user, role(w.random.IntN(3)+1)
			if w.chance(2) {
				u = userID(w.random.IntN(4) + 1)
			}
			w.invite(r, w.newDevice(u, ro))
		}
	case 2:
		ids := sorted(r.log.members)
		id := ids[w.random.IntN(len(ids))]
		c := &change{remove: []deviceID{id}}
		r.newKey(c)
		if id != r.device.id && len(r.log.members) > 3 && r.change(h, c) == ok {
			w.leaving[id] = true
			w.hit("a device is removed")
		}
	case 3:
		c := &change{}
		r.newKey(c)
		if r.change(h, c) == ok {
			w.hit("a new key")
		}
	case 4:
		w.code(r)
	case 5:
		if len(w.slots) > 0 && len(w.replicas) < 8 {
			w.unlock(w.slots[w.random.IntN(len(w.slots))])
		}
	}
}

// serve lets time pass: requests come late, backups are made and put back, users say yes.
func (w *world) serve(r *replica) {
	switch {
	case w.evil != nil || w.restores && w.chance(3):
		if (r.rolledBack || r.headStop) && w.chance(2) {
			r.accept(w.host(r))
			r.pull(w.host(r))
		}
		r.finish(w.host(r))
	case w.restores && w.chance(3):
		w.server.keep()
	case w.restores && w.chance(6):
		w.server.restore()
	default:
		w.late(r)
	}
}

// late lets a seal arrive that was made at some time.
func (w *world) late(r *replica) {
	for _, tx := range r.pending {
		if p := r.stored[tx]; p != nil {
			w.server.late = append(w.server.late, p)
		}
	}
	if n := len(w.server.late); n > 0 {
		w.server.decide(w.server.late[w.random.IntN(n)])
		w.hit("a request comes late")
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
