package client

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"heddle/store"
	"heddle/sync/wire"
)

// Rejected returns the rejected transactions that were not forgotten, oldest
// first.
func (c *Client) Rejected(ctx context.Context) ([]Rejected, error) {
	var all []Rejected
	err := c.db.Query(ctx, `SELECT id, seq, counter, code, created, body FROM heddle_rejected ORDER BY id`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		body, err := wire.UnmarshalBody(s.ColumnBlob(5, nil))
		if err != nil {
			return damaged("heddle_rejected")
		}
		all = append(all, Rejected{ID: s.ColumnInt64(0), Seq: uint64(s.ColumnInt64(1)), Counter: uint64(s.ColumnInt64(2)),
			Code: s.ColumnText(3), Created: s.ColumnInt64(4), Ops: body.Ops})
		return nil
	})
	return all, err
}

// Forget drops a rejected transaction and its operations.
func (c *Client) Forget(ctx context.Context, id int64) error {
	return c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			return r.exec(`DELETE FROM heddle_rejected WHERE id = ?`, id)
		})
	})
}
