package seal_test

import (
	"context"
	"encoding/hex"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// weakX25519 are public keys with which every secret is zero, as far as they are
// written with a number of the field (RFC 7748, section 6.1).
var weakX25519 = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
}

// weakEd25519 are points of a small order, with either sign, and the field's own number.
var weakEd25519 = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func point(t *testing.T, text string) (p seal.PublicKey) {
	t.Helper()
	b, err := hex.DecodeString(text)
	must(t, err)
	return seal.PublicKey(b)
}

// TestPoints: no member comes in with a key that libraries treat differently, or that
// nobody can wrap a key for.
func TestPoints(t *testing.T) {
	refused := func(what string, c *seal.Change) {
		t.Helper()
		if _, err := seal.UnmarshalChange(c.Marshal()); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, text := range weakX25519 {
		p := point(t, text)
		if _, err := suite.Wrap(context.Background(), p, nil, &key); err == nil {
			t.Errorf("a key is wrapped for %s: it need not be refused", text)
		}
		c := change(t)
		c.Add[0].Box = p
		refused("a device with box key "+text, c)
		c = change(t)
		c.Slots[0].Box = p
		refused("a slot with box key "+text, c)
	}
	for _, text := range weakEd25519 {
		p := point(t, text)
		c := change(t)
		c.Add[0].Sign = p
		refused("a device with signing key "+text, c)
		c = change(t)
		c.Slots[0].Sign = p
		refused("a slot with signing key "+text, c)
		c = change(t)
		copy(c.Add[0].Proof[:], p[:])
		refused("a proof with point "+text, c)
		s := sealed(t, []byte("a text"), true)
		copy(s.Signature[:], p[:])
		if _, err := seal.UnmarshalSealed(s.Marshal()); errcode.Of(err) != errcode.Protocol {
			t.Errorf("a signature with point %s: %v", text, err)
		}
	}
}
