package seal

import (
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Kind is what a Sealed has in its box.
type Kind uint64

// The kinds.
const (
	KindData    Kind = 1 // a transaction's body, encrypted
	KindMembers Kind = 2 // a Change, in the open
)

const (
	// MaxChange is the most bytes of an encoded Change.
	MaxChange = 256 << 10
	// leastBody is the size to which a short body is padded.
	leastBody = 256
)

// Sealed is the body of an entry in a sealed space.
type Sealed struct {
	Kind   Kind
	Device ID   // who signs; of a Change, a slot too
	Prev   Hash // the body hash of the entry of this client with the counter before; zero at counter 1
	Epoch  uint64
	// Seen is where the log was for the author when it sealed: number and chain hash.
	Seen      Position
	Nonce     Nonce // of data alone
	Box       []byte
	Signature Signature
}

// Position is a place in a log.
type Position struct {
	Seq   uint64
	Chain Hash
}

// Place is what a Sealed is bound to beside its own fields: it counts in this space,
// under this client and with this counter, and nowhere else.
type Place struct {
	Anchor  Anchor
	Client  wire.ClientID
	Counter uint64
}

func (s *Sealed) fields(c *coder) {
	s.header(c)
	nonce := s.Nonce[:]
	c.fixed(7, nonce)
	c.bytes(8, &s.Box, wire.MaxBody)
	c.fixed(9, s.Signature[:])
}

// header is what is known before there is a box.
func (s *Sealed) header(c *coder) {
	c.uint(1, (*uint64)(&s.Kind), uint64(KindMembers))
	c.fixed(2, s.Device[:])
	c.fixed(3, s.Prev[:])
	c.uint(4, &s.Epoch, 1<<63)
	c.uint(5, &s.Seen.Seq, 1<<63)
	c.fixed(6, s.Seen.Chain[:])
}

// Marshal returns s's canonical encoding: an entry's body.
func (s *Sealed) Marshal() []byte { return marshal(s) }

// UnmarshalSealed decodes an entry's body. The box shares data's memory. Errors are
// HEDDLE_PROTOCOL: no honest server takes such a body.
func UnmarshalSealed(data []byte) (*Sealed, error) {
	const op = "seal: decode Sealed"
	s := &Sealed{}
	if len(data) > wire.MaxBody {
		return nil, errcode.New(errcode.Protocol, op, "the body is too long")
	}
	if err := unmarshal(data, op, s); err != nil {
		return nil, err
	}
	bad := ""
	switch isData := s.Kind == KindData; {
	case s.Kind == 0:
		bad = "there is no kind"
	case s.Device == ID{}:
		bad = "there is no device"
	case s.Epoch == 0:
		bad = "there is no epoch"
	case !s.Signature.decent():
		bad = "there is no signature, or an unusable one"
	case isData == zero(s.Nonce[:]):
		bad = "data has a nonce, a Change has none"
	case isData && (len(s.Box) < leastBody+overhead || pad(len(s.Box)-overhead, leastBody) != len(s.Box)-overhead):
		bad = "a box has another size than padding gives"
	case !isData && (len(s.Box) == 0 || len(s.Box) > MaxChange):
		bad = "a Change is missing or too long"
	case (s.Seen.Seq == 0) != (s.Seen.Chain == Hash{}):
		bad = "a position has a number without a chain hash, or the other way round"
	}
	if bad != "" {
		return nil, errcode.New(errcode.Protocol, op, bad)
	}
	return s, nil
}

// about is the associated data of s's box, and a part of what is signed.
func (s *Sealed) about(p Place) []byte {
	c := coder{b: append([]byte(domainSeal), p.Anchor[:]...)}
	c.b = append(append(c.b, p.Client[:]...), u64(p.Counter)...)
	s.header(&c)
	return c.b
}

// Encrypt seals a transaction's body: it sets s.Nonce and s.Box, and takes all other
// fields as they are. The signature comes after. Content beyond MaxContent is
// HEDDLE_TOO_BIG.
func (s *Sealed) Encrypt(p Place, key *Key, content []byte, compress bool, random io.Reader) error {
	plain, err := frame(content, leastBody, compress)
	if err != nil {
		return err
	}
	if s.Nonce, err = draw(random); err != nil {
		return err
	}
	s.Box = encrypt(key.derive(labelBody, p.Anchor, s.Epoch), &s.Nonce, plain, s.about(p))
	return nil
}

// Decrypt opens s and returns the transaction's body. Errors are HEDDLE_BAD_SEAL.
func (s *Sealed) Decrypt(p Place, key *Key) ([]byte, error) {
	plain, err := decrypt(key.derive(labelBody, p.Anchor, s.Epoch), &s.Nonce, s.Box, s.about(p))
	if err != nil {
		return nil, err
	}
	return unframe(plain, leastBody)
}

// Statement returns the bytes that the device signs. They cover every field and the
// place.
func (s *Sealed) Statement(p Place) []byte {
	var nonce []byte
	if s.Kind == KindData {
		nonce = s.Nonce[:]
	}
	h := hash(domainSealed, lengthed(s.about(p)), lengthed(nonce), s.Box)
	return append([]byte(domainSigned), h[:]...)
}
