package seal

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/sync/wire"
)

type (
	// Hash is a BLAKE2b-256 hash.
	Hash = wire.Hash
	// ID names a device or a slot: see [DeviceID].
	ID [16]byte
	// Anchor stands for a space wherever something is bound to it: no message of one
	// space counts in another, even one with the same members.
	Anchor Hash
	// PublicKey is an Ed25519 or an X25519 public key.
	PublicKey [32]byte
	// Signature is an Ed25519 signature (RFC 8032).
	Signature [64]byte
	// Key is the key of an epoch.
	Key [32]byte
)

// Each use of the hash, of a signature and of a box begins with a text of its own,
// so that nothing of one kind can pass for another.
const (
	domainAnchor  = "heddle/1/anchor\x00"
	domainDevice  = "heddle/1/device\x00"
	domainProof   = "heddle/1/proof\x00"
	domainMembers = "heddle/1/members\x00"
	domainChange  = "heddle/1/change\x00"
	domainCommit  = "heddle/1/commit\x00"
	domainSeal    = "heddle/1/seal\x00"
	domainSealed  = "heddle/1/sealed\x00"
	domainSigned  = "heddle/1/signed\x00"
	domainNode    = "heddle/1/node\x00"
	domainHead    = "heddle/1/head\x00"

	domainEvidence    = "heddle/1/evidence\x00"
	domainFingerprint = "heddle/1/fingerprint\x00"

	domainName    = "heddle/1/name\x00"
	domainBefore  = "heddle/1/before\x00"
	domainWrap    = "heddle/1/wrap\x00"
	domainSlot    = "heddle/1/slot\x00"
	domainRequest = "heddle/1/request\x00"

	domainChunk          = "heddle/1/chunk\x00"
	domainChunkBox       = "heddle/1/chunk/box\x00"
	domainManifest       = "heddle/1/manifest\x00"
	domainManifestBox    = "heddle/1/manifest/box\x00"
	domainManifestSigned = "heddle/1/manifest/signed\x00"

	domainPair       = "heddle/1/pair\x00"
	domainPairBox    = "heddle/1/pair/id\x00"
	domainPairCommit = "heddle/1/pair/commit\x00"
	domainPairDigits = "heddle/1/pair/sas\x00"
)

// Labels of the keys that are derived of an epoch's.
const (
	labelBody   = "heddle/1/k/body\x00"
	labelName   = "heddle/1/k/name\x00"
	labelBefore = "heddle/1/k/before\x00"

	labelChunk    = "heddle/1/k/chunk\x00"
	labelManifest = "heddle/1/k/manifest\x00"

	labelSlot = "heddle/1/k/slot\x00" // of a recovery code
	labelPair = "heddle/1/k/pair\x00" // of a link

	labelPassphrase = "heddle/1/k/passphrase\x00" // of what Argon2id makes of a passphrase
	labelBoth       = "heddle/1/k/both\x00"       // of the same, with a recovery code
)

// short is the most that is put together before it is hashed: a state of its own costs more than that.
const short = 1 << 10

// hash hashes the parts, one after the other. Parts of varying length come last, or
// with their length: see lengthed.
func hash(domain string, parts ...[]byte) Hash {
	n := len(domain)
	for _, p := range parts {
		n += len(p)
	}
	if n > short {
		h, _ := blake2b.New256(nil) // fails for long keys only
		return sum(h, domain, parts)
	}
	var room [short]byte
	b := append(room[:0], domain...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return blake2b.Sum256(b)
}

// keyed hashes with a key of at most 64 bytes.
func keyed(key []byte, domain string, parts ...[]byte) Hash {
	h, err := blake2b.New256(key)
	if err != nil {
		panic(err) // the key is too long
	}
	return sum(h, domain, parts)
}

func sum(h interface {
	Write(p []byte) (int, error)
	Sum(b []byte) []byte
}, domain string, parts [][]byte) (out Hash) {
	_, _ = h.Write([]byte(domain))
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func lengthed(b []byte) []byte { return protowire.AppendBytes(nil, b) }

// AnchorOf returns the anchor of a space: of its name, the random bytes of its first
// Change, and the key that signed it.
func AnchorOf(space string, random Hash, author PublicKey) Anchor {
	return Anchor(hash(domainAnchor, lengthed([]byte(space)), random[:], author[:]))
}

// DeviceID returns the id of the device, or the slot, that has these keys.
func DeviceID(sign, box PublicKey) ID {
	h := hash(domainDevice, sign[:], box[:])
	return ID(h[:16])
}

// Members is the client id under which a device's Changes stand in the log.
func (id ID) Members() wire.ClientID {
	h := hash(domainMembers, id[:])
	return wire.ClientID(h[:16])
}

// derive returns the key for one use of an epoch's key.
func (k *Key) derive(label string, a Anchor, epoch uint64) Key {
	return Key(keyed(k[:], label, a[:], u64(epoch)))
}

// BodyKey encrypts the bodies of an epoch.
type BodyKey Key

// Body derives the key for bodies.
func (k *Key) Body(a Anchor, epoch uint64) BodyKey { return BodyKey(k.derive(labelBody, a, epoch)) }

// Commit returns what a Change says of the key that it begins an epoch with: two
// members that were given different keys find out.
func (k *Key) Commit(a Anchor, epoch uint64) Hash { return hash(domainCommit, a[:], u64(epoch), k[:]) }

// WrapInfo is HPKE's info (RFC 9180, section 5.1) for an epoch's key on its way to a
// device or a slot.
func WrapInfo(a Anchor, epoch uint64, to ID) []byte {
	b := append([]byte(domainWrap), a[:]...)
	return append(append(b, u64(epoch)...), to[:]...)
}

// RequestStatement returns what a device signs to show that a request to a server, for an
// action on the space, is its own. The challenge is the server's.
func RequestStatement(a Anchor, challenge []byte, action string) []byte {
	b := append([]byte(domainRequest), a[:]...)
	return append(append(b, lengthed(challenge)...), lengthed([]byte(action))...)
}
