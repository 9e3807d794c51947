package store

import (
	"context"
	"iter"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
)

// Bulk runs one statement for each row of parameters. rows is called outside
// SQLite, so it may wait; a row is not used after the next one was requested.
// Result.Changes is the sum.
func (tx *Tx) Bulk(sql string, rows iter.Seq[[]Value]) (res Result, err error) {
	return tx.bulk(sql, func(b *bulk) error {
		n := 0
		for row := range rows {
			if err := tx.run(bulkOp, sql, func() error { return b.one(row) }); err != nil {
				return err
			}
			if n++; n%4096 == 0 {
				tx.db.yield()
			}
		}
		return nil
	})
}

// Batch is a number of rows in memory.
type Batch interface {
	// Next returns the next row, which is valid until the next call.
	Next() (row []Value, ok bool)
}

// An EncodedBatch is a [Batch] whose rows lie in one piece of memory, in the page
// encoding of package value.
type EncodedBatch interface {
	Batch
	// Encoded returns the rows that are left.
	Encoded() (rows []byte, columns, n int)
	// Skip passes over the next n rows, which take that many bytes.
	Skip(n, bytes int)
}

// BulkBatches is Bulk for rows that come in batches: batches is called outside
// SQLite, so it may wait; the rows of a batch are read inside, many in one call.
func (tx *Tx) BulkBatches(sql string, batches iter.Seq[Batch]) (Result, error) {
	return tx.bulk(sql, func(b *bulk) error {
		for rows := range batches {
			for more := true; more; {
				err := tx.run(bulkOp, sql, func() (err error) {
					if ran, err := b.many(rows); ran || err != nil {
						return err
					}
					for range batch {
						var row []Value
						if row, more = rows.Next(); !more {
							return nil
						}
						if err := b.one(row); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			tx.db.yield()
		}
		return nil
	})
}

const bulkOp = "store: bulk"

// bulk is a statement that runs for many rows.
type bulk struct {
	tx      *Tx
	s       *sqlconn.Stmt
	changed int64
	last    int64
}

// bulk prepares sql and lets feed run it, inside SQLite.
func (tx *Tx) bulk(sql string, feed func(*bulk) error) (res Result, err error) {
	b := &bulk{tx: tx}
	err = tx.run(bulkOp, sql, func() (err error) {
		b.s, err = tx.c.prepareOne(tx.ctx, sql, tx.mode())
		if err == nil && b.s == nil {
			return errcode.New(errcode.BadParam, bulkOp, "there is no statement")
		}
		if err == nil && b.s.Schema {
			b.s.Close()
			return errcode.New(errcode.Unsupported, bulkOp, "bulk is for rows, not for the schema")
		}
		return err
	})
	if err != nil {
		return res, err
	}
	defer tx.db.inside(context.Background(), tx.c, func() error {
		tx.c.Current = nil
		return tx.c.Release(b.s, tx.mode())
	})
	if err := feed(b); err != nil {
		return Result{}, err
	}
	if b.s.ReadsOnly {
		b.changed = 0
	}
	return Result{Changes: b.changed, LastInsertRowID: b.last}, nil
}

// one runs the statement for a row.
func (b *bulk) one(row []Value) error {
	if err := b.s.Bind(Params{Positional: row}); err != nil {
		return err
	}
	c := b.tx.c
	c.begins(b.s)
	err := b.s.Exec()
	c.Current = nil
	if err == nil {
		b.changed += c.Changes()
		b.last = c.LastInsertRowID()
	}
	return err
}

// many runs the statement for many rows of a batch at once, if the engine can,
// and reports whether more may be left for it. Otherwise [bulk.one] runs the rows,
// slower and with the same result.
func (b *bulk) many(rows Batch) (ran bool, err error) {
	encoded, ok := rows.(EncodedBatch)
	run := b.tx.db.opts.Engine.RunRows
	if !ok || run == nil || b.tx.ctx.Err() != nil {
		return false, nil
	}
	bytes, columns, n := encoded.Encoded()
	if n == 0 || columns != b.s.NumParams() {
		return false, nil
	}
	c := b.tx.c
	c.begins(b.s)
	did, code, ok := run(b.s.Stmt, bytes, columns, min(n, batch))
	c.Current = nil
	if !ok {
		return false, nil
	}
	encoded.Skip(did.Rows, did.Bytes)
	b.changed += did.Changes
	if did.Rows > 0 {
		b.last = did.LastInsertRowID
	}
	if code <= 0 {
		return code == 0, nil
	}
	if err := b.s.Reset(); err != nil {
		return false, err
	}
	return false, errcode.New(errcode.Internal, bulkOp, "the engine reports an error that it does not know")
}
