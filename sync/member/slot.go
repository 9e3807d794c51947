package member

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Opener is what a person has that opens a slot.
type Opener struct {
	kind seal.SlotKind
	fail string // the code of the error where it opens none, and
	none string // what that says; half is for where a slot is there that needs it and something else
	half string
	// key returns the key of a slot. A failure ends the search, unless it is one of HEDDLE_BAD_PASSPHRASE.
	key func(context.Context, *seal.Slot) (*seal.Key, error)
}

// ByCode opens a slot by a recovery code.
func ByCode(space string, code seal.RecoveryCode) Opener {
	key := code.Key(space)
	return Opener{kind: seal.SlotCode, fail: errcode.BadCode,
		none: "the code opens nothing in this space: it is of another one, or was replaced",
		half: "the code opens nothing in this space by itself: one that was made with a passphrase needs that as well",
		key:  func(context.Context, *seal.Slot) (*seal.Key, error) { return &key, nil }}
}

// ByPassphrase opens a slot by a passphrase, or by a passphrase and the code that was made
// with it. For each slot that has one Argon2id is computed, the newest first: a space has
// one a user.
func ByPassphrase(space string, stretch seal.Stretch, code *seal.RecoveryCode) Opener {
	by := Opener{kind: seal.SlotPassphrase, fail: errcode.BadPassphrase,
		none: "the passphrase opens nothing in this space",
		half: "the passphrase opens nothing in this space by itself: one that was set with a code needs that as well",
		key: func(ctx context.Context, s *seal.Slot) (*seal.Key, error) {
			return s.KDF.Key(ctx, space, stretch, code)
		}}
	if code != nil {
		by.kind = seal.SlotBoth
		by.none = "passphrase and code open nothing together in this space: one of the two is wrong, or was replaced"
	}
	return by
}

const opOpenSlot = "member: open a slot"

// OpenSlot looks among entries with Changes for a slot that was not removed, and that by
// opens. Errors are HEDDLE_BAD_CODE and HEDDLE_BAD_PASSPHRASE.
func OpenSlot(ctx context.Context, entries []wire.Entry, space string, by Opener) (*seal.SlotSecret, error) {
	changes := changesIn(entries)
	removed := map[seal.ID]bool{}
	var fault error = errcode.New(by.fail, opOpenSlot, by.none)
	for i := len(changes) - 1; i >= 0; i-- {
		for _, id := range changes[i].Remove {
			removed[id] = true
		}
		for j := range changes[i].Slots {
			s := &changes[i].Slots[j]
			if removed[s.ID()] {
				continue
			}
			if s.Kind != by.kind {
				if s.Kind == seal.SlotBoth {
					fault = errcode.New(by.fail, opOpenSlot, by.half)
				}
				continue
			}
			key, err := by.key(ctx, s)
			switch {
			case errcode.Of(err) == errcode.BadPassphrase: // of this slot
				fault = err
				continue
			case err != nil:
				return nil, err
			}
			if secret, err := s.Open(space, key); err == nil {
				return secret, nil
			}
		}
	}
	return nil, fault
}

// AddCode adds a slot that a recovery code opens: it adds devices of this device's user
// with at most its role.
func AddCode(code seal.RecoveryCode) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c := m.begin(ctx)
		key := code.Key(c.cfg.Space)
		return c.addSlot(ctx, seal.Slot{Kind: seal.SlotCode}, &key)
	}
}

// SetPassphrase has a passphrase stretched, and adds a slot that it opens, as AddCode
// does: alone, or with a code that is needed as well, unless that is nil. The user's
// passphrases of before are removed, with a new epoch.
func SetPassphrase(
	ctx context.Context, space string, stretch seal.Stretch, code *seal.RecoveryCode, random io.Reader,
) (Maker, error) {
	kdf, err := seal.NewKDF(random)
	if err != nil {
		return nil, err
	}
	key, err := kdf.Key(ctx, space, stretch, code)
	if err != nil {
		return nil, err
	}
	slot := seal.Slot{Kind: seal.SlotPassphrase, KDF: kdf}
	if code != nil {
		slot.Kind = seal.SlotBoth
	}
	return setPassphrase(slot, key), nil
}

func setPassphrase(slot seal.Slot, key *seal.Key) Maker {
	return func(ctx context.Context, m *Member) (*client.Change, error) {
		c := m.begin(ctx)
		for one := range c.records.Each() {
			if one.Slot.Passphrase() && one.User == c.self.User {
				c.Change.Remove = append(c.Change.Remove, one.ID)
			}
		}
		return c.addSlot(ctx, slot, key)
	}
}

// addSlot adds a slot of this device's user, and signs the Change. Where that removes
// others it begins an epoch.
func (d *draft) addSlot(ctx context.Context, slot seal.Slot, under *seal.Key) (*client.Change, error) {
	self, err := d.as("member: add a slot")
	if err != nil {
		return nil, err
	}
	secret := &seal.SlotSecret{Anchor: d.cfg.Anchor, Position: d.head, Newest: d.Prev}
	for _, b := range [][]byte{secret.SignSeed[:], secret.BoxKey[:]} {
		if _, err := io.ReadFull(d.cfg.Rand, b); err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, "member: draw a slot's keys")
		}
	}
	id, err := d.cfg.Suite.Identity(ctx, secret)
	if err != nil {
		return nil, err
	}
	slot.Role, slot.User = self.Role, self.User
	slot.Sign, slot.Box = id.Public()
	if err := slot.Seal(d.cfg.Space, under, secret, d.cfg.Rand); err != nil {
		return nil, err
	}
	d.Slots = []seal.Slot{slot}
	comes := seal.Member{ID: slot.ID(), Box: slot.Box}
	if len(d.Change.Remove) > 0 {
		err = d.renew(ctx, comes)
	} else {
		err = d.give(ctx, comes)
	}
	if err != nil {
		return nil, err
	}
	return d.sign(ctx, d.cfg.Identity)
}
