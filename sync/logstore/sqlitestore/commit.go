package sqlitestore

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// A turn of a file takes the commits that wait for any of its spaces, up to
// turnBytes, and one flush makes them durable. Each has an outcome of its own.

// turnBytes is about how much a turn writes; one commit may be larger.
const turnBytes = 4 << 20

// commit is a write set that waits for its turn.
type commit struct {
	space string
	w     *logstore.WriteSet
	size  int
	err   error
	done  chan struct{} // closed once err is set
}

func (s *Store) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	f := s.fileOf(space)
	c := &commit{space: space, w: w, size: sizeOf(w), done: make(chan struct{})}
	f.mu.Lock()
	f.queue = append(f.queue, c)
	f.mu.Unlock()
	for {
		select {
		case <-c.done:
		case f.turn <- struct{}{}:
			runtime.Gosched() // who is about to wait as well shares the turn
			moved := f.takeTurn(ctx)
			<-f.turn
			for _, h := range moved {
				s.hint(h)
			}
			select {
			case <-c.done:
			default:
				continue // the turn was of others
			}
		case <-ctx.Done():
			if f.withdraw(c) {
				return ctx.Err()
			}
			<-c.done
		}
		return c.err
	}
}

// sizeOf is about how much a write set writes.
func sizeOf(w *logstore.WriteSet) int {
	n := len(w.Schema)
	for i := range w.Entries {
		n += len(w.Entries[i].Body) + logstore.EntryBytes
	}
	for i := range w.Rows {
		n += len(w.Rows[i].Key) + len(w.Rows[i].Cells)
	}
	for i := range w.Parts {
		n += len(w.Parts[i].Bytes)
	}
	for i := range w.Blobs {
		n += len(w.Blobs[i].Bytes)
	}
	return n
}

// withdraw takes a commit back that no turn has taken.
func (f *file) withdraw(c *commit) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.Index(f.queue, c)
	if at >= 0 {
		f.queue = slices.Delete(f.queue, at, at+1)
	}
	return at >= 0
}

// take takes the commits of a turn.
func (f *file) take() []*commit {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, size := 0, 0
	for n < len(f.queue) && (n == 0 || size+f.queue[n].size <= turnBytes) {
		size += f.queue[n].size
		n++
	}
	taken := slices.Clone(f.queue[:n])
	f.queue = slices.Delete(f.queue, 0, n)
	return taken
}

// takeTurn commits what waits, and returns which spaces have moved.
func (f *file) takeTurn(ctx context.Context) (moved []logstore.Hint) {
	taken := f.take()
	err := f.open()
	if err == nil && len(taken) > 0 {
		err = f.w.commitAll(taken)
	}
	for _, c := range taken {
		if err != nil { // of all: what was written with them is undone
			c.err = err
		}
		c.err = translate(ctx, c.err)
		if c.err == nil && len(c.w.Told) > 0 {
			moved = append(moved, logstore.Hint{Space: c.space})
		} else if c.err == nil && len(c.w.Entries) > 0 {
			moved = append(moved, logstore.Hint{Space: c.space, Seq: c.w.Head.Seq})
		}
		close(c.done)
	}
	return moved
}

// commitAll writes commits in one transaction, which one flush makes durable. Where
// one fails after a part of it is written, all is undone, and each gets a
// transaction of its own. The error is that of all.
func (c *conn) commitAll(all []*commit) error {
	if err := c.run(`BEGIN IMMEDIATE`, nil); err != nil {
		return err
	}
	for _, one := range all {
		before := c.c.TotalChanges()
		one.err = c.write(one.space, one.w)
		refused := errors.Is(one.err, logstore.ErrMoved) || errors.Is(one.err, logstore.ErrNotNew)
		if one.err == nil || refused && c.c.TotalChanges() == before {
			continue
		}
		if err := c.rollback(); err != nil || len(all) == 1 {
			return errors.Join(one.err, err)
		}
		for _, alone := range all {
			if err := c.commitAll([]*commit{alone}); err != nil {
				alone.err = err
			}
		}
		return nil
	}
	if err := c.run(`COMMIT`, nil); err != nil {
		return errors.Join(err, c.rollback())
	}
	return nil
}

// rollback undoes the transaction, unless SQLite has done so already.
func (c *conn) rollback() error {
	if c.c.GetAutocommit() {
		return nil
	}
	return c.run(`ROLLBACK`, nil)
}

// write compares the head and writes a write set.
func (c *conn) write(space string, w *logstore.WriteSet) error {
	v, err := newView(c, space)
	switch {
	case errors.Is(err, logstore.ErrNotFound), errors.Is(err, logstore.ErrGone):
		return logstore.ErrMoved
	case err != nil:
		return err
	case v.meta.Head != w.Base:
		return logstore.ErrMoved
	}
	for i := range w.Was {
		is, err := v.Blob(w.Was[i].Name)
		if err != nil {
			return err
		}
		if !w.Was[i].Is(is) {
			return logstore.ErrMoved
		}
	}
	if err := v.insertRows(w); err != nil { // before anything else: it may be refused
		return err
	}
	logged := int64(0)
	for i := range w.Entries {
		logged += int64(len(w.Entries[i].Body)) + logstore.EntryBytes
	}
	h := &w.Head
	if err := c.run(`UPDATE space SET seq = ?, chain = ?, digest = ?, rows = ?, live = ?, logged = logged + ?,
		told = told + ? WHERE id = ?`, nil, h.Seq, h.Chain[:], w.Digest[:], w.RowCount, w.Live, logged, len(w.Told),
		v.id); err != nil {
		return err
	}
	for _, step := range []func(*logstore.WriteSet) error{
		v.writeEntries, v.writeRows, v.writeBuckets, v.writeClients, v.writeUploads, v.writeTold, v.writeBlobs,
	} {
		if err := step(w); err != nil {
			return err
		}
	}
	if w.Schema != nil {
		if err := c.run(`INSERT INTO descriptors VALUES (?, ?) ON CONFLICT DO UPDATE SET schema = excluded.schema`, nil,
			v.id, w.Schema); err != nil {
			return err
		}
	}
	return v.cut(w.Cut, w.Keep)
}

func (v *view) writeEntries(w *logstore.WriteSet) error {
	for i := range w.Entries {
		e := &w.Entries[i]
		var body, digest, rows any
		if e.Outcome == "" || len(e.Body) > 0 {
			body = e.Body
		}
		if i == len(w.Entries)-1 {
			digest, rows = w.Digest[:], w.RowCount
		}
		if err := v.c.run(`INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, nil, v.id,
			e.Seq, e.Client[:], e.Counter, e.Outcome, e.BodyHash[:], e.Chain[:], digest, rows, body); err != nil {
			return err
		}
	}
	return nil
}

// insertRows writes the rows that are new, or sees that there are none.
func (v *view) insertRows(w *logstore.WriteSet) error {
	for i := range w.Rows {
		r := &w.Rows[i]
		if !r.New {
			continue
		}
		var err error
		if key := []byte(r.Key); r.Cells == nil {
			err = v.c.run(`SELECT 1 FROM row WHERE space = ? AND tbl = ? AND key = ?`,
				func(*sqlite3.Stmt) error { return logstore.ErrNotNew }, v.id, r.Table, key)
		} else {
			err = v.c.run(`INSERT INTO row VALUES (?, ?, ?, ?, ?)`, nil,
				v.id, r.Table, key, logstore.RowSum(r.Table, key, r.Cells), r.Cells)
		}
		if errors.Is(err, sqlite3.CONSTRAINT) {
			err = logstore.ErrNotNew
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes the others.
func (v *view) writeRows(w *logstore.WriteSet) error {
	for i := range w.Rows {
		if w.Rows[i].New {
			continue
		}
		if err := v.putRow(&w.Rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) putRow(r *logstore.Row) error {
	key := []byte(r.Key)
	if r.Cells == nil {
		return v.c.run(`DELETE FROM row WHERE space = ? AND tbl = ? AND key = ?`, nil, v.id, r.Table, key)
	}
	return v.c.run(`INSERT INTO row VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET cells = excluded.cells, sum = excluded.sum`, nil,
		v.id, r.Table, key, logstore.RowSum(r.Table, key, r.Cells), r.Cells)
}

func (v *view) writeBuckets(w *logstore.WriteSet) error {
	for i := range w.Buckets {
		if err := v.putBucket(&w.Buckets[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) putBucket(b *wire.Bucket) error {
	if b.Sum == nil {
		return v.c.run(`DELETE FROM bucket WHERE space = ? AND tbl = ? AND grp = ? AND n = ?`, nil,
			v.id, b.Table, b.Group, b.Number)
	}
	return v.c.run(`INSERT INTO bucket VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET sum = excluded.sum`, nil,
		v.id, b.Table, b.Group, b.Number, b.Sum)
}

func (v *view) writeClients(w *logstore.WriteSet) error {
	for i := range w.Clients {
		if err := v.putClient(&w.Clients[i]); err != nil {
			return err
		}
	}
	for _, s := range w.Seen {
		if err := v.c.run(`DELETE FROM outcome WHERE space = ? AND client = ? AND (seq <= ? OR counter <= ?)`, nil,
			v.id, s.Client[:], s.Seq, s.Counter); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) putClient(c *logstore.Client) error {
	var owner any
	if c.Owned {
		owner = c.Owner
	}
	return v.c.run(`INSERT INTO client VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
		SET decided = excluded.decided, owner = coalesce(owner, excluded.owner)`, nil, v.id, c.ID[:], c.Decided, owner)
}

func (v *view) writeUploads(w *logstore.WriteSet) error {
	for _, id := range w.Drop {
		for _, sql := range []string{`DELETE FROM upload WHERE space = ? AND client = ?`,
			`DELETE FROM part WHERE space = ? AND client = ?`} {
			if err := v.c.run(sql, nil, v.id, id[:]); err != nil {
				return err
			}
		}
	}
	for i := range w.Uploads {
		if err := v.putUpload(&w.Uploads[i]); err != nil {
			return err
		}
	}
	for i := range w.Parts {
		p := &w.Parts[i]
		if err := v.c.run(`INSERT INTO part VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes`, nil,
			v.id, p.Client[:], p.Index, p.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) putUpload(u *logstore.Upload) error {
	return v.c.run(`INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, nil, v.id, u.Client[:], u.Account,
		u.Counter, u.Total, u.Hash[:], u.Held, u.Bytes, u.At)
}

func (v *view) writeTold(w *logstore.WriteSet) error {
	for i := range w.Told {
		h := &w.Told[i]
		if err := v.c.run(`INSERT INTO head VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
			SET n = excluded.n, bytes = excluded.bytes WHERE n < excluded.n`, nil, v.id, h.Device[:], h.N, h.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) writeBlobs(w *logstore.WriteSet) error {
	for i := range w.Blobs {
		if err := v.putBlob(&w.Blobs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) putBlob(b *logstore.Blob) error {
	if b.Bytes == nil {
		return v.c.run(`DELETE FROM blob WHERE space = ? AND name = ?`, nil, v.id, b.Name)
	}
	return v.c.run(`INSERT INTO blob(space, name, at, bytes) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET at = excluded.at, bytes = excluded.bytes`, nil, v.id, b.Name, b.At, b.Bytes)
}

// cut takes the log's beginning off, up to seq, but for entries whose body begins with keep.
func (v *view) cut(seq uint64, keep []byte) error {
	if seq <= v.meta.Horizon {
		return nil
	}
	const gone = ` FROM log WHERE space = ?1 AND seq <= ?2
		AND (length(?3) = 0 OR substr(body, 1, length(?3)) IS NOT ?3)` // which is NULL of an empty body, too
	for _, sql := range []string{
		`UPDATE space SET horizon = ?2, horizon_chain = (SELECT chain FROM log WHERE space = ?1 AND seq = ?2),
			logged = logged - (SELECT coalesce(sum(coalesce(length(body), 0) + 160), 0)` + gone + `) WHERE id = ?1`,
		`INSERT INTO outcome SELECT space, client, counter, seq, outcome, body_hash` + gone + ` ON CONFLICT DO NOTHING`,
		`DELETE` + gone,
	} {
		if err := v.c.run(sql, nil, v.id, seq, keep); err != nil {
			return err
		}
	}
	return nil
}
