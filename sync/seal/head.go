package seal

import (
	"slices"

	"heddle.dev/heddle/internal/errcode"
)

const (
	// MaxLeft is how many positions a Head lists that its device has left.
	MaxLeft = 64
	// MaxHead is more than the bytes of the longest Head.
	MaxHead = 4 << 10
)

// Head is what a device tells the other members of the log that it follows: where it ends,
// and what its rows are there. Two members whose Heads cannot be of one log were shown two
// histories. Heads do not stand in the log; a server keeps each device's newest.
type Head struct {
	Device ID
	N      uint64   // counts the device's Heads, from 1
	At     Position // the log's end for the device
	Digest Hash     // of the rows there; zeros: not told
	// Left are positions of earlier Heads that are not on the log any more: the device has given that history up.
	Left   []Position
	Proves ID     // the snapshot that the device has started from, or read back whole; zeros: none
	Time   uint64 // in Unix milliseconds, for people
	// Signature is by Device, over Statement.
	Signature Signature
}

func (p *Position) fields(c *coder) {
	c.uint(1, &p.Seq, 1<<63)
	c.fixed(2, p.Chain[:])
	c.demand(p.placed(), "entry at a position")
}

// placed says whether a position is that of an entry.
func (p *Position) placed() bool { return p.Seq > 0 && p.Chain != Hash{} }

func (h *Head) fields(c *coder) {
	h.said(c)
	c.fixed(9, h.Signature[:])
	c.demand(h.Signature.decent(), "signature, or an unusable one")
}

// said is what is signed.
func (h *Head) said(c *coder) {
	c.fixed(1, h.Device[:])
	c.uint(2, &h.N, 1<<63)
	c.uint(3, &h.At.Seq, 1<<63)
	c.fixed(4, h.At.Chain[:])
	c.fixed(5, h.Digest[:])
	c.messages(6, len(h.Left), MaxLeft, func(i int) message { return element(&h.Left, i) })
	c.fixed(7, h.Proves[:])
	c.uint(8, &h.Time, 1<<63)
	c.demand(h.Device != ID{}, "device")
	c.demand(h.N > 0, "number")
	c.demand(h.At.placed(), "position")
}

// Statement returns the bytes that the device signs.
func (h *Head) Statement(a Anchor) []byte {
	c := coder{b: append([]byte(domainHead), a[:]...)}
	h.said(&c)
	return c.b
}

// Marshal returns h's canonical encoding.
func (h *Head) Marshal() []byte { return marshal(h) }

// UnmarshalHead decodes a Head. Errors are HEDDLE_PROTOCOL.
func UnmarshalHead(data []byte) (*Head, error) {
	const op = "seal: decode Head"
	if len(data) > MaxHead {
		return nil, errcode.New(errcode.Protocol, op, "the Head is too long")
	}
	h := &Head{}
	if err := unmarshal(data, op, h); err != nil {
		return nil, err
	}
	return h, nil
}

// Claim returns the signature, as it would be a member's.
func (h *Head) Claim(a Anchor, by *Member) Claim {
	return Claim{Key: by.Sign, Statement: h.Statement(a), Signature: h.Signature}
}

// Contradicts says whether a log cannot be the one that the Head's device follows: it has another chain hash at the
// Head's position, or a position that the device has left. That is known only as far as chain hashes are kept.
func (l *Log) Contradicts(h *Head) bool {
	at, kept := l.chain(h.At.Seq)
	return kept && at != h.At.Chain || slices.ContainsFunc(h.Left, l.Has)
}
