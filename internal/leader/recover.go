package leader

import (
	"context"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/salvage"
)

// How a leader ended: the values of Env.Exit.
const (
	ExitNew     = "new"     // there was none: the files are new
	ExitClean   = "clean"   // it closed the database
	ExitUnclean = "unclean" // it was killed, or crashed
	ExitDamaged = "damaged" // it found the file damaged
)

// Quarantined is a damaged database that was quarantined.
type Quarantined struct {
	File string // its name among the files
	URI  string // as go-sqlite3 opens it
}

// Open opens the database that config names, runs its migrations, and starts
// live queries, announcements and sync. The error has a code. ctx bounds the
// opening alone.
//
// A damaged file is quarantined if a server has its rows, or if config allows it: a
// new database takes over what can be read of the local rows. Otherwise Open fails
// with HEDDLE_DAMAGED, and does not touch the file.
func Open(ctx context.Context, config rpc.OpenConfig, env Env) (*Leader, error) {
	const op = "leader: open"
	l, err := open(ctx, config, env, nil)
	if err == nil && env.Exit == ExitDamaged {
		err = l.verify(ctx)
		if err != nil {
			l.Close(ctx)
		}
	}
	switch {
	case err == nil:
		l.serve()
		return l, nil
	case !store.Damaged(err):
		return nil, err
	case env.Quarantine == nil || config.Sync == nil && !config.Recover:
		return nil, &errcode.Error{Code: errcode.Damaged, Op: op, Err: err, Msg: fmt.Sprintf(
			"the database file is damaged (%v). It was left as it is: quarantinedFiles(name) hands it out; "+
				"open with {recover: true} to quarantine it and to start over with what can be read of it", message(err))}
	}
	reason := message(err)
	quarantined, err := env.Quarantine(ctx, reason)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.StorageUnavail, op)
	}
	env.Exit = ExitNew
	if l, err = open(ctx, config, env, &quarantined); err != nil {
		return nil, err
	}
	l.recovered.File, l.recovered.Reason = quarantined.File, reason
	l.serve()
	return l, nil
}

func message(err error) string {
	if e, ok := errcode.Wrap(err, errcode.Internal, "").(*errcode.Error); ok {
		return e.Message()
	}
	return ""
}

// verify checks a file that the last leader found damaged: a read may have failed by
// accident.
func (l *Leader) verify(ctx context.Context) error {
	found, err := l.db.Check(ctx, true, nil)
	if err == nil && len(found.Problems) > 0 {
		err = errcode.New(errcode.Damaged, "leader: open", found.Problems[0])
	}
	return err
}

// serve reports damage from now on, and checks the file after an unclean end.
func (l *Leader) serve() {
	l.mu.Lock()
	l.serving = true
	early := l.damage
	l.mu.Unlock()
	if early != nil {
		l.damaged(early)
	}
	if l.env.Exit == ExitUnclean {
		l.spawn(func() {
			select {
			case <-time.After(l.env.Bounds.Check):
				if l.env.Whole != nil && l.env.Whole(l.ctx) != nil {
					return
				}
				// The store reports what it finds.
				_, _ = l.db.Check(l.ctx, false, nil)
			case <-l.ctx.Done():
			}
		})
	}
}

// damaged is called by the store, once.
func (l *Leader) damaged(err error) {
	l.mu.Lock()
	serving := l.serving && !l.closed
	l.damage = err
	l.mu.Unlock()
	if serving && l.env.OnDamage != nil {
		l.env.OnDamage(err)
	}
}

// rescue takes over what can be read of a damaged database: transactions that
// the server may not have, and the rows of tables that it does not know. What
// cannot be read stays in the file.
func (l *Leader) rescue(ctx context.Context, quarantined *Quarantined) error {
	l.recovered = &rpc.Recovered{Lost: l.sync != nil}
	var from *sqlite3.Conn
	// Other connections are idle: nothing else is inside SQLite yet.
	from, err := sqlite3.OpenContext(ctx, quarantined.URI)
	if err != nil {
		return nil // SQLite cannot open it
	}
	defer from.Close()
	if _, err := from.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return errcode.Wrap(err, errcode.Internal, "leader: rescue")
	}
	if err := from.Exec(`PRAGMA locking_mode = exclusive; PRAGMA trusted_schema = off`); err != nil {
		return nil
	}
	if l.sync != nil {
		got, err := l.sync.Rescue(ctx, from)
		if err != nil {
			return err
		}
		l.recovered.Pending, l.recovered.Rejected, l.recovered.Lost = uint64(got.Pending), uint64(got.Rejected), got.Lost
	}
	rows, err := salvage.Copy(ctx, l.db, from)
	l.recovered.Rows, l.recovered.Tables = uint64(rows.Rows), rows.Lost
	return err
}

// tellRecovered sends a new tab what was recovered of the database.
func (s *Session) tellRecovered() {
	if r := s.l.recovered; r != nil {
		s.send(rpc.RecoveredEvent(*r))
	}
}

// health checks the database and replies with the result.
func (s *Session) health(c *call) error {
	l := s.l
	total := int64(0)
	last := time.Now()
	found, err := l.db.Check(c.ctx, c.Full, func(k store.Checked) {
		if total = k.Total; time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			c.s.send(rpc.ChunkChecked(c.ID, rpc.Checked{Done: uint64(k.Done), Total: uint64(k.Total)}))
		}
	})
	if err != nil {
		return err
	}
	about, err := l.db.About(c.ctx)
	if err != nil && !store.Damaged(err) {
		return err
	}
	c.reply(rpc.ReplyHealth(c.ID, rpc.Health{
		Pages: uint64(total), Trees: uint64(found.Trees), Problems: found.Problems,
		Checksums: about.Checksums, PageSize: uint32(about.PageSize),
		Bytes: uint64(about.Bytes), LogBytes: uint64(about.LogBytes), LastExit: l.env.Exit,
	}))
	return nil
}
