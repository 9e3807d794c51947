package member

import (
	"context"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// snapshotDraft is a snapshot that is being made.
type snapshotDraft struct {
	m        *Member
	cfg      Config
	key      seal.Key
	manifest seal.Manifest
	summary  seal.Summary
	before   []keptChunk // of the last snapshot, in order
	known    map[wire.Hash]*keptChunk
	made     []keptChunk
	waiting  *keptChunk // sealed, and not on the server yet
}

// keptChunk is a chunk that this device has made, where it ends, and a hash of what it
// has: the same rows need no other.
type keptChunk struct {
	replica.Place
	sum wire.Hash
	seal.Chunk
}

// Draft implements client.Sealer.
func (m *Member) Draft(ctx context.Context, p *replica.PrefixReader) (client.Draft, error) {
	const op = "member: make a snapshot"
	m.ready(ctx, nil)
	at := seal.Position{Seq: p.Position.Seq, Chain: p.Position.Chain}
	var saved *seal.Saved
	d := &snapshotDraft{m: m, known: map[wire.Hash]*keptChunk{}}
	err := p.Inside(ctx, func(c replica.Conn) (err error) {
		if saved, err = read(c, at); err == nil {
			d.before, err = readChunks(c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	log := seal.NewLog(m.cfg.Space, m.cfg.Anchor, seal.Window)
	if err := log.Restore(saved); err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, op)
	}
	epoch, commit := log.Epoch()
	key, is := m.keys[commit]
	switch by, member := log.Member(m.id); {
	case !is:
		return nil, errNoKey
	case !member || by.Role > seal.RoleWrite:
		return nil, errcode.New(errcode.NotAllowed, op, "this device may not write in the space")
	case len(saved.Clients) > seal.MaxClients:
		return nil, errcode.New(errcode.TooBig, op, "more clients have written in the space than a snapshot tells of")
	}
	d.cfg, d.key = m.cfg, key
	d.manifest = seal.Manifest{Device: m.id, Epoch: epoch, At: at, Members: log.Newest()}
	d.summary = seal.Summary{Digest: p.Digest, Schema: p.Schema.Marshal(), Clients: saved.Clients}
	for i := range d.before {
		d.known[d.before[i].sum] = &d.before[i]
	}
	return d, nil
}

// Places implements client.Draft.
func (d *snapshotDraft) Places() []replica.Place {
	all := make([]replica.Place, len(d.before))
	for i := range d.before {
		all[i] = d.before[i].Place
	}
	return all
}

// Kept implements client.Draft.
func (d *snapshotDraft) Kept() (all []wire.Hash) {
	for i := range d.before {
		all = append(all, d.before[i].Hash)
	}
	return all
}

// Lost implements client.Draft.
func (d *snapshotDraft) Lost(missing []wire.Hash) {
	for sum, k := range d.known {
		if slices.Contains(missing, k.Hash) {
			delete(d.known, sum)
		}
	}
}

// Known implements client.Draft.
func (d *snapshotDraft) Known(sum wire.Hash) bool { return d.known[sum] != nil }

// Seal implements client.Draft.
func (d *snapshotDraft) Seal(p *replica.Piece) ([]byte, error) {
	k := keptChunk{Place: replica.Place{Table: p.Table, Key: p.Key}, sum: p.Sum}
	if known := d.known[p.Sum]; known != nil && known.Rows == p.Rows {
		k.Chunk = known.Chunk
		d.made = append(d.made, k)
		return nil, nil
	}
	data, err := seal.SealChunk(d.cfg.Anchor, &d.key, d.manifest.Epoch, p.Content, !d.cfg.Stored, d.cfg.Rand)
	if err != nil {
		return nil, err
	}
	k.Chunk = seal.Chunk{Hash: seal.HashChunk(data), Epoch: d.manifest.Epoch, Size: uint64(len(data)), Rows: p.Rows}
	d.waiting = &k
	return data, nil
}

// Stored implements client.Draft.
func (d *snapshotDraft) Stored() { d.made, d.waiting = append(d.made, *d.waiting), nil }

// Finish implements client.Draft.
func (d *snapshotDraft) Finish(ctx context.Context, p *replica.Pieces) ([]byte, error) {
	const op = "member: make a snapshot"
	if p.Digest != d.summary.Digest {
		return nil, errcode.New(errcode.Damaged, op,
			"the rows of this device do not have the digest that it has kept of them: others make the snapshot")
	}
	if len(d.made) > seal.MaxChunks {
		return nil, errcode.New(errcode.TooBig, op, "the space has more rows than a snapshot holds")
	}
	d.summary.Rows = p.Rows
	for i := range d.made {
		d.manifest.Chunks = append(d.manifest.Chunks, d.made[i].Chunk)
		d.summary.Ranges = append(d.summary.Ranges, seal.Range{Table: d.made[i].Table, Key: d.made[i].Key})
	}
	err := d.manifest.Encrypt(d.cfg.Anchor, &d.key, &d.summary, !d.cfg.Stored, d.cfg.Rand)
	if err != nil {
		return nil, err
	}
	d.manifest.Signature, err = d.cfg.Identity.Sign(ctx, d.manifest.Statement(d.cfg.Anchor))
	return d.manifest.Marshal(), err
}

// Sent implements client.Draft.
func (d *snapshotDraft) Sent() {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.m.noteSnapshot(&d.manifest, false)
}

// Save implements client.Draft: what was made so far, and behind it what there was before.
func (d *snapshotDraft) Save(c replica.Conn) error {
	all := d.made
	if n := len(d.made); n > 0 {
		last := d.made[n-1].Place
		for i := range d.before {
			order, err := last.Compare(d.before[i].Table, d.before[i].Key)
			if err != nil {
				return err
			}
			if order < 0 {
				all = append(all[:len(all):len(all)], d.before[i:]...)
				break
			}
		}
	}
	if err := c.Exec(`DELETE FROM heddle_seal_chunk`); err != nil {
		return err
	}
	for i := range all {
		k := &all[i]
		if err := c.Exec(`INSERT INTO heddle_seal_chunk(n, tbl, key, sum, hash, epoch, size, rows)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?)`, int64(i), k.Table, k.Key, k.sum[:], k.Hash[:], int64(k.Epoch), int64(k.Size),
			int64(k.Rows)); err != nil {
			return err
		}
	}
	return nil
}

func readChunks(c replica.Conn) (all []keptChunk, err error) {
	err = c.Query(`SELECT tbl, key, sum, hash, epoch, size, rows FROM heddle_seal_chunk ORDER BY n`, nil,
		func(s *sqlite3.Stmt) error {
			k := keptChunk{Place: replica.Place{Table: s.ColumnText(0), Key: s.ColumnBlob(1, nil)}}
			copy(k.sum[:], s.ColumnRawBlob(2))
			copy(k.Hash[:], s.ColumnRawBlob(3))
			k.Epoch, k.Size, k.Rows = uint64(s.ColumnInt64(4)), uint64(s.ColumnInt64(5)), uint64(s.ColumnInt64(6))
			all = append(all, k)
			return nil
		})
	return all, err
}
