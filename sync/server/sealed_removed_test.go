package server_test

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// changes makes the Changes of a founder's device, which are numbered from 2 on.
type changes struct {
	*sealer
	key    seal.Key // of the epoch; the server cannot tell
	newest seal.Hash
	prev   seal.Hash
	count  uint64
}

// change pushes a Change that is taken.
func (c *changes) change(m *seal.Change) {
	c.h.t.Helper()
	id := seal.DeviceID(c.id.Public())
	m.Prev = c.newest
	s := &seal.Sealed{Kind: seal.KindMembers, Device: id, Prev: c.prev, Epoch: 1, Seen: c.head, Box: m.Marshal()}
	place := seal.Place{Anchor: c.anchor, Client: id.Members(), Counter: c.count + 1}
	var err error
	if s.Signature, err = c.id.Sign(context.Background(), s.Statement(place)); err != nil {
		c.h.t.Fatal(err)
	}
	ok(c.h, c.push(place.Client, place.Counter, s.Marshal()), wire.UnmarshalPushResponse)
	c.newest, c.prev, c.count = seal.HashChange(s.Box), s.Digest(place), place.Counter
	c.pull()
}

func (c *changes) must(err error) {
	c.h.t.Helper()
	if err != nil {
		c.h.t.Fatal(err)
	}
}

// admit adds a device, and returns it.
func (c *changes) admit() *sealer {
	c.h.t.Helper()
	ctx := context.Background()
	other := &sealer{h: c.h, anchor: c.anchor, client: wire.ClientID{8}, next: 1}
	var err error
	other.id, err = native.Suite{}.NewIdentity(ctx)
	c.must(err)
	d := seal.Device{Role: seal.RoleWrite, User: seal.ID{1}}
	d.Sign, d.Box = other.id.Public()
	c.must(d.SealName(c.anchor, &c.key, 1, "phone", rand.Reader))
	d.Proof, err = other.id.Sign(ctx, d.ProofStatement(c.anchor))
	c.must(err)
	c.change(&seal.Change{Add: []seal.Device{d}, Wrap: []seal.Wrap{{ID: d.ID(), HPKE: [seal.WrapSize]byte{1}}}})
	other.head = c.head
	return other
}

// remove removes a device, with a new key for the founder's.
func (c *changes) remove(id seal.ID) {
	c.h.t.Helper()
	next := seal.Key{2}
	e := &seal.Epoch{Number: 2, Commit: next.Commit(c.anchor, 2),
		Wrap: []seal.Wrap{{ID: seal.DeviceID(c.id.Public()), HPKE: [seal.WrapSize]byte{1}}}}
	c.must(e.SealBefore(c.anchor, &next, &c.key, rand.Reader))
	c.change(&seal.Change{Remove: []seal.ID{id}, Epoch: e})
}

// follow opens a stream that stays open, and returns it where it has caught up.
func (s *sealer) follow(t *testing.T) *wire.FrameReader {
	t.Helper()
	req := (&wire.PullRequest{Client: s.client}).Marshal()
	first := s.h.post("s", "pull", req)
	s.h.refused(first, 403, errcode.Unproved)
	res := s.h.post("s", "pull", req, "Heddle-Device", s.proof(first.Header.Get("Heddle-Challenge"), "pull"))
	if res.StatusCode != http.StatusOK {
		t.Fatalf("got %d", res.StatusCode)
	}
	t.Cleanup(func() { res.Body.Close() })
	frames := wire.NewFrameReader(res.Body)
	next(t, frames, nil, func(f *wire.Frame) bool { return f.CaughtUp != nil })
	return frames
}

// A removed device's stream ends with the entry that removes it, at once: nothing waits for a clock, or the test's
// would have moved. What comes behind that entry it does not get, whether it reads in time or not; others go on.
func TestSealed_removalEndsStreams(t *testing.T) {
	for name, late := range map[string]bool{"while it waits": false, "while it is behind": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testRemovalEndsStreams(t, late) }) })
	}
}

func testRemovalEndsStreams(t *testing.T, late bool) {
	h := startInMemory(t, nil)
	founder := found(h)
	first, err := seal.UnmarshalSealed(founder.pull()[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	members := seal.DeviceID(founder.id.Public()).Members()
	c := &changes{sealer: founder, key: seal.Key{1}, newest: seal.HashChange(first.Box), count: 1,
		prev: first.Digest(seal.Place{Anchor: founder.anchor, Client: members, Counter: 1})}
	phone := c.admit()
	gone, stays := phone.follow(t), founder.follow(t)
	synctest.Wait()
	began := time.Now()
	c.remove(seal.DeviceID(phone.id.Public()))
	removal := c.head.Seq
	writes := func() {
		body := founder.data(func(d *seal.Sealed, _ *seal.Place) { d.Epoch = 2 })
		ok(h, founder.push(founder.client, founder.next, body), wire.UnmarshalPushResponse)
		founder.taken(body)
		founder.pull()
	}
	if late { // the stream is sent nothing before its reader takes what there is
		writes()
	}
	var last *wire.Frame
	seq := uint64(0)
	for {
		f, err := gone.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if last = f; len(f.Entries) > 0 {
			seq = f.Entries[len(f.Entries)-1].Seq
		}
	}
	if seq != removal || last.Error == nil || last.Error.Code != errcode.Removed {
		t.Errorf("the stream ended behind entry %d with %+v, want %d and HEDDLE_REMOVED", seq, last, removal)
	}
	if waited := time.Since(began); waited != 0 {
		t.Errorf("the stream ended %v later: something has waited", waited)
	}
	if !late {
		writes()
	}
	next(t, stays, nil, func(f *wire.Frame) bool {
		n := len(f.Entries)
		return n > 0 && f.Entries[n-1].Seq == removal+1
	})
	phone.h.refused(phone.ask(), 403, errcode.Removed)
}
