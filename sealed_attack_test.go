package heddle

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/liar"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// attacked is a space whose server lies, with two devices that both have written twice:
// entry 1 founds it, 2 and 3 are the first one's, 4 adds the second, 5 and 6 are its,
// 7 is the first one's again.
type attacked struct {
	*sealedSpace
	liar       *liar.Server
	key        *Key
	ada, phone *DB
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	return newAttackedOf(t, client.Bounds{Tell: time.Nanosecond})
}

// newAttackedOf is one where the first device has bounds of its own; all others tell their heads at once.
func newAttackedOf(t *testing.T, first client.Bounds) *attacked {
	t.Helper()
	a := &attacked{}
	a.sealedSpace = newSealedSpaceOf(t, func(h http.Handler) http.Handler {
		a.liar = liar.New(h)
		return a.liar
	})
	a.bounds = first
	a.key, a.ada = a.found()
	a.bounds = client.Bounds{Tell: time.Nanosecond}
	a.write(a.ada, "1", "ada")
	a.write(a.ada, "2", "ada")
	a.now(a.ada)
	a.phone = a.added(a.ada, "phone", RoleWrite)
	a.now(a.phone)
	a.write(a.phone, "3", "phone")
	a.write(a.phone, "4", "phone")
	a.now(a.phone, a.ada)
	a.write(a.ada, "5", "ada")
	a.now(a.ada)
	return a
}

// victim is another database of the first device's, which has seen nothing yet.
func (a *attacked) victim() *DB { return a.open(a.key, "") }

// stops demands that a database stops, and why, and that the app writes on.
func (a *attacked) stops(db *DB, kind string, seq uint64) {
	a.t.Helper()
	err := db.Sync().Now(a.t.Context())
	wantCode(a.t, err, CodeTampered)
	var why *client.Tampered
	if errors.As(err, &why); kind != "rollback" && (why == nil || why.Kind != kind || why.Seq != seq) {
		a.t.Errorf("got %v, want %s at entry %d", why, kind, seq)
	}
	a.write(db, "local", "goes on")
	if kind != "anchor" { // of another space there are no members that could speak
		a.shows(db, kind, seq)
	}
}

// shows demands that there is evidence of what has stopped a database last, in which no bit can be another.
func (a *attacked) shows(db *DB, kind string, seq uint64) *Finding {
	a.t.Helper()
	ctx := a.t.Context()
	data, err := db.Sync().Evidence(ctx)
	a.must(err)
	f, err := CheckEvidence(ctx, data)
	if err != nil {
		a.t.Fatalf("the evidence of %s does not hold: %v", kind, err)
	}
	e, err := seal.UnmarshalEvidence(data)
	a.must(err)
	if e.Kind != kind || kind != "rollback" && e.Seq != seq || len(f.Text) == 0 {
		a.t.Errorf("the evidence is of %s at entry %d: %q", e.Kind, e.Seq, f.Text)
	}
	for range 40 {
		i := rand.N(len(data) * 8)
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		if _, err := CheckEvidence(ctx, altered); err == nil {
			a.t.Errorf("evidence of %s: bit %d may be another", kind, i)
		}
	}
	return f
}

// recovers demands that all is well as soon as the server is honest.
func (a *attacked) recovers(db *DB) {
	a.t.Helper()
	a.liar.Set(nil)
	a.now(db, a.ada, a.phone)
	a.same(6, db, a.ada, a.phone)
}

// What a server gets by changing the log, docs/SECURITY.md.
func TestSealed_attacks(t *testing.T) {
	for _, attack := range liar.Attacks {
		t.Run(attack.Name, func(t *testing.T) {
			a := newAttacked(t)
			a.liar.Set(attack.Lie) // before it is opened: it may sync until it is paused
			victim := a.victim()
			a.stops(victim, string(attack.Kind), attack.Seq)
			a.recovers(victim)
		})
	}
}

// A device that has seen the log is not shown a shorter one.
func TestSealed_rollback(t *testing.T) {
	a := newAttacked(t)
	a.liar.Set(liar.UpTo(4))
	a.stops(a.phone, "rollback", 0)
	a.recovers(a.phone)
}

// Nor is one that was let in after what is left out: it was told where the log was.
func TestSealed_rollbackForANewDevice(t *testing.T) {
	a := newAttacked(t)
	code, err := a.ada.Sync().NewRecoveryCode(t.Context())
	a.must(err)
	a.write(a.ada, "6", "ada")
	a.now(a.ada)
	key, err := UnlockSpace(t.Context(), a.options(nil), code, "tablet")
	a.must(err)
	a.liar.Set(liar.UpTo(5))
	tablet := a.open(key, "")
	wantCode(t, tablet.Sync().Now(t.Context()), CodeTampered)
	a.liar.Set(nil)
	a.now(tablet)
	a.same(6, tablet, a.ada)
}

// A refusal that the server makes up for one device shows where a member has told of what
// it has seen there: the second device of its entry 6. The device stays with what it was shown: it is not
// known which of the two is right.
func TestSealed_voidForOne(t *testing.T) {
	a := newAttacked(t)
	a.liar.Set(liar.Void(5))
	victim := a.victim()
	a.stops(victim, "fork", 6)
	a.liar.Set(nil)
	wantCode(t, victim.Sync().Now(t.Context()), CodeTampered)
}

// What only heads tell of: the last entry of a log is another one for a device that nobody's entry speaks to.
func TestSealed_twoHistories(t *testing.T) {
	t.Run("before it is applied", func(t *testing.T) {
		a := newAttacked(t)
		tablet := a.added(a.ada, "tablet", RoleWrite)
		a.write(a.ada, "6", "ada, entry 9")
		a.now(a.ada)
		a.liar.Set(liar.Void(9))
		a.stops(tablet, "fork", 9)
		if f := a.shows(tablet, "fork", 9); !f.Proven || f.Other != a.ada.Sync().member.ID() {
			t.Errorf("got %+v", f)
		}
		a.liar.Set(nil)
		a.now(tablet, a.ada)
		a.same(7, tablet, a.ada)
	})
	t.Run("after it was applied", func(t *testing.T) {
		a := newAttackedOf(t, client.Bounds{Tell: time.Hour}) // it has told before it wrote
		tablet := a.added(a.ada, "tablet", RoleWrite)
		a.now(tablet)
		a.write(a.ada, "6", "ada, entry 9")
		a.now(a.ada)
		a.liar.Set(liar.Void(9))
		a.now(tablet)
		a.same(5, tablet) // nothing to be seen
		a.liar.Set(nil)
		a.now(a.phone) // which tells
		a.liar.Set(liar.Void(9))
		a.stops(tablet, "fork", 9)
		a.must(tablet.Sync().Accept(t.Context(), false)) // its user has it go on
		if err := tablet.Sync().Now(t.Context()); Code(err) == CodeTampered {
			t.Errorf("got %v", err)
		}
		if w := tablet.Sync().Status().Withheld; w.Seq != 9 || w.Device == "" {
			t.Errorf("got the warning %+v, want one of entry 9", w)
		}
	})
}

// Two members who have the same history read out the same digits, for each entry, and two with other ones do not.
func TestSealed_fingerprint(t *testing.T) {
	a := newAttacked(t)
	a.liar.Set(liar.Void(7))
	victim := a.victim()
	a.now(victim)
	a.liar.Set(nil)
	a.now(a.ada, a.phone)
	seen := map[string]bool{}
	for seq := range uint64(8) {
		at, ada, err := a.ada.Sync().Fingerprint(seq)
		a.must(err)
		_, phone, err := a.phone.Sync().Fingerprint(at)
		a.must(err)
		_, other, err := victim.Sync().Fingerprint(at)
		a.must(err)
		if ada != phone || (other == ada) != (at < 7) || len(ada) != 35 {
			t.Errorf("at entry %d: %s, %s and %s", at, ada, phone, other)
		}
		seen[ada] = true
	}
	if len(seen) != 7 {
		t.Errorf("7 entries have %d fingerprints", len(seen))
	}
	_, _, err := a.ada.Sync().Fingerprint(99)
	wantCode(t, err, CodeNotFound)
}

// The newest entries, kept from a device, are a warning once a member has told of them; they may be late.
func TestSealed_withheld(t *testing.T) {
	a := newAttacked(t)
	a.bounds.Withheld = time.Millisecond
	tablet := a.added(a.ada, "tablet", RoleWrite)
	a.now(tablet)
	a.write(a.ada, "6", "ada, entry 9")
	a.now(a.ada)
	a.liar.Set(liar.UpTo(8))
	warnings := make(chan Status, 100)
	defer tablet.Sync().OnStatus(func(st Status) { warnings <- st })()
	a.must(tablet.Sync().Resume(t.Context()))
	for st := (Status{}); st.Withheld.Seq != 9; {
		if st = await.Event(t, warnings, "a warning"); st.LastError != nil {
			t.Fatalf("got %+v", st)
		}
	}
	a.liar.Set(nil)
	for st := tablet.Sync().Status(); st.Seq < 9 || st.Withheld.Device != ""; {
		st = await.Event(t, warnings, "the end of the warning")
	}
	a.same(6, tablet, a.ada)
}

// A removal that is hidden shows with the first word of one who knows of it.
func TestSealed_hiddenRemoval(t *testing.T) {
	a := newAttacked(t)
	tablet := a.added(a.ada, "tablet", RoleWrite)
	a.now(tablet)
	members, err := a.ada.Sync().Members(t.Context())
	a.must(err)
	for _, m := range members {
		if m.Name == "phone" {
			a.must(a.ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	a.write(a.ada, "6", "not for the phone")
	a.now(a.ada)
	a.liar.Set(liar.HideRemovals)
	err = tablet.Sync().Now(t.Context())
	var why *client.Tampered
	if errors.As(err, &why); why == nil || why.Kind != "fork" {
		t.Errorf("got %v, want a fork", err)
	}
}

// A key that a server makes up for a device that comes in is one that no entry asks for.
func TestSealed_falseKeys(t *testing.T) {
	a := newAttacked(t)
	tablet := a.added(a.ada, "tablet", RoleWrite)
	id := tablet.Sync().member.ID()
	fake := seal.Key{1}
	c := &seal.Change{Prev: seal.Hash{1}, Epoch: &seal.Epoch{Number: 1, Commit: fake.Commit(a.key.k.Anchor, 1)}}
	for _, m := range a.ada.Sync().member.Infos(t.Context()) {
		if m.ID == id {
			box, err := native.Suite{}.Wrap(t.Context(), m.Box, seal.WrapInfo(a.key.k.Anchor, 1, id), &fake)
			a.must(err)
			c.Epoch.Wrap = []seal.Wrap{{ID: id, HPKE: box}}
		}
	}
	s := &seal.Sealed{Kind: seal.KindMembers, Device: id, Epoch: 1, Box: c.Marshal(), Signature: seal.Signature{2}}
	lie := []wire.Entry{{Seq: 1, Client: id.Members(), Counter: 1, Body: s.Marshal()}}
	a.liar.SetMembers(lie)
	tablet.Sync().member.Learn(t.Context(), lie)
	a.now(tablet)
	a.same(5, tablet, a.ada)
}
