package seal_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

// others names the things in whose place another one is put.
type others []string

func (o others) has(what string) bool { return slices.Contains(o, what) }

// in returns v, or another one in its place.
func in[T ~[16]byte | ~[32]byte](o others, what string, v T) T {
	if o.has(what) {
		v[5] ^= 1
	}
	return v
}

// bound is a text that counts with all that it is bound to, and with nothing else.
type bound struct {
	to     string // the things, with blanks between
	counts func(t *testing.T, o others) bool
}

var bounds = map[string]bound{
	"a device's name": {"space epoch key device", func(t *testing.T, o others) bool {
		d, epoch := device(t, 10, seal.RoleWrite), uint64(1)
		if o.has("device") {
			name := d.Name
			d = device(t, 11, seal.RoleWrite)
			d.Name = name
		}
		if o.has("epoch") {
			epoch++
		}
		k := in(o, "key", key)
		_, err := d.OpenName(in(o, "space", anchor), &k, epoch)
		return err == nil
	}},
	"a device's proof": {"space device box role user name", func(t *testing.T, o others) bool {
		d, other := device(t, 10, seal.RoleWrite), device(t, 11, seal.RoleWrite)
		if o.has("device") {
			d.Sign = other.Sign
		}
		if o.has("box") {
			d.Box = other.Box
		}
		if o.has("role") {
			d.Role = seal.RoleAdmin
		}
		d.User = in(o, "user", d.User)
		if o.has("name") {
			d.Name = other.Name
		}
		return valid(t, d.Sign, d.ProofStatement(in(o, "space", anchor)), d.Proof)
	}},
	"the key of the epoch before": {"space epoch key", func(t *testing.T, o others) bool {
		newest, e := seal.Key(fill[[32]byte](1)), &seal.Epoch{Number: 5}
		must(t, e.SealBefore(anchor, &newest, &key, stream(1)))
		if o.has("epoch") {
			e.Number++
		}
		newest = in(o, "key", newest)
		_, err := e.OpenBefore(in(o, "space", anchor), &newest)
		return err == nil
	}},
	"what a Change says of its key": {"space epoch key", func(t *testing.T, o others) bool {
		epoch, k := uint64(5), in(o, "key", key)
		if o.has("epoch") {
			epoch++
		}
		return k.Commit(in(o, "space", anchor), epoch) == key.Commit(anchor, 5)
	}},
	"a wrapped key": {"space epoch device keys", func(t *testing.T, o others) bool {
		to, d, epoch := identity(t, 10), device(t, 10, seal.RoleRead), uint64(3)
		_, box := to.Public()
		w, err := native.Suite{}.Wrap(t.Context(), box, seal.WrapInfo(anchor, epoch, d.ID()), &key)
		must(t, err)
		if o.has("epoch") {
			epoch++
		}
		if o.has("keys") {
			to = identity(t, 11)
		}
		_, err = to.Unwrap(t.Context(), seal.WrapInfo(in(o, "space", anchor), epoch, in(o, "device", d.ID())), &w)
		return err == nil
	}},
	"a slot's secret": {"space key sign box role user kind KDF", func(t *testing.T, o others) bool {
		s, k, name := slot(t, seal.SlotPassphrase), code.Key(space), space
		s.Sign, s.Box, s.User, k = in(o, "sign", s.Sign), in(o, "box", s.Box), in(o, "user", s.User), in(o, "key", k)
		if o.has("space") {
			name = "work"
		}
		if o.has("role") {
			s.Role = seal.RoleWrite
		}
		if o.has("kind") {
			s.Kind = seal.SlotBoth
		}
		if o.has("KDF") {
			s.KDF = &seal.KDF{Time: s.KDF.Time, Memory: s.KDF.Memory + 1, Salt: s.KDF.Salt}
		}
		_, err := s.Open(name, &k)
		return err == nil
	}},
	"the proof of a request": {"space challenge action device", func(t *testing.T, o others) bool {
		challenge, action, by := bytes.Repeat([]byte{1}, 24), "pull", device(t, 10, seal.RoleRead)
		signature := sign(t, identity(t, 10), seal.RequestStatement(anchor, challenge, action))
		if o.has("challenge") {
			challenge[3]++
		}
		if o.has("action") {
			action = "push"
		}
		if o.has("device") {
			by = device(t, 11, seal.RoleRead)
		}
		return valid(t, by.Sign, seal.RequestStatement(in(o, "space", anchor), challenge, action), signature)
	}},
	"a message of a pairing": {"secret number", func(t *testing.T, o others) bool {
		sealed, err := pairSecret.SealPair(seal.PairNew, []byte("a text"), stream(43))
		must(t, err)
		n := seal.PairNew
		if o.has("number") {
			n = seal.PairProof // from the same side
		}
		_, err = in(o, "secret", pairSecret).OpenPair(n, sealed)
		return err == nil
	}},
}

// TestBound: nothing counts in another's place, nor do two things that are exchanged together. What a Sealed is bound
// to has TestSealed_swaps.
func TestBound(t *testing.T) {
	for name, b := range bounds {
		t.Run(name, func(t *testing.T) {
			if !b.counts(t, nil) {
				t.Fatal("it does not count with what it was made for")
			}
			things := strings.Fields(b.to)
			for i, one := range things {
				for _, other := range things[i:] {
					if b.counts(t, others{one, other}) {
						t.Errorf("it counts with another %s and another %s", one, other)
					}
				}
			}
		})
	}
}

// boxes are all kinds of boxes, a nonce in front, sealed under one key, and what opens each.
func boxes(t *testing.T) map[string]struct {
	sealed []byte
	opens  func(sealed []byte) bool
} {
	const epoch = 3
	type kind = struct {
		sealed []byte
		opens  func(sealed []byte) bool
	}
	s := &seal.Sealed{Kind: seal.KindData, Device: fill[seal.ID](1), Epoch: epoch}
	must(t, s.Encrypt(place, &key, []byte("a text"), false, stream(1)))
	d := device(t, 10, seal.RoleWrite)
	must(t, d.SealName(anchor, &key, epoch, "Laptop", stream(2)))
	e := &seal.Epoch{Number: epoch}
	older := seal.Key(fill[[32]byte](3))
	must(t, e.SealBefore(anchor, &key, &older, stream(4)))
	of := slot(t, seal.SlotCode)
	must(t, of.Seal(space, &key, secret(), stream(5)))
	link := seal.PairSecret(key)
	message, err := link.SealPair(seal.PairNew, []byte("a text"), stream(6))
	must(t, err)
	return map[string]kind{
		"a transaction": {slices.Concat(s.Nonce[:], s.Box), func(b []byte) bool {
			s := *s
			s.Nonce, s.Box = seal.Nonce(b[:len(s.Nonce)]), b[len(s.Nonce):]
			_, err := s.Decrypt(place, &key)
			return err == nil
		}},
		"a name": {d.Name, func(b []byte) bool {
			d := d
			d.Name = b
			_, err := d.OpenName(anchor, &key, epoch)
			return err == nil
		}},
		"a key before": {e.Before, func(b []byte) bool {
			_, err := (&seal.Epoch{Number: epoch, Before: b}).OpenBefore(anchor, &key)
			return err == nil
		}},
		"a slot": {of.Sealed, func(b []byte) bool {
			s := of
			s.Sealed = b
			_, err := s.Open(space, &key)
			return err == nil
		}},
		"a message of a pairing": {message, func(b []byte) bool {
			_, err := link.OpenPair(seal.PairNew, b)
			return err == nil
		}},
	}
}

// TestBoxes: no box opens as one of another kind, with the same key.
func TestBoxes(t *testing.T) {
	all := boxes(t)
	for of, box := range all {
		for as, other := range all {
			if other.opens(box.sealed) != (of == as) {
				t.Errorf("%s opens as %s: %v", of, as, of != as)
			}
		}
	}
}

// TestBits: no bit of what is signed or sealed can be another, wherever it stands. TestSealed_bits has a Sealed that is
// signed alone, TestWrap a wrapped key.
func TestBits(t *testing.T) {
	const prev = 2 + len(seal.Hash{}) // bytes that name the Change before, and are the Sealed's to cover
	withPrev := func(c *seal.Change) []byte {
		c.Prev = fill[seal.Hash](12)
		return c.Marshal()
	}
	signer := device(t, 10, seal.RoleWrite)
	signed := func(p seal.Place) func([]byte) bool {
		return func(data []byte) bool {
			s, err := seal.UnmarshalSealed(data)
			return err == nil && valid(t, signer.Sign, s.Statement(p), s.Signature)
		}
	}
	added := device(t, 11, seal.RoleRead)
	change := seal.Sealed{Kind: seal.KindMembers, Device: signer.ID(), Prev: fill[seal.Hash](4), Epoch: 1,
		Seen: seal.Position{Seq: 41, Chain: fill[seal.Hash](5)}, Box: withPrev(&seal.Change{Add: []seal.Device{added}})}
	change.Signature = sign(t, identity(t, 10), change.Statement(place))

	newest, to := seal.Key(fill[[32]byte](8)), identity(t, 10)
	e := &seal.Epoch{Number: 4, Commit: newest.Commit(anchor, 4)}
	must(t, e.SealBefore(anchor, &newest, &key, stream(9)))
	wrapped, err := native.Suite{}.Wrap(context.Background(), signer.Box, seal.WrapInfo(anchor, 4, signer.ID()), &newest)
	must(t, err)
	e.Wrap = []seal.Wrap{{ID: signer.ID(), HPKE: wrapped}}

	message, err := pairSecret.SealPair(seal.PairNew, []byte("a text"), stream(43))
	must(t, err)
	for name, format := range map[string]struct {
		data   []byte
		from   int // bytes before that it does not cover
		counts func([]byte) bool
	}{
		"a Sealed of a batch": {batch(t, 11)[6].Sealed.Marshal(), 0, signed(counted(6))},
		"a Change":            {change.Marshal(), 0, signed(place)},
		"a device": {withPrev(&seal.Change{Add: []seal.Device{added}}), prev, func(data []byte) bool {
			c, err := seal.UnmarshalChange(data)
			if err != nil || len(c.Add) != 1 {
				return false
			}
			d := &c.Add[0]
			_, err = d.OpenName(anchor, &key, 1)
			return err == nil && valid(t, d.Sign, d.ProofStatement(anchor), d.Proof)
		}},
		"a slot": {withPrev(&seal.Change{Slots: []seal.Slot{slot(t, seal.SlotBoth)}}), prev, func(data []byte) bool {
			c, err := seal.UnmarshalChange(data)
			if err != nil || len(c.Slots) != 1 {
				return false
			}
			k := code.Key(space)
			_, err = c.Slots[0].Open(space, &k)
			return err == nil
		}},
		"an epoch": {withPrev(&seal.Change{Epoch: e}), prev, func(data []byte) bool {
			c, err := seal.UnmarshalChange(data)
			if err != nil || c.Epoch == nil || len(c.Epoch.Wrap) != 1 {
				return false
			}
			w := &c.Epoch.Wrap[0]
			k, err := to.Unwrap(context.Background(), seal.WrapInfo(anchor, c.Epoch.Number, w.ID), &w.HPKE)
			if err != nil || k.Commit(anchor, c.Epoch.Number) != c.Epoch.Commit {
				return false
			}
			_, err = c.Epoch.OpenBefore(anchor, k)
			return err == nil
		}},
		"a message of a pairing": {message, 0, func(data []byte) bool {
			_, err := pairSecret.OpenPair(seal.PairNew, data)
			return err == nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if !format.counts(format.data) {
				t.Fatal("what was not altered does not count")
			}
			for i := format.from * 8; i < len(format.data)*8; i++ {
				altered := bytes.Clone(format.data)
				if altered[i/8] ^= 1 << (i % 8); format.counts(altered) {
					t.Errorf("bit %d may be another", i)
				}
			}
		})
	}
}
