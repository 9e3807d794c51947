package replica

import (
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// endBootstrap ends a snapshot: its state is the prefix, and the transactions that
// it counts as decided are no longer pending.
func (a *applier) endBootstrap(req *wire.PullRequest, f *wire.Snapshot) error {
	if a.digest.Sum() != f.End.Digest {
		return errSnapshot
	}
	if !a.bootstrap.fresh {
		gone, err := a.unseen()
		if err != nil {
			return err
		}
		if a.bootstrap.upload != nil {
			a.uploads = gone
		} else if err := a.sweep(gone); err != nil {
			return err
		}
	}
	if err := a.settleDecided(req, f); err != nil {
		return err
	}
	a.count = a.bootstrap.at.Rows
	a.pos = wire.Position{Epoch: a.bootstrap.at.Epoch, Seq: f.Seq, Chain: f.Chain}
	a.bootstrap = nil
	return a.inside(func() error {
		id, _, err := a.oldest()
		if a.pending = id != 0; err != nil {
			return err
		}
		if err := a.rep.recount(&a.rows, a.state); err != nil {
			return err
		}
		if err := a.completed(a.Conn); err != nil {
			return err
		}
		if a.rep.cfg.Sealing != nil {
			if err := a.rep.cfg.Sealing.Adopt(a.Conn, a.pos); err != nil {
				return err
			}
		}
		if err := a.Exec(`DELETE FROM heddle_seen`); err != nil {
			return err
		}
		return a.Exec(`DELETE FROM heddle_meta WHERE name IN (?, ?, ?)`, metaBootstrap, metaBootstrapKind, metaUpload)
	})
}

// unseen returns the rows of the former prefix that the snapshot does not have.
func (a *applier) unseen() (gone []rowKey, err error) {
	err = a.inside(func() error {
		unseen := func(table string, key []byte) error {
			seen, err := a.Has(`SELECT 1 FROM heddle_seen WHERE tbl = ? AND key = ?`, table, key)
			if err != nil || seen {
				return err
			}
			k := rowKey{table: table, bytes: key}
			if k.key, err = wire.DecodeKey(key); err == nil && a.bootstrap.has(table, k.key) {
				gone = append(gone, k)
			}
			return err
		}
		for _, t := range synced.Sorted(a.tables) {
			err := a.Query("SELECT "+synced.Idents(t.Key, "", ", ")+" FROM main."+synced.Ident(t.Name), nil,
				func(s *sqlite3.Stmt) error {
					key := make([]wire.Value, len(t.Key))
					for i := range key {
						key[i] = synced.Column(s, i)
					}
					return unseen(t.Name, wire.EncodeKey(key))
				})
			if err != nil {
				return err
			}
		}
		for _, sql := range []string{`SELECT tbl, key FROM heddle_overflow WHERE whole`, `SELECT tbl, key FROM heddle_row`} {
			err := a.Query(sql, nil, func(s *sqlite3.Stmt) error { return unseen(s.ColumnText(0), s.ColumnBlob(1, nil)) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	return gone, err
}

// sweep removes rows of the former prefix.
func (a *applier) sweep(gone []rowKey) error {
	return a.inBatches(len(gone), func(i int) error {
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
		return a.write(k, before, nil, a.schema)
	})
}

// settleDecided removes the transactions that the snapshot counts as decided from
// the pending ones.
func (a *applier) settleDecided(req *wire.PullRequest, f *wire.Snapshot) error {
	own, outcomes := told(f, a.client, wire.ClientID{})
	through, offset := a.offset+int64(own), a.offset
	if a.former != nil {
		if earlier, formers := told(f, a.former.client, a.former.client); earlier > 0 {
			through, offset, outcomes = min(a.former.last, a.former.offset+int64(earlier)), a.former.offset, formers
		}
	}
	forked, err := a.notOurs(&through, offset, outcomes)
	if err != nil {
		return err
	}
	unshown, err := a.settleShown(through, offset, outcomes)
	if err != nil {
		return err
	}
	if a.over != 0 { // see EndStartOver
		return nil
	}
	forked = forked || unshown && a.former == nil
	again := a.former == nil && through < a.last || len(a.uploads) > 0
	if a.former == nil && through == a.last && !again {
		if again, err = a.unexplained(); err != nil {
			return err
		}
	}
	if again {
		if err := a.resend(through, own); err != nil {
			return err
		}
	}
	if forked || a.former == nil && through > a.last {
		// The server has seen more of this id than this replica has written: its
		// file is a copy, or an older one that was put back.
		return a.forkAt(req, f)
	}
	return nil
}

// told returns what a snapshot's last frames tell of a client: its last decided
// counter, and the outcomes that are known by counter. as is the client's id in
// Outcome.
func told(f *wire.Snapshot, client, as wire.ClientID) (decided uint64, outcomes map[uint64]wire.Outcome) {
	for _, d := range f.Clients {
		if d.Client == client {
			decided = d.Counter
		}
	}
	outcomes = map[uint64]wire.Outcome{}
	for _, o := range f.Own {
		if o.Client == as {
			outcomes[o.Counter] = o
		}
	}
	return decided, outcomes
}

// settleShown removes the pending transactions up to through whose body hash the
// snapshot shows under their counter, in order. unshown says that one before
// through is not: another copy of this database has used the same number, or the
// server no longer knows what it has under it. A transaction is not dropped
// without proof that it was decided.
func (a *applier) settleShown(through, offset int64, outcomes map[uint64]wire.Outcome) (unshown bool, err error) {
	for {
		var id int64
		var outcome wire.Outcome
		var body *wire.Body
		err := a.inside(func() (err error) {
			var hash wire.Hash
			if id, hash, err = a.oldest(); err != nil || id == 0 || id > through {
				id = 0
				return err
			}
			outcome = outcomes[uint64(id-offset)]
			if a.rep.cfg.Sealing != nil && outcome.BodyHash == (wire.Hash{}) {
				outcome = a.unproved(id, offset, hash, outcome.Code)
			}
			if outcome.BodyHash != hash {
				id, unshown = 0, true
				return nil
			}
			body, err = a.body(id)
			return err
		})
		if err != nil || id == 0 {
			return unshown, err
		}
		if err := a.settleOne(id, outcome, body); err != nil {
			return false, err
		}
	}
}

// unproved is the outcome of a transaction whose number the snapshot of a sealed space
// counts, where its seal is not known any more: the device has gone away between sending
// it and its entry. It is not sent again, since it may have its effects already, and not
// forgotten, since another copy may have used its number: the app is given it back. One
// that was decided in a log that was given up is decided in this one, which has as much.
// void is why it is void, as far as the server says so.
func (a *applier) unproved(id, offset int64, hash wire.Hash, void string) wire.Outcome {
	o := wire.Outcome{Counter: uint64(id - offset), Seq: a.bootstrap.at.Seq, BodyHash: hash, Code: void}
	if void == "" && (a.over == 0 || id > a.overLast) {
		o.Code = errcode.Behind
	}
	return o
}

// settleOne removes the oldest pending transaction, which has an outcome, and its
// operations from the rows.
func (a *applier) settleOne(id int64, outcome wire.Outcome, body *wire.Body) error {
	err := a.inBatches(len(body.Ops), func(i int) error {
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
	return a.inside(func() error {
		if outcome.Code != "" {
			if err := a.reject(id, &wire.Entry{Seq: outcome.Seq, Counter: outcome.Counter, Outcome: outcome.Code},
				body); err != nil {
				return err
			}
		}
		return a.done(id, outcome.Code == "")
	})
}

// notOurs looks for a kept transaction whose number another copy of this database
// has used for another body. The transactions of this replica in the log end before
// the first such number.
func (a *applier) notOurs(through *int64, offset int64, outcomes map[uint64]wire.Outcome) (forked bool, err error) {
	err = a.inside(func() error {
		return a.Query(`SELECT id, hash FROM heddle_sent WHERE part = 0 AND total > 0 AND id <= ? ORDER BY id`,
			[]any{*through}, func(s *sqlite3.Stmt) error {
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
