package model

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/crypto/blake2b"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// real turns a world's entries into bytes with real keys, so that package seal judges
// them. What the model takes for a hash of nothing is some hash here as well.
type real struct {
	t       testing.TB
	anchor  seal.Anchor
	bodies  map[hash]*body
	signed  map[hash]statement // by their digest
	entries map[hash]*entry    // by chain hash
	before  map[hash]hash      // the chain hash of the entry before
	encoded map[body][]byte
	chains  map[hash]wire.Hash
	changes map[*change][]byte
	boxes   map[*box]*seal.Sealed // nonce and box
}

var identities = map[deviceID]seal.Identity{}

func some(kind string, n uint64) wire.Hash {
	return blake2b.Sum256(binary.LittleEndian.AppendUint64([]byte(kind), n))
}

func identity(t testing.TB, id deviceID) seal.Identity {
	if identities[id] == nil {
		i, err := native.Suite{}.Identity(context.Background(), &seal.SlotSecret{SignSeed: some("sign", uint64(id)),
			BoxKey: some("box", uint64(id))})
		if err != nil {
			t.Fatal(err)
		}
		identities[id] = i
	}
	return identities[id]
}

func (r *real) id(id deviceID) seal.ID { return seal.DeviceID(identity(r.t, id).Public()) }

func (r *real) client(c clientID) wire.ClientID {
	if c < 0 {
		return r.id(deviceID(-c)).Members()
	}
	h := some("client", uint64(c))
	return wire.ClientID(h[:16])
}

func key(k keyID) *seal.Key {
	h := seal.Key(some("key", uint64(k)))
	return &h
}

// learn notes a log's entries, before any of them is made into bytes.
func (r *real) learn(l *log) {
	var last hash
	for i, e := range l.entries {
		r.learnBody(e.body)
		if e.seq == i+1 && e.chain == e.chainAfter(last) && e.bodyHash == hashOf(*e.body) {
			r.entries[e.chain], r.before[e.chain] = e, last
		}
		last = e.chain
	}
}

func (r *real) learnBody(b *body) {
	r.bodies[hashOf(*b)] = b
	r.signed[hashOf(b.sig.over)] = b.sig.over
}

// chain is the chain hash that stands for the model's.
func (r *real) chain(c hash) wire.Hash {
	if c == 0 {
		return wire.Hash{}
	}
	e := r.entries[c]
	if e == nil {
		return some("chain", uint64(c))
	}
	if _, known := r.chains[c]; !known {
		made := r.entry(e, r.chain(r.before[c]))
		r.chains[c] = made.Chain
	}
	return r.chains[c]
}

func (r *real) bodyHash(h hash) wire.Hash {
	if h == 0 {
		return wire.Hash{}
	}
	if b := r.bodies[h]; b != nil {
		return wire.HashBody(r.body(*b))
	}
	return some("body", uint64(h))
}

func (r *real) digest(h hash) wire.Hash {
	if h == 0 {
		return wire.Hash{}
	}
	if s, known := r.signed[h]; known {
		return r.sealed(s.sealed).Digest(r.place(s))
	}
	return some("digest", uint64(h))
}

// entry makes e, which may be wrong, follow an entry.
func (r *real) entry(e *entry, last wire.Hash) *wire.Entry {
	made := &wire.Entry{Seq: uint64(e.seq), Client: r.client(e.client), Counter: uint64(e.counter), Outcome: e.outcome,
		Body: r.body(*e.body), BodyHash: r.bodyHash(e.bodyHash)}
	made.Chain = made.ChainAfter(last)
	return made
}

func (r *real) place(s statement) seal.Place {
	return seal.Place{Anchor: r.anchor, Client: r.client(s.client), Counter: uint64(s.counter)}
}

// sealed has s's fields but for the signature.
func (r *real) sealed(s sealed) *seal.Sealed {
	out := &seal.Sealed{Kind: seal.Kind(s.kind), Device: r.id(s.device), Prev: r.digest(s.prev), Epoch: uint64(s.epoch),
		Seen: seal.Position{Seq: uint64(s.seen.seq), Chain: r.chain(s.seen.chain)}}
	if s.box == nil {
		return out
	}
	box := r.box(s.box)
	if out.Box = box.Box; s.kind == data {
		out.Nonce = box.Nonce
	}
	return out
}

func (r *real) box(b *box) *seal.Sealed {
	if r.boxes[b] != nil {
		return r.boxes[b]
	}
	made := &seal.Sealed{Box: make([]byte, 256+16), Nonce: seal.Nonce{1}}
	switch {
	case b.change != nil:
		made = &seal.Sealed{Box: r.change(b.change)}
	case b.key > 0:
		made = r.sealed(b.about.sealed)
		content := binary.LittleEndian.AppendUint64(nil, uint64(b.tx))
		err := made.Encrypt(r.place(b.about), key(b.key), content, true, randomOf(r.t, uint64(len(r.boxes))))
		if err != nil {
			r.t.Fatal(err)
		}
	}
	r.boxes[b] = made
	return made
}

func (r *real) body(b body) []byte {
	if made := r.encoded[b]; made != nil {
		return made
	}
	s := r.sealed(b.sealed)
	over := r.sealed(b.sig.over.sealed)
	if b.sig.batch > 0 && s.Kind == seal.KindData { // beside something else
		over.Path = []seal.Hash{some("beside", uint64(b.sig.batch))}
		s.Path = over.Path
	}
	signature, err := identity(r.t, b.sig.by).Sign(context.Background(), over.Statement(r.place(b.sig.over)))
	if err != nil {
		r.t.Fatal(err)
	}
	s.Signature = signature
	r.encoded[b] = s.Marshal()
	return r.encoded[b]
}

func (r *real) change(c *change) []byte {
	if made := r.changes[c]; made != nil {
		return made
	}
	out := &seal.Change{}
	switch {
	case c.first:
		out.Random = some("random", 1)
	case c.prev == nil:
		out.Prev = some("change", 0)
	default:
		out.Prev = seal.HashChange(r.change(c.prev))
	}
	for _, m := range c.add {
		r.add(out, m)
	}
	for _, id := range c.remove {
		out.Remove = append(out.Remove, r.id(id))
	}
	if e := c.epoch; e != nil {
		out.Epoch = &seal.Epoch{Number: uint64(e.number), Commit: key(e.key).Commit(r.anchor, uint64(e.number)),
			Wrap: r.wraps(e.wraps)}
		if e.number != 1 {
			out.Epoch.Before = make([]byte, 24+32+16)
		}
	}
	out.Wrap = r.wraps(c.wraps)
	if p := c.reset; p != nil {
		out.Reset = &seal.Reset{Position: seal.Position{Seq: uint64(p.pos.seq), Chain: r.chain(p.pos.chain)}}
		for _, lost := range p.lost {
			out.Reset.Lost = append(out.Reset.Lost, seal.HashChange(r.change(lost)))
		}
	}
	r.changes[c] = out.Marshal()
	return r.changes[c]
}

func (r *real) wraps(ids []deviceID) (all []seal.Wrap) {
	for _, id := range ids {
		all = append(all, seal.Wrap{ID: r.id(id), HPKE: [seal.WrapSize]byte{1}})
	}
	return all
}

func (r *real) add(out *seal.Change, m member) {
	id := identity(r.t, m.id)
	sign, box := id.Public()
	user := some("user", uint64(m.user))
	if m.slot {
		out.Slots = append(out.Slots, seal.Slot{Sign: sign, Box: box, Role: seal.Role(m.role), User: seal.ID(user[:16]),
			Kind: seal.SlotCode, Sealed: make([]byte, 100)})
		return
	}
	d := seal.Device{Sign: sign, Box: box, Role: seal.Role(m.role), User: seal.ID(user[:16])}
	if err := d.SealName(r.anchor, key(1), 1, "", randomOf(r.t, uint64(m.id))); err != nil {
		r.t.Fatal(err)
	}
	proof, err := id.Sign(context.Background(), d.ProofStatement(r.anchor))
	if err != nil {
		r.t.Fatal(err)
	}
	d.Proof = proof
	out.Add = append(out.Add, d)
}

func randomOf(t testing.TB, n uint64) blake2b.XOF {
	x, err := blake2b.NewXOF(blake2b.OutputLengthUnknown, nil)
	if err == nil {
		_, err = x.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// logs are all logs of a world that begin with its own first Change.
func (w *world) logs() (all []*log) {
	for _, r := range w.replicas {
		all = append(all, r.log)
	}
	if w.evil != nil {
		for _, b := range w.evil.branches {
			all = append(all, b.l)
		}
	} else {
		all = append(all, w.server.l)
		for _, b := range w.server.backups {
			all = append(all, b.l)
		}
	}
	return slices.DeleteFunc(all, func(l *log) bool {
		return len(l.entries) == 0 || l.entries[0].body.first() != w.anchor
	})
}

// TestSeal_judgesAsTheModel: package seal says of each entry what the model says.
func TestSeal_judgesAsTheModel(t *testing.T) {
	verdicts := map[string]int{}
	for seed := range uint64(realWorlds) {
		w := runWorld(seed, none)
		r := &real{t: t, bodies: map[hash]*body{}, signed: map[hash]statement{},
			entries: map[hash]*entry{}, before: map[hash]hash{},
			encoded: map[body][]byte{}, chains: map[hash]wire.Hash{}, changes: map[*change][]byte{},
			boxes: map[*box]*seal.Sealed{}}
		sign, _ := identity(t, w.anchor.add[0].id).Public()
		r.anchor = seal.AnchorOf("model", some("random", 1), sign)
		for _, l := range w.logs() {
			r.learn(l)
		}
		if w.evil != nil {
			for _, p := range w.evil.stash {
				r.learnBody(p.body)
			}
		}
		for i, l := range w.logs() {
			if at := r.compare(l, verdicts); at > 0 {
				t.Fatalf("seed %d, log %d: the two differ at %s", seed, i, l.entries[at-1])
			}
		}
	}
	t.Log(verdicts)
	for _, v := range []string{"ok", "stop chain", "stop forged", "stop link", "stop fork", notMember, stale, oldEpoch,
		badSeal, notAllowed, membersMoved, quota} {
		if verdicts[v] == 0 {
			t.Errorf("no entry was judged %s", v)
		}
	}
}

const realWorlds = 240

// compare judges a log's entries twice, up to the first stop. It returns where the
// verdicts differ, 0 for nowhere.
func (r *real) compare(l *log, verdicts map[string]int) int {
	model, log := newLog(none), seal.NewLog("model", r.anchor, window)
	checks := seal.Checks{
		Valid: func(c seal.Claim) bool {
			is, err := native.Suite{}.Verify(context.Background(), []seal.Claim{c})
			return err == nil && is[0]
		},
		Open: func(s *seal.Sealed, p seal.Place) ([]byte, error) { return s.Decrypt(p, key(model.epoch.key)) },
	}
	for _, e := range l.entries {
		made := r.entry(e, log.Head().Chain)
		if e.chain != e.chainAfter(model.chainAt(len(model.entries))) {
			made.Chain = some("chain", uint64(e.chain))
		}
		want, got := model.judge(e, true), log.Judge(made, checks)
		if string(got.Stop) != want.stop || want.stop == "" && (got.Code != want.code || got.Counted != want.counted) {
			r.t.Errorf("seal says %q %q, counted %v; the model %q %q, counted %v", got.Stop, got.Code, got.Counted, want.stop,
				want.code, want.counted)
			return e.seq
		}
		switch {
		case want.stop != "":
			verdicts["stop "+want.stop]++
			return 0
		case want.code == ok:
			verdicts["ok"]++
		default:
			verdicts[want.code]++
		}
		model.append(e, want)
		log.Append(made, got)
	}
	if members := len(model.members); members != log.Members() {
		r.t.Errorf("seal has %d members, the model %d", log.Members(), members)
	}
	return 0
}
