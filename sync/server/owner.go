package server

import (
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// A client id belongs to the subject that first pushed under it: no member of a
// space writes as another, or reads what is kept for another's replica. Ids of
// data that is older than this rule have no owner until their next push. The id of
// the seed never has one: any device may send the seed, and the first one counts.

var errOwner = errcode.New(errcode.Forbidden, "server: check client",
	"this client id belongs to another subject: a database syncs for one user, open another one for each")

// owns reports whether c's subject may act under a client id, of which subject,
// if any, is the owner.
func (o *Options) owns(c *caller, id wire.ClientID, subject string, owned bool) bool {
	return o.Dev || id == wire.SeedClient || !owned || subject == c.Subject
}

// claim makes a client id the subject's own.
func (t *turn) claim(c *caller, to *client) {
	if !t.o.Dev && to.ID != wire.SeedClient {
		to.Owned, to.Owner, to.changed = true, c.Subject, true
	}
}

// mayRead refuses a pull under a client id that belongs to another subject.
func (o *Options) mayRead(v logstore.View, c *caller, id wire.ClientID) error {
	if o.Dev || id == (wire.ClientID{}) {
		return nil
	}
	known, err := v.Clients([]wire.ClientID{id})
	if err == nil && !o.owns(c, id, known[0].Owner, known[0].Owned) {
		err = errOwner
	}
	return err
}
