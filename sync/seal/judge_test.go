package seal_test

import (
	"bytes"
	"context"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// The model judges whole histories beside this package: model's
// TestSeal_judgesAsTheModel. Here is what it has no words for.

// founder is device 10, the admin of a space, with its log.
type founder struct {
	t      testing.TB
	id     seal.Identity
	device seal.Device
	anchor seal.Anchor
	key    seal.Key
	log    *seal.Log
	client wire.ClientID
	last   seal.Hash // of the device's last Change, as a Sealed
	first  *wire.Entry
}

var checks = seal.Checks{Valid: func(c seal.Claim) bool {
	is, err := suite.Verify(context.Background(), []seal.Claim{c})
	return err == nil && is[0]
}}

func newFounder(t testing.TB) *founder {
	f := &founder{t: t, id: identity(t, 10), key: fill[[32]byte](40), client: wire.ClientID{7}}
	random := fill[seal.Hash](41)
	f.device = seal.Device{Role: seal.RoleAdmin, User: fill[seal.ID](42)}
	f.device.Sign, f.device.Box = f.id.Public()
	f.anchor = seal.AnchorOf(space, random, f.device.Sign)
	f.log = seal.NewLog(space, f.anchor, seal.Window)
	f.join(&f.device, f.id)
	e := f.members(&seal.Change{Random: random, Add: []seal.Device{f.device}, Epoch: &seal.Epoch{Number: 1,
		Commit: f.key.Commit(f.anchor, 1), Wrap: f.wraps(f.device.ID())}}, 1)
	f.append(e)
	f.first = e
	return f
}

// join makes a device ready to be added to f's space.
func (f *founder) join(d *seal.Device, id seal.Identity) {
	f.t.Helper()
	must(f.t, d.SealName(f.anchor, &f.key, 1, "Laptop", stream(43)))
	d.Proof = sign(f.t, id, d.ProofStatement(f.anchor))
}

func (f *founder) wraps(ids ...seal.ID) (all []seal.Wrap) {
	for _, id := range ids {
		all = append(all, seal.Wrap{ID: id, HPKE: [seal.WrapSize]byte{1}})
	}
	return all
}

func (f *founder) members(c *seal.Change, counter uint64) *wire.Entry {
	return f.entry(f.device.ID().Members(), counter, &seal.Sealed{Kind: seal.KindMembers, Box: c.Marshal()})
}

// entry signs s and makes it the log's next one.
func (f *founder) entry(client wire.ClientID, counter uint64, s *seal.Sealed) *wire.Entry {
	s.Device, s.Epoch, s.Seen = f.device.ID(), 1, f.log.Head()
	place := seal.Place{Anchor: f.anchor, Client: client, Counter: counter}
	if s.Kind == seal.KindData {
		must(f.t, s.Encrypt(place, &f.key, []byte("a text"), true, stream(44)))
	} else if counter > 1 {
		s.Prev = f.last
	}
	s.Signature = sign(f.t, f.id, s.Statement(place))
	return f.next(client, counter, s.Marshal())
}

func (f *founder) next(client wire.ClientID, counter uint64, body []byte) *wire.Entry {
	e := &wire.Entry{Seq: f.log.Head().Seq + 1, Client: client, Counter: counter, Body: body,
		BodyHash: wire.HashBody(body)}
	e.Chain = e.ChainAfter(f.log.Head().Chain)
	return e
}

func (f *founder) append(e *wire.Entry) {
	f.t.Helper()
	v := f.log.Judge(e, checks)
	if v.Stop != "" || v.Code != "" {
		f.t.Fatalf("the entry is %+v", v)
	}
	f.log.Append(e, v)
	if e.Client == f.device.ID().Members() {
		_, f.last = f.log.Client(e.Client)
	}
}

func TestLog_open(t *testing.T) {
	f := newFounder(t)
	e := f.entry(f.client, 1, &seal.Sealed{Kind: seal.KindData})
	if v := f.log.Judge(e, checks); v.Stop != "" || v.Code != "" || v.Body != nil {
		t.Errorf("a server judges %+v", v)
	}
	with := checks
	with.Open = func(s *seal.Sealed, p seal.Place) ([]byte, error) { return s.Decrypt(p, &f.key) }
	if v := f.log.Judge(e, with); v.Stop != "" || v.Code != "" || !bytes.Equal(v.Body, []byte("a text")) {
		t.Errorf("a member judges %+v", v)
	}
	other := seal.Key{1}
	with.Open = func(s *seal.Sealed, p seal.Place) ([]byte, error) { return s.Decrypt(p, &other) }
	if v := f.log.Judge(e, with); v.Code != errcode.BadSeal || !v.Counted {
		t.Errorf("with another key it is %+v", v)
	}
	with.Open = func(*seal.Sealed, seal.Place) ([]byte, error) { return nil, seal.ErrNoKey }
	if v := f.log.Judge(e, with); v.Stop != seal.StopKeys || v.Counted {
		t.Errorf("without a key it is %+v", v)
	}
}

func TestLog_malformed(t *testing.T) {
	f := newFounder(t)
	for name, body := range map[string][]byte{"nothing": nil, "a plain body": {0x1a, 0}, "noise": {8, 1, 2}} {
		if v := f.log.Judge(f.next(f.client, 1, body), checks); v.Stop != seal.StopForged {
			t.Errorf("%s is %+v", name, v)
		}
	}
	garbage := f.entry(f.device.ID().Members(), 1, &seal.Sealed{Kind: seal.KindMembers, Box: []byte("no Change")})
	if v := seal.NewLog(space, f.anchor, seal.Window).Judge(garbage, checks); v.Stop == "" {
		t.Errorf("a log that begins with no Change is %+v", v)
	}
}

func TestLog_anchor(t *testing.T) {
	f := newFounder(t)
	first := seal.NewLog(space, seal.Anchor{1}, seal.Window)
	f.log = seal.NewLog(space, f.anchor, seal.Window)
	e := f.members(&seal.Change{Random: fill[seal.Hash](41), Add: []seal.Device{f.device}, Epoch: &seal.Epoch{Number: 1,
		Commit: f.key.Commit(f.anchor, 1), Wrap: f.wraps(f.device.ID())}}, 1)
	if v := first.Judge(e, checks); v.Stop != seal.StopAnchor {
		t.Errorf("another anchor: %+v", v)
	}
	if v := seal.NewLog("work", seal.Anchor{}, seal.Window).Judge(e, checks); v.Stop != seal.StopForged {
		t.Errorf("another space: %+v", v)
	}
	server := seal.NewLog(space, seal.Anchor{}, seal.Window)
	v := server.Judge(e, checks)
	if v.Stop != "" || v.Code != "" {
		t.Fatalf("a server that has no anchor yet: %+v", v)
	}
	server.Append(e, v)
	if m, is := server.Member(f.device.ID()); !is || m.Role != seal.RoleAdmin {
		t.Errorf("the founder is %+v, %v", m, is)
	}
	if n, commit := server.Epoch(); n != 1 || commit != f.key.Commit(f.anchor, 1) {
		t.Errorf("the epoch is %d, %x", n, commit)
	}
	f.log = server
	f.append(f.entry(f.client, 1, &seal.Sealed{Kind: seal.KindData})) // it has learned the anchor
}

// TestLog_proof: nobody adds a device with a key that the device has not got.
func TestLog_proof(t *testing.T) {
	f := newFounder(t)
	other := seal.Device{Role: seal.RoleRead, User: fill[seal.ID](45)}
	other.Sign, other.Box = identity(t, 11).Public()
	f.join(&other, identity(t, 11))
	c := &seal.Change{Prev: f.log.Newest(), Add: []seal.Device{other}, Wrap: f.wraps(other.ID())}
	before := f.log.Clone()
	for name, alter := range map[string]func(d *seal.Device){
		"":                         func(*seal.Device) {},
		"another device's proof":   func(d *seal.Device) { d.Proof = f.device.Proof },
		"a proof of another role":  func(d *seal.Device) { d.Role = seal.RoleAdmin },
		"a proof of another user":  func(d *seal.Device) { d.User[0] ^= 1 },
		"a proof of another name":  func(d *seal.Device) { d.Name = append([]byte{d.Name[0] ^ 1}, d.Name[1:]...) },
		"a proof in another space": func(d *seal.Device) { d.Proof = sign(t, identity(t, 11), d.ProofStatement(anchor)) },
	} {
		f.log = before.Clone()
		changed := *c
		changed.Add = []seal.Device{other}
		alter(&changed.Add[0])
		want := errcode.NotAllowed
		if name == "" {
			want = ""
		}
		if v := f.log.Judge(f.members(&changed, 2), checks); v.Stop != "" || v.Code != want {
			t.Errorf("%q: %+v, want code %q", name, v, want)
		}
	}
	f.log = before.Clone()
	f.append(f.members(c, 2))
	if f.log.Members() != 2 || before.Members() != 1 {
		t.Errorf("%d members, and %d in the log of before", f.log.Members(), before.Members())
	}
}

// TestLog_window: what is kept of the past is bounded, and is as much as judging needs.
func TestLog_window(t *testing.T) {
	const window = 4
	f := newFounder(t)
	f.log = seal.NewLog(space, f.anchor, window)
	f.append(f.members(&seal.Change{Random: fill[seal.Hash](41), Add: []seal.Device{f.device},
		Epoch: &seal.Epoch{Number: 1, Commit: f.key.Commit(f.anchor, 1), Wrap: f.wraps(f.device.ID())}}, 1))
	var heads []seal.Position
	for i := range byte(20) {
		heads = append(heads, f.log.Head())
		e := f.entry(wire.ClientID{50, i}, 1, &seal.Sealed{Kind: seal.KindData})
		f.append(e)
		for back := range min(len(heads), 8) {
			at := heads[len(heads)-1-back]
			s := &seal.Sealed{Kind: seal.KindData, Device: f.device.ID(), Epoch: 1, Seen: at}
			place := seal.Place{Anchor: f.anchor, Client: wire.ClientID{51, i}, Counter: 1}
			must(t, s.Encrypt(place, &f.key, nil, true, stream(1)))
			judge := func() seal.Verdict {
				s.Signature = sign(t, f.id, s.Statement(place))
				return f.log.Judge(f.next(place.Client, 1, s.Marshal()), checks)
			}
			// The next entry is back+2 behind at.
			want := ""
			if back+2 > window {
				want = errcode.Stale
			}
			if v := judge(); v.Stop != "" || v.Code != want {
				t.Fatalf("having seen %d entries back it is %+v, want code %q", back+2, v, want)
			}
			s.Seen.Chain[0] ^= 1
			must(t, s.Encrypt(place, &f.key, nil, true, stream(1)))
			if v := judge(); want == "" && v.Stop != seal.StopFork || want != "" && v.Code != want {
				t.Fatalf("having seen another history %d entries back it is %+v", back+2, v)
			}
		}
	}
}

// What is taken back was never there: the log judges as before, and as one that was
// restored from what is saved.
func TestLog_rollback(t *testing.T) {
	f := newFounder(t)
	f.log.Keep()
	before := f.log.Clone()
	first := f.entry(f.client, 1, &seal.Sealed{Kind: seal.KindData})
	f.append(first)
	d := seal.Device{Role: seal.RoleWrite, User: fill[seal.ID](45)}
	id := identity(t, 46)
	d.Sign, d.Box = id.Public()
	f.join(&d, id)
	second := f.members(&seal.Change{Prev: f.log.Newest(), Add: []seal.Device{d}, Wrap: f.wraps(d.ID())}, 2)
	f.append(second)
	if _, is := f.log.Member(d.ID()); !is || f.log.Head().Seq != 3 || len(f.log.Touched()) != 3 {
		t.Fatal("the second device is not added")
	}
	f.log.Rollback(2)
	if _, is := f.log.Member(d.ID()); is || f.log.Head().Seq != 2 {
		t.Error("a Change that was taken back counts")
	}
	f.append(second)
	f.log.Rollback(0)
	if f.log.Head() != before.Head() || f.log.Newest() != before.Newest() || f.log.Anchor() != before.Anchor() {
		t.Error("the log is not the one of Keep")
	}
	if n, _ := f.log.Client(f.client); n != 0 {
		t.Error("a client that was taken back is known")
	}
	f.append(first)
	f.append(second)
	f.log.Keep()
	f.log.Rollback(0)
	if f.log.Head().Seq != 3 || f.log.Touched() != nil {
		t.Error("what was kept was taken back")
	}
}
