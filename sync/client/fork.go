package client

import (
	"errors"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// errFork says that an entry under this client's id is not of its making.
var errFork = errcode.New(errcode.ClientFork, "sync: apply", "another copy of this database uses the same client id")

// fork gives this replica another id, since another copy of its file writes
// under the one that it has. What is pending may be pending in a third copy as
// well, which is to take another id for the same reason. So the new id is made of
// the first that is pending: both come to the same, the log takes what they have
// in common once, and where they part they fork again.
func (a *applier) fork(c *Client) error {
	next, err := a.forked()
	if err != nil {
		return err
	}
	if next == (wire.ClientID{}) {
		return a.mint(a.conn, c.cfg.Rand)
	}
	return a.become(a.conn, next)
}

// forked returns the id that a fork leads to, zero with nothing pending.
func (a *applier) forked() (next wire.ClientID, err error) {
	id, hash, err := a.oldest()
	if err != nil || id == 0 {
		return next, err
	}
	return a.client.Fork(uint64(id-a.offset), hash), nil
}

// forkAt is fork where a snapshot shows it. That the copies come to one id takes
// that its entries are still to come. What is in a snapshot is not, and nobody
// knows what it was: where the id is among the snapshot's clients, the new one is
// random. A snapshot tells of those that it was asked for: req has to name the id.
func (a *applier) forkAt(c *Client, req *wire.PullRequest, known []wire.Decided) error {
	next, err := a.forked()
	if err != nil {
		return err
	}
	switch {
	case next == (wire.ClientID{}) || slices.ContainsFunc(known, func(d wire.Decided) bool { return d.Client == next }):
	case slices.Contains(req.Clients, next):
		return a.become(a.conn, next)
	case len(req.Clients) < maxAsks:
		return &errAsk{next}
	}
	return a.mint(a.conn, c.cfg.Rand)
}

// maxAsks bounds how often a snapshot's end is asked for again: what the id is
// made of may change each time, while the other copy goes on writing.
const maxAsks = 4

// errAsk says that the end of a snapshot is to be asked for again, with what it
// tells of one more client.
type errAsk struct{ id wire.ClientID }

func (*errAsk) Error() string { return "sync: apply: the snapshot does not tell of a client" }

func asksMore(err error) bool {
	var ask *errAsk
	return errors.As(err, &ask)
}
