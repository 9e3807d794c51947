package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// writes are statements on one space that go to the database together. Without a
// transaction around them they are one: all or nothing, in one round trip.
type writes struct {
	pgx.Batch
	space    []byte
	meanings []meaning
}

// meaning says what it means that a statement fails with a code. There is none where
// that is "".
type meaning struct {
	code string
	err  error
}

// queue adds a statement, whose first parameter is the space's name.
func (w *writes) queue(m meaning, sql string, args ...any) {
	w.Queue(sql, append([]any{w.space}, args...)...)
	w.meanings = append(w.meanings, m)
}

type sender interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}

// do executes the statements.
func (w *writes) do(ctx context.Context, c sender) (err error) {
	results := c.SendBatch(ctx, &w.Batch)
	var of meaning // of the statement that failed
	for i := 0; err == nil && i < len(w.meanings); i++ {
		_, err = results.Exec()
		of = w.meanings[i]
	}
	if ended := results.Close(); err == nil {
		err, of = ended, meaning{}
	}
	switch code := codeOf(err); {
	case err == nil:
		return nil
	case code != "" && code == of.code:
		return of.err
	case code == uniqueViolation, again(err):
		return logstore.ErrMoved
	}
	return translate(ctx, err)
}

func (s *Store) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	b := &writes{space: []byte(space)}
	b.compare(w)
	b.was(w.Was)
	b.entries(w.Entries, &w.State)
	b.rows(w.Rows)
	b.buckets(w.Buckets)
	b.clients(w.Clients)
	b.seen(w.Seen)
	b.uploads(w.Drop, w.Uploads, w.Parts)
	b.told(w.Told)
	if w.Schema != nil {
		b.schema(w.Schema)
	}
	b.blobs(w.Blobs)
	if w.Cut > 0 {
		b.cut(w.Cut, w.Keep)
	}
	err := b.do(ctx, s.pool)
	if err == nil && len(w.Told) > 0 {
		s.hints.Send(logstore.Hint{Space: space})
	} else if err == nil && len(w.Entries) > 0 {
		s.hints.Send(logstore.Hint{Space: space, Seq: w.Head.Seq,
			News: &logstore.News{Base: w.Base, Entries: w.Entries, Digest: w.Digest}})
	}
	return err
}

// compare sets the head where it is the base, and holds off the commits of others from
// there to the end of the transaction. Where it is not it divides by nothing: that
// undoes the transaction.
func (w *writes) compare(set *logstore.WriteSet) {
	logged := int64(0)
	for i := range set.Entries {
		logged += int64(len(set.Entries[i].Body)) + logstore.EntryBytes
	}
	base, head := &set.Base, &set.Head
	w.queue(meaning{divisionByZero, logstore.ErrMoved}, `WITH moved AS (
			UPDATE heddle.space SET seq = $5, chain = $6, digest = $7, rows = $8, live = $9, logged = logged + $10,
				told = told + $11 WHERE name = $1 AND epoch = $2 AND seq = $3 AND chain = $4 AND NOT gone RETURNING id
		) SELECT 1 / count(*) FROM moved`, base.Epoch[:], int64(base.Seq), base.Chain[:],
		int64(head.Seq), head.Chain[:], set.Digest[:], int64(set.RowCount), set.Live, logged,
		len(set.Told))
}

// was divides by nothing, as compare does, where a blob is not as it has to be. What others
// have committed before compare is seen.
func (w *writes) was(all []logstore.Blob) {
	for i := range all {
		w.queue(meaning{divisionByZero, logstore.ErrMoved}, `SELECT 1 / count(*) FROM heddle.space s LEFT JOIN heddle.blob b
			ON b.space = s.id AND b.name = $2 WHERE s.name = $1 AND b.bytes IS NOT DISTINCT FROM $3`,
			[]byte(all[i].Name), all[i].Bytes)
	}
}

// entries writes a part of the log. The last one has the state that is left, if there
// is one.
func (w *writes) entries(all []wire.Entry, left *logstore.State) {
	if len(all) == 0 {
		return
	}
	n := len(all)
	seqs, counters, rows := make([]int64, n), make([]int64, n), make([]*int64, n)
	clients, outcomes, hashes := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	chains, digests, bodies := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i := range all {
		e := &all[i]
		seqs[i], counters[i], clients[i] = int64(e.Seq), int64(e.Counter), e.Client[:]
		outcomes[i], hashes[i], chains[i] = []byte(e.Outcome), e.BodyHash[:], e.Chain[:]
		if e.Outcome == "" || len(e.Body) > 0 {
			bodies[i] = some(e.Body)
		}
	}
	if left != nil {
		count := int64(left.RowCount)
		digests[n-1], rows[n-1] = left.Digest[:], &count
	}
	w.queue(meaning{}, `INSERT INTO heddle.log(space, seq, client, counter, outcome, body_hash, chain, digest, rows, body)
		SELECT s.id, e.* FROM heddle.space s, unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[],
			$7::bytea[], $8::bytea[], $9::bigint[], $10::bytea[]) AS e WHERE s.name = $1`,
		seqs, clients, counters, outcomes, hashes, chains, digests, rows, bodies)
}

// some returns bytes that are not NULL.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// rowSet are rows as columns.
type rowSet struct {
	keys
	sums  []int64
	cells [][]byte
}

func (s *rowSet) add(r *logstore.Row) {
	s.keys.add(&r.RowID)
	s.cells = append(s.cells, r.Cells)
	s.sums = append(s.sums, logstore.RowSum(r.Table, []byte(r.Key), r.Cells))
}

// rows writes rows: first those that are new, since they may not be.
func (w *writes) rows(all []logstore.Row) {
	var inserted, absent, put, deleted rowSet
	for i := range all {
		switch r := &all[i]; {
		case r.New && r.Cells != nil:
			inserted.add(r)
		case r.New:
			absent.add(r)
		case r.Cells != nil:
			put.add(r)
		default:
			deleted.add(r)
		}
	}
	const insert = `INSERT INTO heddle.row(space, tbl, prefix, tail, rest, sum, cells)
		SELECT s.id, r.* FROM heddle.space s,
			unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[]) AS r WHERE s.name = $1`
	if r := &inserted; len(r.sums) > 0 {
		w.queue(meaning{uniqueViolation, logstore.ErrNotNew}, insert, r.tables, r.prefixes, r.tails, r.rests, r.sums, r.cells)
	}
	if r := &absent; len(r.sums) > 0 {
		w.queue(meaning{divisionByZero, logstore.ErrNotNew}, `SELECT 1 / (1 - sign(count(*))::int) FROM heddle.space s,
				unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS id(tbl, prefix, tail), heddle.row r
			WHERE s.name = $1 AND r.space = s.id AND r.tbl = id.tbl AND r.prefix = id.prefix AND r.tail = id.tail`,
			r.tables, r.prefixes, r.tails)
	}
	if r := &put; len(r.sums) > 0 {
		w.queue(meaning{}, insert+` ON CONFLICT (space, tbl, prefix, tail) DO UPDATE
			SET sum = excluded.sum, cells = excluded.cells`, r.tables, r.prefixes, r.tails, r.rests, r.sums, r.cells)
	}
	if r := &deleted; len(r.sums) > 0 {
		w.queue(meaning{}, `DELETE FROM heddle.row r USING heddle.space s,
				unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS id(tbl, prefix, tail)
			WHERE s.name = $1 AND r.space = s.id AND r.tbl = id.tbl AND r.prefix = id.prefix AND r.tail = id.tail`,
			r.tables, r.prefixes, r.tails)
	}
}

func (w *writes) buckets(all []wire.Bucket) {
	type set struct {
		tables, sums    [][]byte
		groups, numbers []int64
	}
	var put, deleted set
	for i := range all {
		b, to := &all[i], &put
		if b.Sum == nil {
			to = &deleted
		}
		to.tables, to.sums = append(to.tables, []byte(b.Table)), append(to.sums, b.Sum)
		to.groups, to.numbers = append(to.groups, int64(b.Group)), append(to.numbers, int64(b.Number))
	}
	if len(put.tables) > 0 {
		w.queue(meaning{}, `INSERT INTO heddle.bucket(space, tbl, grp, n, sum) SELECT s.id, b.* FROM heddle.space s,
				unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[]) AS b WHERE s.name = $1
			ON CONFLICT (space, tbl, grp, n) DO UPDATE SET sum = excluded.sum`,
			put.tables, put.groups, put.numbers, put.sums)
	}
	if len(deleted.tables) > 0 {
		w.queue(meaning{}, `DELETE FROM heddle.bucket b USING heddle.space s,
				unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS id(tbl, grp, n)
			WHERE s.name = $1 AND b.space = s.id AND b.tbl = id.tbl AND b.grp = id.grp AND b.n = id.n`,
			deleted.tables, deleted.groups, deleted.numbers)
	}
}

// clients writes what is known of clients. An owner that one has is kept.
func (w *writes) clients(all []logstore.Client) {
	if len(all) == 0 {
		return
	}
	ids, owners, decided := make([][]byte, len(all)), make([][]byte, len(all)), make([]int64, len(all))
	for i := range all {
		c := &all[i]
		if ids[i], decided[i] = c.ID[:], int64(c.Decided); c.Owned {
			owners[i] = []byte(c.Owner)
		}
	}
	w.queue(meaning{}, `INSERT INTO heddle.client(space, id, decided, owner) SELECT s.id, c.* FROM heddle.space s,
			unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS c WHERE s.name = $1
		ON CONFLICT (space, id) DO UPDATE SET decided = excluded.decided, owner = coalesce(client.owner, excluded.owner)`,
		ids, decided, owners)
}

// seen drops outcomes that nobody asks for any more.
func (w *writes) seen(all []logstore.Seen) {
	if len(all) == 0 {
		return
	}
	clients, seqs, counters := make([][]byte, len(all)), make([]int64, len(all)), make([]int64, len(all))
	for i := range all {
		s := &all[i]
		clients[i], seqs[i], counters[i] = s.Client[:], int64(s.Seq), int64(s.Counter)
	}
	w.queue(meaning{}, `DELETE FROM heddle.outcome o USING heddle.space s,
			unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS d(client, seq, counter)
		WHERE s.name = $1 AND o.space = s.id AND o.client = d.client AND (o.seq <= d.seq OR o.counter <= d.counter)`,
		clients, seqs, counters)
}

func (w *writes) uploads(dropped []wire.ClientID, all []logstore.Upload, parts []logstore.Part) {
	if len(dropped) > 0 {
		ids := make([][]byte, len(dropped))
		for i := range dropped {
			ids[i] = dropped[i][:]
		}
		for _, table := range []string{"upload", "part"} {
			w.queue(meaning{}, fmt.Sprintf(`DELETE FROM heddle.%s t USING heddle.space s
				WHERE s.name = $1 AND t.space = s.id AND t.client = ANY($2)`, table), ids)
		}
	}
	for i := range all {
		u := &all[i]
		w.queue(meaning{}, `INSERT INTO heddle.upload(space, client, account, counter, total, body_hash, held, bytes, at)
			SELECT id, $2, $3, $4, $5, $6, $7, $8, $9 FROM heddle.space WHERE name = $1
			ON CONFLICT (space, client) DO UPDATE SET account = excluded.account, counter = excluded.counter,
				total = excluded.total, body_hash = excluded.body_hash, held = excluded.held, bytes = excluded.bytes,
				at = excluded.at`, u.Client[:], []byte(u.Account), int64(u.Counter), int64(u.Total), u.Hash[:], int64(u.Held),
			u.Bytes, u.At)
	}
	if len(parts) == 0 {
		return
	}
	clients, places, bytes := make([][]byte, len(parts)), make([]int64, len(parts)), make([][]byte, len(parts))
	for i := range parts {
		p := &parts[i]
		clients[i], places[i], bytes[i] = p.Client[:], int64(p.Index), some(p.Bytes)
	}
	w.queue(meaning{}, `INSERT INTO heddle.part(space, client, idx, bytes) SELECT s.id, p.* FROM heddle.space s,
			unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS p WHERE s.name = $1
		ON CONFLICT (space, client, idx) DO UPDATE SET bytes = excluded.bytes`, clients, places, bytes)
}

// told writes what devices have told.
func (w *writes) told(all []logstore.DeviceHead) {
	for i := range all {
		h := &all[i]
		w.queue(meaning{}, `INSERT INTO heddle.head(space, device, n, bytes) SELECT id, $2, $3, $4 FROM heddle.space
			WHERE name = $1 ON CONFLICT (space, device) DO UPDATE SET n = excluded.n, bytes = excluded.bytes
			WHERE head.n < excluded.n`, h.Device[:], int64(h.N), some(h.Bytes))
	}
}

func (w *writes) schema(schema []byte) {
	w.queue(meaning{}, `INSERT INTO heddle.descriptors(space, schema) SELECT id, $2 FROM heddle.space WHERE name = $1
		ON CONFLICT (space) DO UPDATE SET schema = excluded.schema`, schema)
}

func (w *writes) outcomes(all []wire.Outcome) {
	n := len(all)
	clients, codes, hashes := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	counters, seqs := make([]int64, n), make([]int64, n)
	for i := range all {
		o := &all[i]
		clients[i], codes[i], hashes[i] = o.Client[:], []byte(o.Code), o.BodyHash[:]
		counters[i], seqs[i] = int64(o.Counter), int64(o.Seq)
	}
	w.queue(meaning{}, `INSERT INTO heddle.outcome(space, client, counter, seq, code, body_hash) SELECT s.id, o.*
		FROM heddle.space s, unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[]) AS o
		WHERE s.name = $1`, clients, counters, seqs, codes, hashes)
}

func (w *writes) blobs(all []logstore.Blob) {
	for i := range all {
		b := &all[i]
		if b.Bytes == nil {
			w.queue(meaning{}, `DELETE FROM heddle.blob b USING heddle.space s WHERE s.name = $1 AND b.space = s.id
				AND b.name = $2`, []byte(b.Name))
			continue
		}
		w.queue(meaning{}, `INSERT INTO heddle.blob(space, name, at, bytes) SELECT id, $2, $3, $4 FROM heddle.space
			WHERE name = $1 ON CONFLICT (space, name) DO UPDATE SET at = excluded.at, bytes = excluded.bytes`,
			[]byte(b.Name), b.At, b.Bytes)
	}
}

// cut takes the log's beginning off, up to seq, but for entries whose body begins with keep.
func (w *writes) cut(seq uint64, keep []byte) {
	const gone = ` AND l.seq <= $2 AND s.horizon < $2 AND (octet_length($3::bytea) = 0 OR l.body IS NULL
		OR substring(l.body FROM 1 FOR octet_length($3::bytea)) <> $3::bytea)`
	for _, sql := range []string{
		`INSERT INTO heddle.outcome(space, client, counter, seq, code, body_hash)
			SELECT space, client, counter, l.seq, outcome, body_hash FROM heddle.space s JOIN heddle.log l ON l.space = s.id
			WHERE s.name = $1` + gone + ` ON CONFLICT (space, client, counter) DO NOTHING`,
		`WITH cut AS (
				DELETE FROM heddle.log l USING heddle.space s WHERE s.name = $1 AND l.space = s.id` + gone + `
				RETURNING coalesce(octet_length(l.body), 0) + 160 AS bytes
			) UPDATE heddle.space s SET horizon = $2, logged = logged - (SELECT coalesce(sum(bytes), 0) FROM cut),
				horizon_chain = (SELECT chain FROM heddle.log WHERE space = s.id AND seq = $2)
			WHERE name = $1 AND horizon < $2`,
	} {
		w.queue(meaning{}, sql, int64(seq), some(keep))
	}
}
