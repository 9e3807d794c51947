package seal

import (
	"bytes"
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
	Prev   Hash // the digest of the one of this client with the counter before; zero at counter 1
	Epoch  uint64
	// Seen is where the log was for the author when it sealed: number and chain hash.
	Seen      Position
	Nonce     Nonce // of data alone
	Box       []byte
	Signature Signature
	// Path and Sides lead from the digest to what is signed, of data that one signature covers with other data: the hash
	// beside the way at each level, and, from bit 0 on, a 1 where that is the left one.
	Path  []Hash
	Sides uint64
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
	if c.reading {
		s.Path = make([]Hash, 0, maxPath)
	}
	c.list(10, len(s.Path), maxPath, func(i int) []byte { return element(&s.Path, i)[:] })
	c.uint(11, &s.Sides, MaxBatch)
}

// headerSize is more than all fields have but for the box and the way to the root.
const headerSize = 288

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
func (s *Sealed) Marshal() []byte {
	c := coder{b: make([]byte, 0, len(s.Box)+len(s.Path)*(len(Hash{})+2)+headerSize)}
	s.fields(&c)
	return c.b
}

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
	case !isData && len(s.Path) > 0 || s.Sides>>len(s.Path) > 0:
		bad = "there is another way to what is signed than a batch has"
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
	c := coder{b: append(make([]byte, 0, headerSize), domainSeal...)}
	c.b = append(append(append(c.b, p.Anchor[:]...), p.Client[:]...), u64(p.Counter)...)
	s.header(&c)
	return c.b
}

// Encrypt seals a transaction's body: it sets s.Nonce and s.Box, and takes all other
// fields as they are. The signature comes after. Content beyond MaxContent is
// HEDDLE_TOO_BIG.
func (s *Sealed) Encrypt(p Place, key *Key, content []byte, compress bool, random io.Reader) error {
	_, err := s.EncryptBody(p, key.Body(p.Anchor, s.Epoch), content, compress, random)
	return err
}

// EncryptBody is Encrypt with a key that was derived before. It returns s's digest.
func (s *Sealed) EncryptBody(
	p Place, key BodyKey, content []byte, compress bool, random io.Reader,
) (digest Hash, err error) {
	plain, err := frame(content, leastBody, compress)
	if err != nil {
		return digest, err
	}
	if s.Nonce, err = draw(random); err != nil {
		return digest, err
	}
	about := s.about(p)
	s.Box = encrypt(Key(key), &s.Nonce, plain, about)
	return s.digest(about), nil
}

// Decrypt opens s and returns the transaction's body. Errors are HEDDLE_BAD_SEAL.
func (s *Sealed) Decrypt(p Place, key *Key) ([]byte, error) {
	return s.DecryptBody(p, key.Body(p.Anchor, s.Epoch))
}

// DecryptBody is Decrypt with a key that was derived before.
func (s *Sealed) DecryptBody(p Place, key BodyKey) ([]byte, error) {
	plain, err := decrypt(Key(key), &s.Nonce, s.Box, s.about(p))
	if err != nil {
		return nil, err
	}
	return unframe(plain, leastBody)
}

// ChangePrefix is how the body of each entry begins that is a Change.
var ChangePrefix = []byte{1 << 3, byte(KindMembers)}

// IsChange says whether an entry's body is a Change, if it is a Sealed.
func IsChange(data []byte) bool {
	return bytes.HasPrefix(data, ChangePrefix)
}

// Digest covers the place and every field but the signature with its way. The next one of the same client names it.
func (s *Sealed) Digest(p Place) Hash { return s.digest(s.about(p)) }

func (s *Sealed) digest(about []byte) Hash {
	var nonce []byte
	if s.Kind == KindData {
		nonce = s.Nonce[:]
	}
	return hash(domainSealed, lengthed(about), lengthed(nonce), s.Box)
}

// Statement returns the bytes that the device signs, for this one alone or for a batch.
func (s *Sealed) Statement(p Place) []byte { return signedStatement(s.root(s.Digest(p))) }
