package replica

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Sealing is a device's part in a sealed space, as its replica needs it: package member
// is one. It keeps what it knows of the log in tables of its own.
type Sealing interface {
	// Load takes what the database keeps of the log, whose prefix ends at a position.
	// It runs inside SQLite.
	Load(c Conn, at wire.Position) error
	// Open judges and decrypts the entries after at, which is the prefix's end. It may
	// wait for the platform's cryptography. Where one stops it, those before it are
	// returned with the error. ErrReload: Load has to come first.
	Open(ctx context.Context, at wire.Position, entries []wire.Entry) ([]Opened, error)
	// Save keeps what Open has changed up to an entry, in the transaction that applies
	// it. It runs inside SQLite. ErrReload: that is not known any more.
	Save(c Conn, seq uint64) error
	// Keep says that the transaction of Save is committed.
	Keep()
	// Adopt takes the log as of a position from a snapshot, in the transaction that ends
	// it. It runs inside SQLite. Load comes after it. ErrReload: the snapshot is another.
	Adopt(c Conn, at wire.Position) error
}

// Conn runs statements inside SQLite. Queries are prepared once.
type Conn interface {
	Exec(sql string, args ...any) error
	Query(sql string, args []any, row func(*sqlite3.Stmt) error) error
}

// Opened is an entry as a replica applies it. In a sealed space Body, its hash and the
// outcome are those that the seal was opened to, and judged. The hash may be zeros there:
// the replica computes it where it needs it.
type Opened struct {
	wire.Entry
	Fate Fate
	body *wire.Body // what Body decodes to, once that was found to fit
}

// identify makes sure of the hash of a body that was opened.
func (o *Opened) identify() {
	if o.BodyHash == (wire.Hash{}) && o.Body != nil {
		o.BodyHash = wire.HashBody(o.Body)
	}
}

// Fate is what becomes of an entry beside its outcome.
type Fate int

// The fates.
const (
	FateDecided Fate = iota // as the outcome says
	FatePassed              // it has no meaning for rows and for what is pending
	FateAgain               // void, and to its author not decided: it goes on under the next counter
)

// ErrReload says that what is in memory is not what the database has.
var ErrReload = errors.New("sync: what is known of the sealed log is to be loaded again")

// metaAnchor is the name in heddle_meta that a database of a sealed space has.
const metaAnchor = "sealed"

// loadSealing loads what is kept of a sealed log, and refuses a database that is of
// the other kind.
func (rep *Replica) loadSealing(c *synced.Conn, s *state) error {
	const op = "sync: open"
	sealed, err := c.Has(`SELECT 1 FROM heddle_meta WHERE name = ?`, metaAnchor)
	switch {
	case err != nil:
		return err
	case rep.cfg.Sealing == nil && sealed:
		return errcode.New(errcode.Locked, op, "the database is of a sealed space: open it with its key")
	case rep.cfg.Sealing == nil:
		return nil
	case !sealed && s.pos != (wire.Position{}):
		return errcode.New(errcode.Sealed, op, "the database was synced with a plain space: open one of another name")
	}
	if !sealed {
		if err := setMeta(c, metaAnchor, int64(1)); err != nil {
			return err
		}
	}
	return rep.cfg.Sealing.Load(c, s.pos)
}

// reloads bounds how often entries are opened again because something else has come
// between: each time that is another transaction's failure.
const reloads = 3

// applySealed is Apply in a sealed space.
func (rep *Replica) applySealed(
	ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []wire.Entry,
) (count uint64, err error) {
	select {
	case rep.opening <- struct{}{}:
		defer func() { <-rep.opening }()
	case <-ctx.Done():
		return 0, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: apply")
	}
	for try := 0; ; try++ {
		opened, stop := rep.cfg.Sealing.Open(ctx, rep.View().Position, entries)
		if stop == nil || len(opened) > 0 {
			count, err = rep.applyOpened(ctx, client, epoch, opened)
		}
		if try < reloads && (errors.Is(stop, ErrReload) || errors.Is(err, ErrReload)) {
			if err := rep.reload(ctx); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return count, err
		}
		return count, stop
	}
}

// reload loads the state again, and with it what is known of a sealed log.
func (rep *Replica) reload(ctx context.Context) error {
	return rep.inside(ctx, func(r *rows) error {
		rep.invalidate()
		_, err := rep.current(r)
		return err
	})
}

// saveSealing keeps what was opened, up to the prefix's end.
func (a *applier) saveSealing() error {
	if a.rep.cfg.Sealing == nil {
		return nil
	}
	return a.rep.cfg.Sealing.Save(a.Conn, a.pos.Seq)
}

// sealed does what the entries of a sealed space need beside those of a plain one. done
// says that there is no more to it.
func (a *applier) sealed(o *Opened) (done bool, err error) {
	if o.Fate == FatePassed {
		return true, nil
	}
	if o.Outcome == "" { // what a server does in a plain space
		o.Outcome = a.unfit(o)
	}
	if o.Client == a.client {
		if before, err := a.decidedBefore(o.Counter); before || err != nil {
			if err == nil {
				err = a.other(o)
			}
			return true, err
		}
	}
	if o.Fate == FateDecided {
		return false, nil
	}
	switch {
	case o.Client == a.client:
		return true, a.again(o, &a.offset, metaOffset)
	case a.former != nil && o.Client == a.former.client:
		if err := a.again(o, &a.former.offset, metaFormerOffset); !errors.Is(err, ErrFork) {
			return true, err
		}
	}
	return true, nil
}

// unfit decodes a body, and is the code of one that cannot be folded, "" for one that can
// be: an author of another build has sealed it.
func (a *applier) unfit(o *Opened) string { return errcode.Of(o.decode(a.schema)) }

// decode decodes a body, as far as it can be folded into rows of a schema.
func (o *Opened) decode(s *fold.Schema) error {
	body, err := wire.UnmarshalBody(o.Body)
	if err == nil {
		err = fold.Check(body, s)
	}
	if err == nil && len(s.Missing(body.Schema)) > 0 {
		next := s.Clone()
		next.Apply(body.Schema)
		err = next.Fits(s, body.Schema)
	}
	if err == nil {
		o.body = body
	}
	return err
}

// again gives the oldest pending transaction the next counter. It is ErrFork if the
// entry is of another one.
func (a *applier) again(o *Opened, offset *int64, name string) error {
	o.identify()
	return a.inside(func() error {
		id, hash, err := a.oldest()
		if err != nil {
			return err
		}
		if id == 0 || uint64(id-*offset) != o.Counter || hash != o.BodyHash {
			return ErrFork
		}
		*offset--
		if err := a.moved(id); err != nil {
			return err
		}
		return setMeta(a.Conn, name, *offset)
	})
}

// PendingBody is a pending transaction's body as it was recorded.
type PendingBody struct {
	ID   int64
	Hash wire.Hash
	Body []byte
}

// PendingBodies returns the bodies of the pending transactions after one, in order: at
// most n, and as many as have about so many bytes together, but one at least. more says
// whether there are others.
func (rep *Replica) PendingBodies(ctx context.Context, after int64, n, bytes int) (all []PendingBody, more bool,
	err error) {
	size := 0
	err = rep.Parts(ctx, after, 0, func(id int64, p wire.Part) bool {
		if p.Index == 0 {
			if more = len(all) > 0 && (len(all) == n || size >= bytes); more {
				return false
			}
			all = append(all, PendingBody{ID: id, Hash: p.BodyHash})
		}
		last := &all[len(all)-1]
		if p.Total == 1 {
			last.Body = p.Bytes // which nobody else has
		} else {
			last.Body = append(last.Body, p.Bytes...)
		}
		size += len(p.Bytes)
		return true
	})
	return all, more, err
}
