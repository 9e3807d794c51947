package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// soon lets a device tell one head after the other.
func soon(o *server.Options) { o.Limits.Heads = time.Nanosecond }

// tells returns a head of the device at its log's end, as change leaves it.
func (s *sealer) tells(n uint64, change func(*seal.Head)) []byte {
	s.h.t.Helper()
	h := &seal.Head{Device: seal.DeviceID(s.id.Public()), N: n, At: s.head, Digest: seal.Hash{1}}
	if change != nil {
		change(h)
	}
	var err error
	if h.Signature, err = s.id.Sign(context.Background(), h.Statement(s.anchor)); err != nil {
		s.h.t.Fatal(err)
	}
	return h.Marshal()
}

func (s *sealer) tell(head []byte) *http.Response { return s.h.post("s", "heads", head) }

// told demands that a head is taken.
func (s *sealer) told(head []byte) {
	s.h.t.Helper()
	ok(s.h, s.tell(head), func(data []byte) (*int, error) { return new(int), nil })
}

// stream opens a stream of the log, and returns what it tells of heads.
func (s *sealer) stream() *headStream {
	s.h.t.Helper()
	req := (&wire.PullRequest{Client: wire.ClientID{9}}).Marshal()
	first := s.h.post("s", "pull", req)
	s.h.refused(first, 403, errcode.Unproved)
	res := s.h.post("s", "pull", req, "Heddle-Device", s.proof(first.Header.Get("Heddle-Challenge"), "pull"))
	s.h.t.Cleanup(func() { res.Body.Close() })
	return &headStream{s.h.t, wire.NewFrameReader(res.Body), res.Body, 0}
}

type headStream struct {
	t      testing.TB
	frames *wire.FrameReader
	io.Closer
	entries int // that came before
}

// next waits for the next heads.
func (s *headStream) next() [][]byte {
	s.t.Helper()
	for {
		f, err := s.frames.Next()
		if err != nil || f.Error != nil {
			s.t.Fatalf("the stream has ended: %v, %+v", err, f)
		}
		if s.entries += len(f.Entries); len(f.Heads) > 0 {
			return f.Heads
		}
	}
}

func (s *headStream) wants(heads ...[]byte) {
	s.t.Helper()
	got := s.next()
	if len(got) != len(heads) {
		s.t.Fatalf("got %d heads, want %d", len(got), len(heads))
	}
	for i := range got {
		if !bytes.Equal(got[i], heads[i]) {
			s.t.Errorf("head %d is another one", i)
		}
	}
}

// What a device tells comes to all streams, of every server over the store, and first of all to who connects later.
func TestHeads(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			h, other := over(t, store, soon), over(t, store, soon)
			s := found(h)
			here := s.stream()
			s.h = other
			there := s.stream()
			s.h = h
			first := s.tells(1, nil)
			s.told(first)
			here.wants(first)
			there.wants(first)
			s.write()
			second := s.tells(2, nil)
			s.told(second)
			here.wants(second)
			there.wants(second)
			s.h = other
			later := s.stream()
			if later.wants(second); later.entries > 0 {
				t.Error("the log comes before the heads")
			}
		})
	}
}

// A head that would stop a replica which follows this log is not taken, nor one of somebody else.
func TestHeads_refuses(t *testing.T) {
	h := start(t, soon)
	s := found(h)
	s.write()
	past := s.head
	s.write()
	s.told(s.tells(5, nil))
	strange := &sealer{h: h, anchor: s.anchor, head: s.head}
	var err error
	if strange.id, err = (native.Suite{}).NewIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	elsewhere := &sealer{h: h, id: s.id, anchor: seal.Anchor{1}, head: s.head}
	for name, test := range map[string]struct {
		head   []byte
		status int
		code   string
	}{
		"nothing":          {nil, 400, errcode.Protocol},
		"too long":         {make([]byte, seal.MaxHead+1), 400, errcode.Protocol},
		"a number again":   {s.tells(5, nil), 409, errcode.Behind},
		"another chain":    {s.tells(6, func(h *seal.Head) { h.At.Chain[0]++ }), 409, errcode.Diverged},
		"ahead of the log": {s.tells(6, func(h *seal.Head) { h.At.Seq++ }), 409, errcode.Diverged},
		"behind its last":  {s.tells(6, func(h *seal.Head) { h.At = past }), 409, errcode.Diverged},
		"what it follows":  {s.tells(6, func(h *seal.Head) { h.Left = []seal.Position{past} }), 409, errcode.Diverged},
		"a stranger's":     {strange.tells(6, nil), 403, errcode.NotMember},
		"in another's name": {strange.tells(6, func(h *seal.Head) { h.Device = seal.DeviceID(s.id.Public()) }), 400,
			errcode.Protocol},
		"of another space":   {elsewhere.tells(6, nil), 400, errcode.Protocol},
		"in a plain request": {(&wire.PushRequest{}).Marshal(), 400, errcode.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(s.tell(test.head), test.status, test.code)
		})
	}
	h.t = t
	a := newAuthor(h, "plain", 1)
	a.push(a.write(body("x", "1"))...)
	h.refused(h.post("plain", "heads", s.tells(6, nil)), 409, errcode.Sealed)
	h.restart() // what was told is known from the store
	h.refused(s.tell(s.tells(5, nil)), 409, errcode.Behind)
	s.told(s.tells(6, func(h *seal.Head) { h.Left = []seal.Position{{Seq: past.Seq, Chain: seal.Hash{1}}} }))
}

func TestHeads_oneAtATime(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Heads = time.Hour })
	s := found(h)
	s.told(s.tells(1, nil))
	h.refused(s.tell(s.tells(2, nil)), 429, errcode.RateLimited)
}

// An entry that a member has told to have left would stop each replica that takes it: sealed anew it is another one.
func TestHeads_whatWasLeft(t *testing.T) {
	h := start(t, soon)
	s := found(h)
	body := s.data(nil)
	e := wire.Entry{Seq: s.head.Seq + 1, Client: s.client, Counter: s.next, BodyHash: wire.HashBody(body), Body: body}
	e.Chain = e.ChainAfter(s.head.Chain)
	s.told(s.tells(1, func(h *seal.Head) { h.Left = []seal.Position{{Seq: e.Seq, Chain: e.Chain}} }))
	for range 2 {
		h.refused(s.push(s.client, s.next, body), 409, errcode.Stale)
		h.restart() // also where the head is read from the store
	}
	s.write()
}
