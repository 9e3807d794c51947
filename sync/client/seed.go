package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// The rows that a space begins with are one transaction under an id of their
// own, [wire.SeedClient], with the number 1: so the log takes no second one,
// whoever sends it, and a device that sends it twice sends it once.

// Seed has run write what an empty space begins with, if the database is new and
// was opened with store.Options.Seed. Rows of synced tables are taken out of the
// tables again and kept: when the server is first reached they are sent if the
// space is still empty, and come back with the log, whoever was first. What run
// writes to other tables stays. Seed is called before Run and Now; it fails, and
// nothing has happened, if run does.
func (c *Client) Seed(ctx context.Context, run func(*store.Tx) error) error {
	var kept []byte
	err := c.db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		owed, err := tx.TakeSeed()
		if err != nil || !owed {
			return err
		}
		c.seeding = tx
		return run(tx)
	})
	if err != nil {
		return errcode.Wrap(err, errcode.Internal, "sync: seed")
	}
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			meta, err := loadMeta(r.conn)
			kept, _ = meta[metaSeed].([]byte)
			return err
		})
	})
	c.mu.Lock()
	c.seed = kept
	c.mu.Unlock()
	return err
}

// keepSeed is what Record does in Seed's transaction.
func (c *Client) keepSeed(r *rows, b *builder, changes []store.Change) error {
	if len(b.body.Ops) == 0 {
		return nil
	}
	data := b.body.Marshal()
	if len(data) > wire.MaxBody {
		return tooBig(fmt.Sprintf("the seed has %d MiB, at most %d are taken", len(data)>>20, wire.MaxBody>>20))
	}
	if err := setMeta(r.conn, metaSeed, data); err != nil {
		return err
	}
	return c.seeding.Applying(func() error {
		for _, ch := range slices.Backward(changes) { // children before their parents
			t := r.tables[ch.Table.Name]
			if t == nil {
				continue
			}
			if err := t.write(r.conn, ch.Key, t.image(ch.After, b.schema, false), t.image(ch.Before, b.schema, false), b.schema); err != nil {
				return err
			}
		}
		return nil
	})
}

// errSeeded says that the log may have a seed now, which is to be pulled.
var errSeeded = errcode.New(errcode.Network, "sync: seed", "the space begins with its seed now")

// sendSeed sends what an empty space begins with, now that the prefix has reached
// the log's end. Only then others' transactions, and this replica's, have their
// turn.
func (c *Client) sendSeed(ctx context.Context, end uint64) error {
	c.mu.Lock()
	seed := c.seed
	c.mu.Unlock()
	if seed == nil {
		return nil
	}
	if end == 0 {
		if err := c.pushSeed(ctx, seed); err != nil {
			return err
		}
	}
	err := c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			return r.exec(`DELETE FROM heddle_meta WHERE name = ?`, metaSeed)
		})
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.seed = nil
	c.mu.Unlock()
	c.wakePush() // what waited
	if end == 0 {
		return errSeeded
	}
	return nil
}

// pushSeed sends the seed, unless another device's is there.
func (c *Client) pushSeed(ctx context.Context, seed []byte) error {
	for _, part := range wire.SplitBody(1, seed) {
		req := wire.PushRequest{Client: wire.SeedClient, Parts: []wire.Part{part}}
		resp, err := c.sendPush(ctx, &req)
		switch {
		case errcode.Of(err) == errcode.ClientFork:
			return nil
		case err != nil:
			return err
		case resp.Decided >= 1:
			return nil
		}
	}
	return errcode.New(errcode.Server, "sync: seed", "the server takes the seed and does not decide it")
}
