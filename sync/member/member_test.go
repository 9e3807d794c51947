package member

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

var writer = wire.ClientID{1}

func TestKeys_pairing(t *testing.T) {
	s := newSpace(t)
	ada, phone := s.founded(), (*Keys)(nil)
	phone, kept := s.device()
	s.wantCode(phone.Unlocked(), errcode.Locked)
	joined, invited := s.paired(ada, phone, "phone", s.alike)
	s.must(errors.Join(joined, invited))
	s.write(ada.Member, writer, 1, "for both")
	all, err := s.pull(phone.Member)
	s.must(err)
	if last := all[len(all)-1]; string(last.Body) != "for both" {
		t.Errorf("got %+v", last)
	}
	var names []string
	for _, one := range phone.Infos(t.Context()) {
		names = append(names, one.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"laptop", "phone"}) {
		t.Errorf("the members are %v", names)
	}
	// It is the same device when the app starts again.
	again, err := Open(t.Context(), kept, s.name, rand.Reader)
	s.must(err)
	if s.follow(again.Member); again.ID() != phone.ID() || !again.MayWrite() {
		t.Error("the key ring has another device")
	}
	_, err = Open(t.Context(), kept, "other", rand.Reader)
	s.wantCode(err, errcode.BadParam)
	s.wantCode(phone.Create(t.Context(), s, "phone"), errcode.Sealed)
}

func TestKeys_pairingRefused(t *testing.T) {
	s := newSpace(t)
	ada := s.founded()
	phone, kept := s.device()
	no := errcode.New(errcode.Aborted, "test", "the digits differ")
	joined, invited := s.paired(ada, phone, "phone", func(string, string) error { return no })
	s.wantCode(joined, errcode.NotAllowed)
	s.wantCode(invited, errcode.Aborted)
	if len(s.log) != 1 || len(kept.pass) > 0 || phone.Unlocked() == nil {
		t.Error("a device that was refused has come in")
	}
	stranger, _ := s.device()
	s.wantCode(stranger.Create(t.Context(), s, "stranger"), errcode.Sealed) // the space exists
}

// Who knows the link, and stands between the two devices, gets keys of its own in no
// further than the digits, which it cannot choose.
func TestKeys_pairingByAnother(t *testing.T) {
	s := newSpace(t)
	ada, ctx := s.founded(), t.Context()
	secret, err := seal.NewPairSecret(rand.Reader)
	s.must(err)
	id, err := (&ring{}).Device(ctx)
	s.must(err)
	h := seal.PairHello{Random: seal.Hash{1}, Name: "phone"}
	h.Sign, h.Box = id.Public()
	for _, honest := range []bool{true, false} {
		clear(s.mail)
		commit := secret.Commit(h.Marshal())
		said := h
		if !honest {
			said.Random = seal.Hash{2} // chosen after the member's hello was seen
		}
		for n, content := range map[int][]byte{seal.PairCommit: commit[:], seal.PairNew: said.Marshal()} {
			message, err := secret.SealPair(n, content, rand.Reader)
			s.must(err)
			s.must(s.Put(ctx, n, message))
		}
		asked := false
		inv := &Invitation{Secret: secret, Role: seal.RoleRead}
		inv.Ask = func(_ context.Context, _, _ string) error {
			asked = true
			return errLocked
		}
		err := ada.Invite(ctx, s, inv, nil)
		if want := map[bool]string{true: errcode.Locked, false: errcode.Tampered}[honest]; asked != honest {
			t.Errorf("honest %v: the user was asked: %v", honest, asked)
		} else {
			s.wantCode(err, want)
		}
	}
}

func TestKeys_recoveryCode(t *testing.T) {
	s := newSpace(t)
	ada, ctx := s.founded(), t.Context()
	codes := make([]seal.RecoveryCode, 2)
	for i := range codes {
		var err error
		codes[i], err = seal.NewRecoveryCode(rand.Reader)
		s.must(err)
		s.change(AddCode(codes[i])(ctx, ada.Member))
		s.follow(ada.Member)
	}
	s.change(Remove()(ctx, ada.Member)) // a new key
	s.follow(ada.Member)
	s.write(ada.Member, writer, 1, "under the new key")

	tablet, kept := s.device()
	s.wantCode(tablet.Unlock(ctx, s, "0000", "tablet"), errcode.BadCode)
	other := seal.RecoveryCode{9}
	s.wantCode(tablet.Unlock(ctx, s, other.String(), "tablet"), errcode.BadCode)
	s.must(tablet.Unlock(ctx, s, codes[0].String(), "tablet"))
	all, err := s.pull(tablet.Member)
	s.must(err)
	if last := all[len(all)-1]; string(last.Body) != "under the new key" {
		t.Errorf("got %+v", last)
	}
	if tablet.MayWrite() {
		t.Error("the tablet is a member before it was added")
	}
	s.change(tablet.Admission(ctx))
	s.follow(tablet.Member, ada.Member)
	if c, err := tablet.Admission(ctx); c != nil || err != nil {
		t.Errorf("it comes in twice: %v, %v", c, err)
	}
	if p, err := seal.UnmarshalPass(kept.pass); err != nil || p.Slot != nil {
		t.Errorf("the code's keys are kept: %v", err)
	}
	s.write(tablet.Member, wire.ClientID{2}, 1, "from the tablet")
	s.follow(ada.Member)

	for one := range ada.log.Each() { // codes that are removed open nothing
		if one.Slot != 0 {
			s.change(Remove(one.ID)(ctx, ada.Member))
			s.follow(ada.Member)
		}
	}
	late, _ := s.device()
	s.wantCode(late.Unlock(ctx, s, codes[1].String(), "late"), errcode.BadCode)
}

// stretch is Argon2id for the impatient: it tells texts and salts apart.
func stretch(text string) seal.Stretch {
	return func(_ context.Context, k *seal.KDF) (*seal.Key, error) {
		key := seal.Key(wire.HashBody(append([]byte(text), k.Salt[:]...)))
		return &key, nil
	}
}

func TestKeys_passphrase(t *testing.T) {
	s := newSpace(t)
	ada, ctx := s.founded(), t.Context()
	set := func(by *Keys, text string) {
		t.Helper()
		make, err := SetPassphrase(ctx, s.name, stretch(text), nil, rand.Reader)
		s.must(err)
		s.change(make(ctx, by.Member))
		s.follow(ada.Member)
	}
	tablet, _ := s.device()
	s.wantCode(tablet.UnlockByPassphrase(ctx, s, stretch("none is set"), "", "tablet"), errcode.BadPassphrase)
	code, err := seal.NewRecoveryCode(rand.Reader)
	s.must(err)
	s.change(AddCode(code)(ctx, ada.Member))
	s.follow(ada.Member)
	set(ada, "the first")
	if e := ada.Standing().Epoch; e != 1 {
		t.Errorf("the first passphrase begins epoch %d", e)
	}
	set(ada, "the second") // in the place of the first, with a new key
	if e := ada.Standing(); e.Epoch != 2 || e.Members != 3 {
		t.Errorf("after the second: %+v", e)
	}
	s.write(ada.Member, writer, 1, "under the new key")

	s.wantCode(tablet.UnlockByPassphrase(ctx, s, stretch("the first"), "", "tablet"), errcode.BadPassphrase)
	lost := errcode.New(errcode.Closed, "test", "the page is gone")
	s.wantCode(tablet.UnlockByPassphrase(ctx, s, func(context.Context, *seal.KDF) (*seal.Key, error) {
		return nil, lost
	}, "", "tablet"), errcode.Closed)
	s.must(tablet.UnlockByPassphrase(ctx, s, stretch("the second"), "", "tablet"))
	s.follow(tablet.Member)
	s.change(tablet.Admission(ctx))
	s.follow(tablet.Member, ada.Member)
	s.write(tablet.Member, wire.ClientID{2}, 1, "from the tablet")
	set(tablet, "the third") // by another device of the same user
	s.follow(tablet.Member)
	if e := tablet.Standing(); e.Epoch != 3 || e.Members != 4 {
		t.Errorf("after the third: %+v", e)
	}
}

// A slot that needs both is opened by no half, and each half says what is missing.
func TestKeys_passphraseAndCode(t *testing.T) {
	s := newSpace(t)
	ada, ctx := s.founded(), t.Context()
	phrase := stretch("correct horse")
	code, err := seal.NewRecoveryCode(rand.Reader)
	s.must(err)
	make, err := SetPassphrase(ctx, s.name, phrase, &code, rand.Reader)
	s.must(err)
	s.change(make(ctx, ada.Member))
	s.follow(ada.Member)
	tablet, _ := s.device()
	other := seal.RecoveryCode{1}.String()
	mistyped := strings.Replace(code.String(), code.String()[:1], "Z", 1)
	for what, try := range map[string]struct {
		stretch    seal.Stretch // nil: by the code alone
		code, want string
		says       string
	}{
		"the code alone":       {nil, code.String(), errcode.BadCode, "needs that as well"},
		"the passphrase alone": {phrase, "", errcode.BadPassphrase, "needs that as well"},
		"another code":         {phrase, other, errcode.BadPassphrase, "one of the two is wrong"},
		"another passphrase":   {stretch("wrong horse"), code.String(), errcode.BadPassphrase, "one of the two is wrong"},
		"both are others":      {stretch("wrong horse"), other, errcode.BadPassphrase, "one of the two is wrong"},
		"the code is mistyped": {phrase, mistyped, errcode.BadCode, "a symbol is wrong"},
	} {
		err := tablet.Unlock(ctx, s, try.code, "tablet")
		if try.stretch != nil {
			err = tablet.UnlockByPassphrase(ctx, s, try.stretch, try.code, "tablet")
		}
		if errcode.Of(err) != try.want || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.must(tablet.UnlockByPassphrase(ctx, s, phrase, strings.ToLower(code.String()), "tablet"))
	s.follow(tablet.Member)
	s.change(tablet.Admission(ctx))
	s.follow(tablet.Member, ada.Member)

	// A passphrase alone takes its place, and the other way round: a user has one.
	for _, both := range []*seal.RecoveryCode{nil, &code} {
		make, err := SetPassphrase(ctx, s.name, stretch("the next horse"), both, rand.Reader)
		s.must(err)
		s.change(make(ctx, tablet.Member))
		s.follow(tablet.Member, ada.Member)
		if at := tablet.Standing(); at.Members != 3 {
			t.Errorf("there are %d members", at.Members)
		}
		late, _ := s.device()
		s.wantCode(late.UnlockByPassphrase(ctx, s, phrase, code.String(), "late"), errcode.BadPassphrase)
	}
}

// What a slot says that asks for too little, or for too much, is not computed: whoever
// answers in the server's place chooses it.
func TestKeys_maliciousSlot(t *testing.T) {
	code := seal.RecoveryCode{5}
	for _, kind := range []seal.SlotKind{seal.SlotPassphrase, seal.SlotBoth} {
		for _, kdf := range []seal.KDF{
			{Time: seal.LeastKDFTime - 1, Memory: seal.LeastKDFMemory},
			{Time: seal.LeastKDFTime, Memory: seal.LeastKDFMemory - 1},
			{Time: seal.MostKDFTime + 1, Memory: seal.LeastKDFMemory},
			{Time: seal.LeastKDFTime, Memory: seal.MostKDFMemory + 1},
			{Time: 1, Memory: 8},
		} {
			kdf.Salt[0] = 1
			s := newSpace(t)
			ada, ctx := s.founded(), t.Context()
			s.change(setPassphrase(seal.Slot{Kind: kind, KDF: &kdf}, &seal.Key{1})(ctx, ada.Member))
			typed := ""
			if kind.Code() {
				typed = code.String()
			}
			late, _ := s.device()
			s.wantCode(late.UnlockByPassphrase(ctx, s, func(context.Context, *seal.KDF) (*seal.Key, error) {
				t.Errorf("%+v is computed", kdf)
				return &seal.Key{1}, nil
			}, typed, "late"), errcode.BadPassphrase)
		}
	}
}

// What a device is told of an entry.
func TestMember_fates(t *testing.T) {
	s := newSpace(t)
	ada, ctx := s.founded(), t.Context()
	phone, _ := s.device()
	joined, invited := s.paired(ada, phone, "phone", s.alike)
	s.must(errors.Join(joined, invited))
	s.follow(phone.Member)

	body := []byte("sealed with the old key")
	old, err := phone.Sealed(ctx, writer, 1, pending(body))
	s.must(err)
	s.change(Remove()(ctx, ada.Member))
	s.append(writer, 1, old[0][0].Bytes) // no server does that
	all, err := s.pull(phone.Member)
	s.must(err)
	if o := all[1]; o.Fate != replica.FateAgain || o.Outcome != errcode.OldEpoch || string(o.Body) != string(body) {
		t.Errorf("got %+v", o)
	}
	if all[0].Fate != replica.FatePassed {
		t.Errorf("a Change is %+v", all[0])
	}
	s.follow(ada.Member)
	s.change(Remove(phone.ID())(ctx, ada.Member))
	s.follow(ada.Member)
	s.write(ada.Member, wire.ClientID{2}, 1, "after the removal")
	_, err = s.pull(phone.Member)
	s.wantCode(err, errcode.Removed)
	s.wantCode(phone.Check(), errcode.Removed)
	if phone.MayWrite() {
		t.Error("a removed device may write")
	}
}

// An entry that no honest server lets through stops a member there, and those before
// it count, wherever it stands among what comes at once.
func TestMember_stops(t *testing.T) {
	for name, lie := range map[string]struct {
		do   func(log []wire.Entry, at int)
		kind seal.Stop
	}{
		"a byte is altered": {func(log []wire.Entry, at int) {
			log[at].Body = slices.Clone(log[at].Body)
			log[at].Body[len(log[at].Body)-70] ^= 1
		}, seal.StopForged},
		"another author": {func(log []wire.Entry, at int) { log[at].Client = wire.ClientID{7} }, seal.StopForged},
		"one is left out": {func(log []wire.Entry, at int) {
			log[at].Counter, log[at].Body = log[at+1].Counter, log[at+1].Body
		}, seal.StopLink},
	} {
		for at := 1; at < 4; at++ {
			s := newSpace(t)
			ada := s.founded()
			for n := range uint64(4) {
				s.write(ada.Member, writer, n+1, "a text")
			}
			lie.do(s.log, at)
			log := s.log
			s.log = nil
			for _, e := range log {
				s.append(e.Client, e.Counter, e.Body)
			}
			all, err := s.pull(ada.Member)
			var why *client.Tampered
			if !errors.As(err, &why) || why.Kind != string(lie.kind) || why.Seq != uint64(at+1) || len(all) != at-1 {
				t.Errorf("%s, entry %d: got %d entries and %v", name, at+1, len(all), err)
			}
		}
	}
}
