package store

import (
	"context"
	"fmt"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// maxIterations is how many iterations may be open at a time: each has a
// connection of its own, which is an instance of the engine.
const maxIterations = 8

// Iterate is Query for a slow consumer: the statement, which only reads, has a
// connection and a snapshot of its own, so neither writes nor other reads wait for
// it. Between two batches of rows it calls wait, outside SQLite: wait returns when
// more rows are wanted, or an error, which ends the iteration.
//
// The snapshot keeps the log from being emptied: after [Bounds.ReadAge] the
// iteration fails with HEDDLE_TIMEOUT. The context that wait gets ends then.
func (db *DB) Iterate(
	ctx context.Context, sql string, p Params, cols func([]string), row func(*sqlite3.Stmt) error,
	wait func(context.Context) error,
) error {
	const op = "store: iterate"
	if db.opts.SingleConn {
		return errcode.New(errcode.Unsupported, op,
			"this database has one connection, which an iteration would occupy: query the rows at once")
	}
	c, err := db.iterator(ctx)
	if err != nil {
		return sqlerr.Wrap(ctx, err, op, sql)
	}
	defer db.iterated(c)
	outer, age := ctx, db.opts.Bounds.ReadAge
	if age > 0 {
		end := time.Now().Add(age)
		timed, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		ctx = resting{aging{outer, end}, timed}
	}
	var s *sqlconn.Stmt
	err = db.inside(ctx, c, func() (err error) {
		s, err = c.prepareOne(ctx, sql, sqlconn.UserRead)
		return err
	})
	switch {
	case err != nil:
	case s == nil:
		if cols != nil {
			cols(nil)
		}
		return nil
	case !s.ReadsOnly || s.Writer:
		db.inside(ctx, c, func() error { return c.Release(s, sqlconn.UserRead) })
		err = errcode.New(errcode.Unsupported, op, "only a statement that reads can be iterated over; query runs this one")
	default:
		err = db.rows(ctx, c, s, sqlconn.UserRead, p, cols, row, func() error { return wait(ctx) })
	}
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		return &errcode.Error{Code: errcode.Timeout, Op: op, SQL: sql, Err: err,
			Msg: fmt.Sprintf("the iteration kept its snapshot for longer than %v: read in parts, each where the last one ended",
				age)}
	}
	return sqlerr.Wrap(outer, err, op, sql)
}

// resting is aging for callers that wait on Done, too.
type resting struct {
	aging
	timed context.Context
}

func (r resting) Done() <-chan struct{} { return r.timed.Done() }

// iterator returns a connection for one iteration: an idle or a new one.
func (db *DB) iterator(ctx context.Context) (c *conn, err error) {
	const op = "store: iterate"
	if err := db.slot(ctx, op); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			<-db.slots
		}
	}()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, closedErr(op)
	}
	if n := len(db.idle); n > 0 {
		c = db.idle[n-1]
		db.idle = db.idle[:n-1]
		return c, nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = sqlerr.Recovered(r)
		}
	}()
	if c, err = db.connect(ctx, false); err != nil {
		return nil, err
	}
	db.iterators[c] = true
	// Rows that are read once need little cache.
	return c, c.Exec(`PRAGMA cache_size = -2048`)
}

// slot waits for a place among the iterations.
func (db *DB) slot(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return errcode.Wrap(err, errcode.Aborted, op)
	}
	select {
	case db.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(db.opts.Bounds.Slot)
	defer timer.Stop()
	select {
	case db.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return errcode.New(errcode.Busy, op, fmt.Sprintf("%d iterations are open already: end one first", maxIterations))
	case <-ctx.Done():
		return errcode.Wrap(ctx.Err(), errcode.Aborted, op)
	case <-db.gone:
		return closedErr(op)
	}
}

// iterated returns a connection. One stays open for the next iteration.
func (db *DB) iterated(c *conn) {
	defer func() { <-db.slots }()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed { // Close has closed it
		return
	}
	c.ClearCache() // what was noted of statements may be wrong after DDL
	if len(db.idle) == 0 {
		db.idle = append(db.idle, c)
		return
	}
	delete(db.iterators, c)
	c.Close()
}
