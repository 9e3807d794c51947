package store

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
)

// Class is what SQL does, as SQLite's own compiler and authorizer say.
type Class uint8

const (
	// Other changes the schema, ends a savepoint, analyses, or does not compile
	// as things stand.
	Other Class = iota
	// Reads changes nothing.
	Reads
	// Rows changes rows of tables and nothing else.
	Rows
	// Vacuum is VACUUM, which SQLite does not allow inside a transaction.
	Vacuum
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
	defer c.c.SetInterrupt(c.c.SetInterrupt(context.Background()))
	defer func() {
		if r := recover(); r != nil {
			recovered(r)
			class = Other
		}
	}()
	c.refresh()
	class, err := c.classify(sql)
	// What does not compile now may compile later.
	if err == nil && len(sql) <= cacheMaxSQL {
		if len(db.classes) >= maxClasses {
			clear(db.classes)
		}
		db.classes[sql] = class
	}
	return class
}

// classify compiles the statements of sql one by one. Of several, the class is
// what all have in common.
func (c *conn) classify(sql string) (Class, error) {
	n, all := 0, Reads
	for rest := sql; rest != ""; n++ {
		s, tail, err := c.prepare(rest, userWrite)
		if err != nil {
			return Other, err
		}
		if rest = tail; s == nil {
			n--
			continue
		}
		class := s.class()
		s.Close()
		switch {
		case class == Vacuum && (n > 0 || tail != ""):
			next, _, err := c.prepare(tail, userWrite)
			if next != nil {
				next.Close()
			}
			if n > 0 || next != nil || err != nil {
				return Other, err
			}
			return Vacuum, nil
		case class == Other || class == Vacuum:
			return class, nil
		case class == Rows:
			all = Rows
		}
	}
	return all, nil
}

func (s *stmt) class() Class {
	switch {
	case s.vacuum:
		return Vacuum
	case s.more, !s.acts && !s.readOnly: // EXPLAIN VACUUM
		return Other
	case s.readOnly:
		return Reads
	}
	return Rows
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
		s, _, err := c.prepare(sql, userWrite)
		if err != nil || s == nil {
			return err
		}
		defer s.Close()
		c.mode, c.denied = vacuuming, nil
		defer func() { c.mode = trusted }()
		if err := s.Exec(); c.denied == nil {
			if err == nil { // rows without a key of their own may have other rowids now
				db.notices.add(&Commit{Origin: Origin{Kind: Local}, Schema: true})
			}
			return err
		}
		return c.denied
	})
	return wrapErr(ctx, err, op, sql)
}
