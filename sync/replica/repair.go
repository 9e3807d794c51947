package replica

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// A replica whose digest differs from the server's counts its rows again, since the
// kept sums may be wrong. Then it asks in which buckets it differs, and fetches
// their rows.

// maxBuckets is how many buckets are fetched by themselves at most.
const maxBuckets = 2000

// Verdict is what a comparison with the server's digest has shown.
type Verdict struct {
	Differs bool // the digest at that entry is another
	Repairs int  // where Differs: how often that was so, see Saved.Repairs
	Settled bool // all rows have been here now, or the search for a former client's entries has ended
}

// Verify compares the digest of the prefix with the server's, where both are of
// the same entry.
func (rep *Replica) Verify(ctx context.Context, up *wire.CaughtUp) (v Verdict, err error) {
	var settled *state
	var invalidation int64
	err = rep.inside(ctx, func(r *rows) error {
		s, err := rep.current(r)
		if err != nil {
			return err
		}
		if err := rep.recount(r, s); err != nil {
			return err
		}
		if v.Differs = rep.cfg.Sealing == nil && s.pos.Seq == up.Seq &&
			s.digest.Sum() != up.Digest; v.Differs { // the server of a sealed space has no rows
			meta, err := loadMeta(r.Conn)
			if err != nil {
				return err
			}
			repairs, _ := meta[metaRepairs].(int64)
			v.Repairs = int(repairs) + 1
			return setMeta(r.Conn, metaRepairs, repairs+1)
		}
		if s.former == nil && s.complete || s.pos.Seq < up.Seq {
			return nil
		}
		invalidation = rep.invalidate()
		copied := *s
		settled, rep.state = &copied, &copied
		if err := settled.completed(r.Conn); err != nil || s.former == nil {
			return err
		}
		return settled.settle(r.Conn)
	})
	if err == nil && settled != nil {
		v.Settled = true
		rep.committed(invalidation, settled, nil)
	}
	return v, err
}

// Locate finds the buckets in which the rows differ from the server's, whose
// buckets theirs fetches. First it counts the rows again: sound is true where they
// have the digest of up after all. Without an answer, or where too many differ,
// there are none, and all rows are to be fetched.
func (rep *Replica) Locate(
	ctx context.Context, up *wire.CaughtUp, theirs func(context.Context) ([]wire.Bucket, error),
) (differ []wire.Bucket, sound bool) {
	var a *applier
	err := rep.db.Apply(ctx, func(tx *store.Tx) (err error) {
		a, err = rep.countAgain(tx)
		return err
	})
	if err != nil {
		return nil, false
	}
	sound = a.pos.Seq == up.Seq && a.digest.Sum() == up.Digest
	ours := a.digest.Buckets()
	rep.validate(a.invalidation)
	if sound {
		return nil, true
	}
	buckets, err := theirs(ctx)
	if err != nil {
		return nil, false
	}
	other := map[bucket]bool{}
	for _, b := range buckets {
		id := fold.BucketID{Table: b.Table, Group: b.Group, Bucket: uint8(b.Number)}
		if sum, err := fold.UnmarshalBucket(b.Sum); err != nil || ours[id] != sum {
			other[bucket{b.Table, id.Bucket}] = true
		}
		delete(ours, id)
	}
	for id := range ours { // the server has none of these
		other[bucket{id.Table, id.Bucket}] = true
	}
	if len(other) > maxBuckets {
		return nil, false
	}
	for b := range other {
		differ = append(differ, wire.Bucket{Table: b.table, Number: uint32(b.number)})
	}
	slices.SortFunc(differ, func(a, b wire.Bucket) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Number, b.Number))
	})
	return differ, false
}

// CountAgain makes the digest that of the rows that there are. It says whether it was another.
func (rep *Replica) CountAgain(ctx context.Context) (other bool, err error) {
	var a *applier
	err = rep.db.Apply(ctx, func(tx *store.Tx) error {
		before, err := rep.begin(tx)
		if err != nil {
			return err
		}
		sum := before.digest.Sum()
		if a, err = rep.countAgain(tx); err == nil {
			other = a.digest.Sum() != sum
		}
		return err
	})
	if err == nil {
		rep.validate(a.invalidation)
	}
	return other, err
}

// countAgain makes the digest that of the rows that there are.
func (rep *Replica) countAgain(tx *store.Tx) (*applier, error) {
	a, err := rep.begin(tx)
	if err != nil {
		return nil, err
	}
	a.digest = &fold.Digest{}
	if err := a.countRows(); err != nil {
		return nil, err
	}
	return a, a.inside(func() error {
		if err := a.Exec(`DELETE FROM heddle_digest`); err != nil {
			return err
		}
		return a.finish()
	})
}

// countRows adds all rows of the prefix to the digest.
func (a *applier) countRows() error {
	count := func(k rowKey, row *fold.Row) error {
		if b, err := a.based(k); err != nil || b != nil {
			return err // its base counts
		}
		if more, _, err := a.overflowed(k); err != nil {
			return err
		} else if more != nil && a.tables[k.table] != nil {
			maps.Copy(row.Cells, more.Cells)
		}
		a.digest.Add(k.table, k.key, row, a.schema)
		return nil
	}
	for _, t := range synced.Sorted(a.tables) {
		if err := a.countTable(t, count); err != nil {
			return err
		}
	}
	err := a.basedBatches(func(some []basedRow) error {
		for _, b := range some {
			key, err := wire.DecodeKey(b.bytes)
			if err != nil {
				return damaged("heddle_row")
			}
			a.digest.Add(b.table, key, b.base, a.schema)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.inside(func() error {
		return a.Query(`SELECT tbl, key, cells FROM heddle_overflow WHERE whole`, nil, func(s *sqlite3.Stmt) (err error) {
			k := rowKey{table: s.ColumnText(0), bytes: s.ColumnBlob(1, nil)}
			row := &fold.Row{}
			if k.key, err = wire.DecodeKey(k.bytes); err == nil {
				row.Cells, err = wire.DecodeRow(s.ColumnBlob(2, nil))
			}
			if err != nil {
				return damaged("heddle_overflow")
			}
			return count(k, row)
		})
	})
}

// countTable calls count for each row of a table, in stretches by key.
func (a *applier) countTable(t *synced.Table, count func(rowKey, *fold.Row) error) error {
	all := "SELECT " + synced.Idents(append(slices.Clone(t.Key), t.Columns...), "", ", ") + " FROM main." +
		synced.Ident(t.Name)
	order := " ORDER BY " + synced.Idents(t.Key, "", ", ") + " LIMIT " + strconv.Itoa(chunk)
	next := " WHERE (" + synced.Idents(t.Key, "", ", ") + ") > (" + strings.Repeat("?, ", len(t.Key)-1) + "?)"
	var after []wire.Value
	for ; ; a.tx.Yield() {
		n := 0
		err := a.inside(func() error {
			sql := all + order
			if after != nil {
				sql = all + next + order
			}
			return a.Query(sql, after, func(s *sqlite3.Stmt) error {
				n++
				k := rowKey{table: t.Name}
				for i := range t.Key {
					k.key = append(k.key, synced.Column(s, i))
				}
				after, k.bytes = k.key, wire.EncodeKey(k.key)
				row := &fold.Row{Cells: make(map[string]wire.Value, len(t.Columns))}
				for i, name := range t.Columns {
					if _, ok := a.schema.Column(t.Name, name); ok {
						row.Cells[name] = synced.Column(s, len(t.Key)+i)
					}
				}
				return count(k, row)
			})
		})
		if err != nil || n < chunk {
			return err
		}
	}
}
