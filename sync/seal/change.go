package seal

import (
	"io"

	"heddle.dev/heddle/internal/errcode"
)

// Role is what a member may do.
type Role uint64

// The roles: each may do what those after it may.
const (
	RoleAdmin Role = 1 // add and remove anybody, begin an epoch, give a lost history up for others
	RoleWrite Role = 2 // write; add and remove devices of its own user that have no other role than write or read
	RoleRead  Role = 3
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case RoleAdmin:
		return "admin"
	case RoleWrite:
		return "write"
	case RoleRead:
		return "read"
	}
	return "none"
}

// MaxMembers is the most devices and slots of a space.
const MaxMembers = 1000

const (
	maxSealed = 1 << 10 // bytes of a name, or of a slot's secret, sealed
	leastName = 64
)

// Device is a member: two public keys, and what they may do.
type Device struct {
	Sign  PublicKey // Ed25519
	Box   PublicKey // X25519
	Role  Role
	User  ID
	Name  []byte    // sealed: see SealName
	Proof Signature // by Sign, over ProofStatement
}

// ID is the device's id.
func (d *Device) ID() ID { return DeviceID(d.Sign, d.Box) }

func (d *Device) fields(c *coder) {
	d.header(c)
	c.fixed(6, d.Proof[:])
	c.demand(d.Proof.decent(), "proof, or an unusable one")
}

func (d *Device) header(c *coder) {
	c.fixed(1, d.Sign[:])
	c.fixed(2, d.Box[:])
	c.uint(3, (*uint64)(&d.Role), uint64(RoleRead))
	c.fixed(4, d.User[:])
	c.bytes(5, &d.Name, maxSealed)
	c.demand(edwards(d.Sign) && montgomery(d.Box), "key, or an unusable one")
	c.demand(d.Role != 0, "role")
	c.demand(d.User != ID{}, "user")
	c.demand(len(d.Name) >= len(Nonce{})+leastName+overhead, "name")
}

// ProofStatement returns what a device signs to show that it has the key that it is
// added with.
func (d *Device) ProofStatement(a Anchor) []byte {
	c := coder{b: append([]byte(domainProof), a[:]...)}
	d.header(&c)
	return c.b
}

// SealName encrypts a device's name for the members, under the key of the epoch that
// the device comes with. The keys are set before.
func (d *Device) SealName(a Anchor, key *Key, epoch uint64, name string, random io.Reader) error {
	plain, err := frame([]byte(name), leastName, false)
	if err != nil {
		return err
	}
	nonce, err := draw(random)
	if err != nil {
		return err
	}
	box := encrypt(key.derive(labelName, a, epoch), &nonce, plain, nameAbout(a, epoch, d.ID()))
	d.Name = append(nonce[:], box...)
	return nil
}

// OpenName undoes SealName. Errors are HEDDLE_BAD_SEAL.
func (d *Device) OpenName(a Anchor, key *Key, epoch uint64) (string, error) {
	plain, err := openNonced(key.derive(labelName, a, epoch), d.Name, nameAbout(a, epoch, d.ID()))
	if err != nil {
		return "", err
	}
	name, err := unframe(plain, leastName)
	return string(name), err
}

func nameAbout(a Anchor, epoch uint64, id ID) []byte {
	return append(append(append([]byte(domainName), a[:]...), u64(epoch)...), id[:]...)
}

// openNonced opens a nonce and the box that follows it.
func openNonced(key Key, sealed, about []byte) ([]byte, error) {
	nonce, box, err := cutNonce(sealed)
	if err != nil {
		return nil, err
	}
	return decrypt(key, &nonce, box, about)
}

func cutNonce(sealed []byte) (n Nonce, box []byte, err error) {
	if len(sealed) < len(n) {
		return n, nil, errcode.New(errcode.BadSeal, "seal: open", "the box is cut short")
	}
	return Nonce(sealed), sealed[len(n):], nil
}

// Wrap is an epoch's key for one device or slot: HPKE (RFC 9180), base mode, with
// X25519, HKDF-SHA256 and AES-256-GCM, [WrapInfo] and no associated data.
type Wrap struct {
	ID   ID
	HPKE [WrapSize]byte // the encapsulated key, then the box
}

// WrapSize is the size of a wrapped key: an X25519 key, and a key with its tag.
const WrapSize = 32 + 32 + 16

func (c *coder) wraps(num fieldNumber, list *[]Wrap) {
	c.messages(num, len(*list), MaxMembers, func(i int) message { return element(list, i) })
}

func (w *Wrap) fields(c *coder) {
	c.fixed(1, w.ID[:])
	c.fixed(2, w.HPKE[:])
	c.demand(w.ID != ID{} && !zero(w.HPKE[:]), "wrapped key")
}

// Epoch is a new key, for all that stay.
type Epoch struct {
	Number uint64
	Commit Hash // see Key.Commit
	Wrap   []Wrap
	Before []byte // the key of the epoch before, sealed under this one; absent for the first
}

func (e *Epoch) fields(c *coder) {
	c.uint(1, &e.Number, 1<<63)
	c.fixed(2, e.Commit[:])
	c.wraps(3, &e.Wrap)
	c.bytes(4, &e.Before, beforeSize)
	c.demand(e.Number != 0 && e.Commit != Hash{}, "epoch's number or commitment")
	c.demand(len(e.Wrap) > 0, "wrapped key")
	c.demand((e.Number == 1) == (e.Before == nil) && (e.Before == nil || len(e.Before) == beforeSize), "key before")
}

const beforeSize = len(Nonce{}) + len(Key{}) + overhead

// SealBefore seals the key of the epoch before under the new one, so that the newest
// key opens all of a space's past. e.Number is set before.
func (e *Epoch) SealBefore(a Anchor, key, before *Key, random io.Reader) error {
	nonce, err := draw(random)
	if err != nil {
		return err
	}
	plain := append(make([]byte, 0, len(before)+overhead), before[:]...)
	box := encrypt(key.derive(labelBefore, a, e.Number), &nonce, plain, e.beforeAbout(a))
	e.Before = append(nonce[:], box...)
	return nil
}

// OpenBefore returns the key of the epoch before. Errors are HEDDLE_BAD_SEAL.
func (e *Epoch) OpenBefore(a Anchor, key *Key) (*Key, error) {
	plain, err := openNonced(key.derive(labelBefore, a, e.Number), e.Before, e.beforeAbout(a))
	if err != nil {
		return nil, err
	}
	if len(plain) != len(Key{}) {
		return nil, errcode.New(errcode.BadSeal, "seal: open", "a key has another length")
	}
	return (*Key)(plain), nil
}

func (e *Epoch) beforeAbout(a Anchor) []byte {
	return append(append([]byte(domainBefore), a[:]...), u64(e.Number)...)
}

// Reset is an admin's word that the log behind a position is lost, and that who has
// that position starts over. It counts where nobody is a member any more whom the replica
// knows to be removed. Lost is what the admin knew, for people.
type Reset struct {
	Position Position // the last that both histories have; zeros, where the log begins, if the admin knows of none
	Lost     []Hash   // the Changes behind it, newest first
}

func (r *Reset) fields(c *coder) {
	c.uint(1, &r.Position.Seq, 1<<63)
	c.fixed(2, r.Position.Chain[:])
	c.list(3, len(r.Lost), MaxChange/len(Hash{}), func(i int) []byte { return element(&r.Lost, i)[:] })
	c.demand((r.Position.Seq == 0) == (r.Position.Chain == Hash{}), "position")
}

// Change says what changes about the members of a space.
type Change struct {
	Prev   Hash     // of the Change before: see Hash; zero for the first
	Add    []Device // who comes
	Remove []ID     // who goes: devices and slots
	Epoch  *Epoch   // a new key
	Slots  []Slot   // codes and passphrases that come
	Wrap   []Wrap   // the key that there is, for those who come
	Reset  *Reset
	Random Hash // the first Change's alone
}

func (m *Change) fields(c *coder) {
	c.fixed(1, m.Prev[:])
	c.messages(2, len(m.Add), MaxMembers, func(i int) message { return element(&m.Add, i) })
	c.list(3, len(m.Remove), MaxMembers, func(i int) []byte { return element(&m.Remove, i)[:] })
	c.messages(4, present(m.Epoch != nil), 1, func(int) message {
		if m.Epoch == nil {
			m.Epoch = &Epoch{}
		}
		return m.Epoch
	})
	c.messages(5, len(m.Slots), MaxMembers, func(i int) message { return element(&m.Slots, i) })
	c.wraps(6, &m.Wrap)
	c.messages(7, present(m.Reset != nil), 1, func(int) message {
		if m.Reset == nil {
			m.Reset = &Reset{}
		}
		return m.Reset
	})
	c.fixed(8, m.Random[:])
	c.demand((m.Prev == Hash{}) != (m.Random == Hash{}), "Change before, or the first has no random bytes")
}

// Marshal returns m's canonical encoding: the box of a Sealed of KindMembers.
func (m *Change) Marshal() []byte { return marshal(m) }

// UnmarshalChange decodes a Change. It looks at the form alone: [Records] say what is
// allowed. Errors are HEDDLE_PROTOCOL.
func UnmarshalChange(data []byte) (*Change, error) {
	const op = "seal: decode Change"
	if len(data) > MaxChange {
		return nil, errcode.New(errcode.Protocol, op, "the Change is too long")
	}
	m := &Change{}
	if err := unmarshal(data, op, m); err != nil {
		return nil, err
	}
	return m, nil
}

// HashChange returns the hash of an encoded Change, by which the next one names it.
func HashChange(data []byte) Hash { return hash(domainChange, data) }
