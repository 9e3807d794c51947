package sqlitestore

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// importBytes is how much of a log is read from another store at a time.
const importBytes = 4 << 20

func (s *Store) Import(ctx context.Context, space string, from logstore.View) error {
	if err := s.takeOver(ctx, space); err != nil {
		return err
	}
	return s.change(ctx, s.fileOf(space), func(c *conn) error {
		switch _, err := newView(c, space); err {
		case logstore.ErrNotFound:
		case nil:
			return logstore.ErrExists
		default:
			return err
		}
		return importAll(ctx, c, space, from)
	})
}

// importAll copies all of a space.
func importAll(ctx context.Context, c *conn, space string, from logstore.View) error {
	m, err := from.Meta()
	if err != nil {
		return err
	}
	v := &view{c: c, meta: m}
	h := &m.Head
	if err := c.run(`INSERT INTO space(name, epoch, seq, chain, digest, rows, live, logged, horizon, horizon_chain)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, func(s *sqlite3.Stmt) error {
		v.id = s.ColumnInt64(0)
		return nil
	}, space, h.Epoch[:], h.Seq, h.Chain[:], m.Digest[:], m.RowCount, m.Live, m.Logged, m.Horizon,
		m.HorizonChain[:]); err != nil {
		return err
	}
	schema, err := from.Schema()
	if err != nil {
		return err
	}
	if err := c.run(`INSERT INTO descriptors VALUES (?, ?)`, nil, v.id, schema); err != nil {
		return err
	}
	for row, err := range from.Scan(logstore.RowID{}, importBytes) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = v.putRow(&row)
		}
		if err != nil {
			return err
		}
	}
	for b, err := range from.Buckets() {
		if err == nil {
			err = v.putBucket(&b)
		}
		if err != nil {
			return err
		}
	}
	if err := v.importLog(ctx, from); err != nil {
		return err
	}
	if err := v.importBlobs(ctx, from); err != nil {
		return err
	}
	return v.importClients(from)
}

func (v *view) importBlobs(ctx context.Context, from logstore.View) error {
	all, err := from.Blobs("")
	for i := 0; i < len(all) && err == nil; i++ {
		b := logstore.Blob{Name: all[i].Name, At: all[i].At}
		if b.Bytes, err = from.Blob(b.Name); err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = v.putBlob(&b)
		}
	}
	return err
}

func (v *view) importLog(ctx context.Context, from logstore.View) error {
	for at := uint64(0); at < v.meta.Head.Seq; { // from what a cut has kept on
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := from.Entries(at, importBytes, wire.ClientID{})
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			if v.meta.Horizon == v.meta.Head.Seq {
				return nil
			}
			return errcode.New(errcode.Damaged, "sqlitestore: import", fmt.Sprintf("entry %d is missing", at+1))
		}
		at = entries[len(entries)-1].Seq
		w := &logstore.WriteSet{Entries: entries, State: v.meta.State}
		if err := v.writeEntries(w); err != nil {
			return err
		}
		if at < v.meta.Head.Seq { // the digest is that of the head alone
			if err := v.c.run(`UPDATE log SET digest = NULL, rows = NULL WHERE space = ? AND seq = ?`, nil,
				v.id, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *view) importClients(from logstore.View) error {
	for c, err := range from.AllClients() {
		if err == nil {
			err = v.putClient(&c)
		}
		if err != nil {
			return err
		}
	}
	for o, err := range from.CutOutcomes() {
		if err == nil {
			err = v.c.run(`INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?)`, nil,
				v.id, o.Client[:], o.Counter, o.Seq, o.Code, o.BodyHash[:])
		}
		if err != nil {
			return err
		}
	}
	uploads, err := from.Uploads()
	if err != nil {
		return err
	}
	for i := range uploads {
		u := &uploads[i]
		parts, err := from.Parts(u.Client)
		if err != nil {
			return err
		}
		w := &logstore.WriteSet{Uploads: uploads[i : i+1]}
		for n, bytes := range parts {
			w.Parts = append(w.Parts, logstore.Part{Client: u.Client, Index: uint32(n), Bytes: bytes})
		}
		if err := v.writeUploads(w); err != nil {
			return err
		}
	}
	told, err := from.DeviceHeads()
	if err != nil {
		return err
	}
	return v.writeTold(&logstore.WriteSet{Told: told})
}
