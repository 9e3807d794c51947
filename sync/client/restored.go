package client

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// A sealed space whose server has lost the end of its log: package member says when a
// device goes on.

// lostLog says whether the server's log is not the one that was followed.
func lostLog(err error) bool {
	code := errcode.Of(err)
	return code == errcode.Diverged || code == errcode.Behind
}

// acceptSealed is Accept in a sealed space: this device's user is an admin, and says that
// what the server's log does not have is lost.
func (c *Client) acceptSealed(ctx context.Context) error {
	const op = "sync: accept"
	if err := c.cfg.Sealer.Unlocked(); err != nil {
		return err
	}
	over, err := c.startOverSealed(ctx, nil)
	if err == nil && !over { // others may have lost something
		err = c.Change(ctx, c.cfg.Sealer.GiveUp)
	}
	return errcode.Wrap(err, errcode.Network, op)
}

// obey looks for an admin's word that the log that this device has followed is lost. It
// is false where there is none.
func (c *Client) obey(ctx context.Context) (over bool, err error) {
	all, err := c.Members(ctx)
	if err != nil {
		return false, err
	}
	word, is, err := c.cfg.Sealer.Word(ctx, all)
	if err != nil || !is {
		return false, err
	}
	return c.startOverSealed(ctx, &word)
}

// startOverSealed judges the whole of the log that the server has, and starts over with
// it where this device has lost something.
func (c *Client) startOverSealed(ctx context.Context, word *wire.Hash) (over bool, err error) {
	if err := c.learn(ctx); err != nil {
		return false, err
	}
	next, closeLog, err := c.wholeLog(ctx)
	if err != nil {
		return false, err
	}
	defer closeLog()
	forget, err := c.cfg.Sealer.Examine(ctx, word, next)
	if err != nil || forget == nil {
		return false, err
	}
	if err := c.replica.StartOver(ctx, forget); err != nil {
		return false, err
	}
	c.otherLog()
	return true, nil
}

// wholeLog asks for the log from its first entry. next returns nothing at its end.
func (c *Client) wholeLog(ctx context.Context) (next func() ([]wire.Entry, error), end func(), err error) {
	req := wire.PullRequest{Client: c.ClientID(), OwnBodies: true}
	a, err := c.ask(ctx, "POST", pullResource(untilHead), req.Marshal())
	if err != nil {
		return nil, nil, err
	}
	frames := wire.NewFrameReader(a.Body)
	return func() ([]wire.Entry, error) {
		for {
			f, err := frames.Next()
			switch {
			case err == io.EOF:
				return nil, errcode.New(errcode.Network, "sync: read", "the server has closed the stream")
			case err != nil:
				return nil, errcode.Wrap(err, errcode.Network, "sync: read")
			case f.Error != nil:
				return nil, c.ended(f.Error)
			case len(f.Entries) > 0:
				return f.Entries, nil
			case f.CaughtUp != nil:
				return nil, nil
			}
		}
	}, a.close, nil
}
