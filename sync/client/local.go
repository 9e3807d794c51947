package client

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// The types of a replica that a client's methods and events speak of.
type (
	Merge       = replica.Merge
	Key         = replica.Key
	Op          = replica.Op
	Pending     = replica.Pending
	Rejected    = replica.Rejected
	Conflict    = replica.Conflict
	Quarantined = replica.Quarantined
	Rescued     = replica.Rescued
)

// Digest is [replica.Replica.Digest].
func (c *Client) Digest(ctx context.Context) (seq uint64, digest wire.Hash, err error) {
	return c.replica.Digest(ctx)
}

// Pending is [replica.Replica.Pending].
func (c *Client) Pending(ctx context.Context) ([]Pending, error) { return c.replica.Pending(ctx) }

// Rejected is [replica.Replica.Rejected].
func (c *Client) Rejected(ctx context.Context) ([]Rejected, error) { return c.replica.Rejected(ctx) }

// Retry is [replica.Replica.Retry].
func (c *Client) Retry(ctx context.Context, id int64) (found bool, err error) {
	return c.replica.Retry(ctx, id)
}

// Discard is [replica.Replica.Discard].
func (c *Client) Discard(ctx context.Context, id int64) (found bool, err error) {
	return c.replica.Discard(ctx, id)
}

// Quarantined is [replica.Replica.Quarantined].
func (c *Client) Quarantined(ctx context.Context, limit int) ([]Quarantined, error) {
	return c.replica.Quarantined(ctx, limit)
}

// Dangling is [replica.Replica.Dangling].
func (c *Client) Dangling(ctx context.Context, limit int) ([]Key, error) {
	return c.replica.Dangling(ctx, limit)
}

// Rescue is [replica.Replica.Rescue].
func (c *Client) Rescue(ctx context.Context, from *sqlite3.Conn) (Rescued, error) {
	return c.replica.Rescue(ctx, from)
}
