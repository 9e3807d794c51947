package client

import (
	"bytes"
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/store"
	"heddle/sync/fold"
	"heddle/sync/wire"
)

// A replica that is new, or for which the log does not reach back far enough,
// takes the space's state in place of the log: a snapshot, frame by frame, each
// in a transaction with how far it has got, so that it goes on where it was
// after a break. Meanwhile reads see what is there and local writes wait. What
// is pending stays on top of the rows as they come, under the rule of apply.go.

// boot is a snapshot that is being applied.
type boot struct {
	at wire.Resume
	// There was no prefix before. Otherwise the rows of the old one stay until
	// the end, heddle_seen has the keys that the snapshot has named, and the
	// others go then.
	fresh bool
}

func (b *boot) save(c *conn) error {
	if err := setMeta(c, metaBoot, b.at.Marshal()); err != nil {
		return err
	}
	fresh := int64(0)
	if b.fresh {
		fresh = 1
	}
	return setMeta(c, metaBootFresh, fresh)
}

// errSnapshot says that what came does not make the state that it should.
var errSnapshot = diverged("the rows of a snapshot do not have the digest that the server names")

// snapshot applies a frame of a snapshot; first is the first of its stream.
func (c *Client) snapshot(ctx context.Context, req *wire.PullRequest, epoch wire.Epoch, f *wire.Snapshot, first bool) (rows uint64, err error) {
	var a *applier
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		a = &applier{tx: tx, rows: c.rowsOn(tx)}
		err := tx.Inside(func(*sqlite3.Conn) error {
			if err := a.begin(c); err != nil {
				return err
			}
			if a.client != req.Client {
				return errFork // the stream was asked for under an id that is no more
			}
			if first && !a.asked(req) {
				return errBooted
			}
			if first && !f.Resumed {
				return a.startBoot(epoch)
			}
			if a.boot == nil || a.boot.at.Epoch != epoch {
				return errcode.New(errcode.Protocol, "sync: snapshot", "a piece of a snapshot came that was not asked for")
			}
			at := *a.boot
			a.boot = &at
			return nil
		})
		if err != nil {
			return err
		}
		if f.Schema != nil {
			if a.schema, err = fold.UnmarshalSchema(f.Schema); err != nil {
				return err
			}
			a.merged = mergedSchema(a.schema, a.tables)
			if err := checkKeys(a.tables, a.schema); err != nil {
				return err
			}
		}
		for _, t := range f.Tables {
			if err := a.bootTable(t.Table, t.Rows, f.Again); err != nil {
				return err
			}
		}
		at := &a.boot.at
		at.Seq, at.Chain, at.Done = f.Seq, f.Chain, at.Done || f.Last
		if f.End != nil {
			if err := a.endBoot(c, f); err != nil {
				return err
			}
		}
		return tx.Inside(func(*sqlite3.Conn) error {
			if a.boot != nil {
				if err := a.boot.save(a.conn); err != nil {
					return err
				}
			}
			return a.finish(c)
		})
	})
	if err != nil {
		return 0, err
	}
	c.clean(a.taint)
	c.share(a.state)
	for _, e := range a.events {
		c.events.put(e)
	}
	c.events.deliver()
	if a.boot != nil {
		return a.boot.at.Rows, nil
	}
	if a.client != req.Client {
		return a.count, errFork
	}
	return a.count, nil
}

// asked reports whether the replica still is where it was when it asked.
func (a *applier) asked(req *wire.PullRequest) bool {
	if req.Resume == nil {
		return a.pos == req.Position && (a.boot == nil || req.Anew)
	}
	return a.boot != nil && bytes.Equal(a.boot.at.Marshal(), req.Resume.Marshal())
}

// errBooted says that another pull has gone on with the snapshot meanwhile.
var errBooted = errcode.New(errcode.Network, "sync: pull", "another request fetches the state already")

// startBoot begins anew with a snapshot. What the tables hold of the prefix
// stays until the end, unless there was none.
func (a *applier) startBoot(epoch wire.Epoch) error {
	a.boot = &boot{at: wire.Resume{Epoch: epoch}, fresh: a.pos.Seq == 0 && a.boot == nil}
	a.digest = &fold.Digest{}
	a.schema = &fold.Schema{}
	a.merged = mergedSchema(a.schema, a.tables)
	if err := a.exec(`DELETE FROM heddle_seen`); err != nil {
		return err
	}
	return a.exec(`DELETE FROM heddle_digest`)
}

// bootTable applies rows of one table.
func (a *applier) bootTable(table string, rows []byte, again bool) error {
	at := &a.boot.at
	for len(rows) > 0 {
		err := a.stretches(1, func(int) error {
			for n := 0; n < chunk && len(rows) > 0; n++ {
				key, cells, rest, err := wire.CutRow(rows)
				if err != nil {
					return err
				}
				rows = rest
				if err := a.bootRow(table, key, cells, again); err != nil {
					return err
				}
				if !again {
					at.Table, at.Key = table, append(at.Key[:0:0], key...)
					at.Rows++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		breathe()
	}
	return nil
}

// bootRow makes a row of the prefix what the snapshot says.
func (a *applier) bootRow(table string, key, cells []byte, again bool) (err error) {
	k := rowKey{table: table, bytes: key}
	if k.key, err = wire.DecodeKey(key); err != nil {
		return err
	}
	if want := a.schema.Key(table); len(want) != len(k.key) {
		return errcode.New(errcode.Protocol, "sync: snapshot", "a row of a snapshot has another key than its table")
	}
	var row *fold.Row
	if len(cells) > 0 {
		row = &fold.Row{}
		if row.Cells, err = wire.DecodeRow(cells); err != nil {
			return err
		}
	}
	a.digest.Add(k.table, k.key, row, a.schema)
	var b *based
	if a.pending {
		if b, err = a.based(k); err != nil {
			return err
		}
	}
	var before *fold.Row
	switch {
	case a.boot.fresh && !again: // the first time that the key is named
	case b != nil:
		before = b.base
	default:
		if before, err = a.visible(k); err != nil {
			return err
		}
	}
	counted := a.boot.fresh
	if !a.boot.fresh {
		if counted, err = a.see(k, row != nil); err != nil {
			return err
		}
	}
	if counted {
		a.digest.Remove(k.table, k.key, before, a.schema)
	}
	if b != nil {
		b.base = row
		if err := a.recompute(k, b); err != nil {
			return err
		}
		return a.putBased(k, b)
	}
	return a.show(k, before, row, a.schema)
}

// see notes whether the snapshot has a row, and says whether it had it before.
func (a *applier) see(k rowKey, there bool) (had bool, err error) {
	sql := `INSERT OR IGNORE INTO heddle_seen(tbl, key) VALUES(?, ?)`
	if !there {
		sql = `DELETE FROM heddle_seen WHERE tbl = ? AND key = ?`
	}
	err = a.exec(sql, k.table, k.bytes)
	return (a.sqlite.Changes() == 0) == there, err
}

// endBoot ends a snapshot: the prefix is its state, and what it says is decided
// is pending no longer.
func (a *applier) endBoot(c *Client, f *wire.Snapshot) error {
	if a.digest.Sum() != f.End.Digest {
		return errSnapshot
	}
	if !a.boot.fresh {
		if err := a.sweep(); err != nil {
			return err
		}
	}
	if err := a.settleDecided(c, f.End); err != nil {
		return err
	}
	a.count = a.boot.at.Rows
	a.pos = wire.Position{Epoch: a.boot.at.Epoch, Seq: f.Seq, Chain: f.Chain}
	a.boot = nil
	return a.tx.Inside(func(*sqlite3.Conn) error {
		id, _, err := a.oldest()
		if a.pending = id != 0; err != nil {
			return err
		}
		if err := c.recount(&a.rows, a.state); err != nil {
			return err
		}
		if err := a.exec(`DELETE FROM heddle_seen`); err != nil {
			return err
		}
		return a.exec(`DELETE FROM heddle_meta WHERE name IN (?, ?)`, metaBoot, metaBootFresh)
	})
}

// sweep takes the rows of the former prefix away that the snapshot has not.
func (a *applier) sweep() error {
	var gone []rowKey
	err := a.tx.Inside(func(*sqlite3.Conn) error {
		unseen := func(table string, key []byte) error {
			seen := false
			err := a.query(`SELECT 1 FROM heddle_seen WHERE tbl = ? AND key = ?`, []any{table, key}, func(*sqlite3.Stmt) error {
				seen = true
				return nil
			})
			if err != nil || seen {
				return err
			}
			k := rowKey{table: table, bytes: key}
			k.key, err = wire.DecodeKey(key)
			gone = append(gone, k)
			return err
		}
		for _, t := range sortedTables(a.tables) {
			err := a.query("SELECT "+idents(t.key, "", ", ")+" FROM main."+ident(t.name), nil, func(s *sqlite3.Stmt) error {
				key := make([]wire.Value, len(t.key))
				for i := range key {
					key[i] = column(s, i)
				}
				return unseen(t.name, wire.EncodeKey(key))
			})
			if err != nil {
				return err
			}
		}
		for _, sql := range []string{`SELECT tbl, key FROM heddle_overflow WHERE whole`, `SELECT tbl, key FROM heddle_row`} {
			err := a.query(sql, nil, func(s *sqlite3.Stmt) error { return unseen(s.ColumnText(0), s.ColumnBlob(1, nil)) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.stretches(len(gone), func(i int) error {
		k := gone[i]
		b, err := a.based(k)
		if err != nil {
			return err
		}
		if b != nil {
			b.base = nil
			if err := a.recompute(k, b); err != nil {
				return err
			}
			return a.putBased(k, b)
		}
		before, err := a.visible(k)
		if err != nil || before == nil {
			return err
		}
		return a.show(k, before, nil, a.schema)
	})
}

// settleDecided takes what the snapshot has decided out of what is pending.
func (a *applier) settleDecided(c *Client, end *wire.SnapshotEnd) error {
	var own, earlier uint64
	for _, d := range end.Clients {
		switch {
		case d.Client == a.client:
			own = d.Counter
		case a.former != nil && d.Client == a.former.client:
			earlier = d.Counter
		}
	}
	outcomes := map[uint64]wire.Outcome{}
	for _, o := range end.Own {
		outcomes[o.Counter] = o
	}
	through, offset := a.offset+int64(own), a.offset
	if a.former != nil && earlier > 0 {
		through, offset, outcomes = min(a.former.last, a.former.offset+int64(earlier)), a.former.offset, nil
	}
	forked, err := a.notOurs(&through, offset, outcomes)
	if err != nil {
		return err
	}
	for {
		var id int64
		var outcome wire.Outcome
		var body *wire.Body
		err := a.tx.Inside(func(*sqlite3.Conn) (err error) {
			var hash wire.Hash
			if id, hash, err = a.oldest(); err != nil || id == 0 || id > through {
				id = 0
				return err
			}
			outcome = outcomes[uint64(id-offset)]
			if outcome.BodyHash != (wire.Hash{}) && outcome.BodyHash != hash {
				id, forked = 0, true // another copy of this database has numbered one alike
				return nil
			}
			body, err = a.body(id)
			return err
		})
		if err != nil {
			return err
		}
		if id == 0 {
			break
		}
		err = a.stretches(len(body.Ops), func(i int) error {
			k := keyOf(&body.Ops[i])
			b, err := a.based(k)
			if err != nil {
				return err
			}
			if b == nil || len(b.ops) == 0 || b.ops[0] != (ref{id, i}) {
				return damaged("heddle_row")
			}
			b.ops = b.ops[1:]
			if err := a.recompute(k, b); err != nil {
				return err
			}
			return a.putBased(k, b)
		})
		if err != nil {
			return err
		}
		err = a.tx.Inside(func(*sqlite3.Conn) error {
			if outcome.Code != "" {
				if err := a.reject(id, &wire.Entry{Seq: outcome.Seq, Counter: outcome.Counter, Outcome: outcome.Code}, body); err != nil {
					return err
				}
			}
			return a.done(id, outcome.Code == "")
		})
		if err != nil {
			return err
		}
	}
	if a.former == nil && through < a.last {
		if err := a.sendAgain(c, through, own); err != nil {
			return err
		}
	}
	if forked || a.former == nil && through > a.last {
		// The server has seen more of this id than this replica has written: its
		// file is a copy, or an older one that was put back.
		return a.tx.Inside(func(*sqlite3.Conn) error { return a.mint(a.conn, c.cfg.Rand) })
	}
	return nil
}

// notOurs looks whether another copy of this database has numbered transactions
// as this one has those that it keeps: the first such ends what of this one is
// in the log.
func (a *applier) notOurs(through *int64, offset int64, outcomes map[uint64]wire.Outcome) (forked bool, err error) {
	err = a.tx.Inside(func(*sqlite3.Conn) error {
		return a.query(`SELECT id, hash FROM heddle_sent WHERE part = 0 AND total > 0 AND id <= ? ORDER BY id`, []any{*through}, func(s *sqlite3.Stmt) error {
			o := outcomes[uint64(s.ColumnInt64(0)-offset)]
			if o.BodyHash == (wire.Hash{}) || string(s.ColumnRawBlob(1)) == string(o.BodyHash[:]) {
				return nil
			}
			*through, forked = s.ColumnInt64(0)-1, true
			return errEnough
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return forked, err
}

// snapshot applies a frame of a snapshot as it comes from the stream.
func (p *puller) snapshot(f *wire.Snapshot) error {
	if !p.greets {
		return errcode.New(errcode.Protocol, "sync: pull", "a snapshot came before the greeting")
	}
	first := !p.booting
	if first {
		select {
		case p.c.bootTurn <- struct{}{}:
		default:
			return errBooted
		}
		p.booting, p.total = true, f.Total
	}
	rows, err := p.c.snapshot(p.ctx, p.req, p.epoch, f, first)
	if err != nil && !errors.Is(err, errFork) {
		return err
	}
	if first {
		p.c.mu.Lock()
		p.c.anew = false
		p.c.mu.Unlock()
	}
	p.c.events.put(Progress{Phase: "snapshot", Done: rows, Total: max(p.total, rows), Rows: rows})
	p.c.events.deliver()
	if f.End != nil {
		p.booting = false
		<-p.c.bootTurn
		p.from = f.Seq
		p.c.mu.Lock()
		p.c.sent = sent{} // what the server said before may not be so any more
		p.c.mu.Unlock()
		p.c.nudge() // what waited for the end
		p.c.again()
	}
	return err
}

// startOver has the next pull ask for a snapshot, because of err. What does not
// become right by that, some times in a row, somebody has to look at.
func (c *Client) startOver(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.starts++; c.starts > maxStarts {
		return &errcode.Error{Code: errcode.Diverged, Op: "sync", Msg: coded(err).Message() + "; starting over did not help"}
	}
	c.anew = true
	return errAnew
}

// maxStarts is how often in a row a replica starts over before it gives up.
const maxStarts = 3

// errAnew says that the next attempt begins with a snapshot.
var errAnew = errcode.New(errcode.Diverged, "sync: pull", "this replica starts over with a snapshot")
