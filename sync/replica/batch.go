package replica

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// chunk is how many operations are applied in one stretch inside SQLite:
// between two of them reads of others get their turn.
const chunk = 1000

// Apply folds entries that follow the prefix, in one transaction with the
// cursor. Entries that the prefix has already are passed over. They are of the
// log of epoch, and were asked for under the id client. The error is ErrFork also
// where the entries up to the one that shows the fork were applied.
func (rep *Replica) Apply(
	ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []wire.Entry,
) (rows uint64, err error) {
	var a *applier
	forked := false
	err = rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		if a, err = rep.begin(tx); err != nil {
			return err
		}
		a.foreign = rep.foreign
		if a.bootstrap != nil {
			return ErrBootstrapping // what the tables hold is no prefix
		}
		if a.pos.Epoch != epoch && (a.pos.Epoch != wire.Epoch{} || a.pos.Seq != 0) {
			return ErrEpoch
		}
		a.pos.Epoch = epoch
		if a.client != client {
			return ErrFork // the entries were asked for under an id of before
		}
		for i := range entries {
			if entries[i].Seq <= a.pos.Seq {
				continue
			}
			err := a.entry(&entries[i])
			if errors.Is(err, ErrFork) && a.pos.Seq+1 == entries[i].Seq {
				// What came before is applied; from here on, with a new id.
				forked = true
				if err := tx.Inside(func(*sqlite3.Conn) error { return a.fork() }); err != nil {
					return err
				}
				break
			}
			if err != nil {
				return err
			}
		}
		if err := a.dangling(); err != nil {
			return err
		}
		return tx.Inside(func(*sqlite3.Conn) error { return a.finish() })
	})
	if err != nil {
		return 0, err
	}
	rep.committed(a.invalidation, a.state, a.events)
	if forked {
		return a.count, ErrFork
	}
	return a.count, nil
}

// begin returns an applier for the transaction. Until finish it works on a copy of
// the state; the digest alone is changed in place, and loaded again if the
// transaction fails.
func (rep *Replica) begin(tx *store.Tx) (*applier, error) {
	a := &applier{rep: rep, tx: tx, rows: rep.rowsOn(tx)}
	return a, tx.Inside(func(*sqlite3.Conn) error {
		s, err := rep.current(&a.rows)
		if err != nil {
			return err
		}
		if err := rep.recount(&a.rows, s); err != nil {
			return err
		}
		a.invalidation = rep.invalidate()
		copied := *s
		a.state = &copied
		a.merged = mergedSchema(s.schema, a.tables)
		a.saved = s.schema
		id, _, err := a.oldest()
		a.pending = id != 0
		return err
	})
}

// finish writes what is left and hands the state back.
func (a *applier) finish() error {
	if a.saved != a.schema {
		if err := setMeta(a.conn, metaSchema, a.schema.Marshal()); err != nil {
			return err
		}
	}
	if err := a.savePosition(a.conn); err != nil {
		return err
	}
	if err := a.saveDigest(a.conn); err != nil {
		return err
	}
	a.report()
	a.rep.state, a.rep.overflow = a.state, a.overflow
	return nil
}

// ErrEpoch says that the server's log is not the one that the prefix is of.
var ErrEpoch = diverged("the server's log is another one than this replica has followed: " +
	"the server was reset or restored, or the URL leads to another; it is looked at again every minute, " +
	"and nothing is synced until it is back, or Client.Accept (db.sync.accept()) goes on with the log that is there")

func diverged(msg string) error { return errcode.New(errcode.Diverged, "sync", msg) }
