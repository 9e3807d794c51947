package client

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// A replica whose digest is not the server's counts its rows anew, since what
// it has kept of them may be what is wrong; then asks where it differs, and
// fetches those rows.

// maxBuckets is up to how many buckets are mended by themselves.
const maxBuckets = 2000

// locate finds what the next pull has to mend; without an answer it mends all.
// It is true if there is nothing: the rows have the digest up.
func (c *Client) locate(ctx context.Context, up *wire.CaughtUp) (sound bool) {
	var ours map[fold.BucketID]fold.Bucket
	var invalidation int64
	err := c.db.Apply(ctx, func(tx *store.Tx) error {
		a, err := c.countAgain(tx)
		if err != nil {
			return err
		}
		invalidation = a.invalidation
		ours = a.digest.Buckets()
		sound = a.pos.Seq == up.Seq && a.digest.Sum() == up.Digest
		return nil
	})
	if err != nil {
		return false
	}
	c.validate(invalidation)
	if sound {
		return true
	}
	theirs, err := c.serverBuckets(ctx)
	if err != nil {
		return false
	}
	differ := map[bucket]bool{}
	for _, b := range theirs {
		id := fold.BucketID{Table: b.Table, Group: b.Group, Bucket: uint8(b.Number)}
		if sum, err := fold.UnmarshalBucket(b.Sum); err != nil || ours[id] != sum {
			differ[bucket{b.Table, id.Bucket}] = true
		}
		delete(ours, id)
	}
	for id := range ours { // the server has none of these
		differ[bucket{id.Table, id.Bucket}] = true
	}
	if len(differ) > maxBuckets {
		return false
	}
	var only []wire.Bucket
	for b := range differ {
		only = append(only, wire.Bucket{Table: b.table, Number: uint32(b.number)})
	}
	slices.SortFunc(only, func(a, b wire.Bucket) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Number, b.Number))
	})
	c.mu.Lock()
	c.onlyBuckets = only
	c.mu.Unlock()
	return false
}

// countAgain makes the digest that of the rows that there are.
func (c *Client) countAgain(tx *store.Tx) (*applier, error) {
	a := &applier{tx: tx, rows: c.rowsOn(tx)}
	if err := tx.Inside(func(*sqlite3.Conn) error { return a.begin(c) }); err != nil {
		return nil, err
	}
	a.digest = &fold.Digest{}
	if err := a.countRows(); err != nil {
		return nil, err
	}
	return a, tx.Inside(func(*sqlite3.Conn) error {
		if err := a.exec(`DELETE FROM heddle_digest`); err != nil {
			return err
		}
		return a.finish(c)
	})
}

func (c *Client) serverBuckets(ctx context.Context) ([]wire.Bucket, error) {
	a, err := c.ask(ctx, "GET", "digest?buckets=1", nil)
	if err != nil {
		return nil, err
	}
	defer a.close()
	data, err := io.ReadAll(io.LimitReader(a.Body, wire.MaxRequest))
	if err != nil {
		return nil, err
	}
	d, err := wire.UnmarshalDigestResponse(data)
	if err != nil {
		return nil, err
	}
	return d.Buckets, nil
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
	for _, t := range sortedTables(a.tables) {
		if err := a.countTable(t, count); err != nil {
			return err
		}
	}
	for after := (basedRow{}); ; yield() {
		var some []basedRow
		err := a.tx.Inside(func(*sqlite3.Conn) (err error) {
			if some, err = a.scanBased(after, chunk); err != nil {
				return err
			}
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
		if len(some) < chunk {
			break
		}
		after = some[len(some)-1]
	}
	return a.tx.Inside(func(*sqlite3.Conn) error {
		return a.query(`SELECT tbl, key, cells FROM heddle_overflow WHERE whole`, nil, func(s *sqlite3.Stmt) (err error) {
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
func (a *applier) countTable(t *table, count func(rowKey, *fold.Row) error) error {
	all := "SELECT " + idents(append(slices.Clone(t.key), t.columns...), "", ", ") + " FROM main." + ident(t.name)
	order := " ORDER BY " + idents(t.key, "", ", ") + " LIMIT " + itoa(chunk)
	next := " WHERE (" + idents(t.key, "", ", ") + ") > (" + strings.Repeat("?, ", len(t.key)-1) + "?)"
	var after []wire.Value
	for ; ; yield() {
		n := 0
		err := a.tx.Inside(func(*sqlite3.Conn) error {
			sql := all + order
			if after != nil {
				sql = all + next + order
			}
			return a.query(sql, after, func(s *sqlite3.Stmt) error {
				n++
				k := rowKey{table: t.name}
				for i := range t.key {
					k.key = append(k.key, column(s, i))
				}
				after, k.bytes = k.key, wire.EncodeKey(k.key)
				row := &fold.Row{Cells: make(map[string]wire.Value, len(t.columns))}
				for i, name := range t.columns {
					if _, ok := a.schema.Column(t.name, name); ok {
						row.Cells[name] = column(s, len(t.key)+i)
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
