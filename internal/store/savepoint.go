package store

import (
	"context"
	"errors"
)

// Savepoint runs f in a savepoint, as a transaction within the transaction: if f
// fails, only its own changes are rolled back; otherwise they are recorded by
// themselves, and announced as a commit of their own when tx commits. So writes that
// wait at the same time share one flush. ctx interrupts the statements.
//
// Such a transaction consists of savepoints only. After an error [Tx.Whole] reports
// whether the other ones are still in effect.
func (tx *Tx) Savepoint(ctx context.Context, f func() error) error {
	const op = "store: savepoint"
	tx.ctx = ctx
	defer tx.SetContext(context.Background())
	err := tx.run(op, "", func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return tx.c.Control(`SAVEPOINT heddle_savepoint`)
	})
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if !whole && tx.broken == nil {
			tx.broken = errSavepoint
		}
	}()
	if err = f(); err == nil {
		err = tx.run(op, "", func() error {
			commit, err := tx.finish()
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = tx.c.Control(`RELEASE heddle_savepoint`)
			}
			if err == nil && commit != nil {
				tx.released = append(tx.released, commit)
			}
			return err
		})
	}
	undo := err != nil && tx.broken == nil
	wrong := tx.db.inside(context.Background(), tx.c, func() error {
		tx.c.follow(tx.origin)
		if !undo {
			return nil
		}
		wrong := errors.Join(tx.c.Control(`ROLLBACK TO heddle_savepoint`), tx.c.Control(`RELEASE heddle_savepoint`))
		if tx.schema {
			tx.db.dropCaches()
			wrong = errors.Join(wrong, tx.db.loadSchema(tx.c))
		}
		return wrong
	})
	whole = wrong == nil
	return err
}

var errSavepoint = errors.New("a savepoint could not be rolled back")

// Whole reports whether the transaction goes on: no error has ended it.
func (tx *Tx) Whole() bool { return tx.broken == nil && !tx.ended }
