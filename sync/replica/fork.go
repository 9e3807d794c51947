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

// forkedInside is forked for who is not inside SQLite.
func (a *applier) forkedInside() (next wire.ClientID, err error) {
	err = a.inside(func() (err error) {
		next, err = a.forked()
		return err
	})
	return next, err
}

// forkAt is fork where a snapshot shows it. Another copy may have taken the fork id
// before, and have sent under it what both had pending: what the snapshot shows of
// that is decided, and what it does not show goes out under the next fork id. A
// snapshot tells of the clients that it was asked for, so req has to name the id.
func (a *applier) forkAt(req *wire.PullRequest, f *wire.Snapshot) error {
	next, err := a.forkedInside()
	for err == nil && next != (wire.ClientID{}) {
		decided, outcomes := told(f, next, next)
		switch {
		case decided > 0:
			var all bool
			if next, all, err = a.shared(next, decided, outcomes); all {
				return nil
			}
			continue
		case slices.Contains(req.Clients, next):
			return a.inside(func() error { return a.become(a.Conn, next) })
		case len(req.Clients) < maxAsks:
			return &AskError{next}
		}
		next = wire.ClientID{}
	}
	if err != nil {
		return err
	}
	return a.inside(func() error { return a.mint(a.Conn, a.rep.cfg.Rand) })
}

// shared settles what another copy has sent under a fork id, as far as it is
// pending here too. all says that this was all of it: the id is this replica's,
// with the numbers after it. Else next is the fork id of what is left.
func (a *applier) shared(id wire.ClientID, decided uint64, outcomes map[uint64]wire.Outcome) (
	next wire.ClientID, all bool, err error) {
	var hash wire.Hash
	err = a.inside(func() (err error) {
		_, hash, err = a.oldest()
		return err
	})
	if err != nil {
		return next, false, err
	}
	if outcomes[1].BodyHash != hash {
		return id.Fork(1, hash), false, nil
	}
	if err := a.inside(func() error { return a.become(a.Conn, id) }); err != nil {
		return next, false, err
	}
	through := a.offset + int64(decided)
	if _, err := a.settleShown(through, a.offset, outcomes); err != nil || a.last == through {
		return next, err == nil, err
	}
	next, err = a.forkedInside()
	return next, false, err
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
	next, err := s.nextID(copied)
	if err != nil || next == s.last+1 {
		return err // nothing is pending
	}
	if _, twice := meta[metaFormer]; twice {
		return nil // it was imported and not synced since: the first author is known
	}
	return setMeta(copied, metaFormerOffset, offset, metaFormerLast, next-1, metaFormer, old)
}
