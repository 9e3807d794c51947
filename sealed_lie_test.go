package heddle

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/replica"
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
	// instead: what is false takes the place of what it is made of. counted: its digest is that of its rows. proved:
	// another liar has said that it is right, so that it is tried first.
	instead, counted, proved bool
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

// lie puts a snapshot of the log's end beside the one that there is: that one, as change leaves it. It returns the name
// of the chunk that it has of its own.
func (f *falseMaker) lie(change func(*seal.Manifest, *seal.Summary), content func([]byte) []byte) (chunk string) {
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
		if f.instead {
			kept.Snapshots = kept.Snapshots[:len(kept.Snapshots)-1]
		}
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
		rows, err := k.Open(f.anchor, &f.key, data, nil)
		if err != nil {
			return err
		}
		rows = content(rows)
		if data, err = seal.SealChunk(f.anchor, &f.key, 1, rows, false, rand.Reader); err != nil {
			return err
		}
		k.Hash, k.Size = seal.HashChunk(data), uint64(len(data))
		manifest.At = seal.Position{Seq: m.Head.Seq, Chain: m.Head.Chain}
		change(manifest, summary)
		if f.counted {
			summary.Digest = f.count(manifest, summary, rows)
		}
		if err := manifest.Encrypt(f.anchor, &f.key, summary, false, rand.Reader); err != nil {
			return err
		}
		if manifest.Signature, err = f.id.Sign(ctx, manifest.Statement(f.anchor)); err != nil {
			return err
		}
		id := manifest.ID(f.anchor)
		kept.Snapshots = append(kept.Snapshots, shelf.Snapshot{ID: id, Maker: manifest.Device, Seq: manifest.At.Seq,
			Proved: f.proved})
		w.Base, w.State = m.Head, m.State
		chunk = shelf.ChunkName(k.Hash)
		w.Blobs = []logstore.Blob{{Name: chunk, Bytes: data, At: time.Now().Unix()},
			{Name: shelf.SnapshotName(id), Bytes: manifest.Marshal()}, kept.Blob()}
		return nil
	}))
	f.must(f.store.Commit(ctx, "family", w))
	return chunk
}

// count returns the digest of the only chunk's rows.
func (f *falseMaker) count(m *seal.Manifest, s *seal.Summary, rows []byte) wire.Hash {
	f.t.Helper()
	last := replica.Place{Table: s.Ranges[0].Table, Key: s.Ranges[0].Key}
	tables, err := replica.ReadPiece(rows, replica.Place{}, last, m.Chunks[0].Rows)
	f.must(err)
	read, err := replica.NewReadBack(s.Schema, nil)
	f.must(err)
	f.must(read.Add(tables))
	return read.Digest()
}

// otherRow alters a row of a chunk.
func otherRow(rows []byte) []byte {
	return bytes.Replace(rows, []byte("what was on day 3"), []byte("what was on day 4"), 1)
}

// A device proves a snapshot that leads to what it has itself, and no other, however well that fits together.
func TestSealed_proves(t *testing.T) {
	same := func(rows []byte) []byte { return rows }
	nothing := func(*seal.Manifest, *seal.Summary) {}
	client := func(change func(*seal.SavedClient)) func(*seal.Manifest, *seal.Summary) {
		return func(_ *seal.Manifest, s *seal.Summary) {
			for i := range s.Clients {
				if s.Clients[i].Counter > 20 { // who has written the rows
					change(&s.Clients[i])
				}
			}
		}
	}
	for name, lie := range map[string]struct {
		change  func(*seal.Manifest, *seal.Summary)
		content func([]byte) []byte
		counted bool
		true    bool
	}{
		"nothing":                    {nothing, same, true, true},
		"a digest":                   {func(_ *seal.Manifest, s *seal.Summary) { s.Digest[0]++ }, same, false, false},
		"another row":                {nothing, otherRow, false, false},
		"another row and its digest": {nothing, otherRow, true, false},
		"a client's last":            {client(func(c *seal.SavedClient) { c.Last[0]++ }), same, true, false},
		"a client's counter":         {client(func(c *seal.SavedClient) { c.Counter-- }), same, true, false},
		"a client's device":          {client(func(c *seal.SavedClient) { c.Device[0]++ }), same, true, false},
		"a client left out": {func(_ *seal.Manifest, s *seal.Summary) {
			s.Clients = slices.DeleteFunc(s.Clients, func(c seal.SavedClient) bool { return c.Counter > 20 })
		}, same, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRestorableWith(t, server.Limits{SealedKept: 4, SealedEntries: 20})
			r.bounds.BackoffFirst, r.bounds.BackoffLeast = time.Millisecond, time.Millisecond
			key, ada := r.found()
			r.now(ada)
			phone := r.added(ada, "Ada's phone", RoleWrite)
			r.now(phone)
			r.writeDays(ada, 0, 30)
			r.follow("a snapshot", r.hasSnapshot, ada)
			f := newFalseMaker(r.sealedSpace, key)
			f.instead, f.counted = true, lie.counted
			f.lie(lie.change, lie.content)
			r.stop()
			r.start()
			r.writeDays(ada, 30, 33)
			if lie.true {
				r.follow("its proof", r.isCut, phone)
				return
			}
			r.follow("word of the lie", func() bool { return r.failed.Load() > 0 }, phone)
			if r.isCut() {
				t.Error("it is proved")
			}
		})
	}
}

// Where no snapshot can be started from, a new device follows the log, also where chunks of one have come already. What
// is not there, damaged or of no log of the server's does not keep it from the next one.
func TestSealed_unusableSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		lie func(*seal.Manifest, *seal.Summary)
		cut bool // the log's beginning is not there: the snapshot before has to do
		bad func([]byte) []byte
	}{
		"its digest, after a chunk":           {lie: func(_ *seal.Manifest, s *seal.Summary) { s.Digest[0]++ }},
		"another chain":                       {lie: func(m *seal.Manifest, _ *seal.Summary) { m.At.Chain[0]++ }, cut: true},
		"a chunk is damaged":                  {bad: func(b []byte) []byte { b[len(b)/2]++; return b }},
		"a chunk is gone":                     {bad: func([]byte) []byte { return nil }},
		"a chunk is gone, and the log is cut": {bad: func([]byte) []byte { return nil }, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealedSpaceWith(t, func(o *server.Options) {
				o.Limits.SealedKept, o.Limits.SealedEntries, o.Limits.SealedBytes = 4, 20, 1<<20
				if !c.cut {
					o.Limits.SealedKept = 1000
				}
			})
			s.bounds.Tell = time.Millisecond
			key, ada := s.found()
			s.largeSnapshot(ada)
			if c.cut {
				s.follow("a proved snapshot", s.isCut, ada)
			}
			s.write(ada, "later", "ada")
			s.now(ada)
			f := newFalseMaker(s, key)
			if c.lie == nil {
				c.lie = func(*seal.Manifest, *seal.Summary) {}
			}
			f.instead, f.proved = !c.cut, c.cut
			chunk := f.lie(c.lie, func(rows []byte) []byte { return rows })
			if c.bad != nil {
				f.spoil(chunk, c.bad)
			}
			fresh := s.open(key, "")
			s.now(fresh)
			s.same(26, ada, fresh)
			await.Poll(t, "word of it", func() bool { return s.failed.Load() > 0 })
		})
	}
}

// spoil alters a chunk that the server has.
func (f *falseMaker) spoil(name string, bad func([]byte) []byte) {
	f.t.Helper()
	w := &logstore.WriteSet{}
	f.must(f.store.Read(f.t.Context(), "family", func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		data, err := v.Blob(name)
		w.Base, w.State = m.Head, m.State
		w.Blobs = []logstore.Blob{{Name: name, Bytes: bad(data), At: time.Now().Unix()}}
		return err
	}))
	f.must(f.store.Commit(f.t.Context(), "family", w))
}

// A device that has started from a snapshot has nothing to compare it with: it proves it once another one has.
func TestSealed_startProvesNothing(t *testing.T) {
	s := newSnapshotSpace(t)
	_, ada := s.found()
	s.now(ada)
	desk := s.added(ada, "Ada's desk", RoleWrite)
	s.now(desk)
	s.writeDays(ada, 0, 30)
	s.follow("a snapshot", s.hasSnapshot, ada)
	phone := s.added(ada, "Ada's phone", RoleWrite)
	for range 2 {
		time.Sleep(2 * s.bounds.Tell) // each Now tells a head
		s.now(phone)
	}
	if st := s.snapshot(phone); st.Seq == 0 || st.Proved || s.isCut() {
		t.Errorf("the phone says %+v; the log is cut: %v", st, s.isCut())
	}
	s.follow("proof of the desk's", s.isCut, desk)
	s.follow("word of it", func() bool { return s.snapshot(phone).Proved }, desk, phone)
	s.same(30, ada, phone, desk)
}

// A new device does not look at what nobody has proved yet, where there is another snapshot.
func TestSealed_provedFirst(t *testing.T) {
	s := newSnapshotSpace(t)
	key, ada := s.found()
	s.writeDays(ada, 0, 30)
	s.follow("a proved snapshot", s.isCut, ada)
	s.writeDays(ada, 30, 33)
	f := newFalseMaker(s, key)
	f.counted = true
	f.lie(func(*seal.Manifest, *seal.Summary) {}, otherRow)
	reader := s.open(key, "") // the same device, with an empty database
	s.now(reader)
	s.same(33, ada, reader)
	if n := s.failed.Load(); n > 0 {
		t.Errorf("%d snapshots were looked at that are not what they say", n)
	}
}

// A snapshot that lies is not started from, and the one before is.
func TestSealed_lyingSnapshot(t *testing.T) {
	same := func(rows []byte) []byte { return rows }
	nothing := func(*seal.Manifest, *seal.Summary) {}
	for name, lie := range map[string]struct {
		change  func(*seal.Manifest, *seal.Summary)
		content func([]byte) []byte
	}{
		"another row":     {nothing, otherRow},
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
			f := newFalseMaker(s, key)
			f.proved = true
			f.lie(lie.change, lie.content)
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
	s.largeSnapshot(ada)
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
