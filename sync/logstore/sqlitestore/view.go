package sqlitestore

import (
	"iter"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// view is a space in a transaction of a connection.
type view struct {
	c    *conn
	id   int64
	meta logstore.Meta
}

// newView finds a space.
func newView(c *conn, space string) (*view, error) {
	v := &view{c: c}
	found, gone := false, false
	const sql = `SELECT id, epoch, seq, chain, digest, rows, live, logged, horizon, horizon_chain, gone, kicks, told
		FROM space WHERE name = ?`
	err := c.run(sql, func(s *sqlite3.Stmt) error {
		found, gone = true, s.ColumnBool(10)
		v.id = s.ColumnInt64(0)
		m := &v.meta
		copy(m.Head.Epoch[:], s.ColumnRawBlob(1))
		m.Head.Seq = uint64(s.ColumnInt64(2))
		copy(m.Head.Chain[:], s.ColumnRawBlob(3))
		copy(m.Digest[:], s.ColumnRawBlob(4))
		m.RowCount, m.Live, m.Logged = uint64(s.ColumnInt64(5)), s.ColumnInt64(6), s.ColumnInt64(7)
		m.Horizon = uint64(s.ColumnInt64(8))
		copy(m.HorizonChain[:], s.ColumnRawBlob(9))
		m.Kicks, m.Told = uint64(s.ColumnInt64(11)), uint64(s.ColumnInt64(12))
		return nil
	}, space)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, logstore.ErrNotFound
	case gone:
		return nil, logstore.ErrGone
	}
	return v, nil
}

func (v *view) Meta() (logstore.Meta, error) { return v.meta, nil }

func (v *view) Schema() (schema []byte, err error) {
	err = v.c.run(`SELECT schema FROM descriptors WHERE space = ?`, func(s *sqlite3.Stmt) error {
		schema = blob(s, 0)
		return nil
	}, v.id)
	return schema, err
}

func (v *view) Buckets() iter.Seq2[wire.Bucket, error] {
	return func(yield func(wire.Bucket, error) bool) {
		const sql = `SELECT tbl, grp, n, sum FROM bucket WHERE space = ? ORDER BY tbl, grp, n`
		if err := v.c.each(sql, func(s *sqlite3.Stmt) bool {
			return yield(wire.Bucket{Table: s.ColumnText(0), Group: uint32(s.ColumnInt64(1)), Number: uint32(s.ColumnInt64(2)),
				Sum: blob(s, 3)}, nil)
		}, v.id); err != nil {
			yield(wire.Bucket{}, err)
		}
	}
}

func (v *view) Rows(ids []logstore.RowID) ([][]byte, error) {
	all := make([][]byte, len(ids))
	for i := range ids {
		id := &ids[i]
		err := v.c.run(`SELECT cells, sum FROM row WHERE space = ? AND tbl = ? AND key = ?`, func(s *sqlite3.Stmt) error {
			all[i] = blob(s, 0)
			return logstore.CheckRow(id.Table, []byte(id.Key), all[i], s.ColumnInt64(1))
		}, v.id, id.Table, []byte(id.Key))
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (v *view) Scan(after logstore.RowID, _ int) iter.Seq2[logstore.Row, error] {
	return func(yield func(logstore.Row, error) bool) {
		const sql = `SELECT tbl, key, cells, sum FROM row WHERE space = ? AND (tbl, key) > (?, ?) ORDER BY tbl, key`
		table := after.Table
		err := v.c.run(sql, func(s *sqlite3.Stmt) error {
			key, cells := blob(s, 1), blob(s, 2)
			if string(s.ColumnRawText(0)) != table {
				table = s.ColumnText(0)
			}
			if err := logstore.CheckRow(table, key, cells, s.ColumnInt64(3)); err != nil {
				return err
			}
			if !yield(logstore.Row{RowID: logstore.RowID{Table: table, Key: string(key)}, Cells: cells}, nil) {
				return errStop
			}
			return nil
		}, v.id, after.Table, []byte(after.Key))
		if err != nil && err != errStop {
			yield(logstore.Row{}, err)
		}
	}
}

func (v *view) Entries(after uint64, bytes int, without wire.ClientID) ([]wire.Entry, error) {
	var all []wire.Entry
	size := 0
	const sql = `SELECT seq, client, counter, outcome, body_hash, chain, CASE WHEN client <> ? THEN body END
		FROM log WHERE space = ? AND seq > ? ORDER BY seq LIMIT 1000`
	err := v.c.each(sql, func(s *sqlite3.Stmt) bool {
		body := s.ColumnRawBlob(6)
		if size > 0 && size+len(body) > bytes {
			return false
		}
		size += len(body) + 128
		e := scanEntry(s)
		e.Body = append([]byte(nil), body...)
		all = append(all, e)
		return true
	}, without[:], v.id, after)
	return all, err
}

// scanEntry reads an entry without its body from the first six columns: seq,
// client, counter, outcome, body_hash, chain.
func scanEntry(s *sqlite3.Stmt) wire.Entry {
	e := wire.Entry{Seq: uint64(s.ColumnInt64(0)), Counter: uint64(s.ColumnInt64(2)), Outcome: s.ColumnText(3)}
	copy(e.Client[:], s.ColumnRawBlob(1))
	copy(e.BodyHash[:], s.ColumnRawBlob(4))
	copy(e.Chain[:], s.ColumnRawBlob(5))
	return e
}

func (v *view) Sizes(after uint64, n int) (all []logstore.Size, err error) {
	err = v.c.run(`SELECT seq, coalesce(length(body), 0) FROM log WHERE space = ? AND seq > ? ORDER BY seq LIMIT ?`,
		func(s *sqlite3.Stmt) error {
			all = append(all, logstore.Size{Seq: uint64(s.ColumnInt64(0)), Bytes: s.ColumnInt64(1)})
			return nil
		}, v.id, after, n)
	return all, err
}

func (v *view) At(seq uint64) (st logstore.State, found bool, err error) {
	if seq == v.meta.Head.Seq {
		st = v.meta.State
		st.Live = 0
		return st, true, nil
	}
	const sql = `SELECT chain, digest, rows FROM log WHERE space = ? AND seq = ? AND digest IS NOT NULL`
	err = v.c.run(sql, func(s *sqlite3.Stmt) error {
		found = true
		st.Head = wire.Position{Epoch: v.meta.Head.Epoch, Seq: seq}
		copy(st.Head.Chain[:], s.ColumnRawBlob(0))
		copy(st.Digest[:], s.ColumnRawBlob(1))
		st.RowCount = uint64(s.ColumnInt64(2))
		return nil
	}, v.id, seq)
	return st, found, err
}

func (v *view) Chain(seq uint64) (chain wire.Hash, found bool, err error) {
	switch seq {
	case v.meta.Head.Seq:
		return v.meta.Head.Chain, true, nil
	case v.meta.Horizon:
		return v.meta.HorizonChain, true, nil
	}
	err = v.c.run(`SELECT chain FROM log WHERE space = ? AND seq = ?`, func(s *sqlite3.Stmt) error {
		found = true
		copy(chain[:], s.ColumnRawBlob(0))
		return nil
	}, v.id, seq)
	return chain, found, err
}

func (v *view) Find(client wire.ClientID, counter uint64) (hash wire.Hash, found bool, err error) {
	err = v.c.run(`SELECT body_hash FROM log WHERE space = ? AND client = ? AND counter = ?`, func(s *sqlite3.Stmt) error {
		found = true
		copy(hash[:], s.ColumnRawBlob(0))
		return nil
	}, v.id, client[:], counter)
	return hash, found, err
}

func (v *view) Clients(ids []wire.ClientID) ([]logstore.Client, error) {
	all := make([]logstore.Client, len(ids))
	for i, id := range ids {
		all[i].ID = id
		const sql = `SELECT id, decided, owner FROM client WHERE space = ? AND id = ?`
		if err := v.c.run(sql, func(s *sqlite3.Stmt) error {
			all[i] = scanClient(s)
			return nil
		}, v.id, id[:]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func scanClient(s *sqlite3.Stmt) (c logstore.Client) {
	copy(c.ID[:], s.ColumnRawBlob(0))
	c.Decided = uint64(s.ColumnInt64(1))
	c.Owner, c.Owned = s.ColumnText(2), s.ColumnType(2) != sqlite3.NULL
	return c
}

func (v *view) AllClients() iter.Seq2[logstore.Client, error] {
	return func(yield func(logstore.Client, error) bool) {
		if err := v.c.each(`SELECT id, decided, owner FROM client WHERE space = ? ORDER BY id`,
			func(s *sqlite3.Stmt) bool { return yield(scanClient(s), nil) }, v.id); err != nil {
			yield(logstore.Client{}, err)
		}
	}
}

// scanOutcome reads an outcome from four columns: counter, seq, code, body_hash.
func scanOutcome(s *sqlite3.Stmt) wire.Outcome {
	o := wire.Outcome{Counter: uint64(s.ColumnInt64(0)), Seq: uint64(s.ColumnInt64(1)), Code: s.ColumnText(2)}
	copy(o.BodyHash[:], s.ColumnRawBlob(3))
	return o
}

func (v *view) Outcomes(client wire.ClientID, n int) iter.Seq2[wire.Outcome, error] {
	return func(yield func(wire.Outcome, error) bool) {
		const sql = `SELECT counter, seq, outcome, body_hash FROM log WHERE space = ?1 AND client = ?2
			UNION ALL SELECT counter, seq, code, body_hash FROM outcome WHERE space = ?1 AND client = ?2
			ORDER BY 1 DESC LIMIT ?3`
		if err := v.c.each(sql, func(s *sqlite3.Stmt) bool { return yield(scanOutcome(s), nil) },
			v.id, client[:], n); err != nil {
			yield(wire.Outcome{}, err)
		}
	}
}

func (v *view) CutOutcomes() iter.Seq2[wire.Outcome, error] {
	return func(yield func(wire.Outcome, error) bool) {
		const sql = `SELECT counter, seq, code, body_hash, client FROM outcome WHERE space = ? ORDER BY client, counter`
		if err := v.c.each(sql, func(s *sqlite3.Stmt) bool {
			o := scanOutcome(s)
			copy(o.Client[:], s.ColumnRawBlob(4))
			return yield(o, nil)
		}, v.id); err != nil {
			yield(wire.Outcome{}, err)
		}
	}
}

func (v *view) Blobs(prefix string) (all []logstore.BlobInfo, err error) {
	err = v.c.run(`SELECT name, length(bytes), at FROM blob WHERE space = ?1 AND name >= ?2
		AND substr(name, 1, length(?2)) = ?2 ORDER BY name`, func(s *sqlite3.Stmt) error {
		all = append(all, logstore.BlobInfo{Name: s.ColumnText(0), Size: s.ColumnInt64(1), At: s.ColumnInt64(2)})
		return nil
	}, v.id, prefix)
	return all, err
}

func (v *view) Blob(name string) (bytes []byte, err error) {
	err = v.c.run(`SELECT bytes FROM blob WHERE space = ? AND name = ?`, func(s *sqlite3.Stmt) error {
		bytes = blob(s, 0)
		return nil
	}, v.id, name)
	return bytes, err
}

func (v *view) Uploads() (all []logstore.Upload, err error) {
	const sql = `SELECT client, account, counter, total, body_hash, held, bytes, at FROM upload WHERE space = ?
		ORDER BY at, client`
	err = v.c.run(sql, func(s *sqlite3.Stmt) error {
		u := logstore.Upload{Account: s.ColumnText(1), Counter: uint64(s.ColumnInt64(2)), Total: uint32(s.ColumnInt64(3)),
			Held: uint32(s.ColumnInt64(5)), Bytes: s.ColumnInt64(6), At: s.ColumnInt64(7)}
		copy(u.Client[:], s.ColumnRawBlob(0))
		copy(u.Hash[:], s.ColumnRawBlob(4))
		all = append(all, u)
		return nil
	}, v.id)
	return all, err
}

func (v *view) Parts(client wire.ClientID) (all [][]byte, err error) {
	err = v.c.run(`SELECT bytes FROM part WHERE space = ? AND client = ? ORDER BY idx`, func(s *sqlite3.Stmt) error {
		all = append(all, blob(s, 0))
		return nil
	}, v.id, client[:])
	return all, err
}

func (v *view) DeviceHeads() (all []logstore.DeviceHead, err error) {
	err = v.c.run(`SELECT device, n, bytes FROM head WHERE space = ? ORDER BY device`, func(s *sqlite3.Stmt) error {
		h := logstore.DeviceHead{N: uint64(s.ColumnInt64(1)), Bytes: blob(s, 2)}
		copy(h.Device[:], s.ColumnRawBlob(0))
		all = append(all, h)
		return nil
	}, v.id)
	return all, err
}
