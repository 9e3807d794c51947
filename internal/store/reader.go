package store

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// Reader is a long read transaction on a connection of its own: neither writes nor other
// reads wait for it, and it sees none of them. It keeps the log from being emptied, so
// who has one bounds its time. It belongs to one goroutine.
type Reader struct {
	db *DB
	e  extra
}

// OpenReader takes a snapshot of the database. HEDDLE_UNSUPPORTED: the database has one
// connection, which a reader would occupy.
func (db *DB) OpenReader(ctx context.Context) (_ *Reader, err error) {
	const op = "store: open a reader"
	if db.opts.SingleConn {
		return nil, errcode.New(errcode.Unsupported, op, "this database has one connection, which a long read would occupy")
	}
	e, err := db.extraConn(ctx, op)
	if err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	r := &Reader{db, e}
	err = db.inside(ctx, e.c, func() error {
		if err := e.c.Control(`BEGIN`); err != nil {
			return err
		}
		return db.retryBusy(ctx, func() error { // the first read takes the snapshot
			_, err := e.c.Scalar(`SELECT 1 FROM sqlite_schema LIMIT 1`)
			return err
		})
	})
	if err != nil {
		r.Close()
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	return r, nil
}

// Inside runs f inside SQLite, with a connection that sees the snapshot and is only read
// from. f does not wait. Others get their turn before Inside returns.
func (r *Reader) Inside(ctx context.Context, f func(*sqlite3.Conn) error) error {
	const op = "store: read"
	err := r.db.inside(ctx, r.e.c, func() error {
		if r.e.c.GetAutocommit() {
			return errcode.New(errcode.TxClosed, op, "the snapshot has gone with an earlier error")
		}
		return f(r.e.c.Conn.Conn)
	})
	r.db.yield()
	return sqlerr.Wrap(ctx, err, op, "")
}

// Close ends the transaction.
func (r *Reader) Close() {
	r.db.inside(context.Background(), r.e.c, func() error {
		if r.e.c.GetAutocommit() {
			return nil
		}
		return r.e.c.Control(`ROLLBACK`)
	})
	r.e.end()
}
