package client

import (
	"context"
	"errors"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// A sealed space whose server has lost the end of its log: package member says when a
// device goes on.

// lostLog says whether the server's log is not the one that was followed.
func lostLog(err error) bool {
	code := errcode.Of(err)
	return code == errcode.Diverged || code == errcode.Behind
}

// toldOtherwise says whether a member has told of another history.
func toldOtherwise(err error) bool {
	var why *Tampered
	return errors.As(err, &why) && why.Device != ""
}

// contradicted is what becomes of a pull that has stopped because a member follows another history: it goes on where an
// admin has given that one up.
func (c *Client) contradicted(ctx context.Context, err error) error {
	if word, _, oerr := c.obey(ctx); oerr == nil && word != nil {
		return errSeeded
	}
	return err
}

// otherHistory says whether what was refused is a snapshot of another log than the one that was followed.
func otherHistory(err error) bool {
	var why *Tampered
	return errors.As(err, &why) && why.Kind == Rollback
}

// rolledBack is what becomes of a pull that has met another log: the device starts over with it by an admin's word.
func (c *Client) rolledBack(ctx context.Context, err error) error {
	switch _, over, oerr := c.obey(ctx); {
	case over:
		return errSeeded
	case oerr != nil && errcode.Of(oerr) != errcode.Network:
		return oerr
	}
	c.mu.Lock()
	at := c.view.Position.Seq
	c.mu.Unlock()
	return &errcode.Error{Code: errcode.Tampered, Op: "sync: pull", Err: &Tampered{Kind: Rollback, Seq: at, Err: err},
		Msg: "the server's log is not the one that this device has followed: the server was put back to an older state, or " +
			"it hides something; nothing is synced until the log is back, or an admin's device accepts what is there " +
			"(db.sync.accept())"}
}

// acceptSealed is Accept in a sealed space: this device's user is an admin, and says that
// what the server's log does not have is lost.
func (c *Client) acceptSealed(ctx context.Context) error {
	const op = "sync: accept"
	if err := c.cfg.Sealer.Unlocked(); err != nil {
		return err
	}
	if c.cfg.Sealer.Overrule() { // what a member has told of
		err := c.replica.Inside(ctx, c.cfg.Sealer.SaveHeads)
		c.retryNow()
		return errcode.Wrap(err, errcode.Internal, op)
	}
	over, err := c.startOverSealed(ctx, nil)
	if err == nil && !over { // others may have lost something
		err = c.Change(ctx, c.cfg.Sealer.GiveUp)
	}
	return errcode.Wrap(err, errcode.Network, op)
}

// obey looks for an admin's word that history was lost: that which this device has followed,
// then it starts over, or one that another follows. It returns nil where there is none.
func (c *Client) obey(ctx context.Context) (word *Word, over bool, err error) {
	all, err := c.Members(ctx)
	if err != nil {
		return nil, false, err
	}
	if word, err = c.cfg.Sealer.Word(ctx, all); err != nil || word == nil {
		return nil, false, err
	}
	over, err = c.startOverSealed(ctx, word)
	return word, over, err
}

// startOverSealed judges the whole of the log that the server has, and starts over with
// it where this device has lost something.
func (c *Client) startOverSealed(ctx context.Context, word *Word) (over bool, err error) {
	if err := c.learn(ctx); err != nil {
		return false, err
	}
	base, next, closeLog, err := c.wholeLog(ctx)
	if err != nil {
		return false, err
	}
	defer closeLog()
	forget, err := c.cfg.Sealer.Examine(ctx, word, base, next)
	if err != nil || forget == nil {
		return false, err
	}
	if err := c.replica.StartOver(ctx, forget); err != nil {
		return false, err
	}
	c.otherLog()
	return true, nil
}

// lastCommon finds the last position that this device has followed and the server has,
// where that is before a snapshot's entry; else it is that. The entries that follow prove it.
func (c *Client) lastCommon(ctx context.Context, at *wire.Position, base Plan) error {
	at.Seq, at.Chain = base.At()
	c.mu.Lock()
	head := c.view.Position.Seq
	c.mu.Unlock()
	for low, high := uint64(1), min(head, at.Seq-1); low <= high; {
		mine := wire.Position{Epoch: at.Epoch, Seq: low + (high-low)/2}
		kept := false
		if mine.Chain, kept = c.cfg.Sealer.Passed(mine.Seq); !kept {
			low = mine.Seq + 1
			continue
		}
		req := wire.PullRequest{Client: c.ClientID(), Position: mine}
		a, err := c.ask(ctx, "POST", pullResource(untilHead), req.Marshal())
		switch errcode.Of(err) {
		case "":
			a.close()
			*at, low = mine, mine.Seq+1
		case errcode.Behind:
			low = mine.Seq + 1
		case errcode.Diverged:
			high = mine.Seq - 1
		default:
			return err
		}
	}
	return nil
}

// wholeLog asks for the log from its first entry. Where it is cut, it asks from a snapshot's
// entry on, or from the last before it that this device has followed.
func (c *Client) wholeLog(ctx context.Context) (base Plan, next func() ([]wire.Entry, error), end func(), err error) {
	next, end, err = c.logFrom(ctx, wire.Position{})
	if errcode.Of(err) == errcode.Behind {
		var at wire.Position
		if at.Epoch, base, err = (snapshots{c}).base(ctx); err != nil {
			return nil, nil, nil, err
		}
		if err = c.lastCommon(ctx, &at, base); err != nil {
			return nil, nil, nil, err
		}
		next, end, err = c.logFrom(ctx, at)
	}
	return base, next, end, err
}

// logFrom asks for the entries that follow a position. next returns nothing at their end, however often it is asked.
func (c *Client) logFrom(
	ctx context.Context, at wire.Position,
) (next func() ([]wire.Entry, error), end func(), err error) {
	req := wire.PullRequest{Client: c.ClientID(), Position: at, OwnBodies: true}
	a, err := c.ask(ctx, "POST", pullResource(untilHead), req.Marshal())
	if err != nil {
		return nil, nil, err
	}
	frames, ended := wire.NewFrameReader(a.Body), false
	return func() ([]wire.Entry, error) {
		for !ended {
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
				ended = true
			}
		}
		return nil, nil
	}, a.close, nil
}

// keepFound keeps the evidence of what has stopped this device. Without it the device stops all the same.
func (c *Client) keepFound(ctx context.Context, err error) {
	var why *Tampered
	if !errors.As(err, &why) {
		return
	}
	evidence, err := c.cfg.Sealer.Found(ctx, why, c.cfg.Now())
	if err == nil && evidence != nil {
		_ = c.replica.Inside(ctx, func(conn replica.Conn) error { return c.cfg.Sealer.KeepFound(conn, evidence) })
	}
}

// Evidence returns what has stopped this device last, with HEDDLE_TAMPERED, as a file that anyone can check; nil where
// nothing has. It asks the server for the entries that say who the members are, of which the file has those that this
// device has followed; where the server does not answer, who checks has to bring them.
func (c *Client) Evidence(ctx context.Context) ([]byte, error) {
	if c.cfg.Sealer == nil {
		return nil, errcode.New(errcode.Sealed, "sync: evidence", "the space is not sealed")
	}
	changes, _ := c.Members(ctx)
	return c.cfg.Sealer.Evidence(changes), nil
}
