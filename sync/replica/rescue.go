package replica

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Rescued counts the transactions of a damaged database that were brought over.
type Rescued struct {
	Pending  int  // transactions that go to the server, those that it has already found out first
	Rejected int  // those that were refused, and those that cannot be sent: see Rescue
	Lost     bool // some could not be read
}

// Rescue copies the transactions that the server may not have, and the rejected
// ones, from a damaged database into this one, which is new and has not run yet.
// They are pending under a new client id; as after an import, the log is searched
// for those that were sent before.
//
// A transaction counts as read if its bytes have its hash. One that cannot be
// sent, since an earlier one is lost or its client is unknown, is kept as a
// rejected one with the code HEDDLE_DAMAGED, for Retry, Discard or Export.
//
// from is used inside SQLite, and not written.
func (rep *Replica) Rescue(ctx context.Context, from *sqlite3.Conn) (done Rescued, err error) {
	const op = "sync: rescue"
	err = rep.db.Apply(ctx, func(tx *store.Tx) error {
		done = Rescued{}
		a, err := rep.begin(tx)
		if err != nil {
			return err
		}
		a.foreign = rep.foreign
		var w *wreck
		err = a.inside(func() error {
			if a.pos.Seq != 0 || a.pending {
				return errcode.New(errcode.Internal, op, "the database is not new")
			}
			w = readWreck(from)
			if space, ok := w.meta[metaSpace]; ok && space != rep.cfg.Space {
				return errcode.New(errcode.BadParam, op, "the damaged file belongs to another space")
			}
			return a.inherit(w)
		})
		if err != nil {
			return err
		}
		done.Lost = w.lost
		for i, p := range w.sendable {
			id := a.last + 1 + int64(i)
			err := a.inside(func() error { return a.addPending(id, p.created, p.bytes) })
			if err == nil {
				err = a.rebase(id, p.body)
			}
			if err != nil {
				return err
			}
		}
		done.Pending = len(w.sendable)
		return a.inside(func() error {
			for _, r := range w.rejected {
				if err := a.Exec(`INSERT INTO heddle_rejected(id, seq, counter, code, body, created) VALUES(?, ?, ?, ?, ?, ?)`,
					r...); err != nil {
					return err
				}
			}
			done.Rejected = len(w.rejected)
			return a.finish()
		})
	})
	if err != nil {
		return Rescued{}, errcode.Wrap(err, errcode.Internal, op)
	}
	rep.Reload() // what was written is what the state is made of
	return done, nil
}

// inherit continues the numbering of the damaged database, and notes the client of
// the rescued transactions: see state.former. Ids name transactions to the app, so
// the id of a rejected one is not given out again.
func (a *applier) inherit(w *wreck) error {
	number := func(name string) int64 { n, _ := w.meta[name].(int64); return n }
	id, _ := w.meta[metaClient].([]byte)
	last := number(metaLast)
	next := last
	for _, at := range slices.Sorted(maps.Keys(w.pending)) {
		p := w.pending[at]
		if len(id) == len(a.client) && at == last+1+int64(len(w.sendable)) {
			w.sendable = append(w.sendable, p)
			continue
		}
		w.rejected = append(w.rejected, []any{at, int64(0), int64(0), errcode.Damaged, p.bytes, p.created})
	}
	for _, r := range w.rejected {
		next = max(next, r[0].(int64))
	}
	shift := next - last
	a.last, a.offset = next, next
	if err := setMeta(a.Conn, metaLast, next, metaOffset, next); err != nil || len(w.sendable) == 0 {
		return err
	}
	former, offset, until := any(id), number(metaOffset), last+int64(len(w.sendable))
	if w.meta[metaFormer] != nil { // an import that had not synced yet
		former, offset, until = w.meta[metaFormer], number(metaFormerOffset), number(metaFormerLast)
	}
	return setMeta(a.Conn, metaFormerOffset, offset+shift, metaFormerLast, until+shift, metaFormer, former)
}

// wreck is what can be read of a damaged database.
type wreck struct {
	meta     map[string]wire.Value
	pending  map[int64]*wreckedTx
	sendable []*wreckedTx // those of pending that go to the server, in order
	rejected [][]any      // rows of heddle_rejected
	lost     bool
}

type wreckedTx struct {
	parts   [][]byte
	have    int
	hash    wire.Hash
	bytes   []byte
	body    *wire.Body
	created int64
}

func readWreck(from *sqlite3.Conn) *wreck {
	w := &wreck{meta: map[string]wire.Value{}, pending: map[int64]*wreckedTx{}}
	c := &synced.Conn{SQLite: from}
	defer c.Close()
	// The client's id counts only if it can be read without a checksum error.
	if meta, err := loadMeta(c); err == nil {
		w.meta = meta
	} else {
		w.lost = true
	}
	// These prove themselves by their hashes, so that pages with a wrong checksum
	// may be read as well: the flipped bit may lie elsewhere on the page.
	const verify = `PRAGMA checksum_verification = `
	w.both(c, `SELECT id, part, total, hash, bytes, created FROM heddle_pending ORDER BY id, part`, w.part)
	if w.lost && from.Exec(verify+`off`) == nil {
		w.both(c, `SELECT id, part, total, hash, bytes, created FROM heddle_pending ORDER BY id, part`, w.part)
	}
	for id, p := range w.pending {
		p.bytes = slices.Concat(p.parts...)
		var err error
		if p.have != len(p.parts) || wire.HashBody(p.bytes) != p.hash {
			err = damaged("heddle_pending")
		} else {
			p.body, err = wire.UnmarshalBody(p.bytes)
		}
		if err != nil {
			delete(w.pending, id)
			w.lost = true
		}
	}
	_ = from.Exec(verify + `on`)
	seen := map[int64]bool{}
	w.both(c, `SELECT id, seq, counter, code, body, created FROM heddle_rejected ORDER BY id`, func(s *sqlite3.Stmt) {
		if id := s.ColumnInt64(0); !seen[id] {
			seen[id] = true
			body := s.ColumnBlob(4, nil)
			if _, err := wire.UnmarshalBody(body); err != nil {
				w.lost = true
				return
			}
			w.rejected = append(w.rejected, []any{id, s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnText(3), body,
				s.ColumnInt64(5)})
		}
	})
	return w
}

// both reads a table up to the first error, and then from its other end.
func (w *wreck) both(c *synced.Conn, sql string, row func(*sqlite3.Stmt)) {
	each := func(s *sqlite3.Stmt) error { row(s); return nil }
	if err := c.Query(sql, nil, each); err != nil {
		w.lost = true
		up, keys, _ := strings.Cut(sql, "ORDER BY ")
		_ = c.Query(up+"ORDER BY "+strings.ReplaceAll(keys, ",", " DESC,")+" DESC", nil, each)
	}
}

func (w *wreck) part(s *sqlite3.Stmt) {
	id, at, total := s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2)
	if at < 0 || at >= total || total > wire.MaxParts {
		return
	}
	p := w.pending[id]
	if p == nil {
		p = &wreckedTx{parts: make([][]byte, total), created: s.ColumnInt64(5)}
		copy(p.hash[:], s.ColumnRawBlob(3))
		w.pending[id] = p
	}
	if at < int64(len(p.parts)) && p.parts[at] == nil {
		p.parts[at] = s.ColumnBlob(4, []byte{})
		p.have++
	}
}
