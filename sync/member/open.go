package member

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// record is what is kept of an entry.
type record struct {
	seal.Position
	change []byte // a Change that counts, encoded
	word   bool   // it has this device's word that history was lost
}

// Open implements replica.Sealing.
func (m *Member) Open(ctx context.Context, at wire.Position, entries []wire.Entry) ([]replica.Opened, error) {
	if err := m.mayFollow(); err != nil {
		return nil, err
	}
	for len(entries) > 0 && entries[0].Seq <= at.Seq {
		entries = entries[1:]
	}
	changes := changesIn(entries)
	m.ready(ctx, changes)
	if err := m.meet(ctx, changes); err != nil {
		return nil, err
	}
	from := seal.Position{Seq: at.Seq, Chain: at.Chain}
	all, clean, err := m.open(ctx, from, entries)
	if clean || len(entries) <= 1 {
		return all, err
	}
	// Something is wrong: each entry is looked at in its turn.
	for i := range entries {
		one, _, err := m.open(ctx, from, entries[i:i+1])
		if all = append(all, one...); err != nil {
			return all, err
		}
		from = seal.Position{Seq: entries[i].Seq, Chain: entries[i].Chain}
	}
	return all, nil
}

// mayFollow is nil where the device has its keys, and no member has told of another history.
func (m *Member) mayFollow() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Identity == nil {
		return errLocked
	}
	return m.contradicted()
}

// open judges entries and makes them a part of the log, once their signatures are
// verified: all at once, and of each client the last one vouches for those before it,
// whose hashes it covers. clean is false where one of several is not valid, or stops a
// member; then nothing has happened yet.
func (m *Member) open(
	ctx context.Context, at seal.Position, entries []wire.Entry,
) (all []replica.Opened, clean bool, err error) {
	claims := newClaims()
	verdicts, err := m.gather(at, entries, claims)
	if err != nil {
		return nil, true, err
	}
	valid, err := claims.verify(ctx, m.cfg.Suite)
	if err != nil {
		return nil, true, errcode.Wrap(err, errcode.Internal, "member: verify")
	}
	if clean = valid && len(verdicts) == len(entries); !clean && len(entries) > 1 {
		return nil, false, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.standAt(at); err != nil {
		return nil, true, err
	}
	all = make([]replica.Opened, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if !clean { // it is the only one
			v := m.judge(e, claims.holds)
			if v.Stop != "" {
				return all, false, m.stops(e, v.Stop)
			}
			verdicts = append(verdicts[:0], v)
		}
		m.log.Append(e, verdicts[i])
		r := record{Position: seal.Position{Seq: e.Seq, Chain: e.Chain}}
		if verdicts[i].Change() != nil {
			r.change = verdicts[i].Sealed().Box
			r.word = m.tells(&verdicts[i])
		}
		if c := verdicts[i].Change(); c != nil && c.Reset != nil {
			m.cover(c.Reset.Position.Seq)
		}
		m.mark(verdicts[i].Change())
		m.opened = append(m.opened, r)
		all = append(all, m.meaning(e, &verdicts[i]))
	}
	return all, clean, nil
}

// standAt takes the log back to a position. m.mu is held.
func (m *Member) standAt(at seal.Position) error {
	if m.rollback(at.Seq); m.log.Head() != at {
		return replica.ErrReload
	}
	return nil
}

// gather judges entries up to a stop, as if all signatures were valid, and notes which
// those are. The log stays as it is: nobody sees it before they are verified.
func (m *Member) gather(at seal.Position, entries []wire.Entry, claims *claims) ([]seal.Verdict, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.standAt(at); err != nil {
		return nil, err
	}
	defer m.rollback(at.Seq)
	verdicts := make([]seal.Verdict, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		v := m.judge(e, func(c seal.Claim) bool { return claims.gather(e, c) })
		if v.Stop != "" {
			break
		}
		m.log.Append(e, v)
		m.mark(v.Change())
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// judge says what becomes of the next entry. m.mu is held.
func (m *Member) judge(e *wire.Entry, valid func(seal.Claim) bool) seal.Verdict {
	v := m.log.Judge(e, seal.Checks{Valid: valid, Known: m.ownSeal, Open: m.decrypt})
	switch told := m.told(); {
	case v.Stop != "":
	case e.Seq == told.Seq && e.Chain != told.Chain:
		v.Stop = stopOther
	case m.contradicts(e) != nil:
		v.Stop = stopTold
	}
	return v
}

const (
	stopTold  seal.Stop = "told"  // a member has told of another entry in its place
	stopOther seal.Stop = "other" // this device was told of another, or has started over with it
)

// mark takes what a Change says of keys and names, once the log has it.
func (m *Member) mark(c *seal.Change) {
	if c == nil {
		return
	}
	epoch, _ := m.log.Epoch()
	m.markAt(c, epoch)
}

// markAt is mark for a Change after which the epoch is known.
func (m *Member) markAt(c *seal.Change, epoch uint64) {
	if c.Epoch != nil {
		m.commits[c.Epoch.Number] = c.Epoch.Commit
	}
	for _, d := range c.Add {
		m.names[d.ID()] = named{d, epoch}
	}
}

// decrypt opens data with its epoch's key.
func (m *Member) decrypt(s *seal.Sealed, p seal.Place) ([]byte, error) {
	if one := m.ownOf(s, p); one != nil {
		return one.body, nil
	}
	commit, known := m.commits[s.Epoch]
	k, is := m.bodyKey(commit, s.Epoch)
	if !known || !is {
		return nil, seal.ErrNoKey
	}
	return s.DecryptBody(p, k)
}

// ownSeal returns what an entry's body decodes to if this device has made it, and the body is what its hash says. m.mu
// is held.
func (m *Member) ownSeal(e *wire.Entry) (*seal.Sealed, seal.Hash) {
	one := m.made[e.Counter]
	if one != nil && m.client == e.Client && one.parts[0].BodyHash == e.BodyHash && bytes.Equal(one.bytes, e.Body) {
		return one.sealed, one.digest
	}
	return nil, seal.Hash{}
}

// ownOf returns the own seal of a place that s is, or nil.
func (m *Member) ownOf(s *seal.Sealed, p seal.Place) *made {
	if one := m.made[p.Counter]; one != nil && m.client == p.Client && one.sealed == s {
		return one
	}
	return nil
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
	place := seal.Place{Anchor: m.cfg.Anchor, Client: e.Client, Counter: e.Counter}
	if v.Code != "" { // its author still has to tell which of its transactions it was
		o.Body, _ = m.decrypt(v.Sealed(), place)
	}
	if one := m.ownOf(v.Sealed(), place); one != nil {
		o.BodyHash = one.plain
	}
	return o
}

// stops is the error of an entry at which this device stops. m.mu is held.
func (m *Member) stops(e *wire.Entry, stop seal.Stop) error {
	const op = "member: judge"
	switch {
	case stop == stopOther:
		return m.notTold(op, "does not have the entry "+number(e.Seq)+" that this device was told of")
	case stop == stopTold:
		return m.toldOtherwise(m.contradicts(e), e)
	case stop == seal.StopKeys && m.log.Removed(m.id):
		return errRemoved
	case stop == seal.StopKeys:
		return errcode.New(errcode.Keys, op, "the key of an entry has not come to this device yet")
	}
	why := &client.Tampered{Kind: string(stop), Seq: e.Seq}
	m.finds(why, e, nil)
	return &errcode.Error{Code: errcode.Tampered, Op: op, Err: why,
		Msg: "the server shows what no honest one does, at entry " + number(e.Seq) + ": " + explanations[stop]}
}

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
	all   []seal.Claim
	valid []bool                // of all, once they are verified
	seq   uint64                // of the entry that was looked at last
	last  map[wire.ClientID]int // where the one of a client's last entry is
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

// note is gather for what is of no log's entry.
func (c *claims) note(claim seal.Claim) bool {
	c.all = append(c.all, claim)
	return true
}

// verify reports whether all are valid.
func (c *claims) verify(ctx context.Context, suite seal.Suite) (bool, error) {
	if len(c.all) == 0 {
		return true, nil
	}
	var err error
	c.valid, err = suite.Verify(ctx, c.all)
	return err == nil && !slices.Contains(c.valid, false), err
}

// holds says that a signature is valid, unless it was found not to be.
func (c *claims) holds(claim seal.Claim) bool {
	for i, valid := range c.valid {
		if !valid && c.all[i].Is(claim) {
			return false
		}
	}
	return true
}
