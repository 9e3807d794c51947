package pgstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// change runs f in a transaction that holds off the commits to the space, and again
// where that was undone because of others.
func (s *Store) change(ctx context.Context, space string, f func(*view) error) (err error) {
	for range 10 {
		if err = s.changeOnce(ctx, space, f); !again(err) && !errors.Is(err, logstore.ErrMoved) {
			break
		}
	}
	return translate(ctx, err)
}

func (s *Store) changeOnce(ctx context.Context, space string, f func(*view) error) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release() // of one that is in a transaction: closes it
	v, err := begin(ctx, c.Conn(), space, `BEGIN`, `FOR UPDATE`)
	if err == nil {
		err = f(v)
	}
	if err != nil {
		s.rollback(ctx, c.Conn())
		return err
	}
	_, err = c.Exec(ctx, `COMMIT`)
	return err
}

func (s *Store) Cut(ctx context.Context, space string, seq uint64) error {
	return s.change(ctx, space, func(v *view) error {
		w := &writes{space: []byte(space)}
		w.cut(min(seq, v.meta.Head.Seq), nil)
		return w.do(ctx, v.c)
	})
}

func (s *Store) Delete(ctx context.Context, space string) error {
	err := s.change(ctx, space, func(v *view) error {
		for _, table := range tables {
			if _, err := v.c.Exec(ctx, fmt.Sprintf(`DELETE FROM heddle.%s WHERE space = $1`, table), v.id); err != nil {
				return err
			}
		}
		none := logstore.Meta{}
		_, err := v.c.Exec(ctx, `UPDATE heddle.space SET gone = true, epoch = $2, seq = 0, chain = $3, digest = $3, rows = 0,
			live = 0, logged = 0, horizon = 0, horizon_chain = $3 WHERE id = $1`, v.id, none.Head.Epoch[:], none.Head.Chain[:])
		return err
	})
	if err == nil {
		s.hints.Send(logstore.Hint{Space: space})
	}
	return err
}

func (s *Store) Kick(ctx context.Context, space string) error {
	err := s.change(ctx, space, func(v *view) error {
		_, err := v.c.Exec(ctx, `UPDATE heddle.space SET kicks = kicks + 1 WHERE id = $1`, v.id)
		return err
	})
	if err == nil {
		s.hints.Send(logstore.Hint{Space: space})
	}
	return err
}

// importBytes is how much of a space is read from another store, and sent to this
// one, at a time.
const importBytes = 4 << 20

// Import holds the other store's View open for as long as it takes.
func (s *Store) Import(ctx context.Context, space string, from logstore.View) error {
	m, err := from.Meta()
	if err != nil {
		return err
	}
	return translate(ctx, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		h := &m.Head
		made, err := tx.Exec(ctx, `INSERT INTO heddle.space(name, epoch, seq, chain, digest, rows, live, logged, horizon,
			horizon_chain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING`, []byte(space),
			h.Epoch[:], int64(h.Seq), h.Chain[:], m.Digest[:], int64(m.RowCount), m.Live, m.Logged, int64(m.Horizon),
			m.HorizonChain[:])
		if err != nil {
			return err
		}
		if made.RowsAffected() == 0 {
			gone := false
			if err := tx.QueryRow(ctx, `SELECT gone FROM heddle.space WHERE name = $1`, []byte(space)).Scan(&gone); err != nil {
				return err
			}
			if gone {
				return logstore.ErrGone
			}
			return logstore.ErrExists
		}
		i := &importer{ctx: ctx, tx: tx, space: space, from: from}
		return i.all(&m)
	}))
}

// importer fills a space from a View of another store.
type importer struct {
	ctx   context.Context
	tx    pgx.Tx
	space string
	from  logstore.View
}

// write sends what f queues.
func (i *importer) write(f func(*writes)) error {
	w := &writes{space: []byte(i.space)}
	if f(w); len(w.meanings) == 0 {
		return nil
	}
	return w.do(i.ctx, i.tx)
}

func (i *importer) all(m *logstore.Meta) error {
	schema, err := i.from.Schema()
	if err == nil && schema != nil {
		err = i.write(func(w *writes) { w.schema(schema) })
	}
	if err != nil {
		return err
	}
	if err := inChunks(i.from.Scan(logstore.RowID{}, importBytes),
		func(r *logstore.Row) int { return len(r.Key) + len(r.Cells) },
		func(all []logstore.Row) error { return i.write(func(w *writes) { w.rows(all) }) }); err != nil {
		return err
	}
	if err := inChunks(i.from.Buckets(), func(b *wire.Bucket) int { return len(b.Sum) },
		func(all []wire.Bucket) error { return i.write(func(w *writes) { w.buckets(all) }) }); err != nil {
		return err
	}
	if err := i.log(m); err != nil {
		return err
	}
	if err := inChunks(i.from.AllClients(), func(c *logstore.Client) int { return len(c.Owner) },
		func(all []logstore.Client) error { return i.write(func(w *writes) { w.clients(all) }) }); err != nil {
		return err
	}
	if err := inChunks(i.from.CutOutcomes(), func(o *wire.Outcome) int { return len(o.Code) },
		func(all []wire.Outcome) error { return i.write(func(w *writes) { w.outcomes(all) }) }); err != nil {
		return err
	}
	if err := i.blobs(); err != nil {
		return err
	}
	if err := i.uploads(); err != nil {
		return err
	}
	told, err := i.from.DeviceHeads()
	if err != nil {
		return err
	}
	return i.write(func(w *writes) { w.told(told) })
}

func (i *importer) blobs() error {
	all, err := i.from.Blobs("")
	for n := 0; n < len(all) && err == nil; n++ {
		b := logstore.Blob{Name: all[n].Name, At: all[n].At}
		if b.Bytes, err = i.from.Blob(b.Name); err == nil {
			err = i.write(func(w *writes) { w.blobs([]logstore.Blob{b}) })
		}
	}
	return err
}

// inChunks hands on what comes one after the other about importBytes at a time.
func inChunks[T any](each iter.Seq2[T, error], size func(*T) int, take func([]T) error) error {
	const beside = 128 // what each takes at least
	var all []T
	bytes := 0
	for t, err := range each {
		if err != nil {
			return err
		}
		all, bytes = append(all, t), bytes+size(&t)+beside
		if bytes < importBytes {
			continue
		}
		if err := take(all); err != nil {
			return err
		}
		all, bytes = nil, 0
	}
	return take(all)
}

func (i *importer) log(m *logstore.Meta) error {
	for at := uint64(0); at < m.Head.Seq; { // from what a cut has kept on
		entries, err := i.from.Entries(at, importBytes, wire.ClientID{})
		if err != nil {
			return err
		}
		if len(entries) == 0 && m.Horizon == m.Head.Seq {
			return nil
		}
		if len(entries) == 0 {
			return errcode.New(errcode.Damaged, "pgstore: import", fmt.Sprintf("entry %d is missing", at+1))
		}
		at = entries[len(entries)-1].Seq
		var left *logstore.State // the digest is that of the head alone
		if at == m.Head.Seq {
			left = &m.State
		}
		if err := i.write(func(w *writes) { w.entries(entries, left) }); err != nil {
			return err
		}
	}
	return nil
}

func (i *importer) uploads() error {
	all, err := i.from.Uploads()
	if err != nil {
		return err
	}
	for n := range all {
		held, err := i.from.Parts(all[n].Client)
		if err != nil {
			return err
		}
		parts := make([]logstore.Part, len(held))
		for at, bytes := range held {
			parts[at] = logstore.Part{Client: all[n].Client, Index: uint32(at), Bytes: bytes}
		}
		if err := i.write(func(w *writes) { w.uploads(nil, all[n:n+1], parts) }); err != nil {
			return err
		}
	}
	return nil
}
