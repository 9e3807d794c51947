package seal

import (
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Window is how far back an entry's author may have seen the log, and how many chain
// hashes are kept.
const Window = 8192

// Stop is why a replica goes no further: what no honest server lets through.
type Stop string

// The kinds of stops.
const (
	StopChain  Stop = "chain"  // the server sends what it has not hashed
	StopAnchor Stop = "anchor" // another space
	StopForged Stop = "forged" // not signed by its author
	StopLink   Stop = "link"   // something of its author's is left out, or comes twice
	StopFork   Stop = "fork"   // its author has seen another history
	// StopKeys is no attack: the key of the entry's epoch is not here yet. A replica waits.
	StopKeys Stop = "keys"
)

// ErrNoKey is what Checks.Open returns where it has not got the key of the epoch.
var ErrNoKey = errors.New("the key of this epoch is not here")

// Verdict is what becomes of an entry.
type Verdict struct {
	Stop Stop   // "" for none; then nothing else is set
	Code string // of a void, "" for ok
	// Counted is false for an entry of one who is no member: its author's next one does
	// not follow it.
	Counted bool
	Body    []byte  // of data that is ok, where there was a key: the transaction's body
	change  *Change // of members
	sealed  *Sealed
	digest  Hash
}

// Sealed returns what the entry is, nil for a stop.
func (v Verdict) Sealed() *Sealed { return v.sealed }

// Change returns the Change that the entry makes; nil for data and for what is void.
func (v Verdict) Change() *Change {
	if v.Code != "" {
		return nil
	}
	return v.change
}

// Checks are what judging needs beside the log.
type Checks struct {
	// Valid reports whether a signature is valid. Where signatures are verified by the
	// lot, it looks up what was verified before.
	Valid func(Claim) bool
	// Known returns what an entry's body decodes to, and its digest, where the one who judges has made that body for this
	// place, and has hashed it: it is the entry's. Else nil. It need not be hashed and decoded again, nor its signature
	// verified. Nil: nothing is known.
	Known func(*wire.Entry) (*Sealed, Hash)
	// Open decrypts data with the key of its epoch. A server has none, and sets nil: it
	// passes over what only a member sees.
	Open func(*Sealed, Place) ([]byte, error)
}

func (c *Checks) known(e *wire.Entry) (*Sealed, Hash) {
	if c.Known == nil {
		return nil, Hash{}
	}
	return c.Known(e)
}

// Judge says what becomes of e as the next entry: docs/SECURITY.md, section 11, has the
// table. It changes nothing.
func (l *Log) Judge(e *wire.Entry, c Checks) Verdict {
	stop := func(why Stop) Verdict { return Verdict{Stop: why} }
	// 1
	s, digest := c.known(e)
	known := s != nil
	if e.Seq != l.head.Seq+1 || e.Chain != Hash(e.ChainAfter(l.head.Chain)) ||
		!known && e.BodyHash != wire.HashBody(e.Body) {
		return stop(StopChain)
	}
	if !known {
		var err error
		if s, err = UnmarshalSealed(e.Body); err != nil {
			return stop(StopForged)
		}
	}
	v := Verdict{sealed: s}
	if s.Kind == KindMembers {
		v.change, _ = UnmarshalChange(s.Box)
	}
	place := Place{l.anchor, e.Client, e.Counter}
	// 2
	author, is := l.members[s.Device]
	if e.Seq == 1 {
		if author, place.Anchor, is = v.founder(l.space); !is || e.Outcome != "" ||
			l.anchor != place.Anchor && l.anchor != (Anchor{}) {
			return stop(StopAnchor)
		}
	}
	before := l.clients[e.Client]
	if !is || s.Kind == KindData && (author.Role == RoleRead || author.Slot != 0) {
		if _, member := l.members[before.device]; member && before.device != s.Device {
			return stop(StopForged)
		}
		v.Code = errcode.NotMember
		return v
	}
	// 3
	if v.digest = digest; !known {
		v.digest = s.Digest(place)
	}
	switch {
	case before.device != ID{} && before.device != s.Device,
		(s.Kind == KindMembers) != (e.Client == s.Device.Members()),
		!known && !c.Valid(Claim{Key: author.Sign, Signature: s.Signature, sealed: s, digest: v.digest}):
		return stop(StopForged)
	}
	// 4
	if e.Counter != before.counter+1 || s.Prev != before.last {
		return stop(StopLink)
	}
	// 5
	old := s.Seen.Seq < e.Seq && e.Seq-s.Seen.Seq > l.window
	if at, kept := l.chain(s.Seen.Seq); s.Seen.Seq >= e.Seq || !old && kept && at != s.Seen.Chain {
		return stop(StopFork)
	}
	v.Counted = true
	v.Code = l.outcome(e, &v, old, author, place, c)
	switch {
	case e.Seq == 1 && v.Code != "":
		return stop(StopAnchor)
	case v.Stop != "":
		return stop(v.Stop)
	}
	return v
}

// outcome runs the checks whose failure is a void, 6 to 9.
func (l *Log) outcome(e *wire.Entry, v *Verdict, old bool, author Member, place Place, c Checks) string {
	s := v.sealed
	switch {
	case e.Outcome != "": // the server's
		return e.Outcome
	case old:
		return errcode.Stale
	case s.Kind == KindMembers:
		if v.change == nil {
			return errcode.NotAllowed
		}
		used := func(id wire.ClientID) bool { return e.Seq > 1 && l.clients[id].counter > 0 }
		if code := l.allowed(author, v.change, used); code != "" {
			return code
		}
		for i := range v.change.Add {
			d := &v.change.Add[i]
			if !c.Valid(Claim{Key: d.Sign, Statement: d.ProofStatement(place.Anchor), Signature: d.Proof}) {
				return errcode.NotAllowed
			}
		}
		return ""
	case s.Epoch != l.epoch:
		return errcode.OldEpoch
	case c.Open == nil:
		return ""
	}
	var err error
	switch v.Body, err = c.Open(s, place); {
	case errors.Is(err, ErrNoKey):
		v.Stop = StopKeys
	case err != nil:
		return errcode.BadSeal
	}
	return ""
}

// founder returns the member that a space's first Change makes of its author, and the
// anchor that it makes.
func (v *Verdict) founder(space string) (m Member, a Anchor, is bool) {
	if v.change == nil || (v.change.Random == Hash{}) || len(v.change.Add) == 0 {
		return m, a, false
	}
	m = v.change.added()[0]
	return m, AnchorOf(space, v.change.Random, m.Sign), m.ID == v.sealed.Device && m.Role == RoleAdmin
}
