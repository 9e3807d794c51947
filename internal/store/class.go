package store

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
)

// Class is what SQL does, as SQLite's own compiler and authorizer say.
type Class = sqlconn.Class

// The classes of SQL.
const (
	Other  = sqlconn.Other
	Reads  = sqlconn.Reads
	Rows   = sqlconn.Rows
	Vacuum = sqlconn.Vacuum
)

// maxClasses bounds the texts whose class is remembered.
const maxClasses = 512

// Class returns what sql does, which may hold several statements. It does not wait
// for a connection, since it only compiles.
func (db *DB) Class(sql string) (class Class) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if class, known := db.classes[sql]; known || db.closed {
		return class
	}
	c := db.readerConn
	defer c.SetInterrupt(c.SetInterrupt(context.Background()))
	defer func() {
		if r := recover(); r != nil {
			sqlerr.Recovered(r)
			class = Other
		}
	}()
	c.Refresh()
	class, err := c.Classify(sql)
	// What does not compile now may compile later.
	if err == nil && len(sql) <= sqlconn.CacheMaxSQL {
		if len(db.classes) >= maxClasses {
			clear(db.classes)
		}
		db.classes[sql] = class
	}
	return class
}

// errVacuum is for VACUUM in a transaction.
var errVacuum error = errcode.New(errcode.Unsupported, "store: exec",
	"VACUUM does not run inside a transaction, nor together with other statements: exec it by itself")

// Exec runs sql in a transaction of its own with the origin Local. Several
// statements are allowed if there are no parameters. VACUUM, which SQLite does
// not allow in a transaction, runs by itself.
func (db *DB) Exec(ctx context.Context, sql string, p Params) (res Result, err error) {
	err = db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		res, err = tx.Exec(sql, p)
		return err
	})
	if errors.Is(err, errVacuum) && db.Class(sql) == Vacuum {
		return Result{}, db.vacuum(ctx, sql)
	}
	return res, err
}

// vacuum runs the app's VACUUM.
func (db *DB) vacuum(ctx context.Context, sql string) error {
	const op = "store: vacuum"
	c, err := db.turn(ctx, db.writer, op)
	if err != nil {
		return err
	}
	defer func() {
		db.writer <- c
		db.notices.deliver()
	}()
	err = db.inside(ctx, c, func() error {
		s, _, err := c.Prepare(sql, sqlconn.UserWrite)
		if err != nil || s == nil {
			return err
		}
		defer s.Close()
		c.Mode, c.Denied = sqlconn.Vacuuming, nil
		defer func() { c.Mode = sqlconn.Trusted }()
		if err := s.Exec(); c.Denied == nil {
			if err == nil { // rows without a key of their own may have other rowids now
				db.notices.add(&Commit{Origin: Origin{Kind: Local}, Schema: true})
			}
			return err
		}
		return c.Denied
	})
	return sqlerr.Wrap(ctx, err, op, sql)
}
