package member

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
)

// Founded is a space that does not exist yet: its founder's part, and the Change that
// begins the log.
type Founded struct {
	Anchor seal.Anchor
	First  *client.Change
}

// Found makes a space of a founder, who is its admin. name is the device's, for the
// members.
func Found(
	ctx context.Context, suite seal.Suite, id seal.Identity, space, name string, random io.Reader,
) (*Founded, error) {
	var drawn seal.Hash
	var user seal.ID
	var key seal.Key
	for _, b := range [][]byte{drawn[:], user[:], key[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, "member: found")
		}
	}
	d := seal.Device{Role: seal.RoleAdmin, User: user}
	d.Sign, d.Box = id.Public()
	anchor := seal.AnchorOf(space, drawn, d.Sign)
	if err := d.SealName(anchor, &key, 1, name, random); err != nil {
		return nil, err
	}
	var err error
	if d.Proof, err = id.Sign(ctx, d.ProofStatement(anchor)); err != nil {
		return nil, err
	}
	m := New(Config{Space: space, Anchor: anchor, Identity: id, Suite: suite, Rand: random})
	c := &seal.Change{Random: drawn, Add: []seal.Device{d}, Epoch: &seal.Epoch{Number: 1, Commit: key.Commit(anchor, 1)}}
	if c.Epoch.Wrap, err = m.wraps(ctx, &key, 1, []seal.Member{{ID: m.id, Box: d.Box}}); err != nil {
		return nil, err
	}
	first, err := m.sign(ctx, id, c)
	if err != nil {
		return nil, err
	}
	return &Founded{anchor, first}, nil
}

// wraps wraps an epoch's key for each of some members.
func (m *Member) wraps(ctx context.Context, key *seal.Key, epoch uint64, to []seal.Member) ([]seal.Wrap, error) {
	all := make([]seal.Wrap, len(to))
	for i := range to {
		box, err := m.cfg.Suite.Wrap(ctx, to[i].Box, seal.WrapInfo(m.cfg.Anchor, epoch, to[i].ID), key)
		if err != nil {
			return nil, err
		}
		all[i] = seal.Wrap{ID: to[i].ID, HPKE: box}
	}
	return all, nil
}

// Maker makes a Change on the records as they are. It is called again where another
// Change has come first.
type Maker func(ctx context.Context, m *Member) (*client.Change, error)

// begin locks m for a Maker and returns an empty Change.
func (m *Member) begin(ctx context.Context) (*seal.Change, func()) {
	m.mu.Lock()
	m.ready(ctx)
	return &seal.Change{Prev: m.log.Newest()}, m.mu.Unlock
}

// Offer is a device that a member is about to add, before it has proved that it has its
// keys: who adds it has sealed its name.
type Offer struct {
	Anchor seal.Anchor
	Device seal.Device
}

// Offer makes one of a device's public keys, with its name and what it may do. user is
// whose it is, zeros for the same as this device's.
func (m *Member) Offer(
	ctx context.Context, sign, box seal.PublicKey, name string, role seal.Role, user seal.ID,
) (*Offer, error) {
	_, unlock := m.begin(ctx)
	defer unlock()
	self, is := m.log.Member(m.id)
	if !is {
		return nil, errcode.New(errcode.NotMember, "member: offer", "this device is no member")
	}
	if user == (seal.ID{}) {
		user = self.User
	}
	key, epoch, err := m.newest()
	if err != nil {
		return nil, err
	}
	o := &Offer{m.cfg.Anchor, seal.Device{Sign: sign, Box: box, Role: role, User: user}}
	return o, o.Device.SealName(m.cfg.Anchor, &key, epoch, name, m.cfg.Rand)
}

// Prove is the new device's answer.
func (o *Offer) Prove(ctx context.Context, id seal.Identity) (err error) {
	o.Device.Proof, err = id.Sign(ctx, o.Device.ProofStatement(o.Anchor))
	return err
}

// Add adds a device that has proved that it has its keys.
func Add(o *Offer) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c, unlock := m.begin(ctx)
		defer unlock()
		key, epoch, err := m.newest()
		if err != nil {
			return nil, err
		}
		c.Add = []seal.Device{o.Device}
		if c.Wrap, err = m.wraps(ctx, &key, epoch, []seal.Member{{ID: o.Device.ID(), Box: o.Device.Box}}); err != nil {
			return nil, err
		}
		return m.sign(ctx, m.cfg.Identity, c)
	}
}

// Remove removes devices and slots, and begins an epoch: without any it only changes the
// key.
func Remove(ids ...seal.ID) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c, unlock := m.begin(ctx)
		defer unlock()
		before, epoch, err := m.newest()
		if err != nil {
			return nil, err
		}
		gone := map[seal.ID]bool{}
		for _, id := range ids {
			if _, is := m.log.Member(id); is && !gone[id] {
				c.Remove, gone[id] = append(c.Remove, id), true
			}
		}
		if len(ids) > 0 && len(c.Remove) == 0 {
			return nil, errcode.New(errcode.NotFound, "member: remove", "there are no such members (any more)")
		}
		var key seal.Key
		if _, err := io.ReadFull(m.cfg.Rand, key[:]); err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, "member: draw a key")
		}
		var stay []seal.Member
		for one := range m.log.Each() {
			if !gone[one.ID] {
				stay = append(stay, one)
			}
		}
		e := &seal.Epoch{Number: epoch + 1, Commit: key.Commit(m.cfg.Anchor, epoch+1)}
		if e.Wrap, err = m.wraps(ctx, &key, e.Number, stay); err != nil {
			return nil, err
		}
		c.Epoch = e
		if err := e.SealBefore(m.cfg.Anchor, &key, &before, m.cfg.Rand); err != nil {
			return nil, err
		}
		return m.sign(ctx, m.cfg.Identity, c)
	}
}

// AddCode adds a slot that a recovery code opens: it adds devices of this device's user
// with at most its role.
func AddCode(code seal.RecoveryCode) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c, unlock := m.begin(ctx)
		defer unlock()
		self, is := m.log.Member(m.id)
		if !is {
			return nil, errcode.New(errcode.NotMember, "member: add a code", "this device is no member")
		}
		key, epoch, err := m.newest()
		if err != nil {
			return nil, err
		}
		secret := &seal.SlotSecret{Anchor: m.cfg.Anchor, Position: m.log.Head(), Newest: m.log.Newest()}
		for _, b := range [][]byte{secret.SignSeed[:], secret.BoxKey[:]} {
			if _, err := io.ReadFull(m.cfg.Rand, b); err != nil {
				return nil, errcode.Wrap(err, errcode.Internal, "member: draw a slot's keys")
			}
		}
		id, err := m.cfg.Suite.Identity(ctx, secret)
		if err != nil {
			return nil, err
		}
		slot := seal.Slot{Role: self.Role, User: self.User, Kind: seal.SlotCode}
		slot.Sign, slot.Box = id.Public()
		under := code.Key(m.cfg.Space)
		if err := slot.Seal(m.cfg.Space, &under, secret, m.cfg.Rand); err != nil {
			return nil, err
		}
		c.Slots = []seal.Slot{slot}
		if c.Wrap, err = m.wraps(ctx, &key, epoch, []seal.Member{{ID: slot.ID(), Box: slot.Box}}); err != nil {
			return nil, err
		}
		return m.sign(ctx, m.cfg.Identity, c)
	}
}
