package member

import (
	"context"
	"io"
	"slices"

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
	c := New(Config{Space: space, Anchor: anchor, Identity: id, Suite: suite, Rand: random}).begin(ctx)
	c.Random, c.Add, c.Epoch = drawn, []seal.Device{d}, &seal.Epoch{Number: 1, Commit: key.Commit(anchor, 1)}
	if c.Epoch.Wrap, err = c.wraps(ctx, &key, 1, seal.Member{ID: d.ID(), Box: d.Box}); err != nil {
		return nil, err
	}
	first, err := c.sign(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Founded{anchor, first}, nil
}

// draft is a Change in the making, on what was known when it was begun: nothing is
// locked while keys are wrapped and signatures made.
type draft struct {
	seal.Change
	m       *Member
	cfg     Config
	records seal.Records
	head    seal.Position
	self    seal.Member
	member  bool // whether self is one
	key     seal.Key
	hasKey  bool
	epoch   uint64 // the key's number
}

func (m *Member) begin(ctx context.Context) *draft {
	m.ready(ctx, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &draft{m: m, cfg: m.cfg, records: m.log.Records, head: m.log.Head()}
	d.Prev = m.log.Newest()
	d.self, d.member = m.log.Member(m.id)
	var err error
	d.key, d.epoch, err = m.newest()
	d.hasKey = err == nil
	return d
}

// newest returns the key that there is.
func (d *draft) newest() (*seal.Key, error) {
	if !d.hasKey {
		return nil, errNoKey
	}
	return &d.key, nil
}

// as returns the device that makes the Change.
func (d *draft) as(op string) (seal.Member, error) {
	if !d.member {
		return d.self, errcode.New(errcode.NotMember, op, "this device is no member")
	}
	return d.self, nil
}

// wraps wraps an epoch's key for each of some members.
func (d *draft) wraps(ctx context.Context, key *seal.Key, epoch uint64, to ...seal.Member) ([]seal.Wrap, error) {
	all := make([]seal.Wrap, len(to))
	for i := range to {
		box, err := d.cfg.Suite.Wrap(ctx, to[i].Box, seal.WrapInfo(d.cfg.Anchor, epoch, to[i].ID), key)
		if err != nil {
			return nil, err
		}
		all[i] = seal.Wrap{ID: to[i].ID, HPKE: box}
	}
	return all, nil
}

// give wraps the key that there is for who comes.
func (d *draft) give(ctx context.Context, to seal.Member) error {
	key, err := d.newest()
	if err != nil {
		return err
	}
	d.Wrap, err = d.wraps(ctx, key, d.epoch, to)
	return err
}

// sign returns the Change as the next entry of its author's, by whose keys it is signed:
// this device's, or a slot's.
func (d *draft) sign(ctx context.Context, by seal.Identity) (*client.Change, error) {
	id := seal.DeviceID(by.Public())
	s := &seal.Sealed{Kind: seal.KindMembers, Device: id, Seen: d.head, Box: d.Marshal()}
	s.Epoch, _ = d.records.Epoch()
	s.Epoch = max(1, s.Epoch)
	if len(s.Box) > seal.MaxChange {
		return nil, errcode.New(errcode.TooBig, "member: change", "the Change has more than 256 KiB")
	}
	author := id.Members()
	d.m.mu.Lock()
	counter, last := d.m.log.Client(author)
	d.m.mu.Unlock()
	s.Prev = last
	place := seal.Place{Anchor: d.cfg.Anchor, Client: author, Counter: counter + 1}
	var err error
	if s.Signature, err = by.Sign(ctx, s.Statement(place)); err != nil {
		return nil, err
	}
	return &client.Change{Client: author, Counter: counter + 1, Body: s.Marshal()}, nil
}

// Maker makes a Change on the records as they are. It is called again where another
// Change has come first.
type Maker func(ctx context.Context, m *Member) (*client.Change, error)

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
	d := m.begin(ctx)
	self, err := d.as("member: offer")
	if err != nil {
		return nil, err
	}
	if user == (seal.ID{}) {
		user = self.User
	}
	key, err := d.newest()
	if err != nil {
		return nil, err
	}
	o := &Offer{d.cfg.Anchor, seal.Device{Sign: sign, Box: box, Role: role, User: user}}
	return o, o.Device.SealName(d.cfg.Anchor, key, d.epoch, name, d.cfg.Rand)
}

// Prove is the new device's answer.
func (o *Offer) Prove(ctx context.Context, id seal.Identity) (err error) {
	o.Device.Proof, err = id.Sign(ctx, o.Device.ProofStatement(o.Anchor))
	return err
}

// Add adds a device that has proved that it has its keys.
func Add(o *Offer) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c := m.begin(ctx)
		c.Add = []seal.Device{o.Device}
		if err := c.give(ctx, seal.Member{ID: o.Device.ID(), Box: o.Device.Box}); err != nil {
			return nil, err
		}
		return c.sign(ctx, c.cfg.Identity)
	}
}

// Remove removes devices and slots, and begins an epoch: without any it only changes the
// key.
func Remove(ids ...seal.ID) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c := m.begin(ctx)
		for _, id := range ids {
			if _, is := c.records.Member(id); is && !slices.Contains(c.Change.Remove, id) {
				c.Change.Remove = append(c.Change.Remove, id)
			}
		}
		if len(ids) > 0 && len(c.Change.Remove) == 0 {
			return nil, errcode.New(errcode.NotFound, "member: remove", "there are no such members (any more)")
		}
		if err := c.renew(ctx); err != nil {
			return nil, err
		}
		return c.sign(ctx, c.cfg.Identity)
	}
}

// renew begins an epoch, whose key goes to all who stay and to those who come.
func (d *draft) renew(ctx context.Context, come ...seal.Member) error {
	before, err := d.newest()
	if err != nil {
		return err
	}
	var key seal.Key
	if _, err := io.ReadFull(d.cfg.Rand, key[:]); err != nil {
		return errcode.Wrap(err, errcode.Internal, "member: draw a key")
	}
	to := come
	for one := range d.records.Each() {
		if !slices.Contains(d.Change.Remove, one.ID) {
			to = append(to, one)
		}
	}
	e := &seal.Epoch{Number: d.epoch + 1, Commit: key.Commit(d.cfg.Anchor, d.epoch+1)}
	if e.Wrap, err = d.wraps(ctx, &key, e.Number, to...); err != nil {
		return err
	}
	d.Epoch = e
	return e.SealBefore(d.cfg.Anchor, &key, before, d.cfg.Rand)
}
