package replica

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// ErrFork says that an entry under this client's id was made by another client.
var ErrFork = errcode.New(errcode.ClientFork, "sync: apply", "another copy of this database uses the same client id")

// fork gives this replica another id, since another copy of its file writes under
// the present one. The pending transactions may be pending in a third copy too,
// which will fork as well. So the new id is derived from the first pending
// transaction: copies with the same one get the same id, the log takes their common
// transactions once, and where they differ they fork again.
func (a *applier) fork() error {
	next, err := a.forked()
	if err != nil {
		return err
	}
	if next == (wire.ClientID{}) {
		return a.mint(a.Conn, a.rep.cfg.Rand)
	}
	return a.become(a.Conn, next)
}

// forked returns the id that a fork leads to, zero with nothing pending.
func (a *applier) forked() (next wire.ClientID, err error) {
	id, hash, err := a.oldest()
	if err != nil || id == 0 {
		return next, err
	}
	return a.client.Fork(uint64(id-a.offset), hash), nil
}

// forkAt is fork where a snapshot shows it. Copies come to one id only while its
// entries are still to come. The content of entries inside the snapshot is unknown:
// if the id is among the snapshot's clients, the new id is random. A snapshot lists
// the clients that it was asked for, so req has to name the id.
func (a *applier) forkAt(req *wire.PullRequest, known []wire.Decided) error {
	next, err := a.forked()
	if err != nil {
		return err
	}
	switch {
	case next == (wire.ClientID{}) || slices.ContainsFunc(known, func(d wire.Decided) bool { return d.Client == next }):
	case slices.Contains(req.Clients, next):
		return a.become(a.Conn, next)
	case len(req.Clients) < maxAsks:
		return &AskError{next}
	}
	return a.mint(a.Conn, a.rep.cfg.Rand)
}

// maxAsks bounds how often a snapshot's end is asked for again: the first pending
// transaction, from which the id is derived, may be another each time, while the
// other copy goes on writing.
const maxAsks = 4

// AskError says that the end of a snapshot is to be asked for again, with Client
// among PullRequest.Clients.
type AskError struct{ Client wire.ClientID }

func (*AskError) Error() string { return "sync: apply: the snapshot does not tell of a client" }

// adopt makes the content of an import this replica's own, under a new id: the
// id belongs to the database's place, not to its bytes.
func (rep *Replica) adopt(raw *sqlite3.Conn) error {
	rep.imported.Store(true)
	rep.invalidate()
	copied := &synced.Conn{SQLite: raw}
	defer copied.Close()
	if err := raw.Exec(schemaSQL); err != nil {
		return synced.SQLError(err, schemaSQL)
	}
	meta, err := loadMeta(copied)
	if err != nil {
		return err
	}
	if v, ok := meta[metaSpace]; ok && v != rep.cfg.Space {
		return errcode.New(errcode.BadParam, "sync: import", "the file belongs to another space")
	}
	if err := setMeta(copied, metaPaused, bit(rep.paused.Load())); err != nil {
		return err
	}
	s := &state{}
	s.last, _ = meta[metaLast].(int64)
	old, known := meta[metaClient].([]byte)
	offset := meta[metaOffset]
	if err := s.mint(copied, rep.cfg.Rand); err != nil || !known {
		return err
	}
	next, err := nextID(copied, s.last)
	if err != nil || next == s.last+1 {
		return err // nothing is pending
	}
	if _, twice := meta[metaFormer]; twice {
		return nil // it was imported and not synced since: the first author is known
	}
	return setMeta(copied, metaFormerOffset, offset, metaFormerLast, next-1, metaFormer, old)
}
