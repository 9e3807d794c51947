package model

import (
	"maps"
	"slices"
)

// shelf is what an honest server keeps of snapshots, and how far its log is cut. It has no key.
type shelf struct {
	w       *world
	kept    []*shelved // the oldest first
	horizon int        // entries up to it are cut, but for Changes
	vouched map[deviceID]vouch
	doubted map[hash]bool // a device was asked to prove them, and has not
}

type shelved struct {
	*manifest
	proved bool
}

// vouch is what a device's head says of rows: their digest at a position.
type vouch struct {
	device deviceID
	at     position
	digest hash
}

// unproved is how many snapshots are kept that are newer than the proved one.
const unproved = 2

func newShelf(w *world) *shelf {
	return &shelf{w: w, vouched: map[deviceID]vouch{}, doubted: map[hash]bool{}}
}

func (s *shelf) clone() *shelf {
	c := *s
	c.vouched, c.kept = maps.Clone(s.vouched), nil
	for _, k := range s.kept {
		one := *k
		c.kept = append(c.kept, &one)
	}
	return &c
}

func (s *shelf) log() *log { return s.w.server.l }

// put takes a snapshot, as far as that can be checked without a key.
func (s *shelf) put(m *manifest) bool {
	l := s.log()
	maker, is := l.members[m.device]
	newest, number := rollOf(l).newestAt(m.at.seq)
	switch {
	case !is || maker.slot || maker.role == read, !l.has(m.at), len(l.entries)-m.at.seq > window,
		m.members != newest || m.epoch != number,
		m.sig != (manifestSignature{m.device, signedManifest{m.header, m.box}}),
		s.passed(m):
		return false
	}
	for _, name := range m.chunks {
		if _, there := s.w.chunks[name]; !there {
			return false
		}
	}
	s.kept = append(s.kept, &shelved{manifest: m})
	s.tidy()
	return true
}

// passed says whether there is a newer snapshot, or one of the same entry that is proved or of the same maker.
func (s *shelf) passed(m *manifest) bool {
	if len(s.kept) == 0 {
		return false
	}
	newest := s.kept[len(s.kept)-1]
	return newest.at.seq > m.at.seq || newest.at.seq == m.at.seq && (newest.proved || newest.device == m.device)
}

// wanted says whether another snapshot is: there is none of a member's that is proved, or may come to be.
func (s *shelf) wanted() bool {
	return len(s.kept) > 0 && !slices.ContainsFunc(s.kept, func(k *shelved) bool {
		_, is := s.log().members[k.device]
		return is && (k.proved || !s.doubted[k.id()])
	})
}

// tidy takes away what is older than the newest proved one, and of the others all but the newest.
func (s *shelf) tidy() {
	least, n := 0, 0
	for _, k := range s.kept {
		if k.proved || s.w.without == ruleKeepProved {
			least = k.at.seq
		}
	}
	var stay []*shelved
	for _, k := range slices.Backward(s.kept) {
		if !k.proved {
			n++
		}
		if k.at.seq >= least && (k.proved || n <= unproved) {
			stay = append(stay, k)
		}
	}
	slices.Reverse(stay)
	s.kept = stay
	s.cut()
}

// prove notes that a device has read a snapshot back, and cuts.
func (s *shelf) prove(id hash, by deviceID) {
	devices := 0
	for _, m := range s.log().members {
		if !m.slot {
			devices++
		}
	}
	m, is := s.log().members[by]
	for _, k := range s.kept {
		if k.id() == id && is && !m.slot && (by != k.device || devices == 1 || s.w.without == ruleProveOthers) {
			k.proved = true
		}
	}
	s.tidy()
}

func (s *shelf) cut() {
	before := s.horizon
	for _, k := range s.kept {
		if k.proved || s.w.without == ruleCutProved {
			s.horizon = max(s.horizon, min(k.at.seq, len(s.log().entries)-window))
		}
	}
	if s.horizon > before {
		s.w.hit("the log is cut")
	}
	if s.horizon > 0 && !slices.ContainsFunc(s.kept, func(k *shelved) bool { return k.proved && k.at.seq >= s.horizon }) {
		s.w.violate("the log is cut, and there is no proved snapshot of what is gone")
	}
}

// rollOf are the Changes of a log that count.
func rollOf(l *log) *log {
	counts := map[*change]bool{}
	for c := l.newest; c != nil; c = c.prev {
		counts[c] = true
	}
	r := newLog(none)
	for _, e := range l.entries {
		if e.body.kind == members && counts[e.body.box.change] && e.outcome == ok {
			r.entries = append(r.entries, e)
		}
	}
	return r
}

// stall is what a server offers a device that starts from a snapshot.
type stall interface {
	changes() []*entry
	offers() []*manifest // in the order in which they are tried
	chunk(hash) (chunk, bool)
	// after are the entries behind a position; cut says that they are not there any more, found that it is on the log.
	after(position) (entries []*entry, found, cut bool)
	vouches() []vouch
}

func (s *shelf) changes() []*entry { return rollOf(s.log()).entries }

// offers are those that are proved before the others, and of each the newest first: a member's lie that nobody has
// looked at yet is not what a new device begins with.
func (s *shelf) offers() (all []*manifest) {
	for _, proved := range []bool{true, false} {
		for _, k := range slices.Backward(s.kept) {
			if k.proved == proved || s.w.without == ruleProvedFirst && proved {
				all = append(all, k.manifest)
			}
		}
	}
	return all
}

func (s *shelf) chunk(name hash) (chunk, bool) {
	c, there := s.w.chunks[name]
	return c, there
}

func (s *shelf) after(p position) ([]*entry, bool, bool) {
	if !s.log().has(p) {
		return nil, false, false
	}
	if p.seq < s.horizon {
		return nil, true, true
	}
	return s.log().entries[p.seq:], true, false
}

func (s *shelf) vouches() (all []vouch) {
	for _, id := range sorted(s.vouched) {
		all = append(all, s.vouched[id])
	}
	return all
}

// falseStall is what a server that attacks offers: any snapshot that was ever made, altered or not, any chunk for any
// other, the Changes of another history.
type falseStall struct {
	w *world
	l *log
}

func (f *falseStall) changes() []*entry {
	w := f.w
	all := rollOf(f.l).entries
	switch w.dice.IntN(8) {
	case 0:
		w.hit("the server shows the Changes of another history")
		return rollOf(w.evil.branches[w.dice.IntN(len(w.evil.branches))].l).entries
	case 1:
		w.hit("the server shows Changes as they once were")
		return all[:w.dice.IntN(len(all)+1)]
	case 2:
		if i := w.dice.IntN(len(all) + 1); i < len(all) {
			w.hit("the server leaves a Change out")
			return slices.Delete(slices.Clone(all), i, i+1)
		}
	}
	return all
}

func (f *falseStall) offers() (all []*manifest) {
	w := f.w
	for range 4 {
		if len(w.manifests) == 0 {
			return nil
		}
		m := w.manifests[w.dice.IntN(len(w.manifests))]
		if w.dice.IntN(3) == 0 {
			m = f.alter(m)
		}
		all = append(all, m)
	}
	return all
}

// alter changes a field of a signed manifest, or has it signed by another member.
func (f *falseStall) alter(m *manifest) *manifest {
	w := f.w
	other := w.manifests[w.dice.IntN(len(w.manifests))]
	c := *m
	switch w.dice.IntN(7) {
	case 0:
		c.device = other.device
	case 1:
		c.at = other.at
	case 2:
		c.at = f.l.position()
	case 3:
		c.chunks[w.dice.IntN(ranges)] = other.chunks[w.dice.IntN(ranges)]
	case 4:
		c.box = other.box
	case 5:
		c.members, c.epoch = other.members, other.epoch
	case 6:
		by := w.colluders[w.dice.IntN(len(w.colluders))]
		c = *by.key.signManifest(m.header, m.box.key, m.box.summary)
		w.hit("a snapshot is signed by another")
		return &c
	}
	w.hit("the server alters a snapshot, or mixes two")
	return &c
}

func (f *falseStall) chunk(name hash) (chunk, bool) {
	w := f.w
	switch w.dice.IntN(12) {
	case 0:
		w.hit("the server keeps a chunk back")
		return chunk{}, false
	case 1:
		w.hit("the server swaps chunks")
		c := w.chunks[name]
		for _, o := range w.parts {
			if o.of == c.of && o.value != c.value {
				return o, true
			}
		}
	}
	c, there := w.chunks[name]
	return c, there
}

func (f *falseStall) after(p position) ([]*entry, bool, bool) {
	if !f.l.has(p) {
		return nil, false, false
	}
	return f.l.entries[p.seq:], true, p.seq == 0 && f.w.dice.IntN(2) == 0
}

func (f *falseStall) vouches() (all []vouch) {
	for _, v := range f.w.vouches {
		if f.w.dice.IntN(2) == 0 {
			all = append(all, v)
		}
	}
	return all
}
