package store

import (
	"context"
	"errors"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// batch is how many rows a read takes in one call into SQLite.
const batch = 256

// What a row callback may return instead of an error, if it steps the statement
// itself: many rows at once, inside the engine.
var (
	// ErrPause means that the callback stepped over many rows: the mutex is released
	// before the next step.
	ErrPause = errors.New("store: many rows were read")
	// ErrEnd means that the callback reached the end of the rows.
	ErrEnd = errors.New("store: all rows were read")
)

// Query runs one statement. cols, if not nil, gets the names of the result's
// columns first, also if there are no rows; then row gets the statement on
// each row. Both run inside SQLite: they read the row (see [Scan]) and return,
// they neither wait nor call the database. An error of theirs ends the query
// and is returned, but see [ErrPause] and [ErrEnd].
//
// A statement that only reads runs on the reading connection, on a snapshot
// taken at its first row, without waiting for writers. Any other runs in a
// transaction of its own with the origin Local, which commits after the last
// row.
func (db *DB) Query(ctx context.Context, sql string, p Params, cols func([]string),
	row func(*sqlite3.Stmt) error) error {
	if age := db.opts.Bounds.ReadAge; age > 0 {
		if done, err := db.read(aging{ctx, time.Now().Add(age)}, sql, p, cols, row); done {
			return err
		}
	} else if done, err := db.read(ctx, sql, p, cols, row); done {
		return err
	}
	return db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error { return tx.Query(sql, p, cols, row) })
}

// aging is a context with a deadline for callers that poll Err, as SQLite does while
// it runs. A timer for each short read would cost as much as the read.
type aging struct {
	context.Context
	end time.Time
}

func (a aging) Err() error {
	if err := a.Context.Err(); err != nil {
		return err
	}
	if time.Now().After(a.end) {
		return context.DeadlineExceeded
	}
	return nil
}

// read runs sql on the reading connection. It reports false, having done
// nothing, if the statement is one for the writer.
func (db *DB) read(ctx context.Context, sql string, p Params, cols func([]string),
	row func(*sqlite3.Stmt) error) (done bool, err error) {
	const op = "store: query"
	c, err := db.turn(ctx, db.reader, op)
	if err != nil {
		return true, err
	}
	defer func() { db.reader <- c }()
	var s *sqlconn.Stmt
	err = db.inside(ctx, c, func() (err error) {
		s, err = c.prepareOne(ctx, sql, sqlconn.UserRead)
		return err
	})
	switch {
	case err != nil && c != db.writerConn && db.names.HasTemp.Load() && sqlerr.Code(err) == uint32(sqlite3.ERROR):
		// The reading connection has no temporary tables: the writer decides.
		return false, nil
	case err != nil:
		return true, sqlerr.Wrap(ctx, err, op, sql)
	case s == nil:
		if cols != nil {
			cols(nil)
		}
		return true, nil
	case !s.ReadsOnly || s.Writer && c != db.writerConn:
		db.inside(ctx, c, func() error { return c.Release(s, sqlconn.UserRead) })
		return false, nil
	}
	return true, sqlerr.Wrap(ctx, db.rows(ctx, c, s, sqlconn.UserRead, p, cols, row, nil), op, sql)
}

// prepareOne compiles sql, which holds one statement at most. BUSY is tried
// again, the mutex released meanwhile.
func (c *conn) prepareOne(ctx context.Context, sql string, mode sqlconn.Mode) (s *sqlconn.Stmt, err error) {
	var tail string
	err = c.db.retryBusy(ctx, func() (err error) {
		s, tail, err = c.Prepare(sql, mode)
		return err
	})
	if err != nil || tail == "" {
		return s, err
	}
	next, _, err := c.Prepare(tail, mode)
	if err != nil || next != nil {
		if next != nil {
			next.Close()
		}
		if s != nil {
			s.Close()
			return nil, errcode.New(errcode.Unsupported, "store: query", "one statement at a time; exec takes several")
		}
		return nil, err
	}
	return s, nil
}

// reading steps through the rows of a prepared statement.
type reading struct {
	c    *conn
	s    *sqlconn.Stmt
	mode sqlconn.Mode
	p    Params
	cols func([]string)
	row  func(*sqlite3.Stmt) error

	begun bool // the first step was made
	done  bool // there are no more rows
}

// first binds and makes the first step, inside SQLite.
func (r *reading) first() error {
	if err := r.s.Bind(r.p); err != nil {
		return err
	}
	r.done = !r.s.Step()
	return r.s.Err()
}

// some takes a batch of rows, inside SQLite. retry makes the first step, which
// alone may meet SQLITE_BUSY.
func (r *reading) some(retry func(func() error) error) error {
	n := batch
	if !r.begun {
		r.begun = true
		if err := retry(r.first); err != nil {
			return err
		}
		// Not earlier: the first step recompiles after DDL.
		if r.cols != nil {
			r.cols(sqlconn.ColumnNames(r.s.Stmt))
		}
		if r.done {
			return nil
		}
		if paused, err := r.take(); paused || err != nil {
			return err
		}
	}
	for ; n > 0; n-- {
		if r.done = !r.s.Step(); r.done {
			return r.s.Err()
		}
		if paused, err := r.take(); paused || err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) take() (paused bool, err error) {
	err = r.row(r.s.Stmt)
	if r.done = err == ErrEnd; r.done || err == ErrPause {
		return true, nil
	}
	return false, err
}

// rows steps through a prepared statement and releases it. between, if not
// nil, is called outside SQLite between two batches.
func (db *DB) rows(
	ctx context.Context, c *conn, s *sqlconn.Stmt, mode sqlconn.Mode, p Params, cols func([]string),
	row func(*sqlite3.Stmt) error,
	between func() error,
) error {
	return db.rest(ctx, &reading{c: c, s: s, mode: mode, p: p, cols: cols, row: row}, between)
}

// rest takes the rows that are left, and releases the statement.
func (db *DB) rest(ctx context.Context, r *reading, between func() error) (err error) {
	// Reset repeats the error of Step. This runs also if a callback
	// panics: the snapshot must not stay.
	defer db.inside(context.Background(), r.c, func() error { return r.c.Release(r.s, r.mode) })
	retry := func(f func() error) error { return db.retryBusy(ctx, f) }
	for {
		err = db.inside(ctx, r.c, func() error { return r.some(retry) })
		if r.done || err != nil {
			return err
		}
		if db.yield(); between != nil {
			if err := between(); err != nil {
				return err
			}
		}
	}
}

// Deps returns what a statement reads, without running it.
func (db *DB) Deps(ctx context.Context, sql string) (deps Deps, err error) {
	const op = "store: deps"
	c, err := db.turn(ctx, db.reader, op)
	if err != nil {
		return deps, err
	}
	defer func() { db.reader <- c }()
	err = db.inside(ctx, c, func() error {
		c.Refresh()
		s, err := c.prepareOne(ctx, sql, sqlconn.UserRead)
		if err != nil && db.readsTemp(sql) {
			deps.Temp = true
			return nil
		}
		if err != nil || s == nil {
			return err
		}
		deps = Deps{Temp: s.Temp, ReadOnly: s.ReadsOnly, Columns: sqlconn.ColumnNames(s.Stmt),
			Reads: map[string]map[string]bool{}}
		if deps.Volatile, err = c.Volatile(s); err != nil {
			return err
		}
		for name, cols := range s.Reads {
			t := db.schema.Owner(name)
			if t == nil {
				continue
			}
			set := deps.Reads[t.Name]
			if set == nil {
				set = map[string]bool{}
				deps.Reads[t.Name] = set
			}
			if t.Virtual {
				continue
			}
			for col := range cols {
				if i := t.ColumnIndex(col); i >= 0 {
					set[t.Columns[i].Name] = true
				} else if !sqlconn.SameName(col, "rowid") {
					// A virtual generated column: it may depend on any other.
					for i := range t.Columns {
						set[t.Columns[i].Name] = true
					}
				}
			}
		}
		return c.Release(s, sqlconn.UserRead)
	})
	return deps, sqlerr.Wrap(ctx, err, op, sql)
}

// readsTemp reports whether sql compiles on the writing connection, which alone
// has temporary tables, and reads one.
func (db *DB) readsTemp(sql string) bool {
	if !db.names.HasTemp.Load() || db.readerConn == db.writerConn {
		return false
	}
	s, _, err := db.writerConn.Prepare(sql, sqlconn.UserWrite)
	if err != nil || s == nil {
		return false
	}
	defer s.Close()
	return s.Temp
}
