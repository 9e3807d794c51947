package client

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// A server whose disk is lost begins a new log, of another epoch. No replica
// follows it unasked: it may also be a wrong URL, or a space that was deleted.
// Accept is the user's consent.

// Accept goes on with the log that the server has now, if it is another one than
// this replica has followed (HEDDLE_DIVERGED); else it does nothing. It asks the
// server which log that is. The rows of the new log come as a snapshot, and what is
// pending stays on top.
//
// With upload, rows that the new log does not have are sent to it, as this replica
// had them: the first device that accepts brings an empty server what it has, and
// those after it what is still missing. Where the new log has a row, the row of the
// log counts; the app is told of those that differed (ConflictReplaced). A row that
// another device had deleted comes back where this one has not heard of that.
// What this replica has kept of its decided transactions is sent again only as far
// as the new log ends among them, as it does where it was restored from a backup;
// else the rows have their effects already.
//
// In a sealed space it is an admin's word, and counts for all whose history it covers:
// see docs/SECURITY.md, section 11. On another's device it is HEDDLE_NOT_ALLOWED. upload
// has no meaning there: each device gives back what it wrote itself.
//
// Without upload, rows that the new log does not have go, and the decided
// transactions that are kept are sent again as after a restore.
func (c *Client) Accept(ctx context.Context, upload bool) error {
	const op = "sync: accept"
	if c.cfg.Sealer != nil {
		return c.acceptSealed(ctx)
	}
	epoch, err := c.serverEpoch(ctx)
	if err != nil {
		return errcode.Wrap(err, errcode.Network, op)
	}
	accepted, err := c.replica.Accept(ctx, epoch, upload)
	if err != nil || !accepted {
		return errcode.Wrap(err, errcode.Internal, op)
	}
	c.otherLog()
	return nil
}

// otherLog has all streams begin anew, with the log that the replica follows now.
func (c *Client) otherLog() {
	c.mu.Lock()
	c.restart, c.onlyBuckets, c.restarts, c.reachedEnd = false, nil, 0, false
	c.generation++
	c.progress = c.progress.forgotten()
	c.mu.Unlock()
	c.update(func(cond *condition) { cond.life++ })
	c.retryNow()
}

// serverEpoch asks which log the server has.
func (c *Client) serverEpoch(ctx context.Context) (wire.Epoch, error) {
	req := wire.PullRequest{Client: c.ClientID(), Snapshots: true}
	a, err := c.ask(ctx, "POST", "pull?wait=0", req.Marshal())
	if err != nil {
		return wire.Epoch{}, err
	}
	defer a.close()
	f, err := wire.NewFrameReader(a.Body).Next()
	switch {
	case err != nil:
		return wire.Epoch{}, err
	case f.Error != nil:
		return wire.Epoch{}, c.ended(f.Error)
	case f.Hello == nil || f.Hello.Epoch == (wire.Epoch{}):
		return wire.Epoch{}, errcode.New(errcode.Protocol, "sync: read", "the server does not greet")
	}
	return f.Hello.Epoch, nil
}
