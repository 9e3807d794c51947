package seal

import (
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// ReadChanges judges the Changes of a log whose other entries are not known, from the
// first one on: who starts from a snapshot knows by them who may have made it. Whether
// there are others that were left out shows in the snapshot, which names the newest, and
// in the entries that follow it. An honest server lets none through that does not count,
// so one of those is an error, HEDDLE_TAMPERED, as what would stop a replica is.
//
// valid reports whether signatures are valid. The log that is returned has the records,
// and no position.
func ReadChanges(
	space string, anchor Anchor, entries []wire.Entry, window uint64, valid func(Claim) bool,
) (*Log, error) {
	l := NewLog(space, anchor, window)
	for i := range entries {
		if why := l.readChange(&entries[i], valid); why != "" {
			return nil, errcode.New(errcode.Tampered, "seal: read Changes", "the server shows a change of the members that "+
				"no honest one does: "+why)
		}
	}
	l.Keep()
	l.head, l.chains = Position{}, nil
	return l, nil
}

// readChange adds the entry of a Change, or says why it cannot be one.
func (l *Log) readChange(e *wire.Entry, valid func(Claim) bool) string {
	s, err := UnmarshalSealed(e.Body)
	if err != nil || s.Kind != KindMembers || e.BodyHash != wire.HashBody(e.Body) || e.Outcome != "" {
		return "it is none"
	}
	c, err := UnmarshalChange(s.Box)
	if err != nil || e.Seq <= l.head.Seq || s.Seen.Seq >= e.Seq || e.Seq-s.Seen.Seq > l.window {
		return "it is none, or out of order"
	}
	v := Verdict{sealed: s, change: c, Counted: true}
	author, is := l.members[s.Device]
	if l.head.Seq == 0 {
		var a Anchor
		if author, a, is = v.founder(l.space); a != l.anchor || e.Seq != 1 {
			return "it begins another space"
		}
	}
	before := l.clients[e.Client]
	v.digest = s.Digest(Place{l.anchor, e.Client, e.Counter})
	switch {
	case !is, e.Client != s.Device.Members(),
		!valid(Claim{Key: author.Sign, Signature: s.Signature, sealed: s, digest: v.digest}):
		return "it is not signed by a member"
	case e.Counter != before.counter+1 || s.Prev != before.last:
		return "one of its author's is left out, or comes twice"
	case l.allowed(author, c, func(wire.ClientID) bool { return false }) != "":
		return "its author may not make it"
	}
	for i := range c.Add {
		d := &c.Add[i]
		if !valid(Claim{Key: d.Sign, Statement: d.ProofStatement(l.anchor), Signature: d.Proof}) {
			return "a device is added that has not got its key"
		}
	}
	l.Append(e, v)
	return ""
}
