package seal_test

import (
	"bytes"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

var pairSecret = seal.PairSecret(fill[[32]byte](40))

func hello(t testing.TB, n byte, name string) *seal.PairHello {
	h := &seal.PairHello{Random: fill[seal.Hash](n + 1), Name: name}
	h.Sign, h.Box = identity(t, n).Public()
	return h
}

func offer(t testing.TB) *seal.PairOffer {
	d := device(t, 11, seal.RoleWrite)
	return &seal.PairOffer{Anchor: anchor, Told: seal.Position{Seq: 4, Chain: fill[seal.Hash](42)}, Role: d.Role,
		User: d.User, Name: d.Name}
}

func pass() *seal.Pass {
	return &seal.Pass{Space: space, Name: "Tablet", Anchor: anchor, Told: secret().Position, First: []byte{8, 2},
		Slot: secret()}
}

func TestPairSecret_link(t *testing.T) {
	text := pairSecret.String()
	if back, err := seal.ParsePairSecret(text); err != nil || back != pairSecret {
		t.Errorf("got %x, %v", back, err)
	}
	for _, bad := range []string{"", text[1:], text + "A", "?" + text[1:], "C" + text[1:]} {
		if _, err := seal.ParsePairSecret(bad); errcode.Of(err) != errcode.BadCode {
			t.Errorf("%q: got %v, want HEDDLE_BAD_CODE", bad, err)
		}
	}
}

// A message opens under its own number alone, and with the link's secret.
func TestPairSecret_messages(t *testing.T) {
	content := []byte("what one device says")
	for n := seal.PairCommit; n <= seal.PairAdmitted; n++ {
		sealed, err := pairSecret.SealPair(n, content, stream(43))
		must(t, err)
		if back, err := pairSecret.OpenPair(n, sealed); err != nil || !bytes.Equal(back, content) {
			t.Fatalf("message %d: got %q, %v", n, back, err)
		}
		for other := seal.PairCommit; other <= seal.PairAdmitted; other++ {
			if _, err := pairSecret.OpenPair(other, sealed); (err == nil) != (other == n) {
				t.Errorf("message %d opens as %d: %v", n, other, err)
			}
		}
		if _, err := (seal.PairSecret{1}).OpenPair(n, sealed); err == nil {
			t.Errorf("message %d opens with another secret", n)
		}
	}
}

// The digits are of all that both have said: whoever changes a byte changes them, but
// for one case in a million.
func TestPairSecret_digits(t *testing.T) {
	inviter, joiner := hello(t, 10, "").Marshal(), hello(t, 11, "Phone").Marshal()
	digits := pairSecret.Digits(inviter, joiner)
	if len(digits) != 6 {
		t.Fatalf("got %q", digits)
	}
	seen := map[string]int{}
	for _, side := range [][]byte{inviter, joiner} {
		for i := range side {
			side[i] ^= 1
			seen[pairSecret.Digits(inviter, joiner)]++
			side[i] ^= 1
		}
	}
	if seen[digits] > 0 || len(seen) < len(inviter)+len(joiner)-2 {
		t.Errorf("%d of %d changes give the same digits, in all there are %d", seen[digits], len(inviter)+len(joiner),
			len(seen))
	}
	if pairSecret.Digits(joiner, inviter) == digits || (seal.PairSecret{1}).Digits(inviter, joiner) == digits {
		t.Error("the digits do not depend on who is who, or on the secret")
	}
	if pairSecret.Commit(inviter) == pairSecret.Commit(joiner) {
		t.Error("two hellos have one commitment")
	}
}

func TestPairing_roundTrip(t *testing.T) {
	h, err := seal.UnmarshalPairHello(hello(t, 10, "Phone").Marshal())
	if must(t, err); *h != *hello(t, 10, "Phone") {
		t.Errorf("got %+v", h)
	}
	o, err := seal.UnmarshalPairOffer(offer(t).Marshal())
	if must(t, err); !bytes.Equal(o.Marshal(), offer(t).Marshal()) || o.Role != seal.RoleWrite {
		t.Errorf("got %+v", o)
	}
	p, err := seal.UnmarshalPass(pass().Marshal())
	if must(t, err); *p.Slot != *secret() || p.Space != space || p.Name != "Tablet" {
		t.Errorf("got %+v", p)
	}
}
