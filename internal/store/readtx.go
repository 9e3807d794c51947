package store

import (
	"context"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// ReadTx is a read transaction: each of its statements reads the same snapshot. It
// belongs to one goroutine, and ends soon: it keeps the log from being emptied. There
// is one at a time, on a connection of its own; with SingleConn it has the only
// connection, and writers wait for it.
type ReadTx struct {
	// Commit is the number of the last commit in the snapshot.
	Commit uint64

	db  *DB
	c   *conn
	end time.Time // when the snapshot is too old; zero without a bound
}

// BeginRead takes a snapshot. ctx bounds the wait alone.
func (db *DB) BeginRead(ctx context.Context) (_ *ReadTx, err error) {
	const op = "store: begin to read"
	c, err := db.turn(ctx, db.snapshots, op)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.snapshots <- c
		}
	}()
	if c == nil {
		if c, err = db.snapshotConn(ctx); err != nil {
			return nil, sqlerr.Wrap(ctx, err, op, "")
		}
	}
	r := &ReadTx{db: db, c: c}
	if age := db.opts.Bounds.ReadAge; age > 0 {
		r.end = time.Now().Add(age)
	}
	err = db.inside(ctx, c, func() error {
		if c != db.writerConn { // whoever has the only connection has a snapshot
			if err := c.Control(`BEGIN`); err != nil {
				return err
			}
			// The first read takes the snapshot, and notices a new schema.
			err := db.retryBusy(ctx, func() error {
				_, err := c.Scalar(`SELECT 1 FROM sqlite_schema LIMIT 1`)
				return err
			})
			if err != nil {
				c.Control(`ROLLBACK`)
				return err
			}
		}
		// In the same hold of the mutex: a commit is numbered in the one that made it.
		r.Commit = db.CommitNumber()
		return nil
	})
	if err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	return r, nil
}

// snapshotConn opens the connection that read transactions have to themselves.
func (db *DB) snapshotConn(ctx context.Context) (c *conn, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, closedErr("store: begin to read")
	}
	defer func() {
		if r := recover(); r != nil {
			err = sqlerr.Recovered(r)
		}
	}()
	if c, err = db.connect(ctx, false); err == nil {
		db.snapshot = c
		db.iterators[c] = true
	}
	return c, err
}

// Query is [DB.Query] on the snapshot, for a statement that reads. ctx interrupts it,
// and so does the age of the snapshot: [Bounds.ReadAge].
func (r *ReadTx) Query(ctx context.Context, sql string, p Params, cols func([]string),
	row func(*sqlite3.Stmt) error) error {
	const op = "store: query"
	if !r.end.IsZero() {
		ctx = aging{ctx, r.end}
	}
	db, c := r.db, r.c
	var s *sqlconn.Stmt
	err := db.inside(ctx, c, func() (err error) {
		if r.lost() {
			return errcode.New(errcode.TxClosed, op, "the snapshot has gone with an earlier error")
		}
		s, err = c.prepareOne(ctx, sql, sqlconn.UserRead)
		return err
	})
	switch {
	case err != nil:
		return sqlerr.Wrap(ctx, err, op, sql)
	case s == nil:
		if cols != nil {
			cols(nil)
		}
		return nil
	case !s.ReadsOnly || s.Writer && c != db.writerConn:
		db.inside(ctx, c, func() error { return c.Release(s, sqlconn.UserRead) })
		return &errcode.Error{Code: errcode.Unsupported, Op: op, SQL: sql, Msg: "only a statement that reads has a snapshot"}
	}
	err = sqlerr.Wrap(ctx, db.rows(ctx, c, s, sqlconn.UserRead, p, cols, row, nil), op, sql)
	db.yield() // many short ones are one long read
	return err
}

// Lookup reads rows, inside SQLite.
type Lookup func(sql string, row func(*sqlite3.Stmt) error, args ...Value) error

// Inside runs f inside SQLite, which reads rows of the snapshot there: between the rows
// of another connection's statement. f does not wait, and does not call the database.
func (r *ReadTx) Inside(ctx context.Context, f func(Lookup) error) error {
	const op = "store: look up"
	if !r.end.IsZero() {
		ctx = aging{ctx, r.end}
	}
	err := r.db.inside(ctx, r.c, func() error {
		if r.lost() {
			return errcode.New(errcode.TxClosed, op, "the snapshot has gone with an earlier error")
		}
		return f(r.c.Each)
	})
	return sqlerr.Wrap(ctx, err, op, "")
}

// Lost reports whether the snapshot is gone or too old: what is still to be read takes
// a new one.
func (r *ReadTx) Lost() (lost bool) {
	if !r.end.IsZero() && time.Now().After(r.end) {
		return true
	}
	r.db.inside(context.Background(), r.c, func() error {
		lost = r.lost()
		return nil
	})
	return lost
}

// lost is called inside SQLite, which ends a transaction by itself after some errors.
func (r *ReadTx) lost() bool { return r.c != r.db.writerConn && r.c.GetAutocommit() }

// Close ends the transaction.
func (r *ReadTx) Close() {
	r.db.inside(context.Background(), r.c, func() error {
		if r.c == r.db.writerConn || r.c.GetAutocommit() {
			return nil
		}
		return r.c.Control(`COMMIT`)
	})
	r.db.snapshots <- r.c
}
