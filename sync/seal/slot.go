package seal

import "io"

// SlotKind is what opens a slot.
type SlotKind uint64

// The kinds of slots.
const (
	SlotCode       SlotKind = 1 // a RecoveryCode
	SlotPassphrase SlotKind = 2 // a text that a person knows: see KDF
	SlotBoth       SlotKind = 3 // such a text and a RecoveryCode together
)

// Passphrase says whether a passphrase is needed, and Code whether a recovery code is.
func (k SlotKind) Passphrase() bool { return k == SlotPassphrase || k == SlotBoth }
func (k SlotKind) Code() bool       { return k == SlotCode || k == SlotBoth }

// Slot is a member that sleeps: a device's keys, sealed under a key that a person has
// on paper, or in mind. It can do one thing: add one device of its user.
type Slot struct {
	Sign   PublicKey
	Box    PublicKey
	Role   Role // the most that the device may have
	User   ID
	Kind   SlotKind
	KDF    *KDF   // where a passphrase is needed
	Sealed []byte // a SlotSecret: see Slot.Seal
}

// ID is the slot's id.
func (s *Slot) ID() ID { return DeviceID(s.Sign, s.Box) }

func (s *Slot) fields(c *coder) {
	s.header(c)
	c.bytes(7, &s.Sealed, maxSealed)
	c.demand(len(s.Sealed) > len(Nonce{})+overhead, "secret")
}

func (s *Slot) header(c *coder) {
	c.fixed(1, s.Sign[:])
	c.fixed(2, s.Box[:])
	c.uint(3, (*uint64)(&s.Role), uint64(RoleRead))
	c.fixed(4, s.User[:])
	c.uint(5, (*uint64)(&s.Kind), uint64(SlotBoth))
	c.messages(6, present(s.KDF != nil), 1, func(int) message {
		if s.KDF == nil {
			s.KDF = &KDF{}
		}
		return s.KDF
	})
	c.demand(edwards(s.Sign) && montgomery(s.Box), "key, or an unusable one")
	c.demand(s.Role != 0 && s.Kind != 0, "role or kind")
	c.demand(s.User != ID{}, "user")
	c.demand(s.Kind.Passphrase() == (s.KDF != nil), "KDF, or a code has one")
}

// SlotSecret is what a slot keeps: its private keys, and how far its space was when it
// was made, so that no server offers another space, or this one's past before it.
type SlotSecret struct {
	SignSeed [32]byte // Ed25519 (RFC 8032, section 5.1.5)
	BoxKey   [32]byte // X25519
	Anchor   Anchor
	Position Position
	Newest   Hash // the Change of then
}

func (s *SlotSecret) fields(c *coder) {
	c.fixed(1, s.SignSeed[:])
	c.fixed(2, s.BoxKey[:])
	c.fixed(3, s.Anchor[:])
	c.uint(4, &s.Position.Seq, 1<<63)
	c.fixed(5, s.Position.Chain[:])
	c.fixed(6, s.Newest[:])
	c.demand(!zero(s.SignSeed[:]) && !zero(s.BoxKey[:]) && !zero(s.Anchor[:]), "key or anchor")
	c.demand(s.Position.Seq != 0 && s.Position.Chain != Hash{} && s.Newest != Hash{}, "position")
}

// about is the associated data of a slot's secret. The anchor is not yet known to who
// opens it: it is inside.
func (s *Slot) about(space string) []byte {
	c := coder{b: append([]byte(domainSlot), lengthed([]byte(space))...)}
	s.header(&c)
	return c.b
}

// Seal encrypts a slot's secret. All other fields are set before.
func (s *Slot) Seal(space string, key *Key, secret *SlotSecret, random io.Reader) error {
	nonce, err := draw(random)
	if err != nil {
		return err
	}
	plain := marshal(secret)
	plain = append(make([]byte, 0, len(plain)+overhead), plain...)
	s.Sealed = append(nonce[:], encrypt(*key, &nonce, plain, s.about(space))...)
	return nil
}

// Open decrypts a slot's secret. Errors are HEDDLE_BAD_SEAL: another key, most likely.
func (s *Slot) Open(space string, key *Key) (*SlotSecret, error) {
	plain, err := openNonced(*key, s.Sealed, s.about(space))
	if err != nil {
		return nil, err
	}
	secret := &SlotSecret{}
	if err := unmarshal(plain, "seal: open slot", secret); err != nil {
		return nil, err
	}
	return secret, nil
}
