package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// small has the server ask for snapshots soon, and cut the log nearly whole.
func small(o *server.Options) {
	soon(o)
	o.Limits.SealedKept, o.Limits.SealedEntries = 4, 10
}

var spaceKey = seal.Key{1} // the server cannot tell

// proving sends a request with a proof that a member does.
func (s *sealer) proving(method, action string, body []byte) *http.Response {
	s.h.t.Helper()
	path := "/v1/spaces/s/" + action
	first := s.h.do(method, path, body)
	s.h.refused(first, 403, errcode.Unproved)
	name, _, _ := bytes.Cut([]byte(action), []byte("?"))
	return s.h.do(method, path, body, "Heddle-Device", s.proof(first.Header.Get("Heddle-Challenge"), string(name)))
}

func (s *sealer) answer(res *http.Response) []byte {
	s.h.t.Helper()
	data, err := io.ReadAll(res.Body)
	if res.Body.Close(); err != nil || res.StatusCode != 200 {
		s.h.t.Fatalf("got %d %q, %v", res.StatusCode, data, err)
	}
	return data
}

// chunk seals a chunk.
func (s *sealer) chunk(content string) (seal.Chunk, []byte) {
	s.h.t.Helper()
	data, err := seal.SealChunk(s.anchor, &spaceKey, 1, []byte(content), false, rand.Reader)
	if err != nil {
		s.h.t.Fatal(err)
	}
	return seal.Chunk{Hash: seal.HashChunk(data), Epoch: 1, Size: uint64(len(data)), Rows: 1}, data
}

// manifest makes one of the log's end, as change leaves it.
func (s *sealer) manifest(chunks []seal.Chunk, change func(*seal.Manifest)) *seal.Manifest {
	s.h.t.Helper()
	m := &seal.Manifest{Device: seal.DeviceID(s.id.Public()), Epoch: 1, At: s.head, Members: s.newest, Chunks: chunks}
	if change != nil {
		change(m)
	}
	err := m.Encrypt(s.anchor, &spaceKey, &seal.Summary{Digest: seal.Hash{1}}, false, rand.Reader)
	if err == nil {
		m.Signature, err = s.id.Sign(context.Background(), m.Statement(s.anchor))
	}
	if err != nil {
		s.h.t.Fatal(err)
	}
	return m
}

// meta is the space as the store has it.
func (s *sealer) meta() (m logstore.Meta) {
	s.h.t.Helper()
	err := s.h.o.Store.Read(s.h.t.Context(), "s", func(v logstore.View) (err error) {
		m, err = v.Meta()
		return err
	})
	if err != nil {
		s.h.t.Fatal(err)
	}
	return m
}

// blobs are the names of what the space keeps beside its log.
func (s *sealer) blobs(prefix string) (names []string) {
	s.h.t.Helper()
	err := s.h.store.Read(s.h.t.Context(), "s", func(v logstore.View) error {
		all, err := v.Blobs(prefix)
		names = nil
		for _, b := range all {
			names = append(names, b.Name)
		}
		return err
	})
	if err != nil {
		s.h.t.Fatal(err)
	}
	return names
}

// upload posts a snapshot of the log's end with chunks of some contents.
func (s *sealer) upload(contents ...string) *seal.Manifest {
	s.h.t.Helper()
	var chunks []seal.Chunk
	for _, content := range contents {
		k, data := s.chunk(content)
		chunks = append(chunks, k)
		s.answer(s.proving("POST", "chunks", data))
	}
	m := s.manifest(chunks, nil)
	s.answer(s.proving("POST", "snapshot", m.Marshal()))
	return m
}

// prove tells by a head that a snapshot is proved.
func (s *sealer) prove(n uint64, m *seal.Manifest) {
	s.h.t.Helper()
	s.told(s.tells(n, func(h *seal.Head) { h.Proves = m.ID(s.anchor) }))
}

func TestSnapshots_chunks(t *testing.T) {
	h := start(t, small)
	s := found(h)
	one, data := s.chunk("one")
	two, _ := s.chunk("two")
	ask := (&wire.Missing{Chunks: []wire.Hash{one.Hash, two.Hash}}).Marshal()
	missing := func(want ...wire.Hash) {
		t.Helper()
		m, err := wire.UnmarshalMissing(s.answer(s.proving("POST", "missing", ask)))
		if err != nil || !slices.Equal(m.Chunks, want) {
			t.Errorf("missing are %x, want %x, %v", m.Chunks, want, err)
		}
	}
	missing(one.Hash, two.Hash)
	for range 2 {
		s.answer(s.proving("POST", "chunks", data))
	}
	missing(two.Hash)
	if got := s.answer(s.proving("GET", "chunk?id="+hex.EncodeToString(one.Hash[:]), nil)); !bytes.Equal(got, data) {
		t.Errorf("the chunk comes back as %d bytes", len(got))
	}
	h.refused(s.proving("GET", "chunk?id="+hex.EncodeToString(two.Hash[:]), nil), 409, errcode.Behind)
	h.refused(s.proving("POST", "chunks", make([]byte, seal.MaxLargeChunk+1)), 413, errcode.TooBig)
}

func TestSnapshots_quota(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.QuotaBytes = 10_000 })
	s := found(h)
	for i := range 3 {
		_, data := s.chunk(string(make([]byte, 9_000+i)))
		if i < 2 {
			s.answer(s.proving("POST", "chunks", data))
		} else {
			h.refused(s.proving("POST", "chunks", data), 403, errcode.Quota)
		}
	}
}

// A manifest is taken that no member could find false without a key.
func TestSnapshots_refused(t *testing.T) {
	h := start(t, small)
	s := found(h)
	s.write()
	k, data := s.chunk("rows")
	s.answer(s.proving("POST", "chunks", data))
	absent, _ := s.chunk("absent")
	for name, test := range map[string]struct {
		status int
		code   string
		change func(*seal.Manifest)
	}{
		"a chunk that is not there": {409, errcode.Behind, func(m *seal.Manifest) { m.Chunks[0] = absent }},
		"a chunk of another size":   {409, errcode.Behind, func(m *seal.Manifest) { m.Chunks[0].Size++ }},
		"another device":            {400, errcode.Protocol, func(m *seal.Manifest) { m.Device[0]++ }},
		"an entry to come":          {409, errcode.Stale, func(m *seal.Manifest) { m.At.Seq++ }},
		"another history":           {409, errcode.Stale, func(m *seal.Manifest) { m.At.Chain[0]++ }},
		"other members":             {400, errcode.Protocol, func(m *seal.Manifest) { m.Members[0]++ }},
		"another epoch":             {400, errcode.Protocol, func(m *seal.Manifest) { m.Epoch++ }},
	} {
		m := s.manifest([]seal.Chunk{k}, test.change)
		t.Log(name)
		h.refused(s.proving("POST", "snapshot", m.Marshal()), test.status, test.code)
	}
	unsigned := s.manifest([]seal.Chunk{k}, nil)
	unsigned.Signature[40]++
	h.refused(s.proving("POST", "snapshot", unsigned.Marshal()), 400, errcode.Protocol)
	if left := s.blobs("snapshot/"); len(left) > 0 {
		t.Errorf("there are %q", left)
	}
	m := s.manifest([]seal.Chunk{k}, nil)
	for range 2 {
		s.answer(s.proving("POST", "snapshot", m.Marshal()))
	}
	h.refused(s.proving("POST", "snapshot", s.manifest([]seal.Chunk{k}, nil).Marshal()), 409, errcode.Stale)
	got, n := protowire.ConsumeBytes(s.answer(s.proving("GET", "snapshots", nil)))
	if n < 0 || !bytes.Equal(got, m.Marshal()) {
		t.Error("another manifest is shown")
	}
}

// The device that follows is asked for a snapshot in time, and then to prove it.
func TestSnapshots_wanted(t *testing.T) {
	h := start(t, small)
	s := found(h)
	for range 10 {
		s.write()
	}
	stream := s.stream()
	wanted := func() *wire.Wanted {
		t.Helper()
		for {
			f, err := stream.frames.Next()
			if err != nil || f.Error != nil {
				t.Fatalf("the stream has ended: %v, %+v", err, f)
			}
			if f.Wanted != nil {
				return f.Wanted
			}
		}
	}
	s.write()
	if w := wanted(); w.Prove != nil {
		t.Errorf("got %x", w.Prove)
	}
	m := s.upload("rows")
	id := m.ID(s.anchor)
	if w := wanted(); !bytes.Equal(w.Prove, id[:]) {
		t.Errorf("asked for the proof of %x, want %x", w.Prove, id)
	}
}

// behind demands that the log does not reach back to an entry.
func (s *sealer) behind(seq uint64) {
	s.h.t.Helper()
	at := wire.Position{}
	if m := s.meta(); seq > 0 {
		at = wire.Position{Epoch: m.Head.Epoch, Seq: seq, Chain: s.changes()[0].Chain}
	}
	res := s.h.post("s", "pull?wait=0", (&wire.PullRequest{Client: wire.ClientID{9}, Position: at}).Marshal())
	s.h.refused(res, 409, errcode.Behind)
}

// changes are the entries that tell of the members.
func (s *sealer) changes() (all []wire.Entry) {
	s.h.t.Helper()
	res := s.h.do("GET", "/v1/spaces/s/members", nil)
	defer res.Body.Close()
	for frames := wire.NewFrameReader(res.Body); ; {
		f, err := frames.Next()
		if err != nil {
			s.h.t.Fatal(err)
		}
		if all = append(all, f.Entries...); f.CaughtUp != nil {
			return all
		}
	}
}

// writeOn is write where the log may have been cut.
func (s *sealer) writeOn() {
	s.h.t.Helper()
	at := wire.Position{Epoch: s.meta().Head.Epoch, Seq: s.head.Seq, Chain: s.head.Chain}
	body := s.data(nil)
	ok(s.h, s.push(s.client, s.next, body), wire.UnmarshalPushResponse)
	s.taken(body)
	m := s.meta()
	s.head = seal.Position{Seq: m.Head.Seq, Chain: m.Head.Chain}
	s.answer(s.proving("POST", "pull?wait=0", (&wire.PullRequest{Client: wire.ClientID{9}, Position: at}).Marshal()))
}

// inFiles says whether the server's directory has some bytes.
func (s *sealer) inFiles(canary []byte) bool {
	s.h.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.h.dir, "*"))
	if err != nil {
		s.h.t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			s.h.t.Fatal(err)
		}
		if bytes.Contains(data, canary) {
			return true
		}
	}
	return false
}

// The log is cut behind a proved snapshot, and not before; what was in it is gone from the server's
// files, and so is what older snapshots had. The server goes on judging.
func TestSnapshots_cut(t *testing.T) {
	h := start(t, small)
	s := found(h)
	var long []byte // of a body that has pages of its own
	for i := range 20 {
		if i == 3 {
			body := s.sealed(make([]byte, 40_000), func(*seal.Sealed, *seal.Place) {})
			long = body[len(body)/2 : len(body)/2+64]
			ok(h, s.push(s.client, s.next, body), wire.UnmarshalPushResponse)
			s.taken(body)
			s.pull()
			continue
		}
		s.write()
	}
	if !s.inFiles(long) {
		t.Fatal("the canary is not in the server's files")
	}
	old := s.upload("old rows", "kept rows")
	if got := s.meta(); got.Horizon != 0 {
		t.Fatalf("cut to %d without a proof", got.Horizon)
	}
	s.prove(1, old)
	await.Poll(t, "the log is cut", func() bool { return s.meta().Horizon == s.head.Seq-4 })
	await.Poll(t, "the canary is gone", func() bool { return !s.inFiles(long) })
	if n := len(s.meta().Head.Chain); n == 0 || s.meta().Head.Seq != 21 {
		t.Errorf("the head is %+v", s.meta().Head)
	}
	for _, restart := range []bool{false, true} {
		if restart {
			h.down()
			h.up()
		}
		s.behind(0)
		s.behind(1) // a Change, which is kept
		s.writeOn()
	}
	changes := s.changes()
	if len(changes) != 1 || changes[0].Seq != 1 {
		t.Errorf("the members are told by %d entries", len(changes))
	}
	for range 8 {
		s.writeOn()
	}
	before := s.blobs("chunk/")
	next := s.upload("new rows")
	s.prove(2, next)
	await.Poll(t, "the log is cut again", func() bool { return s.meta().Horizon == s.head.Seq-4 })
	if after := s.blobs("chunk/"); len(after) != 1 || slices.Contains(before, after[0]) {
		t.Errorf("the chunks %q are kept, after %q", after, before)
	}
	if left := s.blobs("snapshot/"); len(left) != 1 {
		t.Errorf("the manifests %q are kept", left)
	}
	s.writeOn()
}
