package leader

import (
	"context"
	"io"
	"runtime"
	"sync"
	"time"

	"heddle.dev/heddle/broadcast"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/live"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/member"

	"github.com/ncruces/go-sqlite3"
)

// MaxQueued is how many requests of one tab may wait in each of its queues.
const MaxQueued = 1024

// Peer is the connection to one tab.
type Peer interface {
	// Send takes ownership of message. It never blocks, and it is called from
	// any goroutine, also from inside SQLite.
	Send(message []byte)
}

// StreamLimit asks whether one more connection to a server may stay open:
// client.Config.Stream.
type StreamLimit = func(ctx context.Context, server string) (release func(), ok bool)

// Env is what a leader needs from its platform.
type Env struct {
	Filename   string            // of the database, as go-sqlite3 takes it, with its VFS
	SingleConn bool              // the VFS has no shared memory: no reading connection
	Storage    string            // persistent, best-effort or memory: what pages are told
	LeaderID   string            // names this leader: random
	Channel    broadcast.Channel // to the other tabs; nil announces nothing
	HTTP       client.Doer       // needed if the configuration syncs
	Stream     StreamLimit       // nil: any number of connections may stay open
	Keyring    Keyring           // needed if the space is sealed
	Rand       io.Reader         // crypto/rand if nil
	Exit       string            // how the last leader ended: new, clean, unclean or damaged; "" if unknown
	Bounds     Bounds            // for tests

	// Yield, if not nil, is called during long operations, outside SQLite, to let
	// other goroutines run. It returns soon.
	Yield func()

	// NewBlockPacker makes a packer for the rows of a statement, if the engine
	// has one. It may be nil, and may return nil: rows are packed in Go then.
	NewBlockPacker func(stmt *sqlite3.Stmt, columns int) BlockPacker
	// Engine is what else the engine does for many rows at a time. It may be empty.
	Engine store.Engine

	// Whole, if not nil, returns once all of the program is there. What nobody waits for
	// waits for it.
	Whole func(ctx context.Context) error

	// Scratch makes a file for a copy of the database; in memory if nil.
	Scratch store.ScratchFunc
	// Quarantine renames the files of the database, which are closed, so that the
	// next Open makes new ones. Nil if that is not possible.
	Quarantine func(ctx context.Context, reason string) (Quarantined, error)
	// OnDamage is called when the open database turns out to be damaged. The next
	// leader's Exit is ExitDamaged then. It may be nil.
	OnDamage func(error)
}

// Leader serves one database. Its methods may be called by several goroutines.
type Leader struct {
	env       Env
	config    rpc.OpenConfig
	db        *store.DB
	live      *live.Engine
	announcer *broadcast.Announcer
	unlisten  func()
	sync      *client.Client // nil without sync
	keys      *member.Keys   // nil where the space is not sealed
	ctx       context.Context
	stop      context.CancelFunc
	running   sync.WaitGroup
	packers   sync.Pool
	tokens    tokens

	mu          sync.Mutex
	closed      bool
	storage     string
	sessions    map[*Session]struct{}
	met         map[string]int // the number of each tab's last connection
	connects    int
	blocks      []BlockPacker // to be closed
	unannounced []store.Commit
	listening   int // how often tabs listen to commits
	headTimer   *time.Timer
	open        int // interactive transactions and loads that hold the writer
	serving     bool
	damage      error // seen before it served

	recovered *rpc.Recovered // set before it serves
}

// open is Open for a database that is sound. A new one takes what it can from
// quarantined, if that is not nil.
func open(ctx context.Context, config rpc.OpenConfig, env Env, quarantined *Quarantined) (_ *Leader, err error) {
	const op = "leader: open"
	env.Bounds.defaults()
	l := &Leader{env: env, config: config, storage: env.Storage, sessions: map[*Session]struct{}{}, met: map[string]int{}}
	l.packers.New = func() any { return new(rpc.Packer) }
	l.ctx, l.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			l.Close(context.Background())
		}
	}()
	options := store.Options{
		Filename: env.Filename, Migrations: config.Migrations, SingleConn: env.SingleConn,
		Yield: env.Yield, Engine: env.Engine,
		OnDamage: l.damaged, Scratch: env.Scratch, Bounds: env.Bounds.Store, Seed: len(config.Seed) > 0 && quarantined == nil,
	}
	var synced client.Config
	if config.Sync != nil {
		for _, t := range config.Sync.Tables {
			options.Synced = append(options.Synced, t.Name)
		}
		synced = l.syncConfig(config.Sync)
		if config.Sync.Sealed {
			if l.keys, err = l.openKeys(ctx, config.Sync.Space); err != nil {
				return nil, err
			}
			synced.Sealer = l.keys
		}
		options.MigrationHook = client.MigrationHook(synced)
	}
	if l.db, err = store.Open(ctx, options); err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, op)
	}
	l.live = live.New(l.db)
	if env.Channel != nil {
		l.announcer = broadcast.NewAnnouncer(env.Channel, env.LeaderID)
		l.unlisten = l.db.OnCommit(l.announce)
		_ = l.announcer.Head()
	}
	if config.Sync != nil {
		if err := l.openSync(ctx, synced); err != nil {
			return nil, err
		}
	}
	if len(config.Seed) > 0 {
		if err := l.seed(ctx); err != nil {
			return nil, err
		}
	}
	if quarantined != nil {
		if err := l.rescue(ctx, quarantined); err != nil {
			return nil, err
		}
	}
	if l.sync != nil {
		l.spawn(func() {
			// The status shows how it ends.
			_ = l.sync.Run(l.ctx)
		})
	}
	return l, nil
}

// announce sends a commit to the tabs, if one listens, from a goroutine: the reply to the
// write goes out first, and what the commit changes for live queries. A post to a
// BroadcastChannel takes longer than either.
func (l *Leader) announce(c store.Commit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listening == 0 && len(l.unannounced) == 0 {
		l.announcer.Pass(c.Number)
		return
	}
	l.unannounced = append(l.unannounced, c)
	l.scheduleHead(l.env.Bounds.HeadFirst)
	if len(l.unannounced) > 1 {
		return
	}
	go func() {
		runtime.Gosched() // a browser has one thread, and the live queries' goroutine is ready
		for n := 0; ; {
			l.mu.Lock()
			list := l.unannounced[n:]
			if n = len(l.unannounced); len(list) == 0 {
				l.unannounced = nil
			}
			l.mu.Unlock()
			if len(list) == 0 {
				return
			}
			for _, c := range list {
				// A message that is lost shows as a gap at the next one.
				_ = l.announcer.Commit(c)
			}
		}
	}()
}

// listen counts how often the tab of s listens to commits. All of them are announced
// above the number that it returns: of those that are not lost, a message of the tab's
// own says from where on it should have heard them.
func (l *Leader) listen(s *Session, more bool) (above uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.announcer != nil {
		above = l.announcer.Last()
	}
	_, there := l.sessions[s]
	switch {
	case !there:
	case more:
		s.listens++
		l.listening++
	case s.listens > 0:
		s.listens--
		l.listening--
	}
	return above
}

// scheduleHead announces the number of the last commit again, in growing intervals,
// once commits have stopped and while a tab listens: a listener that misses the last of
// several commits sees no gap, and may miss any number of these as well. The mutex is held.
func (l *Leader) scheduleHead(wait time.Duration) {
	if l.headTimer != nil {
		l.headTimer.Stop()
	}
	l.headTimer = nil
	if l.closed || l.listening == 0 {
		return
	}
	l.headTimer = time.AfterFunc(wait, func() {
		_ = l.announcer.Head()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.scheduleHead(min(2*wait, l.env.Bounds.HeadLast))
	})
}

// SetOnline passes on whether the platform has a network.
func (l *Leader) SetOnline(online bool) {
	if l.sync != nil {
		l.sync.SetOnline(online)
	}
}

// SetStorage sets the storage class of the database's files, once it is known.
func (l *Leader) SetStorage(storage string) {
	l.mu.Lock()
	changed := l.storage != storage
	l.storage = storage
	l.mu.Unlock()
	if changed {
		l.each(func(s *Session) { s.tell(rpc.StorageEvent(storage)) })
	}
}

// DB is the database, for tests and checks.
func (l *Leader) DB() *store.DB { return l.db }

// Probe returns once it has held every mutex that a request needs: the leader's, the
// sessions' and SQLite's. If the leader is stuck it does not return. quiet means that
// no tab waits for a reply, and none has a transaction or a load open.
func (l *Leader) Probe() (quiet bool) {
	l.db.Probe()
	quiet = !l.hasLongWriter()
	l.each(func(s *Session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		quiet = quiet && len(s.calls)+len(s.txs)+len(s.loads)+len(s.exports) == 0
	})
	return quiet
}

// Close ends every session without a message (the tabs learn from their ports that
// the leader is gone, and turn to the next one), stops sync and closes the database.
// ctx bounds the wait for running calls.
func (l *Leader) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	if l.headTimer != nil {
		l.headTimer.Stop()
	}
	l.mu.Unlock()
	l.each(func(s *Session) { s.Close() })
	l.stop()
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	var waited error
	select {
	case <-done:
	case <-ctx.Done():
		waited = errcode.Wrap(ctx.Err(), errcode.Timeout, "leader: close")
	}
	if l.sync != nil {
		l.sync.Close()
	}
	if l.unlisten != nil {
		l.unlisten()
	}
	if l.live != nil {
		l.live.Close()
	}
	if l.db != nil {
		if err := l.db.Close(); err != nil {
			return err
		}
	}
	return waited
}

// each calls f for every session, without holding a lock.
func (l *Leader) each(f func(*Session)) {
	l.mu.Lock()
	list := make([]*Session, 0, len(l.sessions))
	for s := range l.sessions {
		list = append(list, s)
	}
	l.mu.Unlock()
	for _, s := range list {
		f(s)
	}
}

// longWriter counts, by +1 and -1, the transactions and loads that may keep the
// writer for long. Reads that wait for writes behind them check again.
func (l *Leader) longWriter(by int) {
	l.mu.Lock()
	l.open += by
	l.mu.Unlock()
	l.each(func(s *Session) { s.order.signal() })
}

func (l *Leader) hasLongWriter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open > 0
}

// spawn runs f in a goroutine that Close waits for.
func (l *Leader) spawn(f func()) {
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		f()
	}()
}

// seed writes the rows that a new database begins with; with sync, once the server
// has reported that the space is empty.
func (l *Leader) seed(ctx context.Context) error {
	run := func(tx *store.Tx) error {
		for _, s := range l.config.Seed {
			if _, err := tx.Exec(s.SQL, s.Params); err != nil {
				return err
			}
		}
		return nil
	}
	if l.sync != nil {
		return l.sync.Seed(ctx, run)
	}
	err := l.db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		owed, err := tx.TakeSeed()
		if err != nil || !owed {
			return err
		}
		return run(tx)
	})
	return errcode.Wrap(err, errcode.Internal, "leader: seed")
}
