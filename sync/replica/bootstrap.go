package replica

import (
	"bytes"
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// A replica that is new, or for which the log does not reach back far enough, takes
// the space's state in place of the log: a snapshot, frame by frame, each in a
// transaction with the position in the snapshot, so that it can be resumed after a
// break. Meanwhile reads see the rows that have come, and local writes are
// recorded. The base image of a key is then its row in the prefix or in the part of
// the snapshot that has come; it becomes the snapshot's when the snapshot names the
// key, or has ended without naming it. So pending operations, from before or from
// meanwhile, stay on top of the rows by the rule of apply.go. They are sent when
// the snapshot has ended.

// bootstrap is a snapshot that is being applied.
type bootstrap struct {
	at wire.Resume
	// There was no prefix before. Otherwise the rows of the old prefix stay until
	// the end, heddle_seen has the keys that the snapshot has named, and rows of
	// other keys are removed then.
	fresh bool
	// Of a snapshot that repairs a digest: the buckets whose rows it brings. It is
	// not resumed. Rows of other buckets stay, with the changes of later entries.
	only map[bucket]bool
	// Of a log that replaced another by Accept with upload: the schema of the log
	// that was left. Rows that the new log does not have are uploaded. Else nil.
	upload *fold.Schema
}

// Values of metaBootstrapKind.
const (
	bootstrapAgain  = 0
	bootstrapFresh  = 1
	bootstrapOnly   = 2
	bootstrapUpload = 3
)

// bucket names the parts of the digest that a key's row is counted in.
type bucket struct {
	table  string
	number uint8
}

func (b *bootstrap) has(table string, key []wire.Value) bool {
	return b.only == nil || b.only[bucket{table, fold.BucketOf(key)}]
}

func (b *bootstrap) save(c *synced.Conn) error {
	if err := setMeta(c, metaBootstrap, b.at.Marshal()); err != nil {
		return err
	}
	kind := int64(bootstrapAgain)
	switch {
	case b.fresh:
		kind = bootstrapFresh
	case b.only != nil:
		kind = bootstrapOnly
	case b.upload != nil:
		kind = bootstrapUpload
	}
	return setMeta(c, metaBootstrapKind, kind)
}

// bootstrapSchema takes the schema of a snapshot. A column that the log had not
// declared before may have another default than the rows that are in the tables.
func (a *applier) bootstrapSchema(data []byte, told *fold.Schema) (err error) {
	if a.schema, err = fold.UnmarshalSchema(data); err != nil {
		return err
	}
	a.dispute()
	for _, d := range a.schema.Tables() {
		if t := a.tables[d.Table]; t != nil {
			if err := a.learnDefaults(t, d.Columns, told); err != nil {
				return err
			}
		}
	}
	return nil
}

// errSnapshot says that the rows of a snapshot do not have its digest.
var errSnapshot = diverged("the rows of a snapshot do not have the digest that the server names")

// Snapshot applies a frame of a snapshot of the log of epoch that req has asked
// for; first is the first frame of its stream. Rows is how many rows of the
// snapshot are there now. The error is ErrFork also where the end of the snapshot
// was applied and shows a fork.
func (rep *Replica) Snapshot(
	ctx context.Context, req *wire.PullRequest, epoch wire.Epoch, f *wire.Snapshot, first bool,
) (rows uint64, err error) {
	var a *applier
	err = rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		if a, err = rep.begin(tx); err != nil {
			return err
		}
		told := a.rowSchema() // before this frame
		err = a.inside(func() error { return a.beginFrame(req, epoch, f, first) })
		if err != nil {
			return err
		}
		if rep.cfg.Sealing != nil { // rows are in order in a chunk; member has looked at those before
			a.bootstrap.at.Key = nil
		}
		if f.Schema != nil {
			if err := a.inside(func() error { return a.bootstrapSchema(f.Schema, told) }); err != nil {
				return err
			}
		}
		for _, t := range f.Tables {
			if err := a.bootstrapTable(t.Table, t.Rows, f.Again); err != nil {
				return err
			}
		}
		if len(a.replaced) > 0 {
			a.events = append(a.events, Conflict{Seq: f.Seq, Reason: ConflictReplaced, Keys: a.replaced})
		}
		at := &a.bootstrap.at
		at.Seq, at.Chain, at.Done = f.Seq, f.Chain, at.Done || f.Last
		if f.End != nil {
			if err := a.endBootstrap(req, f); err != nil {
				return err
			}
		}
		return a.inside(func() error {
			if a.bootstrap != nil {
				if err := a.bootstrap.save(a.Conn); err != nil {
					return err
				}
			}
			return a.finish()
		})
	})
	if err != nil {
		return 0, err
	}
	rep.committed(a.invalidation, a.state, a.events)
	if a.bootstrap != nil {
		return a.bootstrap.at.Rows, nil
	}
	if rep.cfg.Sealing != nil { // the log is another
		if err := rep.reload(ctx); err != nil {
			return a.count, err
		}
	}
	if a.client != req.Client {
		return a.count, ErrFork
	}
	return a.count, nil
}

// beginFrame checks that a frame continues what this replica has, or begins.
func (a *applier) beginFrame(req *wire.PullRequest, epoch wire.Epoch, f *wire.Snapshot, first bool) error {
	if a.client != req.Client {
		return ErrFork // the snapshot was asked for under an id of before
	}
	if first && !a.asked(req) {
		return ErrBootstrapping
	}
	if first && !f.Resumed {
		return a.startBootstrap(epoch, req, f.Only)
	}
	if a.bootstrap == nil || a.bootstrap.at.Epoch != epoch {
		return errcode.New(errcode.Protocol, "sync: snapshot", "a piece of a snapshot came that was not asked for")
	}
	at := *a.bootstrap
	a.bootstrap = &at
	return nil
}

// asked reports whether the replica is still at the position of its request.
func (a *applier) asked(req *wire.PullRequest) bool {
	if req.Resume == nil {
		return a.pos == req.Position && (a.bootstrap == nil || req.Anew)
	}
	return a.bootstrap != nil && bytes.Equal(a.bootstrap.at.Marshal(), req.Resume.Marshal())
}

// ErrBootstrapping says that another pull has gone on with the snapshot meanwhile.
var ErrBootstrapping = errcode.New(errcode.Network, "sync: pull", "another request fetches the state already")

// startBootstrap begins with the first row of a snapshot. Rows of the old prefix
// stay until the end, if there was one.
func (a *applier) startBootstrap(epoch wire.Epoch, req *wire.PullRequest, only bool) error {
	began := bootstrap{at: wire.Resume{Epoch: epoch}, fresh: a.pos.Seq == 0 && a.bootstrap == nil && !only}
	if a.bootstrap != nil {
		began.upload = a.bootstrap.upload
	}
	a.bootstrap = &began
	if only {
		a.bootstrap.only = map[bucket]bool{}
		for _, b := range req.Only {
			a.bootstrap.only[bucket{b.Table, uint8(b.Number)}] = true
			a.digest.Empty(b.Table, uint8(b.Number))
		}
		return a.Exec(`DELETE FROM heddle_seen`)
	}
	a.digest = &fold.Digest{}
	a.schema = &fold.Schema{}
	a.merged = synced.MergedSchema(a.schema, a.tables)
	if err := a.Exec(`DELETE FROM heddle_seen`); err != nil {
		return err
	}
	return a.Exec(`DELETE FROM heddle_digest`)
}

// errOrder says that rows do not come in the order of their keys, which the filler
// and a resumed snapshot rely on.
var errOrder = errcode.New(errcode.Protocol, "sync: snapshot",
	"the rows of a snapshot are not in the order of their keys")

// bootstrapTable applies rows of one table: those of a table that had none by a
// filler, others one by one.
func (a *applier) bootstrapTable(table string, rows []byte, again bool) error {
	at := &a.bootstrap.at
	if !again && table < at.Table {
		return errOrder
	}
	fill, err := a.filler(table, again)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		err := a.inBatches(1, func(int) error {
			for n := 0; n < chunk && len(rows) > 0; n++ {
				key, cells, rest, err := wire.CutRow(rows)
				if err != nil {
					return err
				}
				rows = rest
				if !again && table == at.Table && bytes.Compare(key, at.Key) <= 0 {
					return errOrder
				}
				filled := false
				if fill != nil {
					if filled, err = fill.row(key, cells); err != nil {
						return err
					}
				}
				if !filled {
					if err := a.bootstrapRow(table, key, cells, again); err != nil {
						return err
					}
				}
				if !again {
					at.Table, at.Key = table, append(at.Key[:0:0], key...)
					at.Rows++
				}
			}
			if fill != nil {
				return fill.write()
			}
			return nil
		})
		if err != nil {
			return err
		}
		a.tx.Yield()
	}
	return nil
}

// bootstrapRow puts a row of the snapshot into the prefix.
func (a *applier) bootstrapRow(table string, key, cells []byte, again bool) (err error) {
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
	case a.bootstrap.fresh && !again: // the first time that the key is named
	case b != nil:
		before = b.base
	default:
		if before, err = a.visible(k); err != nil {
			return err
		}
	}
	inside := a.bootstrap.has(table, k.key)
	counted := a.bootstrap.fresh || !inside
	if !a.bootstrap.fresh && inside {
		if counted, err = a.markSeen(k, row != nil); err != nil {
			return err
		}
	}
	if counted {
		a.digest.Remove(k.table, k.key, before, a.schema)
	} else {
		a.differs(k, before, row)
	}
	if b != nil {
		b.base = row
		if err := a.recompute(k, b); err != nil {
			return err
		}
		return a.putBased(k, b)
	}
	return a.write(k, before, row, a.schema)
}

// markSeen notes whether the snapshot has a row, and reports whether it was noted
// before.
func (a *applier) markSeen(k rowKey, there bool) (had bool, err error) {
	sql := `INSERT OR IGNORE INTO heddle_seen(tbl, key) VALUES(?, ?)`
	if !there {
		sql = `DELETE FROM heddle_seen WHERE tbl = ? AND key = ?`
	}
	err = a.Exec(sql, k.table, k.bytes)
	return (a.SQLite.Changes() == 0) == there, err
}
