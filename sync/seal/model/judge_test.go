package model

import "maps"

// window is how many chain hashes a replica keeps.
const window = 8

// rule names what a mutant leaves out.
type rule int

const (
	none rule = iota
	// of judging an entry
	ruleChain
	ruleBodyHash
	ruleAnchor
	ruleMember
	ruleWriter
	ruleUncounted
	ruleStrangersClient
	ruleSignature
	ruleClientsDevice
	ruleChangesClient
	ruleCounter
	rulePrev
	ruleSeenBefore
	ruleSeenChain
	ruleStale
	ruleEpoch
	ruleBox
	// of a Change
	ruleNewestChange
	ruleAddedOnce
	ruleReader
	ruleOwnUser
	ruleRoleCap
	ruleSlot
	ruleRemoveSelf
	ruleNewKey
	ruleWraps
	ruleEpochNumber
	ruleResetRole
	// of a replica
	ruleAllSeals
	ruleEqualContent
	ruleUncountedStays
	ruleInvitersWord
	ruleRollback
	ruleHeadChain
	ruleLeft
	ruleLeftSent
	ruleCovered
	ruleResetAdmin
	ruleResetPosition
	ruleResetLost
	ruleAcceptAdmin
	ruleLed
	ruleRemoveAgain
	ruleNumberOn
	ruleWordKey
	ruleServerChecks
	ruleServerHeads
	// of snapshots
	ruleMakerMember
	ruleMakerRole
	ruleManifestSigned
	ruleManifestMembers
	ruleManifestWord
	ruleManifestChain
	ruleChunkHash
	ruleCounted
	ruleNextSnapshot
	ruleDiffers
	ruleProvedFirst
	ruleProveRows
	ruleProveFold
	ruleProveClients
	ruleProveOthers
	ruleCutProved
	ruleKeepProved
	rules // how many there are
)

// verdict of an entry. Where stop is set the replica goes no further. An entry that
// is not counted is one that its author need not have made.
type verdict struct {
	stop    string
	code    string // of a void; "" for ok
	counted bool
}

type clientState struct {
	device  deviceID // 0: not known
	counter int
	last    hash
}

// log is a log with what follows from it. Who is told of an entry judges it first.
type log struct {
	records
	entries []*entry
	from    int // the first entry that is known: a snapshot's, of a log that began with one
	clients map[clientID]clientState
	rows    rows // as the reader of the log folds them
	without rule
}

func newLog(without rule) *log { return &log{clients: map[clientID]clientState{}, without: without} }

func (l *log) clone() *log {
	c := *l
	c.entries = c.entries[:len(c.entries):len(c.entries)]
	c.clients = maps.Clone(c.clients)
	return &c
}

func (l *log) on(r rule) bool { return l.without != r }

func (l *log) position() position { return position{len(l.entries), l.chainAt(len(l.entries))} }

func (l *log) chainAt(seq int) hash {
	if seq <= 0 || seq > len(l.entries) {
		return 0
	}
	return l.entries[seq-1].chain
}

// has says whether p lies on this log.
func (l *log) has(p position) bool { return p.seq <= len(l.entries) && l.chainAt(p.seq) == p.chain }

// last is the end of the part that l has in common with another log.
func (l *log) last(common *log) position {
	n := min(len(l.entries), len(common.entries))
	for n > 0 && l.chainAt(n) != common.chainAt(n) {
		n--
	}
	return position{n, l.chainAt(n)}
}

func stop(why string) verdict { return verdict{stop: why} }

// judge says what becomes of e as the next entry. keys says whether the log's reader
// has the keys: a server has none, and passes over what they open.
func (l *log) judge(e *entry, keys bool) verdict {
	void := func(code string) verdict { return verdict{code: code, counted: true} }
	// 1
	if l.on(ruleChain) && (e.seq != len(l.entries)+1 || e.chain != e.chainAfter(l.chainAt(len(l.entries)))) {
		return stop("chain")
	}
	b := e.body
	before := l.clients[e.client]
	if e.bodyHash != hashOf(*b) && l.on(ruleBodyHash) {
		return stop("chain")
	}
	if b.malformed() {
		return stop("forged")
	}
	// 2
	author, is := l.members[b.device]
	if first := b.first(); len(l.entries) == 0 {
		if first == nil || e.outcome != ok {
			return stop("anchor")
		}
		author, is = first.add[0], true
	}
	if !is && l.on(ruleMember) || b.kind == data && (author.role == read || author.slot) && l.on(ruleWriter) {
		if _, member := l.members[before.device]; member && before.device != b.device && l.on(ruleStrangersClient) {
			return stop("forged")
		}
		return verdict{code: notMember, counted: l.without == ruleUncounted}
	}
	// 3
	over := statement{e.client, e.counter, b.sealed}
	if (b.sig.by != b.device || b.sig.over != over) && l.on(ruleSignature) {
		return stop("forged")
	}
	if before.device != 0 && before.device != b.device && l.on(ruleClientsDevice) {
		return stop("forged")
	}
	if (b.kind == members) != (e.client == -clientID(b.device)) && l.on(ruleChangesClient) {
		return stop("forged")
	}
	// 4
	if e.counter != before.counter+1 && l.on(ruleCounter) || b.prev != before.last && l.on(rulePrev) {
		return stop("link")
	}
	// 5
	if b.seen.seq >= e.seq && l.on(ruleSeenBefore) {
		return stop("fork")
	}
	recent := b.seen.seq < e.seq && e.seq-b.seen.seq <= window
	known := b.seen.seq == 0 || b.seen.seq >= l.from
	if recent && known && l.chainAt(b.seen.seq) != b.seen.chain && l.on(ruleSeenChain) {
		return stop("fork")
	}
	if e.outcome != ok {
		return void(e.outcome)
	}
	// 6
	if b.seen.seq < e.seq && !recent && l.on(ruleStale) {
		return void(stale)
	}
	if b.kind == members {
		used := func(c clientID) bool { return l.clients[c].counter > 0 && len(l.entries) > 0 }
		code := l.allowed(author, b.box.change, used, l.without)
		if code != ok && len(l.entries) == 0 {
			return stop("anchor")
		}
		return void(code)
	}
	// 7
	if b.epoch != l.epoch.number && l.on(ruleEpoch) {
		return void(oldEpoch)
	}
	// 8
	key := l.epoch.key
	if l.without == ruleEpoch {
		key = b.box.key // the one that the entry names
	}
	if keys && !b.box.opens(key, over) && l.on(ruleBox) {
		return void(badSeal)
	}
	return void(ok)
}

// malformed says whether b does not decode: no honest server takes it.
func (b *body) malformed() bool {
	return b.epoch == 0 || (b.seen.seq == 0) != (b.seen.chain == 0) || b.seen.seq < 0 || b.kind == data && b.box.key == 0
}

// first is the Change that begins a space, nil if b has none: its author is the
// device that it adds.
func (b *body) first() *change {
	if b.kind != members || b.box.change == nil || !b.box.change.first || len(b.box.change.add) == 0 {
		return nil
	}
	if c := b.box.change; c.add[0].id == b.device && c.add[0].role == admin && !c.add[0].slot {
		return c
	}
	return nil
}

// append adds e, which was judged v.
func (l *log) append(e *entry, v verdict) {
	l.entries = append(l.entries, e)
	if !v.counted {
		return
	}
	l.clients[e.client] = clientState{e.body.device, e.counter, e.digest()}
	if v.code == ok && e.body.kind == data && e.body.box != nil {
		l.rows.fold(e.body.box.tx)
	}
	if v.code == ok && e.body.kind == members {
		l.apply(e.body.box.change)
		for _, m := range e.body.box.change.add {
			if c := -clientID(m.id); l.on(ruleChangesClient) && l.clients[c].device == 0 {
				l.clients[c] = clientState{device: m.id} // nobody takes it before its device does
			}
		}
	}
}

// changes are the Changes that took effect behind seq.
func (l *log) changes(seq int) (all []*change) {
	for c := l.newest; c != nil; c = c.prev {
		all = append(all, c)
	}
	at := newLog(l.without)
	for _, e := range l.entries[:seq] {
		at.append(e, at.judge(e, false))
	}
	var behind []*change
	for _, c := range all {
		if c == at.newest {
			break
		}
		behind = append(behind, c)
	}
	return behind
}
