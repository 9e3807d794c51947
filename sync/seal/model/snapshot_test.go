package model

import "maps"

// ranges is how many ranges of keys the rows of a space have: one chunk each.
const ranges = 4

// rows are what the transactions of a log have made of a space: a hash for each range.
type rows [ranges]hash

// fold applies a transaction, which writes in one range.
func (s *rows) fold(tx txID) {
	i := (int(tx)%ranges + ranges) % ranges
	s[i] = hashOf(struct {
		before hash
		tx     txID
	}{s[i], tx})
}

// digest is a sum over the ranges, so that it can be kept up to date as one changes.
func (s *rows) digest() (sum hash) {
	for i, v := range s {
		sum += hashOf(chunk{of: i, value: v})
	}
	return sum
}

// chunk has the rows of a range, under the key of an epoch. Its hash is its name.
type chunk struct {
	key   keyID
	of    int
	value hash
	nonce int
}

// header is what a manifest says to everybody.
type header struct {
	device  deviceID
	epoch   int
	at      position
	members *change
	chunks  [ranges]hash
}

// summary is what it says to members alone.
type summary struct {
	digest  hash
	clients map[clientID]clientState
}

// summaryBox is a summary as who has the key of the epoch sees it, of one header alone.
type summaryBox struct {
	key   keyID
	about header
	summary
}

// manifest is a whole snapshot but for the chunks.
type manifest struct {
	header
	box *summaryBox
	sig manifestSignature
}

type manifestSignature struct {
	by   deviceID
	over signedManifest
}

type signedManifest struct {
	header
	box *summaryBox
}

// id names a snapshot by all that it says.
func (m *manifest) id() hash { return hashOf(signedManifest{m.header, m.box}) }

func (s signer) signManifest(h header, key keyID, what summary) *manifest {
	h.device = s.id
	box := &summaryBox{key, h, what}
	return &manifest{h, box, manifestSignature{s.id, signedManifest{h, box}}}
}

// keys are those of a log's epochs, which the newest one opens.
func (l *log) keys() map[keyID]bool {
	all := map[keyID]bool{}
	for c := l.newest; c != nil; c = c.prev {
		if c.epoch != nil {
			all[c.epoch.key] = true
		}
	}
	return all
}

// put keeps a chunk under its hash, which it returns.
func (w *world) put(c chunk) hash {
	name := hashOf(c)
	if _, there := w.chunks[name]; !there {
		w.chunks[name] = c
		w.parts = append(w.parts, c)
	}
	return name
}

// snapshotOf is what an honest device makes of its log; nil where it dies before the manifest. Chunks of before are
// used again where the rows are the same, also those of a snapshot that it did not finish.
func (r *replica) snapshotOf() *manifest {
	l := r.log
	h := header{epoch: l.epoch.number, at: l.position(), members: l.newest}
	for i, v := range l.rows {
		c, made := r.chunks[chunk{of: i, value: v}]
		if !made || !l.keys()[c.key] { // a server that was put back has no chunk under a key that was lost
			c = chunk{l.epoch.key, i, v, r.w.dice.Int()}
			r.chunks[chunk{of: i, value: v}] = c
		}
		h.chunks[i] = r.w.put(c)
		if r.w.dice.IntN(16) == 0 {
			r.w.hit("a maker of a snapshot dies in the middle")
			return nil
		}
	}
	m := r.device.signManifest(h, l.epoch.key, summary{l.rows.digest(), maps.Clone(l.clients)})
	r.w.made[m.id()] = l.clone()
	return m
}

// lie is a snapshot that a member makes of a log otherwise than it is, or of no log.
func (w *world) lie(c *colluder, l *log) (string, *manifest) {
	state, digest := l.rows, l.rows.digest()
	h := header{epoch: l.epoch.number, at: l.position(), members: l.newest}
	clients, key := maps.Clone(l.clients), l.epoch.key
	of := w.dice.IntN(ranges)
	what := "nothing wrong"
	switch w.dice.IntN(12) {
	case 0:
		what, state[of] = "other rows", 1
		digest = state.digest()
	case 1:
		what, state[of] = "rows that do not have the digest", 1
	case 2:
		what, digest = "another digest", digest+1
	case 3:
		what = "a client that is left out"
		delete(clients, w.clientIn(l))
	case 4:
		what = "another last transaction"
		id := w.clientIn(l)
		clients[id] = clientState{clients[id].device, clients[id].counter, 1}
	case 5:
		what = "another number of a client"
		id := w.clientIn(l)
		clients[id] = clientState{clients[id].device, clients[id].counter + 1, clients[id].last}
	case 6:
		what = "another device of a client"
		id := w.clientIn(l)
		clients[id] = clientState{c.key.id, clients[id].counter, clients[id].last}
	case 7:
		what, h.members = "other members", l.newest.prev
	case 8:
		what, h.epoch = "another epoch", h.epoch+1
	case 9:
		what, h.at.chain = "another chain", 1
	case 10:
		what, h.at.seq = "an entry to come", h.at.seq+2
	}
	nonce := w.dice.Int()
	for i, v := range state {
		h.chunks[i] = w.put(chunk{key, i, v, nonce})
	}
	switch w.dice.IntN(16) {
	case 0:
		what = "one chunk for two ranges"
		h.chunks[of] = h.chunks[(of+1)%ranges]
	case 1:
		what = "a chunk that is not there"
		h.chunks[of] = 1
	case 2:
		what = "a chunk under another key"
		h.chunks[of] = w.put(chunk{-1, of, state[of], nonce})
	}
	return what, c.key.signManifest(h, key, summary{digest, clients})
}

// clientIn is some client of a log.
func (w *world) clientIn(l *log) clientID {
	all := sorted(l.clients)
	return all[w.dice.IntN(len(all))]
}

// roll has the Changes of a log whose other entries are not known; nil where they are none that an honest
// server shows.
func (w *world) roll(entries []*entry) *log {
	l := newLog(w.without)
	last := 0
	for _, e := range entries {
		b := e.body
		c := b.box.change
		if b.kind != members || c == nil || e.outcome != ok || e.seq <= last || b.seen.seq >= e.seq ||
			e.seq-b.seen.seq > window || e.bodyHash != hashOf(*b) {
			return nil
		}
		author, is := l.members[b.device]
		if last == 0 {
			if b.first() != w.anchor || e.seq != 1 {
				return nil
			}
			author, is = c.add[0], true
		}
		before := l.clients[e.client]
		over := statement{e.client, e.counter, b.sealed}
		if !is || e.client != -clientID(b.device) || b.sig.by != b.device || b.sig.over != over ||
			e.counter != before.counter+1 || b.prev != before.last ||
			l.allowed(author, c, func(clientID) bool { return false }, l.without) != ok {
			return nil
		}
		l.append(e, verdict{counted: true})
		last = e.seq
	}
	return l
}

// newestAt is the newest Change of a roll at an entry, and the number of the key there.
func (l *log) newestAt(seq int) (c *change, number int) {
	for _, e := range l.entries {
		if e.seq > seq {
			break
		}
		if c = e.body.box.change; c.epoch != nil {
			number = c.epoch.number
		}
	}
	return c, number
}

// Why a snapshot of honest members may be refused.
const (
	noMember = "its maker is no member"
	tooOld   = "it is older than what is here"
)

// madeOtherwise are the reasons that last: its maker, or who has altered it, is to blame.
var madeOtherwise = []string{notSigned, notOpened, otherRows}

const (
	notSigned = "it is not signed by its maker"
	notOpened = "its box does not open"
	otherRows = "its rows are not what it says"
)

// plan is a snapshot that may be started from.
type plan struct {
	*manifest
	roll *log
	rows rows
}

// survey looks at a snapshot by the Changes that the server shows. why is "" for one that may be started from.
func (w *world) survey(m *manifest, roll *log) (p *plan, why string) {
	on := func(u rule) bool { return w.without != u }
	maker, is := roll.members[m.device]
	newest, number := roll.newestAt(m.at.seq)
	keys := roll.keys()
	switch {
	case !is && on(ruleMakerMember):
		return nil, noMember
	case is && (maker.slot || maker.role == read) && on(ruleMakerRole):
		return nil, "its maker may not write"
	case (m.members != newest || m.epoch != number) && on(ruleManifestMembers):
		return nil, "its members are not those of the log"
	case m.sig != (manifestSignature{m.device, signedManifest{m.header, m.box}}) && on(ruleManifestSigned):
		return nil, notSigned
	case !keys[m.box.key] || m.box.about != m.header && on(ruleManifestSigned):
		return nil, notOpened
	}
	return &plan{manifest: m, roll: roll}, ""
}

// fill reads the chunks, and says why they are not what the manifest says.
func (p *plan) fill(w *world, fetch func(hash) (chunk, bool)) (why string) {
	keys := p.roll.keys()
	for i, name := range p.chunks {
		c, there := fetch(name)
		if !there || hashOf(c) != name && w.without != ruleChunkHash {
			return "a chunk is not there"
		}
		if !keys[c.key] || c.of != i {
			return otherRows
		}
		p.rows[i] = c.value
	}
	if p.rows.digest() != p.box.digest && w.without != ruleCounted {
		return otherRows
	}
	return ""
}

// log is the log as of the snapshot.
func (p *plan) log(without rule) *log {
	l := newLog(without)
	l.entries, l.from = make([]*entry, p.at.seq), p.at.seq
	for i := range l.entries {
		l.entries[i] = &entry{}
	}
	l.entries[p.at.seq-1] = &entry{seq: p.at.seq, chain: p.at.chain}
	l.clients = maps.Clone(p.box.clients)
	for _, e := range p.roll.entries {
		if e.seq <= p.at.seq {
			l.apply(e.body.box.change)
		}
	}
	l.rows = p.rows
	return l
}

// proves says whether r's device, which has followed the log, finds that a snapshot leads where it is itself: what a
// new device would do with it is done, and compared.
func (r *replica) proves(m *manifest, changes []*entry, fetch func(hash) (chunk, bool)) bool {
	roll := r.w.roll(changes)
	if roll == nil || m.at.seq > len(r.log.entries) || !r.log.has(m.at) {
		return false
	}
	p, why := r.w.survey(m, roll)
	if why != "" {
		return false
	}
	if r.on(ruleProveRows) && p.fill(r.w, fetch) != "" {
		return false
	}
	l := p.log(r.w.without)
	for _, e := range r.log.entries[m.at.seq:] {
		v := l.judge(e, true)
		if v.stop != "" && r.on(ruleProveClients) {
			return false
		}
		l.append(e, v)
	}
	if l.newest != r.log.newest {
		return false // the Changes are not those that it has followed
	}
	return (l.rows.digest() == r.log.rows.digest() || !r.on(ruleProveFold) || !r.on(ruleProveRows)) &&
		(maps.Equal(l.clients, r.log.clients) || !r.on(ruleProveClients))
}
