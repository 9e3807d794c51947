package member

import (
	"context"
	"strconv"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// record is what is kept of an entry.
type record struct {
	seal.Position
	change []byte // a Change that counts, encoded
}

// Open implements replica.Sealing.
func (m *Member) Open(ctx context.Context, at wire.Position, entries []wire.Entry) ([]replica.Opened, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rollback(at.Seq); m.log.Head() != (seal.Position{Seq: at.Seq, Chain: at.Chain}) {
		return nil, replica.ErrReload
	}
	m.ready(ctx)
	// All signatures are verified at once, and of each client the last one vouches for
	// those before it, whose hashes it covers.
	claims := newClaims()
	all, stop := m.judge(ctx, entries, claims.gather)
	valid, err := claims.verify(ctx, m.cfg.Suite)
	if err == nil && valid && stop == nil {
		return all, nil
	}
	m.rollback(at.Seq)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "member: verify")
	}
	// Something is wrong: each signature is looked at in its turn.
	all, stop = m.judge(ctx, entries, func(_ *wire.Entry, c seal.Claim) bool {
		is, e := m.cfg.Suite.Verify(ctx, []seal.Claim{c})
		if e != nil {
			err = e
		}
		return e == nil && is[0]
	})
	if err != nil {
		m.rollback(at.Seq)
		return nil, errcode.Wrap(err, errcode.Internal, "member: verify")
	}
	return all, stop
}

// judge judges entries and makes them a part of the log, up to a stop.
func (m *Member) judge(
	ctx context.Context, entries []wire.Entry, valid func(*wire.Entry, seal.Claim) bool,
) ([]replica.Opened, error) {
	all := make([]replica.Opened, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Seq <= m.log.Head().Seq {
			continue
		}
		v := m.log.Judge(e, seal.Checks{Valid: func(c seal.Claim) bool { return valid(e, c) }, Open: m.decrypt})
		if e.Seq == m.cfg.Told.Seq && e.Chain != m.cfg.Told.Chain && v.Stop == "" {
			v.Stop = seal.StopFork
		}
		if v.Stop == seal.StopKeys && m.log.Removed(m.id) {
			return all, errRemoved
		}
		if v.Stop != "" {
			return all, stopped(e, v.Stop)
		}
		r := record{Position: seal.Position{Seq: e.Seq, Chain: e.Chain}}
		m.log.Append(e, v)
		if c := v.Change(); c != nil {
			r.change = v.Sealed().Box
			m.changed(ctx, c)
		}
		m.opened = append(m.opened, r)
		all = append(all, m.meaning(e, &v))
	}
	return all, nil
}

// mark takes what a Change says of keys and names. epoch is the one after it.
func (m *Member) mark(c *seal.Change, epoch uint64) {
	if c.Epoch != nil {
		m.commits[c.Epoch.Number] = c.Epoch.Commit
	}
	for _, d := range c.Add {
		m.names[d.ID()] = named{d, epoch}
	}
}

// changed takes a Change that counts.
func (m *Member) changed(ctx context.Context, c *seal.Change) {
	number, commit := m.log.Epoch()
	m.mark(c, number)
	if m.keys[commit] == (seal.Key{}) {
		if c.Epoch != nil {
			m.learn(ctx, []*seal.Change{c})
		} else {
			m.unwrap(ctx, c.Wrap, number)
		}
	}
}

// decrypt opens data with its epoch's key.
func (m *Member) decrypt(s *seal.Sealed, p seal.Place) ([]byte, error) {
	k, is := m.key(s.Epoch)
	if !is {
		return nil, seal.ErrNoKey
	}
	return s.Decrypt(p, &k)
}

// meaning says what an entry is to a replica: as in a plain space.
func (m *Member) meaning(e *wire.Entry, v *seal.Verdict) replica.Opened {
	o := replica.Opened{Entry: *e}
	o.Outcome, o.Body, o.BodyHash = v.Code, v.Body, wire.Hash{}
	switch {
	case !v.Counted || v.Sealed().Kind == seal.KindMembers:
		o.Fate = replica.FatePassed
		return o
	case v.Code == errcode.Stale || v.Code == errcode.OldEpoch:
		o.Fate = replica.FateAgain
	}
	if v.Code != "" { // its author still has to tell which of its transactions it was
		o.Body, _ = m.decrypt(v.Sealed(), seal.Place{Anchor: m.cfg.Anchor, Client: e.Client, Counter: e.Counter})
	}
	if o.Body != nil {
		o.BodyHash = wire.HashBody(o.Body)
	}
	return o
}

// stopped is the error of an entry that no honest server lets through, or whose key is
// not here yet.
func stopped(e *wire.Entry, why seal.Stop) error {
	const op = "member: judge"
	if why == seal.StopKeys {
		return errcode.New(errcode.Keys, op, "the key of an entry has not come to this device yet")
	}
	return &errcode.Error{Code: errcode.Tampered, Op: op, Err: &Tampered{Kind: string(why), Seq: e.Seq},
		Msg: "the server shows what no honest one does, at entry " + number(e.Seq) + ": " + explanations[why]}
}

// Tampered is the cause of a HEDDLE_TAMPERED: what was found, and at which entry.
type Tampered struct {
	Kind string // a seal.Stop
	Seq  uint64
}

func (t *Tampered) Error() string { return t.Kind + " at entry " + number(t.Seq) }

var explanations = map[seal.Stop]string{
	seal.StopChain:  "it is not what the chain of hashes says",
	seal.StopAnchor: "the log is of another space",
	seal.StopForged: "it is not signed by its author",
	seal.StopLink:   "a transaction of its author's is left out, or comes twice",
	seal.StopFork:   "its author has seen another history",
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// claims are the signatures of a batch.
type claims struct {
	all  []seal.Claim
	seq  uint64                // of the entry that was looked at last
	last map[wire.ClientID]int // where the one of a client's last entry is
}

func newClaims() *claims { return &claims{last: map[wire.ClientID]int{}} }

// gather notes a signature and takes it for valid.
func (c *claims) gather(e *wire.Entry, claim seal.Claim) bool {
	at, known := c.last[e.Client]
	first := e.Seq != c.seq // the entry's own; then come the proofs of devices that it adds
	c.seq = e.Seq
	switch {
	case first && known:
		c.all[at] = claim
	case first:
		c.last[e.Client] = len(c.all)
		fallthrough
	default:
		c.all = append(c.all, claim)
	}
	return true
}

func (c *claims) verify(ctx context.Context, suite seal.Suite) (bool, error) {
	if len(c.all) == 0 {
		return true, nil
	}
	valid, err := suite.Verify(ctx, c.all)
	for i := range valid {
		if !valid[i] {
			return false, err
		}
	}
	return err == nil, err
}
