package pgstore

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/blake2b"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// view is a space in a transaction of a connection. A connection answers one question
// at a time, so what it returns one after the other is read in pages.
type view struct {
	ctx  context.Context
	c    *pgx.Conn
	id   int64
	meta logstore.Meta
}

// begin begins a transaction and finds a space in it, in one round trip. lock is ""
// or FOR UPDATE.
func begin(ctx context.Context, c *pgx.Conn, space, how, lock string) (*view, error) {
	v := &view{ctx: ctx, c: c}
	gone := false
	b := &pgx.Batch{}
	b.Queue(how)
	b.Queue(`SELECT id, epoch, seq, chain, digest, rows, live, logged, horizon, horizon_chain, gone, kicks, told
		FROM heddle.space WHERE name = $1 `+lock, []byte(space)).QueryRow(func(row pgx.Row) error {
		m := &v.meta
		var epoch, chain, digest, horizonChain []byte
		var seq, rows, horizon, kicks, told int64
		err := row.Scan(&v.id, &epoch, &seq, &chain, &digest, &rows, &m.Live, &m.Logged, &horizon, &horizonChain, &gone,
			&kicks, &told)
		m.Head = position(epoch, seq, chain)
		copy(m.Digest[:], digest)
		copy(m.HorizonChain[:], horizonChain)
		m.RowCount, m.Horizon, m.Kicks, m.Told = uint64(rows), uint64(horizon), uint64(kicks), uint64(told)
		return err
	})
	switch err := c.SendBatch(ctx, b).Close(); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, logstore.ErrNotFound
	case err != nil:
		return nil, translate(ctx, err)
	case gone:
		return nil, logstore.ErrGone
	}
	return v, nil
}

// query reads all results of a query by scan.
func query[T any](v *view, sql string, scan func(pgx.CollectableRow) (T, error), args ...any) ([]T, error) {
	rows, err := v.c.Query(v.ctx, sql, args...)
	if err != nil {
		return nil, translate(v.ctx, err)
	}
	all, err := pgx.AppendRows([]T(nil), rows, scan)
	return all, translate(v.ctx, err)
}

// one is query for a result that may not be there.
func one[T any](
	v *view, sql string, scan func(pgx.CollectableRow) (T, error), args ...any,
) (t T, found bool, err error) {
	all, err := query(v, sql, scan, args...)
	if len(all) > 0 {
		t = all[0]
	}
	return t, len(all) > 0, err
}

// pages yields what page returns, each after the last one of the page before, until
// there is nothing more. last is nil for the first page.
func pages[T any](page func(last *T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for last := (*T)(nil); ; {
			all, err := page(last)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, t := range all {
				if !yield(t, nil) {
					return
				}
			}
			if len(all) == 0 {
				return
			}
			last = &all[len(all)-1]
		}
	}
}

// pageRows is how many results a page has at most.
const pageRows = 1000

func (v *view) Meta() (logstore.Meta, error) { return v.meta, nil }

func (v *view) Schema() ([]byte, error) {
	schema, _, err := one(v, `SELECT schema FROM heddle.descriptors WHERE space = $1`, pgx.RowTo[[]byte], v.id)
	return schema, err
}

func (v *view) Buckets() iter.Seq2[wire.Bucket, error] {
	return pages(func(last *wire.Bucket) ([]wire.Bucket, error) {
		table, group, number := "", int64(0), int64(-1)
		if last != nil {
			table, group, number = last.Table, int64(last.Group), int64(last.Number)
		}
		return query(v, `SELECT tbl, grp, n, sum FROM heddle.bucket WHERE space = $1 AND (tbl, grp, n) > ($2, $3, $4)
			ORDER BY tbl, grp, n LIMIT $5`, func(row pgx.CollectableRow) (b wire.Bucket, err error) {
			var table []byte
			err = row.Scan(&table, &b.Group, &b.Number, &b.Sum)
			b.Table = string(table)
			return b, err
		}, v.id, []byte(table), group, number, pageRows)
	})
}

// key is an encoded key as its pieces are kept.
type key struct{ prefix, tail, rest []byte }

const prefixBytes = 1024

func split(k string) key {
	if len(k) <= prefixBytes {
		return key{[]byte(k), []byte{}, []byte{}}
	}
	rest := []byte(k[prefixBytes:])
	tail := blake2b.Sum256(rest)
	return key{[]byte(k[:prefixBytes]), tail[:], rest}
}

// keys are the columns of rows' names.
type keys struct{ tables, prefixes, tails, rests [][]byte }

func (k *keys) add(id *logstore.RowID) {
	one := split(id.Key)
	k.tables, k.prefixes = append(k.tables, []byte(id.Table)), append(k.prefixes, one.prefix)
	k.tails, k.rests = append(k.tails, one.tail), append(k.rests, one.rest)
}

func (v *view) Rows(ids []logstore.RowID) ([][]byte, error) {
	all := make([][]byte, len(ids))
	var of keys
	for i := range ids {
		of.add(&ids[i])
	}
	if len(ids) == 0 {
		return all, nil
	}
	type found struct {
		place int64
		cells []byte
		sum   int64
	}
	rows, err := query(v, `SELECT id.place, r.cells, r.sum
		FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS id(tbl, prefix, tail, place)
		JOIN heddle.row r ON r.space = $1 AND r.tbl = id.tbl AND r.prefix = id.prefix AND r.tail = id.tail`,
		func(row pgx.CollectableRow) (f found, err error) {
			return f, row.Scan(&f.place, &f.cells, &f.sum)
		}, v.id, of.tables, of.prefixes, of.tails)
	if err != nil {
		return nil, err
	}
	for _, f := range rows {
		id := &ids[f.place-1]
		if err := logstore.CheckRow(id.Table, []byte(id.Key), f.cells, f.sum); err != nil {
			return nil, err
		}
		all[f.place-1] = f.cells
	}
	return all, nil
}

// Scan reads pages of so many bytes. Rows of one prefix, which long keys may share,
// are put in order by what follows it.
func (v *view) Scan(after logstore.RowID, bytes int) iter.Seq2[logstore.Row, error] {
	return pages(func(last *logstore.Row) ([]logstore.Row, error) {
		if last != nil {
			after = last.RowID
		}
		at := split(after.Key)
		return query(v, `SELECT tbl, prefix, rest, cells, sum FROM (
				SELECT tbl, prefix, rest, cells, sum, sum(octet_length(prefix) + octet_length(rest) + octet_length(cells) + 64)
					OVER (ORDER BY tbl, prefix, rest ROWS UNBOUNDED PRECEDING) AS bytes, row_number()
					OVER (ORDER BY tbl, prefix, rest ROWS UNBOUNDED PRECEDING) AS number
				FROM (SELECT * FROM heddle.row WHERE space = $1 AND (tbl, prefix, rest) > ($2, $3, $4)
					ORDER BY tbl, prefix, rest LIMIT $5) page
			) sized WHERE bytes <= $6 OR number = 1 ORDER BY tbl, prefix, rest`,
			scanRow, v.id, []byte(after.Table), at.prefix, at.rest, pageRows, int64(bytes))
	})
}

func scanRow(row pgx.CollectableRow) (r logstore.Row, err error) {
	var table, prefix, rest []byte
	var sum int64
	if err := row.Scan(&table, &prefix, &rest, &r.Cells, &sum); err != nil {
		return r, err
	}
	key := append(prefix, rest...)
	r.Table, r.Key = string(table), string(key)
	return r, logstore.CheckRow(r.Table, key, r.Cells, sum)
}

func (v *view) Entries(after uint64, bytes int, without wire.ClientID) ([]wire.Entry, error) {
	return query(v, `SELECT seq, client, counter, outcome, body_hash, chain, body FROM (
			SELECT seq, client, counter, outcome, body_hash, chain, body, sum(coalesce(octet_length(body), 0) + 128)
				OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS bytes
			FROM (SELECT seq, client, counter, outcome, body_hash, chain, CASE WHEN client <> $5 THEN body END AS body
				FROM heddle.log WHERE space = $1 AND seq > $2 ORDER BY seq LIMIT $4) page
		) sized WHERE bytes <= $3 OR seq = $2 + 1 ORDER BY seq`,
		func(row pgx.CollectableRow) (e wire.Entry, err error) {
			var client, outcome, hash, chain []byte
			var seq, counter int64
			err = row.Scan(&seq, &client, &counter, &outcome, &hash, &chain, &e.Body)
			e.Seq, e.Counter, e.Outcome = uint64(seq), uint64(counter), string(outcome)
			copy(e.Client[:], client)
			copy(e.BodyHash[:], hash)
			copy(e.Chain[:], chain)
			return e, err
		}, v.id, int64(after), int64(bytes)+128, pageRows, without[:])
}

func (v *view) Sizes(after uint64, n int) ([]logstore.Size, error) {
	return query(v, `SELECT seq, coalesce(octet_length(body), 0) FROM heddle.log WHERE space = $1 AND seq > $2
		ORDER BY seq LIMIT $3`, func(row pgx.CollectableRow) (s logstore.Size, err error) {
		var seq int64
		err = row.Scan(&seq, &s.Bytes)
		s.Seq = uint64(seq)
		return s, err
	}, v.id, int64(after), n)
}

func (v *view) At(seq uint64) (logstore.State, bool, error) {
	if seq == v.meta.Head.Seq {
		st := v.meta.State
		st.Live = 0
		return st, true, nil
	}
	return one(v, `SELECT chain, digest, rows FROM heddle.log WHERE space = $1 AND seq = $2 AND digest IS NOT NULL`,
		func(row pgx.CollectableRow) (st logstore.State, err error) {
			var chain, digest []byte
			var rows int64
			err = row.Scan(&chain, &digest, &rows)
			st.Head = position(v.meta.Head.Epoch[:], int64(seq), chain)
			copy(st.Digest[:], digest)
			st.RowCount = uint64(rows)
			return st, err
		}, v.id, int64(seq))
}

func scanHash(row pgx.CollectableRow) (h wire.Hash, err error) {
	var hash []byte
	err = row.Scan(&hash)
	copy(h[:], hash)
	return h, err
}

func (v *view) Chain(seq uint64) (wire.Hash, bool, error) {
	switch seq {
	case v.meta.Head.Seq:
		return v.meta.Head.Chain, true, nil
	case v.meta.Horizon:
		return v.meta.HorizonChain, true, nil
	}
	return one(v, `SELECT chain FROM heddle.log WHERE space = $1 AND seq = $2`, scanHash, v.id, int64(seq))
}

func (v *view) Find(client wire.ClientID, counter uint64) (wire.Hash, bool, error) {
	return one(v, `SELECT body_hash FROM heddle.log WHERE space = $1 AND client = $2 AND counter = $3`, scanHash,
		v.id, client[:], int64(counter))
}

func scanClient(row pgx.CollectableRow) (c logstore.Client, err error) {
	var id, owner []byte
	var decided int64
	err = row.Scan(&id, &decided, &owner)
	copy(c.ID[:], id)
	c.Decided, c.Owner, c.Owned = uint64(decided), string(owner), owner != nil
	return c, err
}

func (v *view) Clients(ids []wire.ClientID) ([]logstore.Client, error) {
	all, names := make([]logstore.Client, len(ids)), make([][]byte, len(ids))
	for i := range ids {
		all[i].ID, names[i] = ids[i], ids[i][:]
	}
	known, err := query(v, `SELECT id, decided, owner FROM heddle.client WHERE space = $1 AND id = ANY($2)`, scanClient,
		v.id, names)
	byID := map[wire.ClientID]logstore.Client{}
	for _, c := range known {
		byID[c.ID] = c
	}
	for i := range all {
		if c, ok := byID[all[i].ID]; ok {
			all[i] = c
		}
	}
	return all, err
}

func (v *view) AllClients() iter.Seq2[logstore.Client, error] {
	return pages(func(last *logstore.Client) ([]logstore.Client, error) {
		after := []byte{} // before all ids
		if last != nil {
			after = last.ID[:]
		}
		return query(v, `SELECT id, decided, owner FROM heddle.client WHERE space = $1 AND id > $2 ORDER BY id LIMIT $3`,
			scanClient, v.id, after, pageRows)
	})
}

// scanOutcome reads an outcome from five columns: client, counter, seq, code,
// body_hash.
func scanOutcome(row pgx.CollectableRow) (o wire.Outcome, err error) {
	var client, code, hash []byte
	var counter, seq int64
	err = row.Scan(&client, &counter, &seq, &code, &hash)
	copy(o.Client[:], client)
	copy(o.BodyHash[:], hash)
	o.Counter, o.Seq, o.Code = uint64(counter), uint64(seq), string(code)
	return o, err
}

func (v *view) Outcomes(client wire.ClientID, n int) iter.Seq2[wire.Outcome, error] {
	return func(yield func(wire.Outcome, error) bool) {
		all, err := query(v, `SELECT ''::bytea, counter, seq, outcome, body_hash FROM (
				(SELECT counter, seq, outcome, body_hash FROM heddle.log WHERE space = $1 AND client = $2
					ORDER BY counter DESC LIMIT $3)
				UNION ALL (SELECT counter, seq, code, body_hash FROM heddle.outcome WHERE space = $1 AND client = $2
					ORDER BY counter DESC LIMIT $3)
			) known ORDER BY counter DESC LIMIT $3`, scanOutcome, v.id, client[:], n)
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(wire.Outcome{}, err)
		}
	}
}

func (v *view) CutOutcomes() iter.Seq2[wire.Outcome, error] {
	return pages(func(last *wire.Outcome) ([]wire.Outcome, error) {
		after := wire.Outcome{} // counters are from 1
		if last != nil {
			after = *last
		}
		return query(v, `SELECT client, counter, seq, code, body_hash FROM heddle.outcome
			WHERE space = $1 AND (client, counter) > ($2, $3) ORDER BY client, counter LIMIT $4`, scanOutcome,
			v.id, after.Client[:], int64(after.Counter), pageRows)
	})
}

func (v *view) Blobs(prefix string) ([]logstore.BlobInfo, error) {
	return query(v, `SELECT name, octet_length(bytes), at FROM heddle.blob WHERE space = $1 AND name >= $2
		AND substring(name FROM 1 FOR octet_length($2::bytea)) = $2 ORDER BY name`,
		func(row pgx.CollectableRow) (b logstore.BlobInfo, err error) {
			var name []byte
			err = row.Scan(&name, &b.Size, &b.At)
			b.Name = string(name)
			return b, err
		}, v.id, []byte(prefix))
}

func (v *view) Blob(name string) ([]byte, error) {
	bytes, _, err := one(v, `SELECT bytes FROM heddle.blob WHERE space = $1 AND name = $2`, pgx.RowTo[[]byte],
		v.id, []byte(name))
	return bytes, err
}

func (v *view) Uploads() ([]logstore.Upload, error) {
	return query(v, `SELECT client, account, counter, total, body_hash, held, bytes, at FROM heddle.upload
		WHERE space = $1 ORDER BY at, client`, func(row pgx.CollectableRow) (u logstore.Upload, err error) {
		var client, account, hash []byte
		var counter int64
		err = row.Scan(&client, &account, &counter, &u.Total, &hash, &u.Held, &u.Bytes, &u.At)
		copy(u.Client[:], client)
		copy(u.Hash[:], hash)
		u.Account, u.Counter = string(account), uint64(counter)
		return u, err
	}, v.id)
}

func (v *view) Parts(client wire.ClientID) ([][]byte, error) {
	return query(v, `SELECT bytes FROM heddle.part WHERE space = $1 AND client = $2 ORDER BY idx`, pgx.RowTo[[]byte],
		v.id, client[:])
}

func (v *view) DeviceHeads() ([]logstore.DeviceHead, error) {
	return query(v, `SELECT device, n, bytes FROM heddle.head WHERE space = $1 ORDER BY device`,
		func(row pgx.CollectableRow) (h logstore.DeviceHead, err error) {
			var device []byte
			var n int64
			err = row.Scan(&device, &n, &h.Bytes)
			copy(h.Device[:], device)
			h.N = uint64(n)
			return h, err
		}, v.id)
}
