package replica

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// A replica of a sealed space whose server has lost a part of the log starts over: it
// follows the log again from its first entry, or from a snapshot. What it has kept of its
// own decided transactions is pending meanwhile, under the counters that they had: those
// that the log still has are decided again as they come, in their order, and those that a
// snapshot counts with it. At the log's end the others are numbered on.

// metaOver is set while a replica starts over: the counter of the first transaction that
// it had kept, or the next one.
const metaOver = "over"

// metaOverLast is the id of the last transaction that was decided in the log that was given
// up.
const metaOverLast = "overLast"

// StartOver gives the prefix up, and with it what rows show of it. forget is called inside
// SQLite: Sealing's part. The entries have to come again, from the first one.
func (rep *Replica) StartOver(ctx context.Context, forget func(Conn) error) error {
	var a *applier
	err := rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		if a, err = rep.begin(tx); err != nil {
			return err
		}
		if err := a.empty(); err != nil {
			return err
		}
		var all []int64
		err = a.inside(func() (err error) {
			if err = forget(a.Conn); err == nil {
				err = rep.cfg.Sealing.Load(a.Conn, a.pos)
			}
			if err == nil {
				all, err = a.pendAgain()
			}
			return err
		})
		for i := 0; err == nil && i < len(all); i++ {
			var body *wire.Body
			if err = a.inside(func() (err error) { body, err = a.body(all[i]); return err }); err == nil {
				err = a.rebase(all[i], body)
			}
		}
		if err != nil {
			return err
		}
		return a.inside(a.finishAnew)
	})
	if err != nil {
		return err
	}
	rep.committed(a.invalidation, a.state, a.events)
	return nil
}

// finishAnew is finish where pending transactions have other numbers.
func (a *applier) finishAnew() error {
	if err := a.rep.recount(&a.rows, a.state); err != nil {
		return err
	}
	return a.finish()
}

// empty takes all rows of the space out of the tables, and what is known of the log.
func (a *applier) empty() error {
	var gone []rowKey
	err := a.inside(func() error {
		if a.former != nil { // whose entries are looked for no more
			if err := a.settle(a.Conn); err != nil {
				return err
			}
		}
		if err := a.unrebase(); err != nil {
			return err
		}
		return a.Exec(`DELETE FROM heddle_seen`)
	})
	if err == nil {
		a.bootstrap = &bootstrap{} // of which no row has come
		gone, err = a.unseen()
	}
	if err == nil {
		err = a.sweep(gone)
	}
	a.bootstrap, a.pos = nil, wire.Position{}
	a.digest, a.schema = &fold.Digest{}, &fold.Schema{}
	a.merged = synced.MergedSchema(a.schema, a.tables)
	return err
}

// pendAgain makes the kept transactions pending, before the pending ones, and returns
// all of them in order. It runs inside SQLite.
func (a *applier) pendAgain() (all []int64, err error) {
	err = a.Exec(`INSERT INTO heddle_pending SELECT * FROM heddle_sent WHERE total > 0`)
	if err == nil {
		err = a.Query(`SELECT DISTINCT id FROM heddle_pending ORDER BY id`, nil, func(s *sqlite3.Stmt) error {
			all = append(all, s.ColumnInt64(0))
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	first := a.last + 1
	if len(all) > 0 {
		first = all[0]
	}
	moved, err := a.Int(`SELECT coalesce(sum(times), 0) FROM heddle_moved WHERE id > ?`, first)
	if err != nil {
		return nil, err
	}
	a.offset, a.overLast = a.offset+moved, max(a.overLast, a.last)
	a.last, a.over, a.bodies = min(a.last, first-1), uint64(first-a.offset), bodyCache{}
	for _, sql := range []string{`DELETE FROM heddle_sent`, `DELETE FROM heddle_moved`, `DELETE FROM heddle_digest`} {
		if err := a.Exec(sql); err != nil {
			return nil, err
		}
	}
	return all, setMeta(a.Conn, metaLast, a.last, metaOffset, a.offset, metaOver, int64(a.over),
		metaOverLast, a.overLast)
}

// decidedBefore reports whether an own entry is of a transaction that was not kept.
func (a *applier) decidedBefore(counter uint64) (before bool, err error) {
	if a.over == 0 {
		return false, nil
	}
	err = a.inside(func() error {
		id, _, err := a.oldest()
		before = id == 0 && counter < a.over || id != 0 && counter < uint64(id-a.offset)
		return err
	})
	return before, err
}

// moved notes that a transaction goes on under the next counter: so the counter of each
// kept one is known.
func (a *applier) moved(id int64) error {
	return a.Exec(`INSERT INTO heddle_moved(id, times) VALUES(?, 1) ON CONFLICT DO UPDATE SET times = times + 1`, id)
}

// EndStartOver is called at the log's end: what the log lacks of this replica's
// transactions is numbered on. decided is the last counter that the log has of this
// replica's id. It does nothing where the replica has not started over.
func (rep *Replica) EndStartOver(ctx context.Context, decided uint64) (ended bool, err error) {
	var a *applier
	err = rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		if a, err = rep.begin(tx); err != nil || a.over == 0 {
			return err
		}
		if decided+1 < a.over {
			a.events = append(a.events, Conflict{Seq: a.pos.Seq, Counter: decided + 1, Reason: ConflictLost})
		}
		if a.pending {
			a.bootstrap = &bootstrap{} // there are no rows to upload
			err = a.resend(a.last, decided)
			a.bootstrap = nil
		} else {
			err = a.inside(func() error {
				a.last = max(a.last, a.overLast)
				a.offset = a.last - int64(decided)
				return setMeta(a.Conn, metaLast, a.last, metaOffset, a.offset)
			})
		}
		if err != nil {
			return err
		}
		ended, a.over, a.overLast = true, 0, 0
		return a.inside(func() error {
			if err := a.Exec(`DELETE FROM heddle_meta WHERE name IN (?, ?)`, metaOver, metaOverLast); err != nil {
				return err
			}
			return a.finishAnew()
		})
	})
	if err != nil {
		return false, err
	}
	if !ended {
		rep.validate(a.invalidation)
		return false, nil
	}
	rep.committed(a.invalidation, a.state, a.events)
	return true, nil
}
