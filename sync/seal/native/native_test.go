package native

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// rfc has vectors of RFC 8032, section 7.1, and of RFC 9180 for this suite: keys, info
// and encapsulated key are the RFC's; what is wrapped with them is ours.
type rfc struct {
	Ed25519 []struct{ Seed, Public, Message, Signature string }
	HPKE    struct{ IkmE, IkmR, SkEm, PkEm, SkRm, PkRm, Info, Plaintext, Wrapped string }
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectors(t *testing.T) (v rfc) {
	t.Helper()
	data, err := os.ReadFile("../testdata/rfc.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func keys(t *testing.T, signSeed, boxKey string) seal.Identity {
	t.Helper()
	id, err := Suite{}.Identity(context.Background(), &seal.SlotSecret{SignSeed: [32]byte(unhex(t, signSeed)),
		BoxKey: [32]byte(unhex(t, boxKey))})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSuite_rfc8032(t *testing.T) {
	v := vectors(t)
	if len(v.Ed25519) < 3 {
		t.Fatal("there are no vectors")
	}
	for _, e := range v.Ed25519 {
		id := keys(t, e.Seed, v.HPKE.SkRm)
		sign, _ := id.Public()
		got, err := id.Sign(context.Background(), unhex(t, e.Message))
		if err != nil || hex.EncodeToString(got[:]) != e.Signature || hex.EncodeToString(sign[:]) != e.Public {
			t.Errorf("got %x of key %x, %v", got, sign, err)
		}
		altered := got
		altered[40] ^= 1
		claim := seal.Claim{Key: sign, Statement: unhex(t, e.Message), Signature: got}
		is, err := Suite{}.Verify(context.Background(), []seal.Claim{claim,
			{Key: claim.Key, Statement: claim.Statement, Signature: altered},
			{Key: claim.Key, Statement: append(claim.Statement, 0), Signature: got}})
		if err != nil || !is[0] || is[1] || is[2] {
			t.Errorf("verified %v, %v", is, err)
		}
	}
}

func TestSuite_rfc9180(t *testing.T) {
	h := vectors(t).HPKE
	for ikm, want := range map[string][2]string{h.IkmE: {h.SkEm, h.PkEm}, h.IkmR: {h.SkRm, h.PkRm}} {
		derived, err := kem.DeriveKeyPair(unhex(t, ikm))
		if err != nil {
			t.Fatal(err)
		}
		// The private key may differ in the bits that X25519 sets itself.
		if got := hex.EncodeToString(derived.PublicKey().Bytes()); got != want[1] {
			t.Errorf("the public key of %s is %s, want %s", ikm, got, want[1])
		}
		if _, box := keys(t, h.SkRm, want[0]).Public(); hex.EncodeToString(box[:]) != want[1] {
			t.Errorf("the public key of %s is %x", want[0], box)
		}
	}
	wrapped := [seal.WrapSize]byte(unhex(t, h.Wrapped))
	if got := hex.EncodeToString(wrapped[:32]); got != h.PkEm {
		t.Errorf("the encapsulated key is %s", got)
	}
	got, err := keys(t, h.SkRm, h.SkRm).Unwrap(context.Background(), unhex(t, h.Info), &wrapped)
	if err != nil || hex.EncodeToString(got[:]) != h.Plaintext {
		t.Errorf("got %x, %v", got, err)
	}
}

func TestSuite_newIdentity(t *testing.T) {
	ctx := context.Background()
	a, errA := Suite{}.NewIdentity(ctx)
	b, errB := Suite{}.NewIdentity(ctx)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	_, to := a.Public()
	w, err := Suite{}.Wrap(ctx, to, []byte("info"), &seal.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Unwrap(ctx, []byte("info"), &w); err != nil || *got != (seal.Key{1}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := b.Unwrap(ctx, []byte("info"), &w); errcode.Of(err) != errcode.BadSeal {
		t.Errorf("another device opens it: %v, %v", got, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := (Suite{}).Verify(ended, []seal.Claim{{}}); errcode.Of(err) != errcode.Aborted {
		t.Errorf("a verification that was ended: %v", err)
	}
}
