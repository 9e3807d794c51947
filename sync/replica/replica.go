// Package replica is the local half of sync: it records each local transaction
// as it commits, keeps what the server has not decided yet, and keeps the tables
// equal to the fold of the space's log with the pending transactions on top. It
// knows no network: package client gives it entries and snapshots, and takes the
// pending transactions from it.
//
// It is portable: it runs in the browser's worker and in native programs, over
// a store.DB.
//
// # What is kept where
//
// All of a replica's sync state is in the app's own database, in tables whose
// names begin with heddle_, and changes in the same transaction as the rows that
// it describes:
//
//   - heddle_meta: the client's id, the epoch, the cursor and its chain hash,
//     the folded schema.
//   - heddle_pending: the transactions without an entry at or before the
//     cursor, in parts as they are sent.
//   - heddle_sent: the last of those that the log holds, for a server that loses
//     its end.
//   - heddle_row: one row for each key that a pending transaction touches, with
//     its base image (the row in the log's prefix) and the operations on it.
//   - heddle_overflow: cells of tables and columns that this app's version does
//     not know yet, and rows that its tables cannot hold: see conflict.go.
//   - heddle_digest: the sums behind Digest.
//   - heddle_seen: keys that a snapshot has named, while one is being applied.
//   - heddle_rejected: transactions that the server decided void, with their
//     operations, until the app retries or discards them.
//
// # The rule
//
// A row is its base image, then the pending operations on it, in order. A key
// without pending operations is the prefix itself. See apply.go.
//
// # Ownership
//
// The state in memory belongs to the holder of the store's writer and is loaded
// again after a transaction that failed: see Replica.invalidate. All others see
// the View that was published after the last commit; an Observer is called with it.
//
// # Caveats
//
// A table that is synced needs an explicit primary key, and more; Open names
// each rule that a table breaks. Foreign keys, CHECK, NOT NULL and other
// constraints bind the author of a write alone.
//
// Tested by model_test.go (random histories against the fold of the log),
// releases_test.go (random migrations), and the test of each file's name. What
// needs a server is tested through it in package client: bootstrap_test.go,
// resend_test.go, restore_test.go, accept_test.go, rescue_test.go, place_test.go
// (forks and imports), release_test.go; and by package sim.
package replica

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Config says what a replica holds.
type Config struct {
	Space string // the space's name, see wire.ValidSpace

	// Tables names the synced tables. Columns that a Merge does not name merge
	// by "last": the later write wins.
	Tables map[string]Merge

	// IntegerKey allows INTEGER PRIMARY KEY on synced tables.
	IntegerKey bool

	// Sealing is the device's part in the space, where that is sealed; else nil.
	Sealing Sealing

	Rand io.Reader        // for client ids
	Now  func() time.Time // the wall clock: when a transaction was made, for people
}

// Merge gives columns their merge policy, by name: how what two replicas wrote
// joins. A write of a column with a policy other than "last" becomes what the
// policy makes of it when it is committed: after writing 3 to a "max" column
// that holds 10 it holds 10.
//
//   - "last": the later write in the log wins.
//   - "counter": differences add up. What is no number is written as by "last".
//   - "max", "min": the greatest, the smallest stays, in SQLite's order; NULL
//     loses to everything.
//   - "set": a JSON array as a set: elements are added and removed one by one.
type Merge map[string]string

// Observer learns what a replica has done, after the commit and outside
// SQLite. Its methods may be called by several goroutines.
type Observer interface {
	// Changed is called after a transaction that moved the prefix or the
	// pending transactions.
	Changed(View)
	// Committed is called after each local transaction; Recorded may be another.
	Committed()
	// Replaced is called when the database's content is another: an import has
	// come, or Reload was called. err says why it cannot be synced.
	Replaced(View, *errcode.Error)
	// Events is given each Rejected and Conflict, in order.
	Events(events ...any)
}

// View is what others than the writer may know of a replica's sync state.
type View struct {
	Client   wire.ClientID
	Position wire.Position // the end of the prefix
	Offset   int64         // the counter of a pending transaction is its id minus Offset
	Last     int64         // the last id that is no longer pending
	// Former is the client that pending transactions of an imported file are from,
	// while its entries are looked for in the log; nothing is sent then. Else nil.
	Former *wire.ClientID
	// Bootstrap is how far a snapshot has got that is being applied, else nil.
	Bootstrap *wire.Resume
	Partial   bool // that snapshot brings some buckets alone: it cannot be resumed
	Complete  bool // all rows of the space have been here once
}

// Saved is what the database keeps for the client. It is read when the content
// is loaded.
type Saved struct {
	Server  string // the URL that has answered as a server of this space
	Paused  bool   // a pause outlasts Close
	Repairs int    // how often the digest was not the server's
	Seed    []byte // the body that an empty space is to begin with; nil for none
}

// Replica is the local half of sync over one database. Its methods may be
// called by several goroutines.
type Replica struct {
	db       *store.DB
	cfg      Config
	tables   map[string]*synced.Table // by the name in the log; does not change
	foreign  []*synced.ForeignKey     // theirs; does not change
	observer Observer
	stop     func() // removes the commit listener

	// Used by the holder of the writer alone.
	conn     synced.Conn
	state    *state
	overflow map[string]contents
	seeding  *store.Tx // the transaction of Seed
	fresh    bool      // the migrations have made the file; see MigrationHook

	view     atomic.Pointer[View]
	saved    atomic.Pointer[Saved]
	paused   atomic.Bool  // see Saved.Paused
	recorded atomic.Int64 // id of the transaction recorded last
	imported atomic.Bool  // an import has come so far that it may replace the content

	opening chan struct{} // held from the opening of a sealed space's entries until they are applied

	stale         atomic.Int64 // not 0: state is to be loaded again; see invalidate
	invalidations atomic.Int64
}

// Open prepares db: it checks the synced tables (HEDDLE_SYNC_SCHEMA names the
// rule that one breaks, and the way out), brings what is kept to the schema and
// loads the state.
func Open(ctx context.Context, db *store.DB, cfg *Config) (*Replica, error) {
	tables, err := cfg.resolve(db.Table)
	if err != nil {
		return nil, err
	}
	rep := &Replica{db: db, cfg: *cfg, tables: tables, stop: func() {}, opening: make(chan struct{}, 1)}
	if err := db.Apply(ctx, rep.prepare); err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "sync: open")
	}
	return rep, nil
}

// Start records every local transaction from now on, and tells o of all that
// happens. It is called once, before the methods that write.
func (rep *Replica) Start(o Observer) {
	rep.observer = o
	rep.db.SetRecorder((*recorder)(rep))
	rep.db.OnImport(rep.adopt)
	rep.stop = rep.db.OnCommit(func(commit store.Commit) {
		switch {
		case commit.Schema && rep.imported.Swap(false):
			rep.Reload()
		case commit.Origin.Kind != store.Sync:
			o.Committed()
		}
	})
}

// Close lets go of the database, which stays open. Transactions are still
// recorded, for the next Open.
func (rep *Replica) Close() error {
	rep.stop()
	err := rep.inside(context.Background(), func(*rows) error {
		rep.conn.Close()
		return nil
	})
	if errcode.Of(err) == errcode.Closed {
		return nil
	}
	return err
}

// View returns the sync state after the last transaction that changed it.
func (rep *Replica) View() View { return *rep.view.Load() }

// Saved returns what the database had for the client when it was loaded last.
func (rep *Replica) Saved() Saved { return *rep.saved.Load() }

// Recorded returns the id of the last transaction that was recorded; ids up to
// View.Last may be beyond it.
func (rep *Replica) Recorded() int64 { return rep.recorded.Load() }

// inside runs f in a transaction of sync's, inside SQLite.
func (rep *Replica) inside(ctx context.Context, f func(r *rows) error) error {
	return rep.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := rep.rowsOn(tx)
			return f(&r)
		})
	})
}

// Inside runs f in a transaction of sync's, inside SQLite.
func (rep *Replica) Inside(ctx context.Context, f func(Conn) error) error {
	return rep.inside(ctx, func(r *rows) error { return f(r.Conn) })
}

// prepare brings what is kept to the schema, and loads the state. What migrations
// did to the rows is unknown where they ran without MigrationHook: the digest
// becomes that of the rows, so that the comparison with the server's shows it.
func (rep *Replica) prepare(tx *store.Tx) error {
	local, unseen := rep.db.Tables(), false
	err := tx.Inside(func(*sqlite3.Conn) (err error) {
		unseen, err = rep.load(tx, local)
		return err
	})
	if err == nil && unseen && rep.state.bootstrap == nil {
		_, err = rep.countAgain(tx)
	}
	if err == nil {
		rep.publish(rep.state)
	}
	return err
}

// load is prepare without the digest. unseen says that migrations ran without
// the hook.
func (rep *Replica) load(tx *store.Tx, local []*store.Table) (unseen bool, err error) {
	r := rep.rowsOn(tx)
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	meta, err := rep.agree(&r, local, nil, rep.cfg.Rand)
	if err != nil {
		return false, err
	}
	number, err := r.migrations()
	if err != nil {
		return false, err
	}
	if unseen = meta[metaMigrated] != number; unseen {
		if err := setMeta(r.Conn, metaMigrated, number); err != nil {
			return false, err
		}
	}
	if rep.foreign == nil {
		if rep.foreign, err = synced.LoadForeignKeys(r.Conn, rep.tables); err != nil {
			return false, err
		}
	}
	if err := rep.recount(&r, rep.state); err != nil {
		return false, err
	}
	saved := Saved{Paused: meta[metaPaused] == int64(1)}
	saved.Server, _ = meta[metaServer].(string)
	saved.Seed, _ = meta[metaSeed].([]byte)
	repairs, _ := meta[metaRepairs].(int64)
	saved.Repairs = int(repairs)
	rep.paused.Store(saved.Paused)
	rep.saved.Store(&saved)
	return unseen, nil
}

// rowsOn returns the rows of the open transaction.
func (rep *Replica) rowsOn(tx *store.Tx) rows {
	if raw := tx.Conn(); raw != rep.conn.SQLite {
		rep.conn.Close()
		rep.conn.SQLite = raw
	}
	return rows{Conn: &rep.conn, tables: rep.tables, overflow: rep.overflow}
}

// current returns the state. It is loaded again where it may not be that of the
// database: after a transaction that failed.
func (rep *Replica) current(r *rows) (*state, error) {
	if rep.stale.Swap(0) != 0 || rep.state == nil {
		s, err := loadState(r.Conn, rep.cfg.Rand)
		if err != nil {
			rep.invalidate()
			return nil, err
		}
		if err := rep.loadSealing(r.Conn, s); err != nil {
			rep.invalidate()
			return nil, err
		}
		rep.state = s
	}
	r.tables = synced.Undisputed(rep.tables, rep.state.schema)
	return rep.state, nil
}

// invalidate says that the state may not be what the database holds in the end:
// the next holder of the writer loads it again. Once the commit is known,
// validate with the same number takes that back, unless there was a later
// invalidate.
func (rep *Replica) invalidate() int64 {
	n := rep.invalidations.Add(1)
	rep.stale.Store(n)
	return n
}

func (rep *Replica) validate(invalidation int64) { rep.stale.CompareAndSwap(invalidation, 0) }

// recount sees which transaction was recorded last: the COMMIT of the one that
// set recorded may have failed.
func (rep *Replica) recount(r *rows, s *state) error {
	next, err := s.nextID(r.Conn)
	rep.recorded.Store(next - 1)
	return err
}

// publish makes the view that of s.
func (rep *Replica) publish(s *state) View {
	v := View{Client: s.client, Position: s.pos, Offset: s.offset, Last: s.last, Complete: s.complete}
	if s.former != nil {
		v.Former = &s.former.client
	}
	if s.bootstrap != nil {
		at := s.bootstrap.at
		v.Bootstrap, v.Partial = &at, s.bootstrap.only != nil
	}
	rep.view.Store(&v)
	return v
}

// committed ends what an applier or another change of the state has done, after
// the commit.
func (rep *Replica) committed(invalidation int64, s *state, events []any) {
	rep.validate(invalidation)
	rep.observer.Changed(rep.publish(s))
	rep.observer.Events(events...)
}

// Reload loads the database's content again and tells the observer.
func (rep *Replica) Reload() {
	err := rep.db.Apply(context.Background(), rep.prepare)
	var stopped *errcode.Error
	if err != nil && errcode.Of(err) != errcode.Closed {
		rep.invalidate()
		stopped = errcode.From(err, "sync")
	}
	rep.observer.Replaced(rep.View(), stopped)
}

// Digest returns the number of the prefix's last entry and the digest of the
// synced tables there: the server answers the same for the same entry. Pending
// transactions are not in it.
func (rep *Replica) Digest(ctx context.Context) (seq uint64, digest wire.Hash, err error) {
	err = rep.inside(ctx, func(r *rows) error {
		s, err := rep.current(r)
		if err == nil {
			seq, digest = s.pos.Seq, s.digest.Sum()
		}
		return err
	})
	return seq, digest, err
}

// KeepPause notes whether sync is still paused when the database is next opened.
// That belongs to the database's place: an import does not change it.
func (rep *Replica) KeepPause(ctx context.Context, keep bool) error {
	if rep.paused.Swap(keep) == keep {
		return nil
	}
	err := rep.setMeta(ctx, metaPaused, bit(keep))
	if err != nil {
		rep.paused.Store(!keep)
	}
	return err
}

// KeepServer notes the URL that has answered as a server of this space.
func (rep *Replica) KeepServer(ctx context.Context, url string) error {
	return rep.setMeta(ctx, metaServer, url)
}

func (rep *Replica) setMeta(ctx context.Context, name string, value any) error {
	return rep.inside(ctx, func(r *rows) error { return setMeta(r.Conn, name, value) })
}

// Check refuses a configuration that cannot work whatever the database holds.
func (c *Config) Check() error {
	const op = "sync: open"
	if !wire.ValidSpace(c.Space) {
		return errcode.New(errcode.BadParam, op, "sync.space has "+wire.SpaceRule+"; it is "+synced.Quoted(c.Space))
	}
	for _, table := range c.names() {
		if lower := strings.ToLower(table); strings.HasPrefix(lower, "heddle_") || strings.HasPrefix(lower, "sqlite_") {
			return errcode.New(errcode.BadParam, op, "table "+synced.Quoted(table)+" is not the app's: it cannot be synced")
		}
		for column, name := range c.Tables[table] {
			if _, ok := synced.Merges[name]; !ok {
				return errcode.New(errcode.BadParam, op, "table "+synced.Quoted(table)+": column "+synced.Quoted(column)+
					" cannot join by "+synced.Quoted(name)+": there are last, counter, max, min and set")
			}
		}
	}
	return nil
}

// names returns the synced tables' names, sorted.
func (c *Config) names() []string { return slices.Sorted(maps.Keys(c.Tables)) }

// resolve finds the synced tables among those of the database.
func (c *Config) resolve(find func(name string) (*store.Table, bool)) (map[string]*synced.Table, error) {
	tables := map[string]*synced.Table{}
	for _, name := range c.names() {
		info, ok := find(name)
		if !ok {
			return nil, synced.SchemaError(name, "it does not exist: create it in a migration")
		}
		if !info.Synced {
			return nil, errcode.New(errcode.BadParam, "sync: open",
				"the database was opened without table "+synced.Quoted(name)+" in store.Options.Synced")
		}
		t := synced.NewTable(info)
		if err := t.SetMerges(c.Tables[name]); err != nil {
			return nil, err
		}
		tables[info.Name] = t
	}
	return tables, nil
}
