package client

import (
	"context"
	"io"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// Client follows the log of one space for a replica. Its methods may be called
// by several goroutines.
type Client struct {
	cfg     Config
	replica *replica.Replica

	events        listeners
	pushMu        chan struct{}           // one push at a time
	pullMu        chan struct{}           // for Now: one at a time
	bootstrapTurn chan struct{}           // held by the pull that applies a snapshot
	route         route                   // the pull loop's
	unusable      map[wire.Hash]*unusable // snapshots that are not what they say; of who has bootstrapTurn
	telling       telling                 // of a sealed space; its wake, and else by mu

	mu           sync.Mutex
	cond         condition
	view         replica.View
	changed      signal        // cond.active or cond.life is another
	wake         chan struct{} // something was recorded
	retry        signal        // try again at once
	token        string
	progress     pushProgress
	onlyBuckets  []wire.Bucket   // with restart: the buckets that differ; nil for all
	restart      bool            // the next pull asks for a snapshot
	restarts     int             // how often in a row that was so
	generation   int             // how often a snapshot began: an older stream may be of another log
	seed         []byte          // see Seed; nothing is pushed while it waits
	challenge    string          // of the server of a sealed space, for the next request
	reachedEnd   bool            // of a sealed log, since this client began
	making       making          // its snapshots
	askedClients []wire.ClientID // what a snapshot is to tell of, see replica.AskError
	closed       bool
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
	local, err := replica.Open(ctx, db, cfg.local())
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, replica: local,
		pushMu: make(chan struct{}, 1), pullMu: make(chan struct{}, 1), bootstrapTurn: make(chan struct{}, 1),
		changed: newSignal(), wake: make(chan struct{}, 1), retry: newSignal(), unusable: map[wire.Hash]*unusable{},
	}
	c.cond.online = true
	c.telling.wake = make(chan struct{}, 1)
	c.load()
	if cfg.Sealer != nil {
		c.cond.snapshot = cfg.Sealer.Snapshot()
	}
	(*observer)(c).Changed(local.View())
	local.Start((*observer)(c))
	return c, nil
}

// MigrationHook is [replica.MigrationHook] for the part of cfg that concerns the
// database.
func MigrationHook(cfg Config) func(*sqlite3.Conn) (store.MigrationHook, error) {
	return func(raw *sqlite3.Conn) (store.MigrationHook, error) {
		if err := cfg.check(); err != nil {
			return nil, err
		}
		cfg.complete()
		return replica.MigrationHook(cfg.local())(raw)
	}
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

// A signal announces a change to all goroutines that wait for it: the channel is
// closed, and replaced by another. It is guarded by Client.mu.
type signal chan struct{}

func newSignal() signal { return make(signal) }

func (s *signal) send() {
	close(*s)
	*s = newSignal()
}

// load takes over what the database keeps for the client.
func (c *Client) load() {
	saved := c.replica.Saved()
	c.mu.Lock()
	c.seed = saved.Seed
	c.mu.Unlock()
	c.update(func(cond *condition) {
		cond.serverKnown, cond.repairs = saved.Server == c.cfg.URL, saved.Repairs
		cond.paused = cond.paused || saved.Paused
	})
}

// observer is the replica's view of a Client.
type observer Client

// Changed implements replica.Observer.
func (o *observer) Changed(v replica.View) {
	c := (*Client)(o)
	c.update(func(cond *condition) {
		if c.view.Client != v.Client || c.view.Offset != v.Offset {
			c.progress = c.progress.forgotten()
		}
		c.view = v
		c.restart = c.restart || v.Partial // if it breaks, all of it
		cond.bootstrapping, cond.complete = v.Bootstrap != nil, v.Complete
		cond.seq, cond.first = v.Position.Seq, v.Last
		cond.last = max(c.replica.Recorded(), v.Last)
	})
}

// Committed implements replica.Observer.
func (o *observer) Committed() {
	c := (*Client)(o)
	pending := false
	c.update(func(cond *condition) {
		cond.last = max(cond.last, c.replica.Recorded())
		// Not only if last has grown: it may have been seen before the commit.
		pending = cond.last > cond.first
	})
	if pending {
		c.wakePush()
	}
}

// Replaced implements replica.Observer.
func (o *observer) Replaced(v replica.View, err *errcode.Error) {
	c := (*Client)(o)
	if err == nil {
		c.load()
		o.Changed(v)
	}
	c.update(func(cond *condition) {
		cond.fatal = err
		cond.life++
	})
	c.retryNow()
}

// Events implements replica.Observer.
func (o *observer) Events(events ...any) {
	for _, e := range events {
		o.events.put(e)
	}
	o.events.deliver()
}

// wakePush wakes the push loop.
func (c *Client) wakePush() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ClientID returns the replica's id.
func (c *Client) ClientID() wire.ClientID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.Client
}

// Close ends the client. Run must have ended. The database stays open, and
// transactions are still recorded, for the next Open.
func (c *Client) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	if c.telling.timer != nil {
		c.telling.timer.Stop()
	}
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.making.done.Wait()
	return c.replica.Close()
}
