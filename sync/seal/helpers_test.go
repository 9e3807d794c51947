package seal_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// stream is randomness that is the same each time.
func stream(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func fill[T ~[16]byte | ~[32]byte](n byte) (v T) {
	b := make([]byte, len(v))
	_, _ = stream(n).Read(b)
	return T(b)
}

// identity returns the keys of device n.
func identity(t testing.TB, n byte) seal.Identity {
	t.Helper()
	id, err := native.Suite{}.Identity(context.Background(), &seal.SlotSecret{SignSeed: fill[[32]byte](n),
		BoxKey: fill[[32]byte](n + 100)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sign(t testing.TB, id seal.Identity, statement []byte) seal.Signature {
	t.Helper()
	s, err := id.Sign(context.Background(), statement)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t testing.TB, key seal.PublicKey, statement []byte, s seal.Signature) bool {
	t.Helper()
	is, err := native.Suite{}.Verify(context.Background(), []seal.Claim{{Key: key, Statement: statement, Signature: s}})
	if err != nil {
		t.Fatal(err)
	}
	return is[0]
}

var (
	suite  = native.Suite{}
	anchor = seal.Anchor(fill[[32]byte](1))
	key    = seal.Key(fill[[32]byte](2))
	place  = seal.Place{Anchor: anchor, Client: wire.ClientID(fill[[16]byte](3)), Counter: 7}
)

// device returns device n as a Change adds it.
func device(t testing.TB, n byte, role seal.Role) seal.Device {
	t.Helper()
	id := identity(t, n)
	d := seal.Device{Role: role, User: fill[seal.ID](n + 50)}
	d.Sign, d.Box = id.Public()
	must(t, d.SealName(anchor, &key, 1, "Laptop", stream(n)))
	d.Proof = sign(t, id, d.ProofStatement(anchor))
	return d
}

// sealed returns a transaction of device 10, sealed at place.
func sealed(t testing.TB, content []byte, compress bool) *seal.Sealed {
	t.Helper()
	id := identity(t, 10)
	d := device(t, 10, seal.RoleWrite)
	s := &seal.Sealed{Kind: seal.KindData, Device: d.ID(), Prev: fill[seal.Hash](4), Epoch: 3,
		Seen: seal.Position{Seq: 41, Chain: fill[seal.Hash](5)}}
	must(t, s.Encrypt(place, &key, content, compress, stream(6)))
	s.Signature = sign(t, id, s.Statement(place))
	return s
}

// change returns a Change that has every field that a Change can have.
func change(t testing.TB) *seal.Change {
	t.Helper()
	a, b := device(t, 10, seal.RoleAdmin), device(t, 11, seal.RoleRead)
	newKey := seal.Key(fill[[32]byte](8))
	e := &seal.Epoch{Number: 4, Commit: newKey.Commit(anchor, 4)}
	must(t, e.SealBefore(anchor, &newKey, &key, stream(9)))
	for _, id := range []seal.ID{a.ID(), b.ID()} {
		e.Wrap = append(e.Wrap, seal.Wrap{ID: id, HPKE: [seal.WrapSize]byte{1, 2, 3}})
	}
	return &seal.Change{Prev: fill[seal.Hash](12), Add: []seal.Device{a, b}, Remove: []seal.ID{fill[seal.ID](13)},
		Epoch: e, Slots: []seal.Slot{slot(t, seal.SlotCode), slot(t, seal.SlotPassphrase)},
		Wrap: []seal.Wrap{{ID: fill[seal.ID](14), HPKE: [seal.WrapSize]byte{4}}},
		Reset: &seal.Reset{Position: seal.Position{Seq: 30, Chain: fill[seal.Hash](15)},
			Lost: []seal.Hash{fill[seal.Hash](16)}}}
}

// head returns a Head of device 10 that has every field that a Head can have.
func head(t testing.TB) *seal.Head {
	t.Helper()
	d := device(t, 10, seal.RoleRead)
	h := &seal.Head{Device: d.ID(), N: 5, At: seal.Position{Seq: 41, Chain: fill[seal.Hash](5)},
		Digest: fill[seal.Hash](18),
		Left:   []seal.Position{{Seq: 40, Chain: fill[seal.Hash](19)}, {Seq: 55, Chain: fill[seal.Hash](25)}},
		Proves: fill[seal.ID](26), Time: 1_764_500_000_000}
	h.Signature = sign(t, identity(t, 10), h.Statement(anchor))
	return h
}

const space = "family"

var code = seal.RecoveryCode(fill[[16]byte](17))

func secret() *seal.SlotSecret {
	return &seal.SlotSecret{SignSeed: fill[[32]byte](20), BoxKey: fill[[32]byte](120), Anchor: anchor,
		Position: seal.Position{Seq: 9, Chain: fill[seal.Hash](21)}, Newest: fill[seal.Hash](22)}
}

func slot(t testing.TB, kind seal.SlotKind) seal.Slot {
	t.Helper()
	s := seal.Slot{Role: seal.RoleAdmin, User: fill[seal.ID](60), Kind: kind}
	s.Sign, s.Box = identity(t, 20).Public()
	if kind.Passphrase() {
		s.KDF = &seal.KDF{Time: 3, Memory: 65536, Salt: fill[[16]byte](23)}
	}
	k := code.Key(space)
	must(t, s.Seal(space, &k, secret(), stream(24)))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
