package client

import (
	"slices"

	"heddle/internal/errcode"
	"heddle/sync/wire"
)

// errFork says that an entry under this client's id is not of its making.
var errFork = errcode.New(errcode.ClientFork, "sync: apply", "another copy of this database uses the same client id")

// fork gives this replica another id, since another copy of its file writes
// under the one that it has. What is pending may be pending in a third copy as
// well, which is to take another id for the same reason. So the new id is made of
// the first that is pending: both come to the same, the log takes what they have
// in common once, and where they part they fork again.
//
// That takes that the new id's entries are still to come. Those of a snapshot,
// whose clients are given, are not, and nobody knows what they are: then the id
// is one that nobody has, as it is with nothing pending.
func (a *applier) fork(c *Client, clients []wire.Decided) error {
	id, hash, err := a.oldest()
	if err != nil {
		return err
	}
	if id != 0 {
		next := a.client.Fork(uint64(id-a.offset), hash)
		if !slices.ContainsFunc(clients, func(d wire.Decided) bool { return d.Client == next }) {
			return a.become(a.conn, next)
		}
	}
	return a.mint(a.conn, c.cfg.Rand)
}
