package heddle

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

// Key is a device's key to a sealed space: one whose server orders what it cannot read.
// It belongs to one database on one device. Keep what MarshalJSON gives where only this
// program reads it; who has it reads the space.
//
// A space begins with [NewSpace]. Another device comes in by a recovery code
// ([UnlockSpace], [Sync.NewRecoveryCode]) or a passphrase ([UnlockSpaceByPassphrase],
// [Sync.SetPassphrase]), or is added by a member: [NewDevice], [Key.Request],
// [Sync.Offer], [Key.Accept], [Sync.AddDevice].
type Key struct{ k keyData }

// keyData is a Key as it is stored.
type keyData struct {
	Space    string
	Sign     [32]byte // the private keys
	Box      [32]byte
	Name     string         // the device's, for the members
	Anchor   seal.Anchor    // zeros: the device was not let in yet
	Told     seal.Position  // what the log must have
	First    *client.Change `json:",omitempty"` // of the founder: how the log begins
	SlotSign *[32]byte      `json:",omitempty"` // of a code or a passphrase: how the device gets in
	SlotBox  *[32]byte      `json:",omitempty"`
}

// Role is what a device may do in a sealed space.
type Role = seal.Role

// The roles.
const (
	RoleAdmin = seal.RoleAdmin // adds and removes anybody
	RoleWrite = seal.RoleWrite // writes; adds and removes devices of its own user
	RoleRead  = seal.RoleRead
)

// MarshalJSON returns the key, private keys and all.
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(&k.k) }

// UnmarshalJSON undoes MarshalJSON.
func (k *Key) UnmarshalJSON(data []byte) error {
	return errcode.Wrap(json.Unmarshal(data, &k.k), errcode.BadParam, "heddle: read a key")
}

// identity returns the private keys as the cryptography takes them.
func (k *keyData) identity(ctx context.Context) (seal.Identity, error) {
	return native.Suite{}.Identity(ctx, &seal.SlotSecret{SignSeed: k.Sign, BoxKey: k.Box})
}

// NewDevice makes the keys of a device that is to come into a space. name is the
// device's, for the members.
func NewDevice(space, name string) *Key {
	k := &Key{keyData{Space: space, Name: name}}
	rand.Read(k.k.Sign[:]) // never fails
	rand.Read(k.k.Box[:])
	return k
}

// NewSpace makes a sealed space, with this device as its admin. The space comes into
// being when the database is first synced with the key: nothing is sent here.
func NewSpace(ctx context.Context, space, name string) (*Key, error) {
	k := NewDevice(space, name)
	id, err := k.k.identity(ctx)
	if err != nil {
		return nil, err
	}
	f, err := member.Found(ctx, native.Suite{}, id, space, name, rand.Reader)
	if err != nil {
		return nil, err
	}
	k.k.Anchor, k.k.First = f.Anchor, f.First
	return k, nil
}

// UnlockSpace makes a key of a recovery code. The device is added when the database is
// first synced with the key. o says where the space is, with a Token; Tables and Key are
// not needed. HEDDLE_BAD_CODE: the code is mistyped, or is of another space.
func UnlockSpace(ctx context.Context, o *SyncOptions, code, name string) (*Key, error) {
	typed, err := seal.ParseRecoveryCode(code)
	if err != nil {
		return nil, err
	}
	return unlock(ctx, o, member.ByCode(o.Space, typed), name)
}

// UnlockSpaceByPassphrase makes a key of a passphrase, as UnlockSpace does of a code. It
// takes a second or so for each user of the space who has one. HEDDLE_BAD_PASSPHRASE: it
// opens nothing there.
func UnlockSpaceByPassphrase(ctx context.Context, o *SyncOptions, passphrase, name string) (*Key, error) {
	return unlock(ctx, o, member.ByPassphrase(o.Space, native.Stretch(passphrase), nil), name)
}

// UnlockSpaceByBoth makes a key of a passphrase and the code of
// [Sync.SetPassphraseAndCode]. CodeBadCode: the code is mistyped; CodeBadPassphrase: the
// two open nothing together.
func UnlockSpaceByBoth(ctx context.Context, o *SyncOptions, passphrase, code, name string) (*Key, error) {
	typed, err := seal.ParseRecoveryCode(code)
	if err != nil {
		return nil, err
	}
	return unlock(ctx, o, member.ByPassphrase(o.Space, native.Stretch(passphrase), &typed), name)
}

func unlock(ctx context.Context, o *SyncOptions, by member.Opener, name string) (*Key, error) {
	changes, err := client.Members(ctx, client.Config{URL: o.URL, Space: o.Space, Token: o.Token,
		HTTP: nethttp.Doer{HTTP: o.HTTP}})
	if err != nil {
		return nil, err
	}
	secret, err := member.OpenSlot(ctx, changes, o.Space, by)
	if err != nil {
		return nil, err
	}
	k := NewDevice(o.Space, name)
	k.k.Anchor, k.k.Told = secret.Anchor, secret.Position
	k.k.SlotSign, k.k.SlotBox = &secret.SignSeed, &secret.BoxKey
	return k, nil
}

// What two devices tell each other is JSON in base64, to be copied as it is.
type (
	deviceRequest struct {
		Sign, Box seal.PublicKey
		Name      string
	}
	deviceOffer struct {
		member.Offer
		Told seal.Position
	}
)

func encodeText(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // arrays and texts
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeText(text string, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	return errcode.Wrap(err, errcode.BadParam, "heddle: read what another device says")
}

// Request returns what a member has to know of this device to add it. It is no secret,
// and must not be altered on its way: who can alter it comes in instead.
func (k *Key) Request(ctx context.Context) (string, error) {
	id, err := k.k.identity(ctx)
	if err != nil {
		return "", err
	}
	r := deviceRequest{Name: k.k.Name}
	r.Sign, r.Box = id.Public()
	return encodeText(&r), nil
}

// Offer prepares to add the device of a request. What it returns is for that device's
// Accept; it is no secret, and must not be altered on its way. The device will belong to
// the same user as this one.
func (s *Sync) Offer(ctx context.Context, request string, role Role) (string, error) {
	var r deviceRequest
	if err := decodeText(request, &r); err != nil {
		return "", err
	}
	m, err := s.sealed()
	if err != nil {
		return "", err
	}
	o, err := m.Offer(ctx, r.Sign, r.Box, r.Name, role, seal.ID{})
	if err != nil {
		return "", err
	}
	return encodeText(&deviceOffer{*o, m.Head()}), nil
}

// Accept makes the key one of the space of an offer. What it returns is for AddDevice.
func (k *Key) Accept(ctx context.Context, offer string) (string, error) {
	const op = "heddle: accept an offer"
	var o deviceOffer
	if err := decodeText(offer, &o); err != nil {
		return "", err
	}
	id, err := k.k.identity(ctx)
	if err != nil {
		return "", err
	}
	if sign, box := id.Public(); sign != o.Device.Sign || box != o.Device.Box {
		return "", errcode.New(errcode.BadParam, op, "the offer is for another device")
	}
	if k.k.Anchor != (seal.Anchor{}) && k.k.Anchor != o.Anchor {
		return "", errcode.New(errcode.BadParam, op, "the key is of another space")
	}
	if err := o.Prove(ctx, id); err != nil {
		return "", err
	}
	k.k.Anchor, k.k.Told = o.Anchor, o.Told
	return encodeText(&o), nil
}

// AddDevice adds a device that has accepted an offer of this member's.
func (s *Sync) AddDevice(ctx context.Context, accepted string) error {
	var o deviceOffer
	if err := decodeText(accepted, &o); err != nil {
		return err
	}
	return s.change(ctx, member.Add(&o.Offer))
}

// RemoveDevices removes members by their IDs. There is a new key then, which they do not
// get: what is written from then on they cannot read. What they have they keep.
func (s *Sync) RemoveDevices(ctx context.Context, ids ...[16]byte) error {
	if len(ids) == 0 {
		return nil
	}
	all := make([]seal.ID, len(ids))
	for i := range ids {
		all[i] = ids[i]
	}
	return s.change(ctx, member.Remove(all...))
}

// RotateKey begins with a new key, as after a removal.
func (s *Sync) RotateKey(ctx context.Context) error { return s.change(ctx, member.Remove()) }

// NewRecoveryCode makes a code that a person writes down: with it a device of the same
// user comes in, when all others are lost. Codes made before stay valid; they are listed
// by Members and are removed by RemoveDevices.
func (s *Sync) NewRecoveryCode(ctx context.Context) (string, error) {
	code, err := seal.NewRecoveryCode(rand.Reader)
	if err != nil {
		return "", err
	}
	return code.String(), s.change(ctx, member.AddCode(code))
}

// SetPassphrase sets the passphrase of this device's user, of at least 12 characters:
// with it a device comes in as by a code. Who has the server's data can guess at it, which
// Argon2id makes slow; nobody can guess at a code. One that the user had before opens
// nothing any more, and there is a new key. HEDDLE_BAD_PASSPHRASE: it is too short.
func (s *Sync) SetPassphrase(ctx context.Context, passphrase string) error {
	return s.setPassphrase(ctx, passphrase, nil)
}

// SetPassphraseAndCode is SetPassphrase with a code to be written down, which is needed as
// well: neither opens anything alone. Codes of NewRecoveryCode stay what they are.
func (s *Sync) SetPassphraseAndCode(ctx context.Context, passphrase string) (code string, err error) {
	drawn, err := seal.NewRecoveryCode(rand.Reader)
	if err != nil {
		return "", err
	}
	return drawn.String(), s.setPassphrase(ctx, passphrase, &drawn)
}

func (s *Sync) setPassphrase(ctx context.Context, passphrase string, code *seal.RecoveryCode) error {
	m, err := s.sealed()
	if err != nil {
		return err
	}
	if err := native.CheckPassphrase(passphrase); err != nil {
		return err
	}
	set, err := member.SetPassphrase(ctx, m.Space(), native.Stretch(passphrase), code, rand.Reader)
	if err != nil {
		return err
	}
	return s.change(ctx, set)
}

// Member is a device, a recovery code or a passphrase of a sealed space.
type Member struct {
	ID         [16]byte
	Name       string // of a device
	Role       Role
	Code       bool // it is a recovery code
	Passphrase bool // it is a passphrase; with Code, one that needs a code as well
	This       bool // it is this device
}

// Members returns all members of a sealed space as far as its log is known here.
func (s *Sync) Members(ctx context.Context) ([]Member, error) {
	m, err := s.sealed()
	if err != nil {
		return nil, err
	}
	var all []Member
	for _, one := range m.Infos(ctx) {
		all = append(all, Member{one.ID, one.Name, one.Role, one.Slot.Code(),
			one.Slot.Passphrase(), one.This})
	}
	return all, nil
}

// Evidence returns what has stopped sync last with CodeTampered, as a file that anyone can check with
// [CheckEvidence] or `heddle evidence`; nil where nothing has.
func (s *Sync) Evidence(ctx context.Context) ([]byte, error) {
	if _, err := s.sealed(); err != nil {
		return nil, err
	}
	return s.client.Evidence(ctx)
}

// Finding is what evidence shows.
type Finding = seal.Finding

// CheckEvidence verifies what [Sync.Evidence] has returned: each signature, from the space's
// first entry on. An error says that it is no evidence.
func CheckEvidence(ctx context.Context, evidence []byte) (*Finding, error) {
	e, err := seal.UnmarshalEvidence(evidence)
	if err != nil {
		return nil, err
	}
	return e.Check(ctx, native.Suite{})
}

// Fingerprint returns 30 digits of the space's log up to an entry, the last one for 0: two members who read out the
// same for one entry have the same history.
func (s *Sync) Fingerprint(seq uint64) (at uint64, digits string, err error) {
	m, err := s.sealed()
	if err != nil {
		return 0, "", err
	}
	return m.Fingerprint(seq)
}

func (s *Sync) sealed() (*member.Member, error) {
	if s.member == nil {
		return nil, errcode.New(errcode.Sealed, "heddle", "the space is not sealed: it has no members")
	}
	return s.member, nil
}

// change makes a Change and waits until the log has it.
func (s *Sync) change(ctx context.Context, make member.Maker) error {
	m, err := s.sealed()
	if err != nil {
		return err
	}
	return s.client.Change(ctx, func(ctx context.Context) (*client.Change, error) { return make(ctx, m) })
}

// member returns the device's part in the space, nil without a key.
func (k *Key) member(space string) (*member.Member, error) {
	const op = "heddle: open"
	switch {
	case k == nil:
		return nil, nil
	case k.k.Space != space:
		return nil, errcode.New(errcode.BadParam, op, "the key is of the space "+k.k.Space)
	case k.k.Anchor == (seal.Anchor{}):
		return nil, errcode.New(errcode.Locked, op, "the device was not let into the space yet")
	}
	id, err := k.k.identity(context.Background())
	if err != nil {
		return nil, err
	}
	cfg := member.Config{Space: space, Anchor: k.k.Anchor, Identity: id, Suite: native.Suite{}, Rand: rand.Reader,
		Told: k.k.Told, Name: k.k.Name, First: k.k.First}
	if k.k.SlotSign != nil && k.k.SlotBox != nil {
		slot := keyData{Sign: *k.k.SlotSign, Box: *k.k.SlotBox}
		if cfg.Slot, err = slot.identity(context.Background()); err != nil {
			return nil, err
		}
	}
	return member.New(cfg), nil
}
