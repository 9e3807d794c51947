package replica

import (
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// A server that was restored from a backup has lost the end of its log, with
// transactions that it had decided. Each author keeps its last ones, and sends them
// again.

// What is kept in heddle_sent.
const (
	sentCount = 1000
	sentBytes = 64 << 20
)

// done removes a transaction from the pending ones. One that the log holds is kept
// for a while, for resend.
func (a *applier) done(id int64, ok bool) error {
	var parts int64
	if !ok { // its number counts
		if err := a.Exec(`INSERT OR REPLACE INTO heddle_sent(id, part, total, hash, bytes, created) VALUES(?, 0, 0, x'',
			x'', 0)`, id); err != nil {
			return err
		}
	} else {
		var err error
		if parts, err = a.Int(`SELECT total FROM heddle_pending WHERE id = ? LIMIT 1`, id); err != nil {
			return err
		}
		if err := a.Exec(`INSERT OR REPLACE INTO heddle_sent SELECT * FROM heddle_pending WHERE id = ?`, id); err != nil {
			return err
		}
	}
	if err := a.Exec(`DELETE FROM heddle_sent WHERE id <= ?`, id-sentCount); err != nil {
		return err
	}
	if parts > 1 || id%64 == 0 {
		if err := a.trimSent(); err != nil {
			return err
		}
	}
	if err := a.Exec(`DELETE FROM heddle_pending WHERE id = ?`, id); err != nil {
		return err
	}
	a.bodies.drop(id)
	a.last = id
	return setMeta(a.Conn, metaLast, id)
}

// trimSent drops the oldest beyond the bytes that are kept.
func (a *applier) trimSent() error {
	size, drop := int64(0), int64(0)
	err := a.Query(`SELECT id, length(bytes) FROM heddle_sent ORDER BY id DESC, part DESC`, nil,
		func(s *sqlite3.Stmt) error {
			if size += s.ColumnInt64(1); size > sentBytes {
				drop = s.ColumnInt64(0)
				return errEnough
			}
			return nil
		})
	if err != nil && !errors.Is(err, errEnough) || drop == 0 {
		return err
	}
	return a.Exec(`DELETE FROM heddle_sent WHERE id <= ?`, drop)
}

// unexplained reports whether a pending transaction touches a table or a column
// that the log no longer has: its descriptor was lost with another replica's entry.
func (a *applier) unexplained() (found bool, err error) {
	err = a.inside(func() error {
		var ids []int64
		err := a.Query(`SELECT DISTINCT id FROM heddle_pending ORDER BY id`, nil, func(s *sqlite3.Stmt) error {
			ids = append(ids, s.ColumnInt64(0))
			return nil
		})
		for _, id := range ids {
			body, e := a.body(id)
			if e != nil {
				return e
			}
			found = found || fold.Check(body, a.schema) != nil
		}
		return err
	})
	return found, err
}

// source is a transaction that is to be sent again.
type source struct {
	id   int64
	sent bool // it is in heddle_sent, and else pending
}

// resend makes the kept transactions after through pending again, before the
// pending ones: the server has lost them, and will number them again. decided is
// the last counter that the server has; the prefix is the server's.
func (a *applier) resend(through int64, decided uint64) error {
	all, top, err := a.sources(through, decided)
	if err != nil {
		return err
	}
	u, err := a.upload(a.uploads, top+1, a.rep.cfg.Now().UnixMilli())
	if err != nil {
		return err
	}
	for _, from := range all {
		id := u.next
		var body *wire.Body
		err := a.inside(func() (err error) {
			var created int64
			var data []byte
			sql := `SELECT bytes, created FROM heddle_pending WHERE id = ? ORDER BY part`
			if from.sent {
				sql = `SELECT bytes, created FROM heddle_sent WHERE id = ? ORDER BY part`
			}
			err = a.Query(sql, []any{from.id}, func(s *sqlite3.Stmt) error {
				data, created = append(data, s.ColumnRawBlob(0)...), s.ColumnInt64(1)
				return nil
			})
			if err != nil {
				return err
			}
			if body, err = wire.UnmarshalBody(data); err != nil {
				return damaged("heddle_sent")
			}
			if from.sent {
				u.without(body)
			}
			if len(body.Ops) == 0 {
				return nil
			}
			u.next++
			// The prefix may not have what it had when this was recorded.
			a.describe(body)
			return a.addPending(id, created, body.Marshal())
		})
		if err == nil && len(body.Ops) > 0 {
			err = a.rebase(id, body)
		}
		if err != nil {
			return err
		}
	}
	return a.inside(func() error {
		if err := a.Exec(`DELETE FROM heddle_sent`); err != nil {
			return err
		}
		if err := a.Exec(`DELETE FROM heddle_moved`); err != nil {
			return err
		}
		if err := a.Exec(`DELETE FROM heddle_pending WHERE id <= ?`, top); err != nil {
			return err
		}
		a.bodies = bodyCache{}
		a.last, a.offset = top, top-int64(decided)
		return setMeta(a.Conn, metaLast, a.last, metaOffset, a.offset)
	})
}

// sources takes the pending operations off the rows, and returns what resend sends,
// in order. top is the last id that was ever given out.
func (a *applier) sources(through int64, decided uint64) (all []source, top int64, err error) {
	err = a.inside(func() error {
		if err := a.unrebase(); err != nil {
			return err
		}
		next, err := a.nextID(a.Conn)
		if err != nil {
			return err
		}
		top = next - 1
		seen := through
		err = a.Query(`SELECT DISTINCT id, total FROM heddle_sent WHERE id > ? ORDER BY id`, []any{through},
			func(s *sqlite3.Stmt) error {
				if id := s.ColumnInt64(0); id == seen+1 {
					seen++
				}
				if s.ColumnInt64(1) > 0 { // else it was void
					all = append(all, source{s.ColumnInt64(0), true})
				}
				return nil
			})
		if err != nil {
			return err
		}
		switch {
		case a.bootstrap.upload != nil && decided == 0: // the rows have their effects
			all = nil
		case a.bootstrap.upload != nil:
		case seen < a.last:
			a.events = append(a.events, Conflict{Seq: a.pos.Seq, Counter: uint64(seen + 1 - a.offset), Reason: ConflictLost})
		}
		return a.Query(`SELECT DISTINCT id FROM heddle_pending ORDER BY id`, nil, func(s *sqlite3.Stmt) error {
			all = append(all, source{s.ColumnInt64(0), false})
			return nil
		})
	})
	return all, top, err
}

// unrebase takes all pending operations off the rows: what shows is the prefix.
func (a *applier) unrebase() error {
	err := a.eachBased("", func(k rowKey, b *based) error {
		before, err := a.visible(k)
		if err != nil {
			return err
		}
		return a.write(k, before, b.base, a.schema)
	})
	if err != nil {
		return err
	}
	return a.Exec(`DELETE FROM heddle_row`)
}
