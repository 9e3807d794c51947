package member

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Snapshots of a sealed space: this device makes one of what its replica has, or starts
// from one of another's. docs/SECURITY.md, section 11, says what is checked.

// plan is a snapshot of another's that this device may start from.
type plan struct {
	m        *Member
	anchor   seal.Anchor
	manifest *seal.Manifest
	summary  *seal.Summary
	keys     map[uint64]seal.Key // of epochs
	saved    seal.Saved
	known    *seal.Log // what this device has followed
	retraced bool      // and the snapshot leads there
}

func refused(msg string) error { return refusedAs("snapshot", msg) }

// elsewhere is refused for a snapshot of another log than the one that this device has followed.
func elsewhere(msg string) error { return refusedAs(client.Rollback, msg) }

func refusedAs(kind, msg string) error {
	return &errcode.Error{Code: errcode.Tampered, Op: "member: start from a snapshot",
		Err: &client.Tampered{Kind: kind}, Msg: "the snapshot is not started from: " + msg}
}

// Survey implements client.Sealer.
func (m *Member) Survey(
	ctx context.Context, changes []wire.Entry, data []byte, to client.Purpose,
) (client.Plan, error) {
	m.ready(ctx, changesIn(changes))
	m.mu.Lock()
	cfg, id, told, known := m.cfg, m.id, m.told(), m.log.Clone()
	m.mu.Unlock()
	claims := newClaims()
	log, err := seal.ReadChanges(cfg.Space, cfg.Anchor, changes, seal.Window, claims.note)
	if err != nil {
		return nil, err
	}
	p := &plan{m: m, anchor: cfg.Anchor, keys: map[uint64]seal.Key{}, known: known}
	if p.manifest, err = seal.UnmarshalManifest(data); err != nil {
		return nil, refused(err.Error())
	}
	if err := p.check(log); err != nil {
		return nil, err
	}
	if to != client.ToCompare {
		if err := p.checkKnown(log, known, told, &cfg, id, to); err != nil {
			return nil, err
		}
	}
	maker, _ := log.Member(p.manifest.Device)
	claims.note(seal.Claim{Key: maker.Sign, Statement: p.manifest.Statement(cfg.Anchor), Signature: p.manifest.Signature})
	switch valid, err := claims.verify(ctx, cfg.Suite); {
	case err != nil:
		return nil, errcode.Wrap(err, errcode.Internal, "member: verify")
	case !valid:
		return nil, refused("a signature is not valid")
	}
	if err := p.open(m, changes); err != nil {
		return nil, err
	}
	if to == client.ToCompare {
		return p, nil
	}
	return p, p.compare(known)
}

// check looks at who has made a snapshot, and where it stands.
func (p *plan) check(log *seal.Log) error {
	maker, is := log.Member(p.manifest.Device)
	newest, epoch := log.At(p.manifest.At.Seq)
	switch {
	case !is || maker.Slot != 0 || maker.Role > seal.RoleWrite:
		return refused("its maker is no member that may write")
	case newest != p.manifest.Members || epoch != p.manifest.Epoch:
		return refused("its members are not those of the log")
	}
	return nil
}

// checkKnown holds it against what this device knows of the log, and was told of it.
func (p *plan) checkKnown(
	log, known *seal.Log, told seal.Position, cfg *Config, id seal.ID, to client.Purpose,
) error {
	at := p.manifest.At
	_, in := log.Member(id)
	switch {
	case told.Seq == at.Seq && told.Chain != at.Chain:
		return elsewhere("it is of another history than this device was told of")
	case cfg.Slot == nil && !in && !log.Removed(id):
		return refused("the change that has let this device in is not there")
	case cfg.Newest != seal.Hash{} && !log.HasChange(cfg.Newest):
		return refused("changes of the members are not there that this device was told of")
	case to == client.ToStart && at.Seq < known.Head().Seq:
		return errcode.New(errcode.Behind, "member: start from a snapshot", "the snapshot is older than what is here")
	}
	if chain, kept := known.Chain(at.Seq); kept && chain != at.Chain {
		return elsewhere("it is of another history than this device has followed")
	}
	for _, hash := range known.ChangesAfter(0) {
		if !log.HasChange(hash) {
			return elsewhere("changes of the members are not there that this device knows of")
		}
	}
	return nil
}

// open decrypts the summary.
func (p *plan) open(m *Member, changes []wire.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range changes {
		s, err := seal.UnmarshalSealed(changes[i].Body)
		if err != nil {
			return err
		}
		c, err := seal.UnmarshalChange(s.Box)
		if err != nil {
			return err
		}
		if changes[i].Seq <= p.manifest.At.Seq {
			p.saved.Changes = append(p.saved.Changes, seal.SavedChange{Seq: changes[i].Seq, Box: s.Box})
		}
		if e := c.Epoch; e != nil {
			if key, is := m.keys[e.Commit]; is {
				p.keys[e.Number] = key
			}
		}
	}
	key, is := p.keys[p.manifest.Epoch]
	if !is {
		return errcode.New(errcode.Keys, "member: start from a snapshot", "its key has not come to this device yet")
	}
	var err error
	if p.summary, err = p.manifest.Decrypt(p.anchor, &key); err != nil {
		return refused(err.Error())
	}
	p.saved.Head, p.saved.Chains = p.manifest.At, []seal.Hash{p.manifest.At.Chain}
	p.saved.Clients = p.summary.Clients
	return nil
}

// compare holds what the snapshot says of clients against what is known of them: none has
// written less than this device has seen.
func (p *plan) compare(known *seal.Log) error {
	has := map[wire.ClientID]seal.SavedClient{}
	for _, c := range p.summary.Clients {
		if _, twice := has[c.ID]; twice {
			return refused("it names a client twice")
		}
		has[c.ID] = c
	}
	for _, c := range known.Clients() {
		now, is := has[c.ID]
		lacks := now.Counter < c.Counter || now.Device != c.Device
		if p.manifest.At.Seq < known.Head().Seq { // it was made before
			lacks = is && (now.Counter > c.Counter || now.Device != c.Device)
		}
		if lacks || now.Counter == c.Counter && now.Last != c.Last {
			return elsewhere("it is not of the log that this device has seen")
		}
	}
	return nil
}

// At implements client.Plan, as do the others of that interface.
func (p *plan) At() (seq uint64, chain wire.Hash) { return p.manifest.At.Seq, p.manifest.At.Chain }

// Known implements client.Plan.
func (p *plan) Known() uint64 { return p.known.Head().Seq }

func (p *plan) ID() [16]byte      { return p.manifest.ID(p.anchor) }
func (p *plan) Digest() wire.Hash { return p.summary.Digest }
func (p *plan) Schema() []byte    { return p.summary.Schema }
func (p *plan) Rows() uint64      { return p.summary.Rows }

func (p *plan) Chunks() (all []client.PlanChunk) {
	for i := range p.manifest.Chunks {
		k := &p.manifest.Chunks[i]
		all = append(all, client.PlanChunk{Hash: k.Hash, Size: k.Size, Rows: k.Rows})
	}
	return all
}

func (p *plan) Open(i int, data []byte) ([]wire.SnapshotTable, error) {
	k := &p.manifest.Chunks[i]
	key, is := p.keys[k.Epoch]
	if !is {
		return nil, refused("a chunk has the key of no epoch")
	}
	content, err := k.Open(p.anchor, &key, data, p.m.cfg.Suite.Bulk())
	if errcode.Of(err) == errcode.Damaged {
		return nil, err // the server's bytes, not the maker's
	}
	if err != nil {
		return nil, refused(err.Error())
	}
	after, last := replica.Place{}, place(&p.summary.Ranges[i])
	if i > 0 {
		after = place(&p.summary.Ranges[i-1])
	}
	tables, err := replica.ReadPiece(content, after, last, k.Rows)
	if err != nil {
		return nil, refused(err.Error())
	}
	return tables, nil
}

func place(r *seal.Range) replica.Place { return replica.Place{Table: r.Table, Key: r.Key} }

func (p *plan) Decided() (all []wire.Decided) {
	for _, c := range p.summary.Clients {
		if c.Counter > 0 {
			all = append(all, wire.Decided{Client: c.ID, Counter: c.Counter})
		}
	}
	return all
}

// Outcomes proves by the hashes that each transaction has of its author's one before
// which of this device's own the log has.
func (p *plan) Outcomes(author wire.ClientID, voids []wire.Outcome) (all []wire.Outcome) {
	codes := map[uint64]string{}
	for _, o := range voids {
		if o.Client = author; o.Seq <= p.manifest.At.Seq {
			codes[o.Counter] = o.Code
		}
	}
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	last, counter := seal.Hash{}, uint64(0)
	for _, c := range p.summary.Clients {
		if c.ID == author {
			last, counter = c.Last, c.Counter
		}
	}
	for proved := true; counter > 0; counter-- {
		one, is := m.sealedAs(ordinal{author, counter}, last)
		o := wire.Outcome{Counter: counter, Seq: p.manifest.At.Seq, Code: codes[counter]}
		if proved = proved && is; proved {
			o.BodyHash, last = one.plain, one.prev
		}
		if proved || o.Code != "" {
			all = append(all, o)
		}
	}
	return all
}

// startAt has a part that has followed nothing begin at a snapshot's entry. Where the
// entries that next brings begin before it, their hashes lead there from one that old has.
// It returns those that come after it.
func (m *Member) startAt(p *plan, old *seal.Log, next func() ([]wire.Entry, error)) ([]wire.Entry, error) {
	at := p.manifest.At
	entries, err := next()
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 && entries[0].Seq <= at.Seq {
		if entries, err = p.lead(old, entries, next); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.log.Restore(&p.saved); err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "member: start at a snapshot")
	}
	epoch := uint64(0)
	for i := range p.saved.Changes {
		c, err := seal.UnmarshalChange(p.saved.Changes[i].Box)
		if err != nil {
			return nil, err
		}
		if c.Epoch != nil {
			epoch = c.Epoch.Number
		}
		m.markAt(c, epoch)
	}
	return entries, nil
}

// lead follows the chain to the snapshot's entry, and keeps it.
func (p *plan) lead(old *seal.Log, entries []wire.Entry, next func() ([]wire.Entry, error)) ([]wire.Entry, error) {
	at := p.manifest.At
	from := entries[0].Seq - 1
	chain, kept := old.Chain(from)
	if !kept {
		return nil, refused("the log that leads to it is not the one that was asked for")
	}
	chains := []seal.Hash{chain}
	for from < at.Seq {
		if len(entries) == 0 {
			var err error
			if entries, err = next(); err != nil {
				return nil, err
			}
			if len(entries) == 0 {
				return nil, refused("the log ends before it")
			}
		}
		e := &entries[0]
		if e.Seq != from+1 || e.ChainAfter(chain) != e.Chain {
			return nil, refused("the log does not lead to it")
		}
		from, chain, entries = e.Seq, e.Chain, entries[1:]
		chains = append(chains, chain)
	}
	if chain != at.Chain {
		return nil, refused("the log does not lead to it")
	}
	p.saved.Chains = chains
	return entries, nil
}

// Retrace implements client.Plan.
func (p *plan) Retrace(ctx context.Context, next func() ([]wire.Entry, error)) (all []replica.Opened, err error) {
	end, size := p.known.Head(), 0
	if end.Seq < p.manifest.At.Seq {
		return nil, errcode.New(errcode.Network, "member: prove a snapshot", "this device has not come to the snapshot yet")
	}
	if p.rests() {
		return nil, errcode.New(errcode.Behind, "member: prove a snapshot", "this device has nothing to compare it with: "+
			"it has started from it")
	}
	other := p.m.another()
	entries, err := other.startAt(p, p.known, next)
	for err == nil && other.Head().Seq < end.Seq {
		if len(entries) == 0 {
			if entries, err = next(); err != nil {
				return nil, err
			}
		}
		entries = entries[:min(uint64(len(entries)), end.Seq-other.Head().Seq)]
		if len(entries) == 0 {
			return nil, errcode.New(errcode.Behind, "member: prove a snapshot", "the log ends before where this device is")
		}
		for i := range entries {
			size += len(entries[i].Body)
		}
		if size > maxRetrace {
			return nil, errcode.New(errcode.Behind, "member: prove a snapshot", "too much has been written since the snapshot")
		}
		head := other.Head()
		opened, err := other.Open(ctx, wire.Position{Seq: head.Seq, Chain: head.Chain}, entries)
		if err != nil {
			return nil, err
		}
		other.Keep()
		all, entries = append(all, opened...), nil
	}
	if err == nil && !other.log.Same(p.known) {
		err = refused("it does not lead to what this device has followed")
	}
	p.retraced = err == nil
	return all, err
}

func (p *plan) rests() bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.rests(p.ID())
}

// maxRetrace bounds what is kept in memory of the entries that follow a snapshot while it is proved.
const maxRetrace = 32 << 20

// another returns a part with the same keys that has followed nothing, and was told of nothing.
func (m *Member) another() *Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	cfg := m.cfg
	cfg.Told = seal.Position{}
	other := New(cfg)
	for commit, key := range m.keys {
		other.keys[commit] = key
	}
	return other
}

// Passed implements client.Sealer.
func (m *Member) Passed(seq uint64) (chain wire.Hash, kept bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Chain(seq)
}

// Adopt implements client.Plan.
func (p *plan) Adopt() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.adopted = &p.saved
}

// Adopt implements replica.Sealing.
func (m *Member) Adopt(c replica.Conn, at wire.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.adopted
	if s == nil || s.Head != (seal.Position{Seq: at.Seq, Chain: at.Chain}) {
		return replica.ErrReload
	}
	m.loaded = false
	for _, table := range []string{"heddle_seal_chain", "heddle_seal_client", "heddle_change"} {
		if err := c.Exec(`DELETE FROM ` + table); err != nil {
			return err
		}
	}
	if err := c.Exec(`INSERT INTO heddle_seal_chain(seq, chains) VALUES(?, ?)`, int64(at.Seq), at.Chain[:]); err != nil {
		return err
	}
	for _, one := range s.Changes {
		if err := c.Exec(`INSERT INTO heddle_change(seq, change) VALUES(?, ?)`, int64(one.Seq), one.Box); err != nil {
			return err
		}
	}
	for _, one := range s.Clients {
		err := c.Exec(`INSERT INTO heddle_seal_client(client, device, counter, last) VALUES(?, ?, ?, ?)`,
			one.ID[:], one.Device[:], int64(one.Counter), one.Last[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// Confirmed implements client.Plan.
func (p *plan) Confirmed() bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.confirmed == p.ID()
}

// Confirm implements client.Plan. Without Retrace this device has started from the snapshot.
func (p *plan) Confirm() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.noteSnapshot(p.manifest, p.retraced)
	if p.m.vouch(); p.retraced {
		p.m.confirmed = p.ID()
	}
}
