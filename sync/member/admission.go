package member

import (
	"context"
	"encoding/base64"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
)

var (
	_ client.Sealer = (*Member)(nil)

	errRemoved = errcode.New(errcode.Removed, "member: judge",
		"this device was removed from the space: what is here stays, and nothing is synced any more")
)

// Check implements client.Sealer.
func (m *Member) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.log.Removed(m.id):
		return errRemoved
	case m.log.Head().Seq < m.told().Seq:
		return m.notTold("member: check", "ends before entry "+number(m.told().Seq)+", which this device was told of")
	}
	return m.contradicted()
}

// notTold is the error of a log that is not the one which this device was told of: a restored server may have it, so
// an admin's word is looked for. m.mu is held.
func (m *Member) notTold(op, what string) error {
	return &errcode.Error{Code: errcode.Diverged, Op: op,
		Err: &client.Tampered{Kind: client.Rollback, Seq: m.told().Seq}, Msg: "the server's log " + what}
}

// Head is the last entry that is here.
func (m *Member) Head() seal.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Head()
}

// Prove implements client.Sealer.
func (m *Member) Prove(ctx context.Context, challenge, action string) (string, error) {
	signed, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(signed) > maxChallenge {
		return "", errcode.New(errcode.Protocol, "member: prove", "the server's challenge is none")
	}
	keys, anchor := m.speaker()
	if keys == nil {
		return "", errLocked
	}
	signature, err := keys.Sign(ctx, seal.RequestStatement(anchor, signed, action))
	if err != nil {
		return "", err
	}
	id := seal.DeviceID(keys.Public())
	return base64.RawURLEncoding.EncodeToString(append(append(id[:], signed...), signature[:]...)), nil
}

// speaker returns the keys by which the server knows this device.
func (m *Member) speaker() (seal.Identity, seal.Anchor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, is := m.log.Member(m.id); !is && m.bySlot {
		return m.cfg.Slot, m.cfg.Anchor
	}
	return m.cfg.Identity, m.cfg.Anchor
}

// maxChallenge bounds what a server has a device sign, in bytes.
const maxChallenge = 256

// ProveOtherwise implements client.Sealer: a device that is to come in by a slot speaks
// as that.
func (m *Member) ProveOtherwise() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bySlot = m.cfg.Slot != nil // another request may have found that out
	return m.bySlot
}

// Admission implements client.Sealer: the founder begins the log, a device that has a
// slot's keys adds itself, and an admin's device that has started over says so.
func (m *Member) Admission(ctx context.Context) (*client.Change, error) {
	c := m.begin(ctx)
	switch {
	case c.cfg.First != nil && c.head.Seq == 0:
		return c.cfg.First, nil
	case c.member:
		return m.tellWord(ctx)
	case c.cfg.Slot == nil:
		return nil, nil
	}
	slot, is := c.records.Member(seal.DeviceID(c.cfg.Slot.Public()))
	if !is {
		return nil, errcode.New(errcode.BadCode, "member: come in",
			"the code or passphrase is no longer valid: it was replaced")
	}
	key, err := c.newest()
	if err != nil {
		return nil, err
	}
	d := seal.Device{Role: slot.Role, User: slot.User}
	d.Sign, d.Box = c.cfg.Identity.Public()
	if err := d.SealName(c.cfg.Anchor, key, c.epoch, c.cfg.Name, c.cfg.Rand); err != nil {
		return nil, err
	}
	if d.Proof, err = c.cfg.Identity.Sign(ctx, d.ProofStatement(c.cfg.Anchor)); err != nil {
		return nil, err
	}
	c.Add = []seal.Device{d}
	if err := c.give(ctx, seal.Member{ID: d.ID(), Box: d.Box}); err != nil {
		return nil, err
	}
	return c.sign(ctx, c.cfg.Slot)
}
