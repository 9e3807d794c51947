package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// applier folds entries of the log into the database, inside one transaction.
// The rule, for each entry in the order of seq:
//
//  1. An own entry is the oldest pending transaction: it stops being pending.
//  2. If its outcome is ok, each operation is applied to the row in the
//     prefix: the base image of a key that pending transactions touch, the
//     table's row otherwise.
//  3. The row of each key of the entry becomes its base with the pending
//     operations on it; a key that has none left is the prefix itself.
//
// For an own entry that is ok, step 3 changes nothing: the operation has moved
// from the pending ones to the base. So the rows are not written.
type applier struct {
	rep *Replica
	tx  *store.Tx
	rows
	*state
	bodies       bodyCache
	invalidation int64        // see Replica.invalidate
	saved        *fold.Schema // the schema that the database holds
	merged       *fold.Schema // schema with this app's own tables, for pending operations
	pending      bool         // some transaction is pending
	count        uint64       // operations applied
	events       []any        // Rejected and Conflict, to be sent after the commit
	uploads      []rowKey     // rows that an accepted log does not have
	replaced     []Key        // rows that differ in it
	foreign      []*synced.ForeignKey
	touched      map[*synced.ForeignKey]*touchedKeys
}

// inside runs f inside SQLite.
func (a *applier) inside(f func() error) error {
	return a.tx.Inside(func(*sqlite3.Conn) error { return f() })
}

// eachOp runs f for each operation of an entry.
func (a *applier) eachOp(n int, f func(i int) error) error {
	err := a.inBatches(n, f)
	if err == nil {
		a.count += uint64(n)
	}
	return err
}

// inBatches runs f n times inside SQLite, and lets others in between.
func (a *applier) inBatches(n int, f func(i int) error) error {
	for from := 0; from < n; from += chunk {
		if from > 0 {
			a.tx.Yield()
		}
		err := a.inside(func() error {
			for i := from; i < min(n, from+chunk); i++ {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entry applies one entry: the one after the cursor.
func (a *applier) entry(o *Opened) error {
	e := &o.Entry
	if e.Seq != a.pos.Seq+1 {
		return errcode.New(errcode.Protocol, "sync: apply", fmt.Sprintf("entry %d came after %d", e.Seq, a.pos.Seq))
	}
	if a.rep.cfg.Sealing == nil && e.ChainAfter(a.pos.Chain) != e.Chain { // else it was judged with the seal's hash
		return errcode.New(errcode.Diverged, "sync: apply", fmt.Sprintf("the chain of hashes breaks at entry %d", e.Seq))
	}
	if err := a.meaning(o); err != nil {
		return err
	}
	a.pos.Seq, a.pos.Chain = e.Seq, e.Chain
	return nil
}

// meaning applies what an entry says.
func (a *applier) meaning(o *Opened) error {
	e := &o.Entry
	if a.rep.cfg.Sealing != nil {
		if done, err := a.sealed(o); done || err != nil {
			return err
		}
	}
	switch {
	case e.Client == a.client:
		return a.own(o, a.offset)
	case a.former != nil && e.Client == a.former.client && a.last < a.former.last:
		if err := a.own(o, a.former.offset); !errors.Is(err, ErrFork) {
			return err
		}
	}
	return a.other(o)
}

// own applies the entry of this replica's oldest pending transaction, whose
// counter is its id minus offset. It is ErrFork if that is another one; then
// nothing was done.
func (a *applier) own(o *Opened, offset int64) error {
	o.identify()
	e := &o.Entry
	var id int64
	var body *wire.Body
	last := false
	err := a.inside(func() (err error) {
		var hash wire.Hash
		if id, hash, err = a.oldest(); err != nil {
			return err
		}
		if id == 0 || uint64(id-offset) != e.Counter || hash != e.BodyHash {
			return ErrFork
		}
		if o.body != nil {
			a.bodies.add(id, o.body)
		}
		if body, err = a.body(id); err != nil {
			return err
		}
		if e.Outcome == "" {
			if err := a.learnSchema(body.Schema); err != nil {
				return err
			}
		}
		last, err = a.isLast(id)
		return err
	})
	if err != nil {
		return err
	}
	var missed []Key
	step := func(i int, k rowKey, b *based) error {
		op := &body.Ops[i]
		if len(b.ops) == 0 || b.ops[0] != (ref{id, i}) {
			return damaged("heddle_row")
		}
		b.ops = b.ops[1:]
		if e.Outcome != "" {
			return a.recompute(k, b)
		}
		if op.Shape.Kind == wire.Update && b.base == nil && len(missed) < maxConflictKeys && !alreadyMissed(missed, k) {
			missed = append(missed, Key{Table: op.Shape.Table, Key: op.Key})
		}
		b.base = a.advance(op, k, b.base)
		return nil
	}
	if last && len(body.Ops) > chunk {
		err = a.ownAll(id, body, step)
	} else {
		err = a.eachOp(len(body.Ops), func(i int) error {
			k := keyOf(&body.Ops[i])
			b, err := a.based(k)
			if err == nil && b == nil {
				err = damaged("heddle_row")
			}
			if err == nil {
				err = step(i, k, b)
			}
			if err != nil || last && len(b.ops) == 0 {
				return err // heddle_row is emptied as a whole below
			}
			return a.putBased(k, b)
		})
	}
	if err != nil {
		return err
	}
	if len(missed) > 0 {
		a.events = append(a.events, Conflict{Seq: e.Seq, Counter: e.Counter, Reason: ConflictMissing, Keys: missed})
	}
	return a.inside(func() error {
		if last {
			a.pending = false
			if err := a.Exec(`DELETE FROM heddle_row`); err != nil {
				return err
			}
		}
		if e.Outcome != "" {
			if err := a.reject(id, e, body); err != nil {
				return err
			}
		}
		return a.done(id, e.Outcome == "")
	})
}

// alreadyMissed reports whether k was missed just before: a row may have two operations.
func alreadyMissed(missed []Key, k rowKey) bool {
	n := len(missed)
	return n > 0 && missed[n-1].Table == k.table && bytes.Equal(wire.EncodeKey(missed[n-1].Key), k.bytes)
}

// ownAll is own for the only transaction that is left, if it is large: every
// row of heddle_row is of it, and is read in the order of the index.
func (a *applier) ownAll(id int64, body *wire.Body, step func(int, rowKey, *based) error) error {
	seen := 0
	err := a.basedBatches(func(some []basedRow) error {
		for _, b := range some {
			for len(b.ops) > 0 {
				i := b.ops[0].op
				if i >= len(body.Ops) {
					return damaged("heddle_row.ops")
				}
				if err := step(i, rowKey{b.table, body.Ops[i].Key, b.bytes}, b.based); err != nil {
					return err
				}
				seen++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen != len(body.Ops) {
		return damaged("heddle_row")
	}
	a.count += uint64(seen)
	return nil
}

// basedBatches calls f, inside SQLite, with the rows of heddle_row in the order of
// the index, many at a time, and lets others in between.
func (a *applier) basedBatches(f func(some []basedRow) error) error {
	for after := (basedRow{}); ; a.tx.Yield() {
		var some []basedRow
		err := a.inside(func() (err error) {
			if some, err = a.scanBased(after, chunk); err != nil {
				return err
			}
			return f(some)
		})
		if err != nil || len(some) < chunk {
			return err
		}
		after = some[len(some)-1]
	}
}

// other applies an entry of another replica.
func (a *applier) other(o *Opened) error {
	if o.Outcome != "" {
		return nil
	}
	body := o.body
	if body == nil {
		var err error
		if body, err = a.intact(&o.Entry); err != nil {
			return err
		}
	}
	if len(body.Schema) > 0 {
		if err := a.inside(func() error { return a.learnSchema(body.Schema) }); err != nil {
			return err
		}
	}
	return a.eachOp(len(body.Ops), func(i int) error {
		op := &body.Ops[i]
		k := keyOf(op)
		if a.pending {
			b, err := a.based(k)
			if err != nil {
				return err
			}
			if b != nil {
				b.base = a.advance(op, k, b.base)
				if err := a.recompute(k, b); err != nil {
					return err
				}
				return a.putBased(k, b)
			}
		}
		before, err := a.visible(k)
		if err != nil {
			return err
		}
		return a.write(k, before, a.advance(op, k, before), a.schema)
	})
}

// intact decodes the body of an entry that a server has taken.
func (a *applier) intact(e *wire.Entry) (*wire.Body, error) {
	if wire.HashBody(e.Body) != e.BodyHash {
		return nil, errcode.New(errcode.Diverged, "sync: apply",
			fmt.Sprintf("the body of entry %d does not match its hash", e.Seq))
	}
	body, err := wire.UnmarshalBody(e.Body)
	if err != nil {
		return nil, err
	}
	if err := fold.Check(body, a.schema); err != nil {
		return nil, errcode.New(errcode.Diverged, "sync: apply", fmt.Sprintf("entry %d cannot be: %v", e.Seq, err))
	}
	return body, nil
}

// advance applies an operation to a row of the prefix, and to the digest.
func (a *applier) advance(op *wire.Op, k rowKey, before *fold.Row) *fold.Row {
	after := fold.Apply(*op, before, a.schema)
	if before != after {
		a.digest.Remove(k.table, k.key, before, a.schema)
		a.digest.Add(k.table, k.key, after, a.schema)
	}
	return after
}

// recompute writes the row of a key: its base with the pending operations.
func (a *applier) recompute(k rowKey, b *based) error {
	after := b.base
	for _, r := range b.ops {
		body, err := a.body(r.id)
		if err != nil {
			return err
		}
		if r.op >= len(body.Ops) {
			return damaged("heddle_row.ops")
		}
		after = fold.Apply(body.Ops[r.op], after, a.merged)
	}
	before, err := a.visible(k)
	if err != nil {
		return err
	}
	return a.write(k, before, after, a.merged)
}

// chunk is how many operations are applied in one stretch inside SQLite:
// between two of them reads of others get their turn.
const chunk = 1000

// Apply folds entries that follow the prefix, in one transaction with the
// cursor. Entries that the prefix has already are passed over. They are of the
// log of epoch, and were asked for under the id client. The error is ErrFork also
// where the entries up to the one that shows the fork were applied; the same goes
// for what a sealed space's entries do not let through.
func (rep *Replica) Apply(
	ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []wire.Entry,
) (rows uint64, err error) {
	if rep.cfg.Sealing != nil {
		return rep.applySealed(ctx, client, epoch, entries)
	}
	all := make([]Opened, len(entries))
	for i := range entries {
		all[i].Entry = entries[i]
	}
	return rep.applyOpened(ctx, client, epoch, all)
}

// applyOpened is Apply for entries that can be read.
func (rep *Replica) applyOpened(
	ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []Opened,
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
				if err := a.inside(a.fork); err != nil {
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
		return a.inside(func() error {
			if err := a.saveSealing(); err != nil {
				return err
			}
			return a.finish()
		})
	})
	if err != nil {
		return 0, err
	}
	if rep.cfg.Sealing != nil {
		rep.cfg.Sealing.Keep()
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
	return a, a.inside(func() error {
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
		a.merged = synced.MergedSchema(s.schema, a.tables)
		a.saved = s.schema
		id, _, err := a.oldest()
		a.pending = id != 0
		return err
	})
}

// finish writes what is left and hands the state back.
func (a *applier) finish() error {
	if a.saved != a.schema {
		if err := setMeta(a.Conn, metaSchema, a.schema.Marshal()); err != nil {
			return err
		}
	}
	if err := a.savePosition(a.Conn); err != nil {
		return err
	}
	if err := a.saveDigest(a.Conn); err != nil {
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
