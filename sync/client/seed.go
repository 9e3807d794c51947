package client

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// The rows that a space begins with are one transaction under an id of their
// own, [wire.SeedClient], with the number 1: so the log takes no second one,
// from any device, and sending it twice has the effect of once.

// Seed lets run write the rows that an empty space begins with, if the database is
// new and was opened with store.Options.Seed. Rows of synced tables are taken out
// of the tables again and kept. When the server is first reached they are sent if
// the space is still empty; the rows of the first device that did so come back with
// the log. What run writes to other tables stays. Seed is called before Run and
// Now. If run fails, Seed fails and nothing has happened.
func (c *Client) Seed(ctx context.Context, run func(*store.Tx) error) error {
	kept, err := c.replica.Seed(ctx, run)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.seed = kept
	c.mu.Unlock()
	return nil
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
	if c.cfg.Sealer != nil {
		return c.sendSealedSeed(ctx, seed)
	}
	if end == 0 {
		if err := c.pushSeed(ctx, wire.SplitBody(1, seed)); err != nil {
			return err
		}
	}
	if err := c.replica.DropSeed(ctx); err != nil {
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

// sendSealedSeed is sendSeed in a sealed space, whose log begins with a Change.
func (c *Client) sendSealedSeed(ctx context.Context, seed []byte) error {
	s := c.cfg.Sealer
	sent := s.Wrote(wire.SeedClient)
	if !sent && !s.MayWrite() {
		return nil // this device is not let in yet
	}
	if !sent {
		sealed, err := s.Sealed(ctx, wire.SeedClient, 1, []replica.PendingBody{{Hash: wire.HashBody(seed), Body: seed}})
		if err == nil {
			err = c.pushSeed(ctx, sealed[0])
		}
		if err != nil {
			return c.refusedSeal(err)
		}
	}
	if err := c.replica.DropSeed(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.seed = nil
	c.mu.Unlock()
	if !sent {
		return errSeeded
	}
	return nil
}

// pushSeed sends the seed, unless another device's is there.
func (c *Client) pushSeed(ctx context.Context, seed []wire.Part) error {
	for _, part := range seed {
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
