package seal_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// batch seals n transactions, the first under counter 1, and signs them together.
func batch(t testing.TB, n int) []seal.Unsigned {
	t.Helper()
	d := device(t, 10, seal.RoleWrite)
	all, prev := make([]seal.Unsigned, n), seal.Hash{}
	for i := range all {
		s := &seal.Sealed{Kind: seal.KindData, Device: d.ID(), Prev: prev, Epoch: 3, Seen: seal.Position{Seq: 1,
			Chain: fill[seal.Hash](5)}}
		must(t, s.Encrypt(counted(i), &key, []byte{byte(i)}, true, stream(byte(50+i))))
		prev = s.Digest(counted(i))
		all[i] = seal.Unsigned{Sealed: s, Digest: prev}
	}
	must(t, seal.Sign(context.Background(), identity(t, 10), all))
	return all
}

func counted(i int) seal.Place {
	return seal.Place{Anchor: place.Anchor, Client: place.Client, Counter: uint64(i + 1)}
}

// TestSign: each transaction of a batch is verified alone, whatever the batch's size, and no more signatures are made
// than are needed.
func TestSign(t *testing.T) {
	signer := device(t, 10, seal.RoleWrite)
	for n := range 2*seal.MaxBatch + 2 {
		all, signatures := batch(t, n), map[seal.Signature]bool{}
		for i, one := range all {
			back, err := seal.UnmarshalSealed(one.Sealed.Marshal())
			must(t, err)
			if !bytes.Equal(back.Marshal(), one.Sealed.Marshal()) {
				t.Fatalf("%d of %d: other bytes when encoded again", i, n)
			}
			if !valid(t, signer.Sign, back.Statement(counted(i)), back.Signature) {
				t.Errorf("%d of %d: the signature is not valid", i, n)
			}
			if valid(t, signer.Sign, back.Statement(counted(i+1)), back.Signature) {
				t.Errorf("%d of %d counts in another's place", i, n)
			}
			if alone := n%seal.MaxBatch == 1 && i == n-1; alone != (len(back.Path) == 0) {
				t.Errorf("%d of %d has a way of %d", i, n, len(back.Path))
			}
			signatures[back.Signature] = true
		}
		if want := (n + seal.MaxBatch - 1) / seal.MaxBatch; len(signatures) != want {
			t.Errorf("%d transactions have %d signatures, want %d", n, len(signatures), want)
		}
	}
}

// TestSign_ways: nothing of a way can be another, nor be exchanged for a neighbour's.
func TestSign_ways(t *testing.T) {
	signer, all := device(t, 10, seal.RoleWrite), batch(t, 11)
	for i, one := range all {
		holds := func(change func(s *seal.Sealed)) bool {
			s := *one.Sealed
			s.Path = append([]seal.Hash(nil), s.Path...)
			change(&s)
			if bytes.Equal(s.Marshal(), one.Sealed.Marshal()) {
				return false // it is what it was
			}
			back, err := seal.UnmarshalSealed(s.Marshal())
			return err == nil && valid(t, signer.Sign, back.Statement(counted(i)), back.Signature)
		}
		for j, other := range all {
			if holds(func(s *seal.Sealed) { s.Path, s.Sides = other.Sealed.Path, other.Sealed.Sides }) && i != j {
				t.Errorf("%d may have the way of %d", i, j)
			}
		}
		for sides := range uint64(seal.MaxBatch) {
			if holds(func(s *seal.Sealed) { s.Sides = sides }) {
				t.Errorf("%d may have the sides %b instead of %b", i, sides, one.Sealed.Sides)
			}
		}
		for n := range len(one.Sealed.Path) {
			for bit := n; bit < 256; bit += 23 {
				if holds(func(s *seal.Sealed) { s.Path[n][bit/8] ^= 1 << (bit % 8) }) {
					t.Fatalf("bit %d of step %d of %d may be another", bit, n, i)
				}
			}
			if holds(func(s *seal.Sealed) { s.Path = s.Path[:n] }) || holds(func(s *seal.Sealed) { s.Path = s.Path[n+1:] }) {
				t.Errorf("the way of %d may be shorter", i)
			}
		}
		if holds(func(s *seal.Sealed) { s.Path = append(s.Path, seal.Hash{}) }) {
			t.Errorf("the way of %d may be longer", i)
		}
	}
}

func TestUnmarshalSealed_refusesWays(t *testing.T) {
	alter := func(f func(s *seal.Sealed)) []byte {
		s := *batch(t, 4)[1].Sealed
		f(&s)
		return s.Marshal()
	}
	for name, data := range map[string][]byte{
		"more sides than steps": alter(func(s *seal.Sealed) { s.Sides = 4 }),
		"sides without a way":   alter(func(s *seal.Sealed) { s.Path = nil }),
		"a way that is too long": alter(func(s *seal.Sealed) {
			s.Path = make([]seal.Hash, 6)
		}),
		"of a Change": alter(func(s *seal.Sealed) { s.Kind, s.Nonce = seal.KindMembers, seal.Nonce{} }),
	} {
		if _, err := seal.UnmarshalSealed(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.Protocol)
		}
	}
	if _, err := seal.UnmarshalSealed(alter(func(*seal.Sealed) {})); err != nil {
		t.Errorf("what the others were made of: %v", err)
	}
}

// mute is a device whose keys do not answer.
type mute struct{ seal.Identity }

var errMute = errors.New("no answer")

func (mute) SignAll(context.Context, [][]byte) ([]seal.Signature, error) { return nil, errMute }

func TestSign_fails(t *testing.T) {
	all := batch(t, 2*seal.MaxBatch)
	if err := seal.Sign(context.Background(), mute{}, all); !errors.Is(err, errMute) {
		t.Errorf("got %v", err)
	}
}
