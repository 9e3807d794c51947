package store

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
)

// TryQuery is [DB.Query] for a caller that cannot wait. It does nothing and reports
// false where Query would wait, and for a statement that is not in the cache of
// compiled ones. It wakes no goroutine, which in a browser costs more than reading
// a row.
//
// Of a long result it reads only the first batch. rest is not nil then: it must be
// called, may wait, and reads the remaining rows.
func (db *DB) TryQuery(ctx context.Context, sql string, p Params, cols func([]string), row func(*sqlite3.Stmt) error) (
	rest func(context.Context) error, did bool, err error,
) {
	const op = "store: query"
	var c *conn
	select {
	case c = <-db.reader:
	default:
		return nil, false, nil
	}
	defer func() {
		if rest == nil {
			db.reader <- c
		}
	}()
	if !db.mu.TryLock() {
		return nil, false, nil
	}
	db.mu.Unlock()
	var r *reading
	err = db.inside(ctx, c, func() error {
		s := c.Cached(sql, sqlconn.UserRead)
		if s == nil {
			return nil
		}
		keep := false
		defer func() {
			if !keep {
				c.Release(s, sqlconn.UserRead)
			}
		}()
		if !s.ReadsOnly || s.Writer && c != db.writerConn {
			return nil
		}
		did = true
		r = &reading{c: c, s: s, mode: sqlconn.UserRead, p: p, cols: cols, row: row}
		err := r.some(func(first func() error) error {
			err := first()
			did = err == nil || !sqlerr.Busy(err)
			return err
		})
		keep = err == nil && !r.done
		return err
	})
	switch {
	case !did:
		return nil, false, nil
	case err != nil || r.done:
		return nil, true, sqlerr.Wrap(ctx, err, op, sql)
	}
	return func(ctx context.Context) error {
		defer func() { db.reader <- c }()
		if age := db.opts.Bounds.ReadAge; age > 0 {
			ctx = aging{ctx, time.Now().Add(age)}
		}
		return sqlerr.Wrap(ctx, db.rest(ctx, r, nil), op, sql)
	}, true, nil
}

// TryBegin is [DB.Begin] for a caller that cannot wait, and is going to run sql and
// nothing else. It returns nil where Begin would wait, and for a statement that is not in
// the cache of compiled ones or returns rows: those of many go on in turns, between which
// one waits. Where SQLite is BUSY such a transaction fails, and nothing was written.
func (db *DB) TryBegin(origin Origin, sql string) *Tx {
	var c *conn
	select {
	case c = <-db.writer:
	default:
		return nil
	}
	tx := &Tx{db: db, c: c, ctx: context.Background(), origin: origin, hasty: true}
	begun := false
	if db.mu.TryLock() {
		db.mu.Unlock()
		// Whatever fails here, Begin will say.
		_ = db.inside(tx.ctx, c, func() error {
			s := c.Cached(sql, sqlconn.UserWrite)
			if s == nil {
				return nil
			}
			if plain := s.ColumnCount() == 0; c.Release(s, sqlconn.UserWrite) != nil || !plain {
				return nil
			}
			err := tx.start(tx.ctx)
			begun = err == nil
			return err
		})
	}
	if !begun {
		db.writer <- c
		return nil
	}
	return tx
}
