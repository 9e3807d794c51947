package seal

import (
	"context"
	"strconv"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Evidence is what a device has found of a log that no honest server shows, signed by the
// device: a file that anyone can check ([Evidence.Check]). A server signs nothing, so
// what it has sent is the device's word; what members have signed is theirs.
type Evidence struct {
	Space  string
	Device ID     // whose evidence it is
	Kind   string // a Stop, or "rollback"
	Seq    uint64 // at which entry
	// Follows is a position on the device's log. A Head has told of another one there; the
	// author of Entry has seen another one there, or Entry is to follow it.
	Follows Position
	Entry   []byte // the entry that has stopped the device, encoded; nil for none
	Head    []byte // the Head that has; nil for none
	Time    uint64 // in Unix milliseconds, by the device's clock
	// Signature is by Device, over Statement.
	Signature Signature
	// Changes are those of the device's log, from the first on. They are signed themselves, and name each other.
	Changes []SignedChange
}

// SignedChange is a Change as it stands in a log, and its author's number for it.
type SignedChange struct {
	Counter uint64
	Sealed  []byte
}

func (s *SignedChange) fields(c *coder) {
	c.uint(1, &s.Counter, 1<<63)
	c.bytes(2, &s.Sealed, MaxChange+headerSize)
}

const (
	// MaxEvidence is how many bytes an Evidence has at most.
	MaxEvidence = 64 << 20
	maxSigned   = 1 << 20
)

func (e *Evidence) fields(c *coder) {
	e.said(c)
	c.fixed(9, e.Signature[:])
	c.demand(e.Signature.decent(), "signature, or an unusable one")
	c.messages(10, len(e.Changes), maxSigned, func(i int) message { return element(&e.Changes, i) })
}

func (e *Evidence) said(c *coder) {
	space, kind := []byte(e.Space), []byte(e.Kind)
	c.bytes(1, &space, wire.MaxSpace)
	c.fixed(2, e.Device[:])
	c.bytes(3, &kind, wire.MaxName)
	e.Space, e.Kind = string(space), string(kind)
	c.uint(4, &e.Seq, 1<<63)
	c.messages(5, present(e.Follows.Seq > 0), 1, func(int) message { return &e.Follows })
	c.bytes(6, &e.Entry, wire.MaxFrame)
	c.bytes(7, &e.Head, MaxHead)
	c.uint(8, &e.Time, 1<<63)
	c.demand(e.Device != ID{}, "device")
}

// Statement returns the bytes that the device signs.
func (e *Evidence) Statement(a Anchor) []byte {
	c := coder{b: append([]byte(domainEvidence), a[:]...)}
	e.said(&c)
	return c.b
}

// Marshal returns e's canonical encoding.
func (e *Evidence) Marshal() []byte { return marshal(e) }

// UnmarshalEvidence decodes a file. Errors are HEDDLE_PROTOCOL.
func UnmarshalEvidence(data []byte) (*Evidence, error) {
	const op = "seal: decode evidence"
	if len(data) > MaxEvidence {
		return nil, errcode.New(errcode.Protocol, op, "the evidence is too long")
	}
	e := &Evidence{}
	return e, unmarshal(data, op, e)
}

// Finding is what evidence shows.
type Finding struct {
	Anchor   Anchor
	Reporter ID
	// Other is the member whose signature says otherwise; zeros where there is none.
	Other ID
	// Proven: two members have signed what cannot be of one log. Else it is the reporter's word what the server has sent.
	Proven bool
	Text   []string // in words
}

var errEvidence = errcode.New(errcode.BadSeal, "seal: check evidence", "the evidence is not what it says")

func badEvidence(what string) error {
	return &errcode.Error{Code: errcode.BadSeal, Op: "seal: check evidence", Msg: what, Err: errEvidence}
}

// Check verifies all that was signed, from the space's first Change on. Errors are
// HEDDLE_BAD_SEAL: it is no evidence.
func (e *Evidence) Check(ctx context.Context, suite Suite) (*Finding, error) {
	w := witness{ctx: ctx, suite: suite, keys: map[ID]Member{}}
	if err := w.follow(e.Space, e.Changes); err != nil {
		return nil, err
	}
	f := &Finding{Anchor: w.anchor, Reporter: e.Device}
	if err := w.signed(e.Device, e.Statement(w.anchor), e.Signature, "the evidence"); err != nil {
		return nil, err
	}
	f.say("The device ", id(e.Device), " has followed the space ", strconv.Quote(e.Space), " and stopped at entry ",
		n(e.Seq), " (", e.Kind, ").")
	switch {
	case e.Head != nil:
		return f, w.head(e, f)
	case e.Entry != nil:
		return f, w.entry(e, f)
	}
	f.say("The server's log is not the one that the device has followed to entry ", n(e.Follows.Seq), ", it says.")
	return f, nil
}

func (f *Finding) say(parts ...string) { f.Text = append(f.Text, strings.Join(parts, "")) }

func n(v uint64) string { return strconv.FormatUint(v, 10) }

// witness checks what was signed, by who were members at some time.
type witness struct {
	ctx    context.Context
	suite  Suite
	anchor Anchor
	keys   map[ID]Member
}

func (w *witness) signed(by ID, statement []byte, s Signature, what string) error {
	who, is := w.keys[by]
	if !is {
		return badEvidence(what + " is of a device that was never a member")
	}
	valid, err := w.suite.Verify(w.ctx, []Claim{{Key: who.Sign, Statement: statement, Signature: s}})
	if err == nil && !valid[0] {
		err = badEvidence(what + " is not signed by its device")
	}
	return err
}

// follow replays the Changes: each is signed by one who may make it, and names the one before.
func (w *witness) follow(space string, changes []SignedChange) error {
	var records Records
	for i := range changes {
		s, err := UnmarshalSealed(changes[i].Sealed)
		if err != nil {
			return err
		}
		v := Verdict{sealed: s}
		if v.change, err = UnmarshalChange(s.Box); err != nil || s.Kind != KindMembers {
			return badEvidence("what is to be a Change is none")
		}
		author, is := records.Member(s.Device)
		if i == 0 {
			author, w.anchor, is = v.founder(space)
			w.keys[author.ID] = author
		}
		place := Place{w.anchor, s.Device.Members(), changes[i].Counter}
		if !is || records.allowed(author, v.change, func(wire.ClientID) bool { return false }) != "" {
			return badEvidence("a Change is made by one who may not")
		}
		if err := w.signed(author.ID, s.Statement(place), s.Signature, "a Change"); err != nil {
			return err
		}
		records.apply(v.change, HashChange(s.Box), uint64(i))
		for _, m := range v.change.added() {
			w.keys[m.ID] = m
		}
	}
	if len(changes) == 0 {
		return badEvidence("there is no Change that begins the space")
	}
	return nil
}

// head looks at a Head that is not of the reporter's log.
func (w *witness) head(e *Evidence, f *Finding) error {
	h, err := UnmarshalHead(e.Head)
	if err != nil {
		return err
	}
	if err := w.signed(h.Device, h.Statement(w.anchor), h.Signature, "the head"); err != nil {
		return err
	}
	f.Other = h.Device
	for _, left := range h.Left {
		if left == e.Follows {
			f.Proven = true
			f.say("The device ", id(h.Device), " has signed that it has left the history with entry ", n(left.Seq),
				", which the first one follows.")
		}
	}
	if h.At.Seq == e.Follows.Seq && h.At.Chain != e.Follows.Chain {
		f.Proven = true
		f.say("The device ", id(h.Device), " has signed that it follows another history up to entry ", n(h.At.Seq),
			": the server has shown two, or one of the two devices lies.")
	}
	if !f.Proven {
		return badEvidence("the head may be of the same log")
	}
	return nil
}

// entry looks at an entry that the reporter says it was sent.
func (w *witness) entry(e *Evidence, f *Finding) error {
	sent, err := wire.UnmarshalEntry(e.Entry)
	if err != nil {
		return err
	}
	if e.Kind == string(StopChain) {
		if sent.Seq == e.Follows.Seq+1 && sent.Chain == Hash(sent.ChainAfter(e.Follows.Chain)) &&
			wire.HashBody(sent.Body) == sent.BodyHash {
			return badEvidence("the entry follows the one before it")
		}
		f.say("The entry is not what its hashes say.")
		return nil
	}
	s, err := UnmarshalSealed(sent.Body)
	if err != nil {
		f.say("The entry is none of a sealed space.")
		return nil
	}
	f.say("The entry names the device ", id(s.Device), " as its author.")
	place := Place{w.anchor, sent.Client, sent.Counter}
	err = w.signed(s.Device, s.Statement(place), s.Signature, "the entry")
	if errcode.Of(err) != errcode.BadSeal && err != nil {
		return err
	}
	switch {
	case err != nil:
		f.say("It has not signed it.")
	case s.Seen.Seq == e.Follows.Seq && s.Seen.Chain != e.Follows.Chain:
		f.Other, f.Proven = s.Device, true
		f.say("It has signed it, and that it has seen another history up to entry ", n(s.Seen.Seq),
			": the server has shown two, or one of the two devices lies.")
	case e.Kind == string(StopForged):
		return badEvidence("the entry is signed by its author")
	default:
		f.say("It has signed it; that the entry does not fit there is the first device's word.")
	}
	return nil
}

func id(v ID) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 2*len(v))
	for _, c := range v {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return string(b)
}
