package store

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"
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
		s := c.cache.take(sql, userRead)
		if s == nil {
			return nil
		}
		keep := false
		defer func() {
			if !keep {
				c.release(s, userRead)
			}
		}()
		if !s.readOnly || s.writer && c != db.writerConn {
			return nil
		}
		did = true
		r = &reading{c: c, s: s, mode: userRead, p: p, cols: cols, row: row}
		err := r.some(func(first func() error) error {
			err := first()
			did = err == nil || !isBusy(err)
			return err
		})
		keep = err == nil && !r.done
		return err
	})
	switch {
	case !did:
		return nil, false, nil
	case err != nil || r.done:
		return nil, true, wrapErr(ctx, err, op, sql)
	}
	return func(ctx context.Context) error {
		defer func() { db.reader <- c }()
		if age := db.opts.Bounds.ReadAge; age > 0 {
			ctx = aging{ctx, time.Now().Add(age)}
		}
		return wrapErr(ctx, db.rest(ctx, r, nil), op, sql)
	}, true, nil
}
