package seal_test

import (
	"bytes"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// evidence is the founder's of a head of its own device, which has told of another entry 1.
func evidence(t testing.TB) *seal.Evidence {
	t.Helper()
	f := newFounder(t)
	other := seal.Head{Device: f.device.ID(), N: 1, At: seal.Position{Seq: 1, Chain: fill[seal.Hash](70)}}
	other.Signature = sign(t, f.id, other.Statement(f.anchor))
	e := &seal.Evidence{Space: space, Device: f.device.ID(), Kind: string(seal.StopFork), Seq: 1, Follows: f.log.Head(),
		Head: other.Marshal(), Time: 1_764_500_000_000,
		Changes: []seal.SignedChange{{Counter: 1, Sealed: f.first.Body}}}
	e.Signature = sign(t, f.id, e.Statement(f.anchor))
	return e
}

// TestEvidence: it holds as it was signed, and no bit of it can be another.
func TestEvidence(t *testing.T) {
	e := evidence(t)
	data := e.Marshal()
	found, err := e.Check(t.Context(), suite)
	if err != nil || !found.Proven || found.Other != e.Device || len(found.Text) < 2 {
		t.Fatalf("got %+v, %v", found, err)
	}
	for i := range len(data) * 8 {
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		if e, err := seal.UnmarshalEvidence(altered); err == nil {
			if _, err := e.Check(t.Context(), suite); err == nil {
				t.Errorf("bit %d may be another", i)
			}
		}
	}
}

// TestEvidence_shows: what shows nothing is no evidence, though all of it is signed.
func TestEvidence_shows(t *testing.T) {
	f := newFounder(t)
	for name, alter := range map[string]func(*seal.Evidence){
		"the same history": func(e *seal.Evidence) {
			h := seal.Head{Device: f.device.ID(), N: 1, At: e.Follows}
			h.Signature = sign(t, f.id, h.Statement(f.anchor))
			e.Head = h.Marshal()
		},
		"no members":    func(e *seal.Evidence) { e.Changes = nil },
		"another space": func(e *seal.Evidence) { e.Space = "other" },
		"an entry signed by its author": func(e *seal.Evidence) {
			e.Head, e.Entry, e.Kind = nil, f.first.Marshal(), string(seal.StopForged)
		},
		"an entry that follows": func(e *seal.Evidence) {
			e.Head, e.Entry, e.Kind, e.Follows = nil, f.first.Marshal(), string(seal.StopChain), seal.Position{}
		},
	} {
		e := evidence(t)
		alter(e)
		e.Signature = sign(t, f.id, e.Statement(f.anchor))
		if _, err := e.Check(t.Context(), suite); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
