package leader

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
)

// seed writes the rows that a new database begins with; with sync, once the server
// has reported that the space is empty.
func (l *Leader) seed(ctx context.Context) error {
	run := func(tx *store.Tx) error {
		for _, s := range l.config.Seed {
			if _, err := tx.Exec(s.SQL, s.Params); err != nil {
				return err
			}
		}
		return nil
	}
	if l.sync != nil {
		return l.sync.Seed(ctx, run)
	}
	err := l.db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		owed, err := tx.TakeSeed()
		if err != nil || !owed {
			return err
		}
		return run(tx)
	})
	return errcode.Wrap(err, errcode.Internal, "leader: seed")
}
