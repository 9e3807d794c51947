package heddle

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

// falseMaker is a member that makes snapshots by hand, so that they can lie.
type falseMaker struct {
	*sealedSpace
	id     seal.Identity
	anchor seal.Anchor
	key    seal.Key
}

func newFalseMaker(s *sealedSpace, key *Key) *falseMaker {
	s.t.Helper()
	ctx := s.t.Context()
	id, err := key.k.identity(ctx)
	s.must(err)
	f := &falseMaker{sealedSpace: s, id: id, anchor: key.k.Anchor}
	s.must(s.store.Read(ctx, "family", func(v logstore.View) error {
		entries, err := v.Entries(0, 1, wire.ClientID{})
		if err != nil {
			return err
		}
		sealed, err := seal.UnmarshalSealed(entries[0].Body)
		if err != nil {
			return err
		}
		change, err := seal.UnmarshalChange(sealed.Box)
		if err != nil {
			return err
		}
		own := seal.DeviceID(id.Public())
		k, err := id.Unwrap(ctx, seal.WrapInfo(f.anchor, 1, own), &change.Epoch.Wrap[0].HPKE)
		if err == nil {
			f.key = *k
		}
		return err
	}))
	return f
}

// lie puts a snapshot of the log's end beside the one that there is: that one, as change leaves it.
func (f *falseMaker) lie(change func(*seal.Manifest, *seal.Summary), content func([]byte) []byte) {
	f.t.Helper()
	ctx := f.t.Context()
	w := &logstore.WriteSet{}
	f.must(f.store.Read(ctx, "family", func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		kept, err := shelf.Read(v)
		if err != nil {
			return err
		}
		data, err := v.Blob(shelf.SnapshotName(kept.Newest().ID))
		if err != nil {
			return err
		}
		manifest, err := seal.UnmarshalManifest(data)
		if err != nil {
			return err
		}
		summary, err := manifest.Decrypt(f.anchor, &f.key)
		if err != nil {
			return err
		}
		k := &manifest.Chunks[0]
		if data, err = v.Blob(shelf.ChunkName(k.Hash)); err != nil {
			return err
		}
		rows, err := k.Open(f.anchor, &f.key, data)
		if err != nil {
			return err
		}
		if data, err = seal.SealChunk(f.anchor, &f.key, 1, content(rows), false, rand.Reader); err != nil {
			return err
		}
		k.Hash, k.Size = seal.HashChunk(data), uint64(len(data))
		manifest.At = seal.Position{Seq: m.Head.Seq, Chain: m.Head.Chain}
		change(manifest, summary)
		if err := manifest.Encrypt(f.anchor, &f.key, summary, false, rand.Reader); err != nil {
			return err
		}
		if manifest.Signature, err = f.id.Sign(ctx, manifest.Statement(f.anchor)); err != nil {
			return err
		}
		id := manifest.ID(f.anchor)
		kept.Add(shelf.Snapshot{ID: id, Maker: manifest.Device, Seq: manifest.At.Seq})
		w.Base, w.State = m.Head, m.State
		w.Blobs = []logstore.Blob{{Name: shelf.ChunkName(k.Hash), Bytes: data, At: time.Now().Unix()},
			{Name: shelf.SnapshotName(id), Bytes: manifest.Marshal()}, kept.Blob()}
		return nil
	}))
	f.must(f.store.Commit(ctx, "family", w))
}

// A snapshot that lies is not started from, and the one before is. Nobody proves it.
func TestSealed_lyingSnapshot(t *testing.T) {
	same := func(rows []byte) []byte { return rows }
	nothing := func(*seal.Manifest, *seal.Summary) {}
	for name, lie := range map[string]struct {
		change  func(*seal.Manifest, *seal.Summary)
		content func([]byte) []byte
	}{
		"another row": {nothing, func(rows []byte) []byte {
			return bytes.Replace(rows, []byte("what was on day 3"), []byte("what was on day 4"), 1)
		}},
		"a digest":        {func(_ *seal.Manifest, s *seal.Summary) { s.Digest[0]++ }, same},
		"a row too many":  {func(m *seal.Manifest, s *seal.Summary) { m.Chunks[0].Rows++; s.Rows++ }, same},
		"another range":   {func(_ *seal.Manifest, s *seal.Summary) { s.Ranges[0].Table = "a" }, same},
		"no rows at all":  {nothing, func([]byte) []byte { return nil }},
		"other members":   {func(m *seal.Manifest, _ *seal.Summary) { m.Members[0]++ }, same},
		"another epoch":   {func(m *seal.Manifest, _ *seal.Summary) { m.Epoch++ }, same},
		"a stranger":      {func(m *seal.Manifest, _ *seal.Summary) { m.Device[0]++ }, same},
		"a client's lead": {func(_ *seal.Manifest, s *seal.Summary) { s.Clients = append(s.Clients, s.Clients[0]) }, same},
		"a descriptor":    {func(_ *seal.Manifest, s *seal.Summary) { s.Schema = nil }, same},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSnapshotSpace(t)
			key, ada := s.found()
			s.writeDays(ada, 0, 30)
			s.follow("a proved snapshot", s.isCut, ada) // the log alone would not do
			s.writeDays(ada, 30, 33)
			newFalseMaker(s, key).lie(lie.change, lie.content)
			reader := s.open(key, "") // the same device, with an empty database
			s.now(reader)
			s.same(33, ada, reader)
			await.Poll(t, "word of the lie", func() bool { return s.failed.Load() > 0 })
		})
	}
}

// A maker that is cut off at each chunk goes on there, and sends none twice.
func TestSealed_makerDies(t *testing.T) {
	var sent, refused atomic.Int64
	refused.Store(-1)
	s := newSealedSpaceOn(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/chunks") {
				if n := sent.Load(); refused.Swap(n) != n {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				sent.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	}, func(o *server.Options) { o.Limits.SealedBytes = 1 << 20 })
	s.bounds.BackoffFirst, s.bounds.BackoffLeast = time.Millisecond, time.Millisecond
	_, ada := s.found()
	text := make([]byte, 200<<10)
	for i := range 25 {
		_, _ = rand.Read(text)
		_, err := ada.Exec(t.Context(), `INSERT INTO diary VALUES(?, ?)`, fmt.Sprint(i), text)
		s.must(err)
	}
	s.now(ada)
	s.follow("a snapshot", s.hasSnapshot, ada)
	chunks := 0
	s.must(s.store.Read(t.Context(), "family", func(v logstore.View) error {
		all, err := v.Blobs("chunk/")
		chunks = len(all)
		return err
	}))
	if chunks < 5 || int64(chunks) != sent.Load() {
		t.Errorf("%d chunks were sent, and %d are there", sent.Load(), chunks)
	}
}
