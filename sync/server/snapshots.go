package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

// Snapshots of a sealed space are made by its members: the server keeps chunks and
// manifests that it cannot read, asks a device for a new one in time, and cuts the log
// behind one that another device has started from, or read back whole.

// member proves, before the body is read, that a request is of a member's device or slot, and returns both.
func (s *Server) member(w http.ResponseWriter, r *http.Request, sp *space, action string, writes bool) (
	who seal.Member, err error) {
	if who, err = s.proved(w, r, sp, action); err != nil {
		return who, err
	}
	if writes && (who.Slot != 0 || who.Role > seal.RoleWrite) {
		err = errcode.New(errcode.NotAllowed, "server: "+action, "the device may not write in the space")
	}
	return who, err
}

// missingChunks says which of some chunks the space does not have.
func (s *Server) missingChunks(w http.ResponseWriter, r *http.Request, c *caller) error {
	sp := s.acquire(c.space)
	defer s.release(sp)
	if _, err := s.member(w, r, sp, "missing", true); err != nil {
		return err
	}
	data, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	asked, err := wire.UnmarshalMissing(data)
	if err != nil {
		return err
	}
	answer := &wire.Missing{}
	err = sp.read(r.Context(), func(v logstore.View) error {
		stock, err := shelf.Chunks(v)
		if err != nil {
			return err
		}
		answer.Chunks = nil
		for _, h := range asked.Chunks {
			if _, held := stock.Sizes[shelf.ChunkName(h)]; !held {
				answer.Chunks = append(answer.Chunks, h)
			}
		}
		sp.mu.Lock()
		defer sp.mu.Unlock()
		sp.stocked = stock.Bytes()
		return nil
	})
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, answer.Marshal())
	return nil
}

// putChunk keeps a chunk, under its hash.
func (s *Server) putChunk(w http.ResponseWriter, r *http.Request, c *caller) error {
	sp := s.acquire(c.space)
	defer s.release(sp)
	if _, err := s.member(w, r, sp, "chunks", true); err != nil {
		return err
	}
	data, err := s.readUpTo(w, r, seal.MaxLargeChunk)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errcode.New(errcode.Protocol, "server: chunk", "the chunk is empty")
	}
	name := shelf.ChunkName(seal.HashChunk(data))
	err = sp.changeSealed(r.Context(), func(v logstore.View, m *logstore.Meta, _ *sealedLog) (*logstore.WriteSet, error) {
		if held, err := v.Blobs(name); err != nil || len(held) > 0 {
			return nil, err
		}
		if err := sp.checkStock(v, m, c, int64(len(data))); err != nil {
			return nil, err
		}
		return &logstore.WriteSet{Blobs: []logstore.Blob{{Name: name, Bytes: data, At: time.Now().Unix()}}}, nil
	})
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, nil)
	return nil
}

// checkStock refuses a chunk with which the space would have too much in chunks: beside the log, twice
// as much as a quota allows that, so that one snapshot can replace another; without a quota as much as
// two snapshots of what there is may take, and what uploads may.
func (sp *space) checkStock(v logstore.View, m *logstore.Meta, c *caller, size int64) error {
	sp.mu.Lock()
	stocked := sp.stocked
	sp.mu.Unlock()
	if stocked == 0 { // not known since the server has begun
		stock, err := shelf.Chunks(v)
		if err != nil {
			return err
		}
		stocked = stock.Bytes()
	}
	s, err := shelf.Read(v)
	if err != nil {
		return err
	}
	live := int64(0)
	if n := s.Newest(); n != nil {
		live = n.Size
	}
	most := 4*(m.Logged+live) + sp.s.o.Limits.Staged
	if quota := cmp.Or(c.Quota.Bytes, sp.s.o.Limits.QuotaBytes); quota >= 0 {
		most = 2 * quota
	}
	if stocked+size > most {
		return errQuota("bytes in chunks", most)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.stocked = stocked + size
	return nil
}

// getChunk answers with a chunk.
func (s *Server) getChunk(w http.ResponseWriter, r *http.Request, c *caller) error {
	var h seal.Hash
	id, err := hex.DecodeString(r.URL.Query().Get("id"))
	if err != nil || len(id) != len(h) {
		return errcode.New(errcode.BadParam, "server: chunk", "id is no hash in hexadecimal")
	}
	copy(h[:], id)
	sp := s.acquire(c.space)
	defer s.release(sp)
	if _, err := s.member(w, r, sp, "chunk", false); err != nil {
		return err
	}
	var data []byte
	err = sp.read(r.Context(), func(v logstore.View) (err error) {
		data, err = v.Blob(shelf.ChunkName(h))
		return err
	})
	if err == nil && data == nil {
		err = errcode.New(errcode.Behind, "server: chunk",
			"the chunk is gone: a newer snapshot has replaced those that had it")
	}
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, data)
	return nil
}

// snapshots answers with the manifests that there are, each after its length: those that are proved first, so that
// no new device begins with what a member has made up and nobody has looked at yet; of each kind the newest first.
func (s *Server) snapshots(w http.ResponseWriter, r *http.Request, c *caller) error {
	sp := s.acquire(c.space)
	defer s.release(sp)
	if _, err := s.member(w, r, sp, "snapshots", false); err != nil {
		return err
	}
	var all []byte
	err := sp.read(r.Context(), func(v logstore.View) error {
		all = nil
		kept, err := shelf.Read(v)
		if err != nil {
			return err
		}
		for _, one := range kept.Offers() {
			data, err := v.Blob(shelf.SnapshotName(one.ID))
			if err != nil {
				return err
			}
			all = protowire.AppendBytes(all, data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, all)
	return nil
}

// postSnapshot takes a manifest, whose chunks are there.
func (s *Server) postSnapshot(w http.ResponseWriter, r *http.Request, c *caller) error {
	sp := s.acquire(c.space)
	defer s.release(sp)
	who, err := s.member(w, r, sp, "snapshot", true)
	if err != nil {
		return err
	}
	data, err := s.readUpTo(w, r, seal.MaxManifest)
	if err != nil {
		return err
	}
	manifest, err := seal.UnmarshalManifest(data)
	if err != nil {
		return err
	}
	if who.ID != manifest.Device {
		return errcode.New(errcode.Protocol, "server: snapshot", "the snapshot is another device's")
	}
	ctx := r.Context()
	err = sp.changeSealed(ctx, func(v logstore.View, m *logstore.Meta, log *sealedLog) (*logstore.WriteSet, error) {
		return sp.addSnapshot(ctx, v, m, log, manifest, data)
	})
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, nil)
	return nil
}

// addSnapshot checks a manifest, as far as that needs no key.
func (sp *space) addSnapshot(ctx context.Context, v logstore.View, m *logstore.Meta, log *sealedLog,
	manifest *seal.Manifest, data []byte) (*logstore.WriteSet, error) {
	const op = "server: snapshot"
	id := manifest.ID(log.Anchor())
	kept, err := shelf.Read(v)
	if err != nil || kept.Find(id) != nil {
		return nil, err
	}
	if err := sp.checkManifest(ctx, log, manifest); err != nil {
		return nil, err
	}
	// Of an entry there may be another one, where the first is not proved: its maker may lie.
	if n := kept.Newest(); n != nil && (n.Seq > manifest.At.Seq ||
		n.Seq == manifest.At.Seq && (n.Proved || n.Maker == manifest.Device)) {
		return nil, errcode.New(errcode.Stale, op, "there is a newer snapshot already")
	}
	stock, err := shelf.Chunks(v)
	if err != nil {
		return nil, err
	}
	for i := range manifest.Chunks {
		k := &manifest.Chunks[i]
		if size, held := stock.Sizes[shelf.ChunkName(k.Hash)]; !held || size != int64(k.Size) {
			return nil, errcode.New(errcode.Behind, op, "a chunk of the snapshot is not there, or has another size")
		}
	}
	before, err := loggedUpTo(v, m, manifest.At.Seq)
	if err != nil {
		return nil, err
	}
	gone := kept.Add(shelf.Snapshot{ID: id, Maker: manifest.Device, Seq: manifest.At.Seq, Size: manifest.Size(),
		Before: before})
	waste, err := shelf.Waste(v, kept, gone, manifest, sp.s.o.Limits.shelf(), time.Now().Unix())
	if err != nil {
		return nil, err
	}
	log.shelf = kept
	return &logstore.WriteSet{Blobs: append(waste, logstore.Blob{Name: shelf.SnapshotName(id), Bytes: data},
		kept.Blob())}, nil
}

func (sp *space) checkManifest(ctx context.Context, log *sealedLog, m *seal.Manifest) error {
	const op = "server: snapshot"
	who, is := log.Member(m.Device)
	newest, epoch := log.At(m.At.Seq)
	switch {
	case !is || who.Slot != 0 || who.Role > seal.RoleWrite:
		return errcode.New(errcode.NotAllowed, op, "the device may not write in the space")
	case !log.Has(m.At):
		return errcode.New(errcode.Stale, op, "the snapshot is not of this log, or of an entry too far back")
	case m.Members != newest || m.Epoch != epoch:
		return errcode.New(errcode.Protocol, op, "the snapshot has other members or another key than the log at its entry")
	}
	valid, err := native.Suite{}.Verify(ctx, []seal.Claim{{Key: who.Sign, Statement: m.Statement(log.Anchor()),
		Signature: m.Signature}})
	if err == nil && !valid[0] {
		err = errcode.New(errcode.Protocol, op, "the snapshot is not signed by its device")
	}
	return err
}

// loggedUpTo returns how much of the log there is up to an entry.
func loggedUpTo(v logstore.View, m *logstore.Meta, seq uint64) (int64, error) {
	after := int64(0)
	for at := seq; at < m.Head.Seq; {
		sizes, err := v.Sizes(at, 1000)
		if err != nil || len(sizes) == 0 {
			return 0, err
		}
		for _, s := range sizes {
			after += s.Bytes + entryBytes
			at = s.Seq
		}
	}
	return m.Logged - after, nil
}

// changeSealed commits what f decides on the space's log; nil is nothing. f may run again.
func (sp *space) changeSealed(ctx context.Context,
	f func(logstore.View, *logstore.Meta, *sealedLog) (*logstore.WriteSet, error)) error {
	for {
		err := sp.changeOnce(ctx, f)
		if !errors.Is(err, logstore.ErrMoved) {
			return err
		}
	}
}

func (sp *space) changeOnce(ctx context.Context,
	f func(logstore.View, *logstore.Meta, *sealedLog) (*logstore.WriteSet, error)) error {
	select {
	case sp.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer sp.endTurn()
	var w *logstore.WriteSet
	var meta logstore.Meta
	err := sp.read(ctx, func(v logstore.View) (err error) {
		if meta, err = v.Meta(); err != nil {
			return err
		}
		if err := sp.readSealed(v, &meta); err != nil {
			return err
		}
		if sp.sealed == nil {
			return errPlain
		}
		if w, err = f(v, &meta, sp.sealed); err == nil && w != nil {
			w.Was, err = shelf.Was(v, w.Blobs)
		}
		return err
	})
	if err != nil || w == nil {
		return err
	}
	w.Base, w.State = meta.Head, meta.State
	bound, cancel := context.WithTimeout(ctx, sp.s.o.Limits.Store+transferTime(blobBytes(w)))
	defer cancel()
	sp.st = nil // what is known of the log's size may be another
	if err := sp.s.store.Commit(bound, sp.name, w); err != nil {
		sp.sealed = nil
		return err
	}
	sp.assess(&meta, w.Cut)
	return nil
}

func blobBytes(w *logstore.WriteSet) (n int) {
	for i := range w.Blobs {
		n += len(w.Blobs[i].Bytes)
	}
	return n
}

// shelf are the limits of what is kept beside a sealed log, and of its end.
func (l *Limits) shelf() *shelf.Limits {
	return &shelf.Limits{Kept: uint64(l.SealedKept), Entries: uint64(l.SealedEntries), Bytes: l.SealedBytes,
		Step: cutStep, Abandoned: abandonedChunk}
}
