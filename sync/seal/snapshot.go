package seal

import (
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// A snapshot of a sealed space is a Manifest and the chunks that it names. A chunk has
// rows of a range of keys, encrypted; it goes on to be a part of later snapshots as long
// as its rows stay as they are. Its name is its hash, so that there is one chunk of a
// name, and who has a manifest knows the bytes of all of them. A snapshot's own name is a
// hash as well: what a member says of a name it says of the whole content.
const (
	// MaxChunk is the most bytes that a sealed chunk has.
	MaxChunk = 2 << 20
	// MaxLargeChunk is that of a chunk of one row, which may be larger than others.
	MaxLargeChunk = wire.MaxRow + wire.MaxRow/8 + wire.MaxKey
	// MaxChunks is the most chunks of a snapshot.
	MaxChunks = 65_536
	// MaxClients is the most clients that a snapshot tells of.
	MaxClients = 100_000
	// MaxManifest is the most bytes of an encoded Manifest.
	MaxManifest = wire.MaxBody
)

// Chunk is a chunk as a manifest names it.
type Chunk struct {
	Hash  Hash   // of its bytes: see HashChunk
	Epoch uint64 // whose key it is encrypted with
	Size  uint64 // of its bytes
	Rows  uint64
}

func (k *Chunk) fields(c *coder) {
	c.fixed(1, k.Hash[:])
	c.uint(2, &k.Epoch, 1<<63)
	c.uint(3, &k.Size, MaxLargeChunk)
	c.uint(4, &k.Rows, MaxChunk)
	c.demand(k.Hash != Hash{} && k.Epoch != 0 && k.Rows != 0, "hash, epoch or row")
	c.demand(k.Size > uint64(len(Nonce{})+overhead) && (k.Size <= MaxChunk || k.Rows == 1), "size that a chunk may have")
}

// Manifest says what a space was at an entry of its log. The server sees who says so, and
// which chunks there are.
type Manifest struct {
	Device    ID     // who has made it
	Epoch     uint64 // at the entry: its key encrypts the box
	At        Position
	Members   Hash // of the newest Change there
	Chunks    []Chunk
	Nonce     Nonce
	Box       []byte // a Summary: see Encrypt
	Signature Signature
}

func (m *Manifest) fields(c *coder) {
	m.signed(c)
	c.fixed(9, m.Signature[:])
	c.demand(m.Signature.decent(), "signature, or an unusable one")
}

// signed is all that is signed, through its hash.
func (m *Manifest) signed(c *coder) {
	m.header(c)
	c.fixed(7, m.Nonce[:])
	c.bytes(8, &m.Box, MaxManifest)
	c.demand(m.Nonce != Nonce{} && len(m.Box) >= leastBody+overhead, "nonce or box")
}

// header is what is known before there is a box.
func (m *Manifest) header(c *coder) {
	c.fixed(1, m.Device[:])
	c.uint(2, &m.Epoch, 1<<63)
	c.uint(3, &m.At.Seq, 1<<63)
	c.fixed(4, m.At.Chain[:])
	c.fixed(5, m.Members[:])
	c.messages(6, len(m.Chunks), MaxChunks, func(i int) message { return element(&m.Chunks, i) })
	c.demand(m.Device != ID{} && m.Epoch != 0 && m.Members != Hash{}, "device, epoch or newest Change")
	c.demand(m.At.Seq != 0 && m.At.Chain != Hash{}, "position")
}

// Marshal returns m's canonical encoding.
func (m *Manifest) Marshal() []byte { return marshal(m) }

// UnmarshalManifest decodes a Manifest. It looks at the form alone. Errors are
// HEDDLE_PROTOCOL.
func UnmarshalManifest(data []byte) (*Manifest, error) {
	const op = "seal: decode Manifest"
	m := &Manifest{}
	if len(data) > MaxManifest {
		return nil, errcode.New(errcode.Protocol, op, "the manifest is too long")
	}
	if err := unmarshal(data, op, m); err != nil {
		return nil, err
	}
	for i := range m.Chunks {
		if m.Chunks[i].Epoch > m.Epoch {
			return nil, errcode.New(errcode.Protocol, op, "a chunk has the key of a later epoch")
		}
	}
	return m, nil
}

// digest covers all but the signature.
func (m *Manifest) digest(a Anchor) Hash {
	c := coder{b: append([]byte(nil), a[:]...)}
	m.signed(&c)
	return hash(domainManifest, c.b)
}

// ID is the snapshot's name in its space: the first half of the hash that is signed.
func (m *Manifest) ID(a Anchor) ID {
	digest := m.digest(a)
	return ID(digest[:16])
}

// Statement returns the bytes that the device signs.
func (m *Manifest) Statement(a Anchor) []byte {
	digest := m.digest(a)
	return append([]byte(domainManifestSigned), digest[:]...)
}

// Size returns the bytes of all chunks.
func (m *Manifest) Size() (n int64) {
	for i := range m.Chunks {
		n += int64(m.Chunks[i].Size)
	}
	return n
}

// Summary is what a manifest says to members alone.
type Summary struct {
	Digest  Hash   // of the rows: docs/PROTOCOL.md, section 7
	Rows    uint64 // how many there are
	Schema  []byte // the descriptors there, as a body; nil for none
	Ranges  []Range
	Clients []SavedClient // all that are known there, in any order
}

// Range says where the rows of a chunk end, and those of the next one begin. There is one
// for each chunk, in the order of the keys.
type Range struct {
	Table string
	Key   []byte // the last row's, encoded
}

func (r *Range) fields(c *coder) {
	c.text(1, &r.Table)
	c.bytes(2, &r.Key, wire.MaxKey)
	c.demand(r.Table != "" && len(r.Key) > 0, "table or key")
}

func (k *SavedClient) fields(c *coder) {
	c.fixed(1, k.ID[:])
	c.fixed(2, k.Device[:])
	c.uint(3, &k.Counter, 1<<63)
	c.fixed(4, k.Last[:])
	c.demand(k.ID != wire.ClientID{} && k.Device != ID{}, "client or device")
	c.demand((k.Counter == 0) == (k.Last == Hash{}), "last transaction")
}

func (s *Summary) fields(c *coder) {
	c.fixed(1, s.Digest[:])
	c.uint(2, &s.Rows, 1<<63)
	c.bytes(3, &s.Schema, wire.MaxSchema)
	c.messages(4, len(s.Ranges), MaxChunks, func(i int) message { return element(&s.Ranges, i) })
	c.messages(5, len(s.Clients), MaxClients, func(i int) message { return element(&s.Clients, i) })
	c.demand(s.Digest != Hash{}, "digest")
}

// about is the associated data of m's box.
func (m *Manifest) about(a Anchor) []byte {
	c := coder{b: append([]byte(domainManifestBox), a[:]...)}
	m.header(&c)
	return c.b
}

// Encrypt seals what members alone learn: it sets m.Nonce and m.Box, and takes all other
// fields as they are. The signature comes after. key is that of m.Epoch. A summary that
// is too large is HEDDLE_TOO_BIG.
func (m *Manifest) Encrypt(a Anchor, key *Key, s *Summary, compress bool, random io.Reader) error {
	plain, err := frame(marshal(s), leastBody, compress)
	if err != nil {
		return err
	}
	if m.Nonce, err = draw(random); err != nil {
		return err
	}
	m.Box = encrypt(key.derive(labelManifest, a, m.Epoch), &m.Nonce, plain, m.about(a))
	return nil
}

// Decrypt opens m. Errors are HEDDLE_BAD_SEAL: another key or altered; HEDDLE_PROTOCOL: a
// member has sealed nonsense.
func (m *Manifest) Decrypt(a Anchor, key *Key) (*Summary, error) {
	const op = "seal: open manifest"
	plain, err := decrypt(key.derive(labelManifest, a, m.Epoch), &m.Nonce, m.Box, m.about(a))
	if err != nil {
		return nil, err
	}
	content, err := unframe(plain, leastBody)
	if err != nil {
		return nil, err
	}
	s := &Summary{}
	if err := unmarshal(content, op, s); err != nil {
		return nil, err
	}
	rows := uint64(0)
	for i := range m.Chunks {
		rows += m.Chunks[i].Rows
	}
	if len(s.Ranges) != len(m.Chunks) || rows != s.Rows {
		return nil, errcode.New(errcode.Protocol, op, "the chunks are others than those of the ranges")
	}
	return s, nil
}

// HashChunk returns the name of a sealed chunk.
func HashChunk(data []byte) Hash { return hash(domainChunk, data) }

// SealChunk encrypts a chunk's content with the key of an epoch.
func SealChunk(a Anchor, key *Key, epoch uint64, content []byte, compress bool, random io.Reader) ([]byte, error) {
	plain, err := frame(content, leastBody, compress)
	if err != nil {
		return nil, err
	}
	nonce, err := draw(random)
	if err != nil {
		return nil, err
	}
	box := encrypt(key.derive(labelChunk, a, epoch), &nonce, plain, chunkAbout(a, epoch))
	return append(nonce[:], box...), nil
}

// Open returns the content of a chunk's bytes. key is that of k.Epoch. Errors are
// HEDDLE_DAMAGED: they are not those that the manifest names; HEDDLE_BAD_SEAL: a member
// has sealed them otherwise. bulk may be nil.
func (k *Chunk) Open(a Anchor, key *Key, data []byte, bulk Bulk) ([]byte, error) {
	if uint64(len(data)) != k.Size || HashChunk(data) != k.Hash {
		return nil, errcode.New(errcode.Damaged, "seal: open chunk", "the chunk is not the one that the manifest names")
	}
	nonce, box, err := cutNonce(data)
	if err != nil {
		return nil, err
	}
	plain, err := decryptBulk(bulk, key.derive(labelChunk, a, k.Epoch), &nonce, box, chunkAbout(a, k.Epoch))
	if err != nil {
		return nil, err
	}
	return unframeBulk(bulk, plain, leastBody)
}

func chunkAbout(a Anchor, epoch uint64) []byte {
	return append(append([]byte(domainChunkBox), a[:]...), u64(epoch)...)
}
