package seal

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"

	"heddle.dev/heddle/internal/errcode"
)

// PairSecret is what the link has that a member shows to a device that is to come in:
// the two talk under keys that are derived of it. It counts once.
type PairSecret [32]byte

const pairVersion = 1

// NewPairSecret draws one.
func NewPairSecret(random io.Reader) (s PairSecret, err error) {
	_, err = io.ReadFull(random, s[:])
	return s, errcode.Wrap(err, errcode.Internal, "seal: draw a pairing's secret")
}

// String returns the secret as it stands in a link.
func (s PairSecret) String() string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{pairVersion}, s[:]...))
}

// ParsePairSecret undoes String. Errors are HEDDLE_BAD_CODE.
func ParsePairSecret(text string) (s PairSecret, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil || len(b) != 1+len(s):
		return s, errcode.New(errcode.BadCode, "seal: read a link", "the link is cut short, or was altered")
	case b[0] != pairVersion:
		return s, errcode.New(errcode.BadCode, "seal: read a link", "the link is of a later version of Heddle")
	}
	copy(s[:], b[1:])
	return s, nil
}

// Mailbox is where the two devices leave their messages.
func (s PairSecret) Mailbox() ID {
	h := hash(domainPairBox, s[:])
	return ID(h[:16])
}

// Messages of a pairing, by number: those of the device that comes in are odd, the
// member's are even.
const (
	PairCommit   = 1 // the hash of the new device's PairHello
	PairInviter  = 2 // the member's PairHello
	PairNew      = 3 // the new device's
	PairOffered  = 4 // a PairOffer, when the member's user has compared the digits; nothing: refused
	PairProof    = 5 // the new device's signature
	PairAdmitted = 6 // nothing: the new device is a member
)

const leastPair = 256

// SealPair encrypts the message of a number.
func (s PairSecret) SealPair(n int, content []byte, random io.Reader) ([]byte, error) {
	plain, err := frame(content, leastPair, false)
	if err != nil {
		return nil, err
	}
	nonce, err := draw(random)
	if err != nil {
		return nil, err
	}
	return append(nonce[:], encrypt(s.key(n), &nonce, plain, pairAbout(n))...), nil
}

// OpenPair undoes SealPair. Errors are HEDDLE_BAD_SEAL.
func (s PairSecret) OpenPair(n int, sealed []byte) ([]byte, error) {
	plain, err := openNonced(s.key(n), sealed, pairAbout(n))
	if err != nil {
		return nil, err
	}
	return unframe(plain, leastPair)
}

func (s PairSecret) key(n int) Key { return Key(keyed(s[:], labelPair, []byte{byte(n & 1)})) }

func pairAbout(n int) []byte { return append([]byte(domainPair), byte(n)) }

// PairHello is what a device says of itself. The device that comes in commits itself to
// it before it has seen the member's: nobody can look for keys that give the digits of
// others.
type PairHello struct {
	Sign, Box PublicKey
	Random    Hash
	Name      string // of the device that comes in
}

func (h *PairHello) fields(c *coder) {
	c.fixed(1, h.Sign[:])
	c.fixed(2, h.Box[:])
	c.fixed(3, h.Random[:])
	c.text(4, &h.Name)
	c.demand(edwards(h.Sign) && montgomery(h.Box), "key, or an unusable one")
	c.demand(h.Random != Hash{}, "random bytes")
}

// Marshal returns h's canonical encoding.
func (h *PairHello) Marshal() []byte { return marshal(h) }

// UnmarshalPairHello decodes a PairHello. Errors are HEDDLE_PROTOCOL.
func UnmarshalPairHello(data []byte) (*PairHello, error) {
	h := &PairHello{}
	if err := unmarshal(data, "seal: decode PairHello", h); err != nil {
		return nil, err
	}
	return h, nil
}

// Commit is the hash by which a device commits itself to an encoded PairHello.
func (s PairSecret) Commit(hello []byte) Hash { return hash(domainPairCommit, s[:], hello) }

// Digits returns the six digits that both devices show, of both encoded PairHellos.
func (s PairSecret) Digits(inviter, joiner []byte) string {
	h := hash(domainPairDigits, s[:], lengthed(inviter), lengthed(joiner))
	return fmt.Sprintf("%06d", binary.LittleEndian.Uint64(h[:])%1e6)
}

// PairOffer is what a device needs to come in: it makes of it the Device that the member
// has sealed the name of.
type PairOffer struct {
	Anchor Anchor
	Told   Position
	Role   Role
	User   ID
	Name   []byte // sealed: see Device.SealName
}

func (o *PairOffer) fields(c *coder) {
	c.fixed(1, o.Anchor[:])
	c.uint(2, &o.Told.Seq, 1<<63)
	c.fixed(3, o.Told.Chain[:])
	c.uint(4, (*uint64)(&o.Role), uint64(RoleRead))
	c.fixed(5, o.User[:])
	c.bytes(6, &o.Name, maxSealed)
	c.demand(o.Anchor != Anchor{} && o.Told.Seq != 0, "anchor or position")
}

// Marshal returns o's canonical encoding.
func (o *PairOffer) Marshal() []byte { return marshal(o) }

// UnmarshalPairOffer decodes a PairOffer. Errors are HEDDLE_PROTOCOL.
func UnmarshalPairOffer(data []byte) (*PairOffer, error) {
	o := &PairOffer{}
	if err := unmarshal(data, "seal: decode PairOffer", o); err != nil {
		return nil, err
	}
	return o, nil
}
