package seal_test

import (
	"bytes"
	"context"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

func TestChange_roundTrip(t *testing.T) {
	first := device(t, 10, seal.RoleAdmin)
	for name, c := range map[string]*seal.Change{
		"everything": change(t),
		"first": {Add: []seal.Device{first}, Random: fill[seal.Hash](1), Epoch: &seal.Epoch{Number: 1,
			Commit: key.Commit(anchor, 1), Wrap: []seal.Wrap{{ID: first.ID(), HPKE: [seal.WrapSize]byte{1}}}}},
		"a removed id of zeros": {Prev: fill[seal.Hash](1), Remove: []seal.ID{{}}},
	} {
		data := c.Marshal()
		back, err := seal.UnmarshalChange(data)
		if err != nil || !bytes.Equal(back.Marshal(), data) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnmarshalChange_refuses(t *testing.T) {
	alter := func(f func(c *seal.Change)) []byte {
		c := change(t)
		f(c)
		return c.Marshal()
	}
	good := alter(func(*seal.Change) {})
	for name, data := range map[string][]byte{
		"nothing":                         {},
		"neither prev nor random":         alter(func(c *seal.Change) { c.Prev = seal.Hash{} }),
		"both prev and random":            alter(func(c *seal.Change) { c.Random = fill[seal.Hash](1) }),
		"a device without a key":          alter(func(c *seal.Change) { c.Add[0].Sign = seal.PublicKey{} }),
		"a device without a role":         alter(func(c *seal.Change) { c.Add[0].Role = 0 }),
		"a device of an unknown role":     alter(func(c *seal.Change) { c.Add[0].Role = 4 }),
		"a device without a user":         alter(func(c *seal.Change) { c.Add[0].User = seal.ID{} }),
		"a device without a name":         alter(func(c *seal.Change) { c.Add[0].Name = nil }),
		"a device with a long name":       alter(func(c *seal.Change) { c.Add[0].Name = make([]byte, 2000) }),
		"a device without a proof":        alter(func(c *seal.Change) { c.Add[0].Proof = seal.Signature{} }),
		"an epoch without a number":       alter(func(c *seal.Change) { c.Epoch.Number = 0 }),
		"an epoch without a commitment":   alter(func(c *seal.Change) { c.Epoch.Commit = seal.Hash{} }),
		"an epoch for nobody":             alter(func(c *seal.Change) { c.Epoch.Wrap = nil }),
		"an epoch without the key before": alter(func(c *seal.Change) { c.Epoch.Before = nil }),
		"a first epoch with a key before": alter(func(c *seal.Change) { c.Epoch.Number = 1 }),
		"a key before that is cut":        alter(func(c *seal.Change) { c.Epoch.Before = c.Epoch.Before[:50] }),
		"a code with a KDF":               alter(func(c *seal.Change) { c.Slots[0].KDF = c.Slots[1].KDF }),
		"a passphrase without a KDF":      alter(func(c *seal.Change) { c.Slots[1].KDF = nil }),
		"a passphrase without memory":     alter(func(c *seal.Change) { c.Slots[1].KDF.Memory = 0 }),
		"a slot without a secret":         alter(func(c *seal.Change) { c.Slots[0].Sealed = nil }),
		"a slot of an unknown kind":       alter(func(c *seal.Change) { c.Slots[0].Kind = 3 }),
		"a wrap for nobody":               alter(func(c *seal.Change) { c.Wrap[0].ID = seal.ID{} }),
		"a reset without a chain hash":    alter(func(c *seal.Change) { c.Reset.Position.Chain = seal.Hash{} }),
		"a reset without a number":        alter(func(c *seal.Change) { c.Reset.Position.Seq = 0 }),
		"a byte too many":                 append(bytes.Clone(good), 0),
		"cut short":                       good[:len(good)-1],
		"too long":                        make([]byte, seal.MaxChange+1),
		"too many": alter(func(c *seal.Change) {
			c.Remove = make([]seal.ID, seal.MaxMembers+1)
		}),
	} {
		if _, err := seal.UnmarshalChange(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.Protocol)
		}
	}
	if _, err := seal.UnmarshalChange(good); err != nil {
		t.Errorf("what the others were made of: %v", err)
	}
}

// TestWrap: an epoch's key comes to the device that it is for, in the space and the
// epoch that it is of, and to no other.
func TestWrap(t *testing.T) {
	ctx := context.Background()
	to, other := identity(t, 10), identity(t, 11)
	_, box := to.Public()
	d, e := device(t, 10, seal.RoleRead), device(t, 11, seal.RoleRead)
	info := seal.WrapInfo(anchor, 3, d.ID())
	w, err := native.Suite{}.Wrap(ctx, box, info, &key)
	must(t, err)
	if got, err := to.Unwrap(ctx, info, &w); err != nil || *got != key {
		t.Fatalf("got %v, %v", got, err)
	}
	elsewhere := anchor
	elsewhere[0] ^= 1
	for name, f := range map[string]func() (*seal.Key, error){
		"another device's keys": func() (*seal.Key, error) { return other.Unwrap(ctx, info, &w) },
		"another device's id":   func() (*seal.Key, error) { return to.Unwrap(ctx, seal.WrapInfo(anchor, 3, e.ID()), &w) },
		"another epoch":         func() (*seal.Key, error) { return to.Unwrap(ctx, seal.WrapInfo(anchor, 4, d.ID()), &w) },
		"another space":         func() (*seal.Key, error) { return to.Unwrap(ctx, seal.WrapInfo(elsewhere, 3, d.ID()), &w) },
	} {
		if got, err := f(); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for i := range seal.WrapSize * 8 {
		altered := w
		altered[i/8] ^= 1 << (i % 8)
		if got, err := to.Unwrap(ctx, info, &altered); err == nil {
			t.Errorf("bit %d may be another: %v", i, got)
		}
	}
	if _, err := (native.Suite{}).Wrap(ctx, seal.PublicKey{1}, info, &key); err == nil {
		t.Error("a key is wrapped for a public key of a small order")
	}
}

func TestDevice_nameAndProof(t *testing.T) {
	d := device(t, 10, seal.RoleWrite)
	elsewhere, otherKey := anchor, key
	elsewhere[0] ^= 1
	otherKey[0] ^= 1
	if name, err := d.OpenName(anchor, &key, 1); err != nil || name != "Laptop" {
		t.Errorf("the name is %q, %v", name, err)
	}
	stranger := device(t, 11, seal.RoleWrite)
	stranger.Name = d.Name
	for what, f := range map[string]func() (string, error){
		"another space":  func() (string, error) { return d.OpenName(elsewhere, &key, 1) },
		"another epoch":  func() (string, error) { return d.OpenName(anchor, &key, 2) },
		"another key":    func() (string, error) { return d.OpenName(anchor, &otherKey, 1) },
		"another device": func() (string, error) { return stranger.OpenName(anchor, &key, 1) },
	} {
		if name, err := f(); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("%s: got %q, %v", what, name, err)
		}
	}
	for what, alter := range map[string]func(d *seal.Device){
		"role": func(d *seal.Device) { d.Role = seal.RoleAdmin },
		"user": func(d *seal.Device) { d.User[0] ^= 1 },
		"box":  func(d *seal.Device) { d.Box[0] ^= 1 },
		"name": func(d *seal.Device) { d.Name = stranger.Name[1:] },
	} {
		c := device(t, 10, seal.RoleWrite)
		if alter(&c); valid(t, c.Sign, c.ProofStatement(anchor), c.Proof) {
			t.Errorf("the proof holds with another %s", what)
		}
	}
	if valid(t, d.Sign, d.ProofStatement(elsewhere), d.Proof) || !valid(t, d.Sign, d.ProofStatement(anchor), d.Proof) {
		t.Error("the proof is not of this space")
	}
}

func TestEpoch_before(t *testing.T) {
	newest, older := seal.Key(fill[[32]byte](1)), key
	e := &seal.Epoch{Number: 5}
	must(t, e.SealBefore(anchor, &newest, &older, stream(1)))
	if got, err := e.OpenBefore(anchor, &newest); err != nil || *got != older {
		t.Fatalf("got %v, %v", got, err)
	}
	elsewhere := anchor
	elsewhere[0] ^= 1
	_, inSpace := e.OpenBefore(elsewhere, &newest)
	_, underKey := e.OpenBefore(anchor, &older)
	e.Number = 6
	_, inEpoch := e.OpenBefore(anchor, &newest)
	for what, err := range map[string]error{"space": inSpace, "key": underKey, "epoch": inEpoch} {
		if errcode.Of(err) != errcode.BadSeal {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if newest.Commit(anchor, 5) == newest.Commit(anchor, 6) || newest.Commit(anchor, 5) == newest.Commit(elsewhere, 5) ||
		newest.Commit(anchor, 5) == older.Commit(anchor, 5) {
		t.Error("one commitment is of two keys")
	}
}

func TestSlot(t *testing.T) {
	k := code.Key(space)
	for _, kind := range []seal.SlotKind{seal.SlotCode, seal.SlotPassphrase, seal.SlotBoth} {
		s := slot(t, kind)
		got, err := s.Open(space, &k)
		if err != nil || *got != *secret() {
			t.Fatalf("got %v, %v", got, err)
		}
		for what, alter := range map[string]func(s *seal.Slot){
			"sign":   func(s *seal.Slot) { s.Sign[0] ^= 1 },
			"box":    func(s *seal.Slot) { s.Box[0] ^= 1 },
			"role":   func(s *seal.Slot) { s.Role = seal.RoleWrite },
			"user":   func(s *seal.Slot) { s.User[0] ^= 1 },
			"kind":   func(s *seal.Slot) { s.Kind = s.Kind%3 + 1 },
			"KDF":    func(s *seal.Slot) { s.KDF = &seal.KDF{Time: 1, Memory: 8, Salt: [16]byte{1}} },
			"secret": func(s *seal.Slot) { s.Sealed[40] ^= 1 },
			"length": func(s *seal.Slot) { s.Sealed = s.Sealed[:10] },
		} {
			s := slot(t, kind)
			alter(&s)
			if _, err := s.Open(space, &k); errcode.Of(err) != errcode.BadSeal {
				t.Errorf("another %s: %v", what, err)
			}
		}
		other := code.Key("work")
		if _, err := s.Open(space, &other); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("another key: %v", err)
		}
		if _, err := s.Open("work", &k); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("another space: %v", err)
		}
	}
}
