package client

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// Client is a replica's half of sync. Its methods may be called by several
// goroutines.
type Client struct {
	db      *store.DB
	cfg     Config
	tables  map[string]*table // by the name in the log; does not change
	foreign []*foreignKey     // theirs; does not change

	// Used by who holds the writer alone.
	conn     conn
	state    *state
	overflow map[string]contents
	seeding  *store.Tx // the transaction of Seed
	fresh    bool      // the migrations have made the file; see MigrationHook

	imported      atomic.Bool  // an import has come so far that it may replace the content
	stale         atomic.Int64 // not 0: state is to be loaded again; see invalidate
	invalidations atomic.Int64
	recorded      atomic.Int64 // id of the transaction recorded last

	events        listeners
	stop          func() // removes the commit listener
	pushMu        chan struct{}
	bootstrapTurn chan struct{} // holds the pull that applies a snapshot
	pullMu        chan struct{} // for Now: one at a time
	route         route         // the pull loop's

	mu           sync.Mutex
	cond         condition
	ident        identity
	pos          wire.Position
	changed      chan struct{} // closed and replaced when cond.wants or cond.life change
	wake         chan struct{} // something was recorded
	retry        chan struct{} // closed and replaced: try again at once
	token        string
	progress     pushProgress
	bootstrap    *wire.Resume    // how far a snapshot has got that is being applied
	onlyBuckets  []wire.Bucket   // with restart: what differs, so that the rest need not come
	restart      bool            // the next pull asks for a snapshot
	restarts     int             // how often in a row that was so
	generation   int             // how often a snapshot began: what older streams still bring may be of another log
	seed         []byte          // the body that an empty space is to begin with, see Seed; nothing is pushed before that is settled
	askedClients []wire.ClientID // what a snapshot is to tell of, see forkAt
	closed       bool
}

// identity is what a push says of who sends it.
type identity struct {
	client wire.ClientID
	offset int64
	last   int64         // the last id that has left heddle_pending
	held   bool          // nothing is sent yet, see state.former
	former wire.ClientID // then
}

// Open prepares db for sync: it checks the synced tables (HEDDLE_SYNC_SCHEMA
// says which rule one breaks and what to do), and records every local
// transaction from now on. Nothing is sent before Run or Now. db must have been
// opened with the same tables as store.Options.Synced, and with the MigrationHook
// of the same cfg, so that a schema that Open refuses is not committed. Close the
// client before db. A database that was synced once is to be opened by Open before
// each use: what is written to it without is not recorded, and the digest does not
// tell.
func Open(ctx context.Context, db *store.DB, cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.complete()
	cfg.Rand = &lockedReader{r: cfg.Rand}
	tables, err := cfg.resolve(db.Table)
	if err != nil {
		return nil, err
	}
	c := &Client{
		db: db, cfg: cfg, tables: tables,
		pushMu: make(chan struct{}, 1), pullMu: make(chan struct{}, 1), bootstrapTurn: make(chan struct{}, 1),
		changed: make(chan struct{}), wake: make(chan struct{}, 1), retry: make(chan struct{}),
	}
	c.cond.online = true
	err = db.Apply(ctx, c.prepare)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "sync: open")
	}
	db.SetRecorder((*recorder)(c))
	db.OnImport(c.adopt)
	c.stop = db.OnCommit(func(commit store.Commit) {
		switch {
		case commit.Schema && c.imported.Swap(false):
			c.reload()
		case commit.Origin.Kind != store.Sync:
			c.committed()
		}
	})
	return c, nil
}

// lockedReader lets several goroutines read.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

// prepare brings what is kept to the schema, and loads the state. Where migrations
// ran without MigrationHook, nobody knows what they did to the rows: the digest
// becomes that of the rows, so that the server's tells.
func (c *Client) prepare(tx *store.Tx) error {
	local, unseen := c.db.Tables(), false
	err := tx.Inside(func(*sqlite3.Conn) (err error) {
		unseen, err = c.load(tx, local)
		return err
	})
	if err == nil && unseen && c.state.bootstrap == nil {
		_, err = c.countAgain(tx)
	}
	if err == nil {
		c.share(c.state)
	}
	return err
}

// load is prepare but for the digest. unseen says that migrations ran without the
// hook.
func (c *Client) load(tx *store.Tx, local []*store.Table) (unseen bool, err error) {
	r := c.rowsOn(tx)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	meta, err := c.agree(&r, local, nil, c.cfg.Rand)
	if err != nil {
		return false, err
	}
	number, err := r.migrations()
	if err != nil {
		return false, err
	}
	if unseen = meta[metaMigrated] != number; unseen {
		if err := setMeta(r.conn, metaMigrated, number); err != nil {
			return false, err
		}
	}
	if c.foreign == nil {
		if c.foreign, err = loadForeignKeys(r.conn, c.tables); err != nil {
			return false, err
		}
	}
	if err := c.recount(&r, c.state); err != nil {
		return false, err
	}
	met := meta[metaServer] == c.cfg.URL
	repairs, _ := meta[metaRepairs].(int64)
	seed, _ := meta[metaSeed].([]byte)
	c.mu.Lock()
	c.seed = seed
	c.mu.Unlock()
	kept := meta[metaPaused] == int64(1)
	c.update(func(cond *condition) {
		cond.serverKnown, cond.repairs = met, int(repairs)
		cond.kept, cond.paused = kept, cond.paused || kept
	})
	return unseen, nil
}

// rowsOn returns the rows of the open transaction.
func (c *Client) rowsOn(tx *store.Tx) rows {
	if raw := tx.Conn(); raw != c.conn.sqlite {
		c.conn.close()
		c.conn.sqlite = raw
	}
	return rows{conn: &c.conn, tables: c.tables, overflow: c.overflow}
}

// current returns the state, loaded again where it is not that of the
// database: after a transaction that failed.
func (c *Client) current(r *rows) (*state, error) {
	if c.stale.Swap(0) != 0 || c.state == nil {
		s, err := loadState(r.conn, c.cfg.Rand)
		if err != nil {
			c.invalidate()
			return nil, err
		}
		c.state = s
	}
	r.tables = undisputed(c.tables, c.state.schema)
	return c.state, nil
}

// invalidate says that the state may not be what the database holds in the end:
// whoever is next in the transactions loads it again. Once the commit is known,
// clean with the same number takes that back, unless somebody else has tainted
// it since.
func (c *Client) invalidate() int64 {
	n := c.invalidations.Add(1)
	c.stale.Store(n)
	return n
}

func (c *Client) validate(invalidation int64) { c.stale.CompareAndSwap(invalidation, 0) }

// recount sees which transaction was recorded last: the COMMIT of the one that
// said so may have failed.
func (c *Client) recount(r *rows, s *state) error {
	next, err := nextID(r.conn, s.last)
	c.recorded.Store(next - 1)
	return err
}

// share publishes what others than the writer may know of a state.
func (c *Client) share(s *state) {
	c.update(func(cond *condition) {
		if c.ident.client != s.client || c.ident.offset != s.offset {
			c.progress = c.progress.forgotten()
		}
		c.ident = identity{client: s.client, offset: s.offset, last: s.last}
		if s.former != nil {
			c.ident.held, c.ident.former = true, s.former.client
		}
		c.pos = s.pos
		if c.bootstrap = nil; s.bootstrap != nil {
			at := s.bootstrap.at
			c.bootstrap = &at
			c.restart = c.restart || s.bootstrap.only != nil // if it breaks, all of it
		}
		cond.bootstrapping, cond.complete = s.bootstrap != nil, s.complete
		cond.seq = s.pos.Seq
		cond.first = s.last
		cond.last = max(c.recorded.Load(), s.last)
	})
}

// committed is called after each local transaction.
func (c *Client) committed() {
	pending := false
	c.update(func(cond *condition) {
		cond.last = max(cond.last, c.recorded.Load())
		// Not only if last has grown: it may have been seen before the commit.
		pending = cond.last > cond.first
	})
	if pending {
		c.wakePush()
	}
}

// wakePush wakes the push loop.
func (c *Client) wakePush() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// reload begins anew with the database's content: an import has replaced it.
func (c *Client) reload() {
	err := c.db.Apply(context.Background(), c.prepare)
	var stopped *errcode.Error
	if err != nil && errcode.Of(err) != errcode.Closed {
		c.invalidate()
		stopped = coded(err)
	}
	c.update(func(cond *condition) {
		cond.fatal = stopped
		cond.life++
	})
	c.retryNow()
}

// ClientID returns the replica's id.
func (c *Client) ClientID() wire.ClientID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ident.client
}

// Close ends the client. Run must have ended. The database stays open, and
// transactions are still recorded, for the next Open.
func (c *Client) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.stop()
	err := c.db.Apply(context.Background(), func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			c.conn.close()
			return nil
		})
	})
	if errcode.Of(err) == errcode.Closed {
		return nil
	}
	return err
}

// adopt makes the content of an import this replica's own, under a new id: the
// id belongs to the database's place, not to its bytes.
func (c *Client) adopt(raw *sqlite3.Conn) error {
	c.imported.Store(true)
	c.invalidate()
	copied := &conn{sqlite: raw}
	defer copied.close()
	if err := raw.Exec(schemaSQL); err != nil {
		return sqlError(err, schemaSQL)
	}
	meta, err := loadMeta(copied)
	if err != nil {
		return err
	}
	if v, ok := meta[metaSpace]; ok && v != c.cfg.Space {
		return errcode.New(errcode.BadParam, "sync: import", "the file belongs to another space")
	}
	if err := setMeta(copied, metaPaused, c.pausedValue()); err != nil {
		return err
	}
	s := &state{}
	s.last, _ = meta[metaLast].(int64)
	old, known := meta[metaClient].([]byte)
	offset := meta[metaOffset]
	if err := s.mint(copied, c.cfg.Rand); err != nil || !known {
		return err
	}
	next, err := nextID(copied, s.last)
	if err != nil || next == s.last+1 {
		return err // nothing is pending
	}
	if _, twice := meta[metaFormer]; twice {
		return nil // it was imported and not synced since: whose they were is still known
	}
	if err := setMeta(copied, metaFormerOffset, offset); err != nil {
		return err
	}
	if err := setMeta(copied, metaFormerLast, next-1); err != nil {
		return err
	}
	return setMeta(copied, metaFormer, old)
}

// Digest returns the prefix's last entry and the digest of the synced tables
// there: the server answers the same for the same entry. Pending transactions
// are not in it.
func (c *Client) Digest(ctx context.Context) (seq uint64, digest wire.Hash, err error) {
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			s, err := c.current(&r)
			if err == nil {
				seq, digest = s.pos.Seq, s.digest.Sum()
			}
			return err
		})
	})
	return seq, digest, err
}

// remember writes a name in heddle_meta.
func (c *Client) remember(ctx context.Context, name string, value any) error {
	return c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			return setMeta(r.conn, name, value)
		})
	})
}
