package server_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// sealer is a device of a sealed space as far as the wire goes: it seals by hand, so
// that it can seal wrongly.
type sealer struct {
	h      *harness
	id     seal.Identity
	anchor seal.Anchor
	client wire.ClientID
	last   seal.Hash
	next   uint64
	head   seal.Position
	newest seal.Hash // the Change
}

// found makes a sealed space "s" whose founder it returns.
func found(h *harness) *sealer {
	h.t.Helper()
	ctx := context.Background()
	id, err := native.Suite{}.NewIdentity(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	f, err := member.Found(ctx, native.Suite{}, id, "s", "laptop", rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &sealer{h: h, id: id, anchor: f.Anchor, client: wire.ClientID{7}, next: 1}
	first, err := seal.UnmarshalSealed(f.First.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	s.newest = seal.HashChange(first.Box)
	ok(h, s.push(f.First.Client, f.First.Counter, f.First.Body), wire.UnmarshalPushResponse)
	s.pull()
	return s
}

func (s *sealer) push(client wire.ClientID, counter uint64, body []byte) *http.Response {
	s.h.t.Helper()
	return s.h.post("s", "push", (&wire.PushRequest{Client: client, Parts: wire.SplitBody(counter, body)}).Marshal())
}

// pull reads where the log is.
func (s *sealer) pull() []wire.Entry {
	s.h.t.Helper()
	res := s.ask()
	defer res.Body.Close()
	var all []wire.Entry
	for frames := wire.NewFrameReader(res.Body); ; {
		f, err := frames.Next()
		if err != nil {
			break
		}
		all = append(all, f.Entries...)
	}
	if n := len(all); n > 0 {
		s.head = seal.Position{Seq: all[n-1].Seq, Chain: all[n-1].Chain}
	}
	return all
}

// ask asks for the log, with a proof that a member does.
func (s *sealer) ask() *http.Response {
	s.h.t.Helper()
	req := (&wire.PullRequest{Client: wire.ClientID{9}}).Marshal()
	first := s.h.post("s", "pull?wait=0", req)
	s.h.refused(first, 403, errcode.Unproved)
	return s.h.post("s", "pull?wait=0", req, "Heddle-Device", s.proof(first.Header.Get("Heddle-Challenge"), "pull"))
}

func (s *sealer) proof(challenge, action string) string {
	s.h.t.Helper()
	c, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil {
		s.h.t.Fatal(err)
	}
	signature, err := s.id.Sign(context.Background(), seal.RequestStatement(s.anchor, c, action))
	if err != nil {
		s.h.t.Fatal(err)
	}
	id := seal.DeviceID(s.id.Public())
	return base64.RawURLEncoding.EncodeToString(slices.Concat(id[:], c, signature[:]))
}

// taken notes that the log has what was pushed last.
func (s *sealer) taken(body []byte) {
	s.h.t.Helper()
	d, err := seal.UnmarshalSealed(body)
	if err != nil {
		s.h.t.Fatal(err)
	}
	s.last = d.Digest(seal.Place{Anchor: s.anchor, Client: s.client, Counter: s.next})
	s.next++
}

// data seals a transaction as change leaves it.
func (s *sealer) data(change func(*seal.Sealed, *seal.Place)) []byte {
	s.h.t.Helper()
	return s.sealed([]byte("a text"), change)
}

// sealed seals a content.
func (s *sealer) sealed(content []byte, change func(*seal.Sealed, *seal.Place)) []byte {
	s.h.t.Helper()
	d := &seal.Sealed{Kind: seal.KindData, Device: seal.DeviceID(s.id.Public()), Prev: s.last, Epoch: 1, Seen: s.head}
	place := seal.Place{Anchor: s.anchor, Client: s.client, Counter: s.next}
	if change != nil {
		change(d, &place)
	}
	key := seal.Key{1} // the server cannot tell
	if err := d.Encrypt(place, &key, content, true, rand.Reader); err != nil {
		s.h.t.Fatal(err)
	}
	var err error
	if d.Signature, err = s.id.Sign(context.Background(), d.Statement(place)); err != nil {
		s.h.t.Fatal(err)
	}
	return d.Marshal()
}

// write pushes a transaction that is taken.
func (s *sealer) write() {
	s.h.t.Helper()
	body := s.data(nil)
	r := ok(s.h, s.push(s.client, s.next, body), wire.UnmarshalPushResponse)
	if r.Decided != s.next {
		s.h.t.Fatalf("got %+v, want %d decided", r, s.next)
	}
	s.taken(body)
	s.pull()
}

// What is refused has not happened: the log ends where it did, also after the server
// has read it anew.
func TestSealed_refuses(t *testing.T) {
	h := start(t, nil)
	s := found(h)
	s.write()
	other, err := native.Suite{}.NewIdentity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	garbled := s.data(nil)
	garbled[len(garbled)-70]++ // in the box
	plain := (&wire.Body{}).Marshal()
	forger := &sealer{h: h, id: other, anchor: s.anchor, client: s.client, next: s.next, last: s.last, head: s.head}
	tests := map[string]struct {
		body   []byte
		status int
		code   string
	}{
		"a plain body":       {plain, 409, errcode.Sealed},
		"an altered box":     {garbled, 400, errcode.Protocol},
		"another one before": {s.data(func(d *seal.Sealed, _ *seal.Place) { d.Prev[0]++ }), 400, errcode.Protocol},
		"another history":    {s.data(func(d *seal.Sealed, _ *seal.Place) { d.Seen.Chain[0]++ }), 400, errcode.Protocol},
		"a later position":   {s.data(func(d *seal.Sealed, _ *seal.Place) { d.Seen.Seq += 9 }), 400, errcode.Protocol},
		"another epoch":      {s.data(func(d *seal.Sealed, _ *seal.Place) { d.Epoch = 2 }), 409, errcode.OldEpoch},
		"another space":      {s.data(func(_ *seal.Sealed, p *seal.Place) { p.Anchor[0]++ }), 400, errcode.Protocol},
		"another client's":   {s.data(func(_ *seal.Sealed, p *seal.Place) { p.Client[0]++ }), 400, errcode.Protocol},
		"another counter":    {s.data(func(_ *seal.Sealed, p *seal.Place) { p.Counter++ }), 400, errcode.Protocol},
		"another's signature": {forger.data(func(d *seal.Sealed, _ *seal.Place) { d.Device = seal.DeviceID(s.id.Public()) }),
			400, errcode.Protocol},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(s.push(s.client, s.next, test.body), test.status, test.code)
			if n := len(s.pull()); n != 2 {
				t.Errorf("the log has %d entries, want 2", n)
			}
		})
	}
	h.t = t
	stranger := &sealer{h: h, id: other, anchor: s.anchor, client: wire.ClientID{8}, next: 1, head: s.head}
	h.refused(stranger.push(stranger.client, 1, stranger.data(nil)), 403, errcode.NotMember)
	h.refused(h.post("s", "pull?wait=0", (&wire.PullRequest{Client: wire.ClientID{9}, Snapshots: true}).Marshal()), 409,
		errcode.Sealed)
	h.restart()
	h.refused(s.push(s.client, s.next, tests["another one before"].body), 400, errcode.Protocol)
	s.write()
	if n := len(s.pull()); n != 3 {
		t.Errorf("the log has %d entries, want 3", n)
	}
}

// Of a request, what comes before a refused transaction is decided.
func TestSealed_refusesTheRest(t *testing.T) {
	h := start(t, nil)
	s := found(h)
	first := s.data(nil)
	s.taken(first)
	second := s.data(func(d *seal.Sealed, _ *seal.Place) { d.Epoch = 9 })
	r := ok(h, h.post("s", "push", (&wire.PushRequest{Client: s.client,
		Parts: append(wire.SplitBody(1, first), wire.SplitBody(2, second)...)}).Marshal()), wire.UnmarshalPushResponse)
	if r.Decided != 1 || r.Head != 2 {
		t.Errorf("got %+v, want 1 decided", r)
	}
	h.refused(s.push(s.client, 2, second), 409, errcode.OldEpoch)
	s.pull()
	s.write()
}

func TestSealed_takesNothingInAPlainSpace(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("x", "1"))...)
	s := &sealer{h: h, client: wire.ClientID{7}, next: 1}
	var err error
	if s.id, err = (native.Suite{}).NewIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.refused(s.push(s.client, 1, s.data(nil)), 409, errcode.Sealed)
	res := h.do("GET", "/v1/spaces/s/members", nil)
	if f := membersOf(h, res); len(f) != 0 {
		t.Errorf("a plain space has %d Changes", len(f))
	}
}

// Neither does the log of a sealed space get shorter.
func TestSealed_isNotCut(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Log = 1 })
	s := found(h)
	for range 5 {
		s.write()
	}
	if all := s.pull(); len(all) != 6 || all[0].Seq != 1 {
		t.Errorf("the log has %d entries, want 6", len(all))
	}
	if f := membersOf(h, h.do("GET", "/v1/spaces/s/members", nil)); len(f) != 1 || f[0].Seq != 1 {
		t.Errorf("got the Changes %v, want that of entry 1", f)
	}
}

func membersOf(h *harness, res *http.Response) (all []wire.Entry) {
	h.t.Helper()
	defer res.Body.Close()
	for frames := wire.NewFrameReader(res.Body); ; {
		f, err := frames.Next()
		if err != nil {
			h.t.Fatal(err)
		}
		if all = append(all, f.Entries...); f.CaughtUp != nil {
			return all
		}
	}
}

// The app's rule on a server sees who writes, and how much. What it refuses keeps its
// seal, so that its author can tell which one it was.
func TestSealed_decide(t *testing.T) {
	var seen server.SealedDecision
	h := start(t, func(o *server.Options) {
		o.Decide = func(_ context.Context, d *server.Decision) error {
			seen = *d.Sealed
			return errcode.New("QUOTA", "app", "too much")
		}
	})
	s := found(h)
	s.write()
	all := s.pull()
	if e := all[1]; e.Outcome != "QUOTA" || wire.HashBody(e.Body) != e.BodyHash {
		t.Errorf("got %q with %d bytes, want QUOTA with the Sealed", e.Outcome, len(e.Body))
	}
	if seen.Device != seal.DeviceID(s.id.Public()) || seen.Size == 0 {
		t.Errorf("the rule has seen %+v", seen)
	}
	h.restart()
	s.write() // which follows the void one
}

// Only a member's device reads the log, and shows each time that it is one.
func TestSealed_proof(t *testing.T) {
	h := start(t, nil)
	s := found(h)
	other := &sealer{h: h, anchor: s.anchor}
	var err error
	if other.id, err = (native.Suite{}).NewIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	req := (&wire.PullRequest{Client: wire.ClientID{9}}).Marshal()
	challenge := h.post("s", "pull?wait=0", req).Header.Get("Heddle-Challenge")
	altered := "A" + challenge[1:] + "A"
	if challenge[0] == 'A' {
		altered = "B" + challenge[1:]
	}
	forged := &sealer{h: h, id: other.id, anchor: s.anchor}
	stolen, _ := base64.RawURLEncoding.DecodeString(forged.proof(challenge, "pull"))
	id := seal.DeviceID(s.id.Public())
	copy(stolen, id[:])
	for name, test := range map[string]struct{ proof, code string }{
		"none":              {"", errcode.Unproved},
		"garbage":           {"!", errcode.Unproved},
		"another action":    {s.proof(challenge, "push"), errcode.Unproved},
		"another challenge": {s.proof(altered[:len(challenge)], "pull"), errcode.Unproved},
		"another space": {(&sealer{h: h, id: s.id, anchor: seal.Anchor{1}}).proof(challenge, "pull"),
			errcode.Unproved},
		"a stranger":        {other.proof(challenge, "pull"), errcode.NotMember},
		"in another's name": {base64.RawURLEncoding.EncodeToString(stolen), errcode.Unproved},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(h.post("s", "pull?wait=0", req, "Heddle-Device", test.proof), 403, test.code)
		})
	}
	h.t = t
	for range 2 {
		res := h.post("s", "pull?wait=0", req, "Heddle-Device", s.proof(challenge, "pull"))
		if res.Body.Close(); res.StatusCode != 200 {
			t.Errorf("got %d, want 200", res.StatusCode)
		}
		h.restart() // another server over the store takes it as well
	}
}

var _ client.Sealer = (*member.Member)(nil)

// A server whose memory of a sealed space is old refuses nothing by it: a transaction
// that has seen more of the log than the server is judged on the log as it is.
func TestSealed_oldMemory(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			inner := open(t)
			deaf := &storetest.Faulty{Store: inner, Lose: func(logstore.Hint) bool { return true },
				Fault: func(context.Context, string, bool) error { return nil }}
			old, other := over(t, deaf, nil), over(t, inner, nil)
			s := found(old)
			s.write()
			second := *s
			second.client, second.next, second.last = wire.ClientID{8}, 1, seal.Hash{}
			second.write() // the old server knows both by now
			s.h = other
			for range 3 {
				s.write()
			}
			second.head = s.head // what the old server has not seen
			second.write()
			s.pull()
			s.write()
			if all := s.pull(); len(all) != 8 {
				t.Errorf("the log has %d entries", len(all))
			}
		})
	}
}
