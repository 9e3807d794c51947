package store

import (
	"context"
	"errors"
)

// Part runs f as if it were a transaction of its own: what f did is taken back
// if it fails, alone, and else it is recorded and announced by itself, with
// everything else, when tx commits. So writes that wait at the same time share
// one flush. ctx interrupts the statements.
//
// A transaction has parts only: nothing is done between them. After an error
// [Tx.Whole] says whether the other parts still stand.
func (tx *Tx) Part(ctx context.Context, f func() error) error {
	const op = "store: part"
	tx.ctx = ctx
	defer tx.SetContext(context.Background())
	err := tx.run(op, "", func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return tx.c.control(`SAVEPOINT heddle_part`)
	})
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if !whole && tx.broken == nil {
			tx.broken = errPart
		}
	}()
	if err = f(); err == nil {
		err = tx.run(op, "", func() error {
			commit, err := tx.c.capture.finish(tx)
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = tx.c.control(`RELEASE heddle_part`)
			}
			if err == nil && commit != nil {
				tx.parts = append(tx.parts, commit)
			}
			return err
		})
	}
	undo := err != nil && tx.broken == nil
	wrong := tx.db.inside(context.Background(), tx.c, func() error {
		tx.c.capture = newCapture(tx.db, tx.c, tx.origin)
		if !undo {
			return nil
		}
		wrong := errors.Join(tx.c.control(`ROLLBACK TO heddle_part`), tx.c.control(`RELEASE heddle_part`))
		if tx.schema {
			tx.db.dropCaches()
			wrong = errors.Join(wrong, tx.db.loadSchema(tx.c))
		}
		return wrong
	})
	whole = wrong == nil
	return err
}

var errPart = errors.New("a part could not be taken back")

// Whole reports whether the transaction goes on: no error has ended it.
func (tx *Tx) Whole() bool { return tx.broken == nil && !tx.ended }
