package server

import (
	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
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

// clientState returns a client's last decided counter and whether its id has an
// owner. It fails if the owner is another subject than c's.
func (sp *space) clientState(o *Options, c *caller, id wire.ClientID) (decided uint64, owned bool, err error) {
	subject := ""
	const sql = `SELECT (SELECT decided FROM client WHERE id = ?1), (SELECT subject FROM owner WHERE client = ?1)`
	err = sp.w.run(sql, func(s *sqlite3.Stmt) error {
		decided = uint64(s.ColumnInt64(0))
		subject, owned = s.ColumnText(1), s.ColumnType(1) != sqlite3.NULL
		return nil
	}, id[:])
	if err == nil && !o.owns(c, id, subject, owned) {
		err = errOwner
	}
	return decided, owned, err
}

// claim makes a client id the subject's own.
func (sp *space) claim(o *Options, c *caller, id wire.ClientID) error {
	if o.Dev || id == wire.SeedClient {
		return nil
	}
	return sp.w.run(`INSERT INTO owner VALUES (?, ?) ON CONFLICT DO NOTHING`, nil, id[:], c.Subject)
}

// mayRead refuses a pull under a client id that belongs to another subject.
func (sp *space) mayRead(o *Options, c *caller, id wire.ClientID) error {
	if o.Dev || id == (wire.ClientID{}) {
		return nil
	}
	sp.read.Lock()
	defer sp.read.Unlock()
	subject, owned := "", false
	err := sp.r.run(`SELECT subject FROM owner WHERE client = ?`, func(s *sqlite3.Stmt) error {
		subject, owned = s.ColumnText(0), true
		return nil
	}, id[:])
	if err == nil && !o.owns(c, id, subject, owned) {
		err = errOwner
	}
	return err
}

const ownerSQL = `
CREATE TABLE owner(
	client BLOB PRIMARY KEY,
	subject TEXT NOT NULL           -- of the token that first pushed under it
) STRICT, WITHOUT ROWID;
CREATE TABLE upload(
	client BLOB PRIMARY KEY,        -- whose parts are held
	subject TEXT NOT NULL,          -- to whose account
	bytes INTEGER NOT NULL,
	at INTEGER NOT NULL             -- of the last part, unix seconds
) STRICT, WITHOUT ROWID;
`
