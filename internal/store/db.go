package store

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// DB is an open database. Its methods may be called by several goroutines.
type DB struct {
	opts   Options
	synced map[string]bool // lower case

	mu     sync.Mutex // held during each call into SQLite, over both connections
	closed bool
	gone   chan struct{} // closed by Close

	damaged bool // a sign of damage was seen

	writerConn *conn
	readerConn *conn          // the same as writerConn with SingleConn
	writer     chan *conn     // the turn to write: the goroutine that holds the element has it
	reader     chan *conn     // the turn to read; the writer's with SingleConn
	slots      chan struct{}  // an element for each iteration
	iterators  map[*conn]bool // all other connections: of iterations, checks
	idle       []*conn        // those not in use

	schema   *schema
	classes  map[string]Class // of SQL that was asked about; see Class
	recorder Recorder
	onImport []func(*sqlite3.Conn) error

	temp    atomic.Bool     // the writer has tables that the reader has not
	temps   map[string]bool // their names, lower case
	notices notices

	writeLogs writeLogs
}

// Open opens or creates the database and runs the migrations that it has not
// had yet. It fails with HEDDLE_MIGRATION if the file had other migrations
// than opts names, or more of them. ctx bounds the opening alone, except that
// its memory limit (sqlite3.WithMaxMemory) stays.
func Open(ctx context.Context, opts Options) (_ *DB, err error) {
	const op = "store: open"
	db := &DB{
		opts:      opts,
		synced:    map[string]bool{},
		classes:   map[string]Class{},
		writeLogs: writeLogs{logs: map[string]*writeLog{}},
		gone:      make(chan struct{}),
		writer:    make(chan *conn, 1),

		iterators: map[*conn]bool{},
		slots:     make(chan struct{}, maxIterations),
	}
	for _, t := range opts.Synced {
		db.synced[strings.ToLower(t)] = true
	}
	db.opts.Bounds.defaults()
	if db.opts.Yield == nil {
		db.opts.Yield = runtime.Gosched
	}
	defer func() {
		if r := recover(); r != nil {
			err = wrapErr(ctx, recovered(r), op, "")
		}
		if err != nil {
			db.damaged = db.damaged || Damaged(err)
			db.Close()
		}
	}()

	db.mu.Lock()
	defer db.mu.Unlock()
	if db.writerConn, err = db.connect(ctx, true); err != nil {
		return nil, wrapErr(ctx, err, op, "")
	}
	if err := db.writerConn.emptyLog(ctx); err != nil {
		return nil, wrapErr(ctx, err, op, "")
	}
	if err := db.migrate(ctx, db.writerConn, opts.Migrations); err != nil {
		return nil, err
	}
	// A file that an older build has made has no such table.
	if err := db.writerConn.exec(writeLogTable); err != nil {
		return nil, wrapErr(ctx, err, op, "")
	}
	db.readerConn, db.reader = db.writerConn, db.writer
	if !opts.SingleConn {
		if db.readerConn, err = db.connect(ctx, false); err != nil {
			return nil, wrapErr(ctx, err, op, "")
		}
		db.reader = make(chan *conn, 1)
		db.reader <- db.readerConn
	}
	if err := db.loadSchema(db.writerConn); err != nil {
		return nil, wrapErr(ctx, err, op, "")
	}
	db.writer <- db.writerConn
	return db, nil
}

// connect opens a connection and sets it up. The mutex is held.
func (db *DB) connect(ctx context.Context, writer bool) (_ *conn, err error) {
	c := &conn{db: db}
	if c.c, err = sqlite3.OpenContext(ctx, db.opts.Filename); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.c.Close()
		}
	}()
	if writer {
		if open := db.opts.Engine.NewTally; open != nil {
			c.tally = open(c.c, c.preUpdate)
		}
		if c.tally == nil {
			c.c.PreUpdateHook(c.preUpdate)
		}
	}
	c.limit()
	if err := c.functions(); err != nil {
		return nil, err
	}
	if writer && db.opts.SingleConn {
		if err := c.c.Exec(`PRAGMA locking_mode = exclusive`); err != nil {
			return nil, err
		}
	}
	if err := c.setup(ctx, writer); err != nil {
		return nil, err
	}
	return c, c.c.SetAuthorizer(c.authorize)
}

// setup asks for WAL and FULL and makes sure of both.
func (c *conn) setup(ctx context.Context, writer bool) error {
	const op = "store: open"
	// A page that is not in the cache is a call out of the engine, and a load that
	// outgrows it writes pages more than once. 16 MiB is what SQLite's own build
	// for browsers takes; it fills only as far as it is used.
	if err := c.exec(`PRAGMA cache_size = -16384`); err != nil {
		return err
	}
	bare := false // its pages have no checksums
	if writer {
		// Every page has a checksum, in eight bytes that SQLite leaves free;
		// go-sqlite3 keeps and verifies them. https://sqlite.org/cksumvfs.html
		if has, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES); err != nil {
			return err
		} else if _, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, checksumSize); err != nil {
			return err
		} else {
			bare = has != checksumSize
		}
		// The log gives its space back after a checkpoint: it counts against the quota.
		if err := c.exec(fmt.Sprintf(`PRAGMA journal_size_limit = %d`, logLimit)); err != nil {
			return err
		}
		var mode Value
		err := c.db.retryBusy(ctx, func() (err error) {
			mode, err = c.scalar(`PRAGMA journal_mode = wal`)
			return err
		})
		if err != nil {
			return err
		}
		if mode != "wal" && !(c.db.opts.SingleConn && mode == "memory") {
			return errcode.New(errcode.StorageUnavail, op, fmt.Sprintf("the journal mode is %v, and only wal is safe here",
				mode))
		}
	}
	if err := c.exec(`PRAGMA synchronous = full; PRAGMA foreign_keys = on; PRAGMA temp_store = memory; PRAGMA
		trusted_schema = off`); err != nil {
		return err
	}
	// No SQL writes to sqlite_schema or to the shadow tables of an index.
	if _, err := c.c.Config(sqlite3.DBCONFIG_DEFENSIVE, true); err != nil {
		return err
	}
	if !writer {
		if err := c.exec(`PRAGMA query_only = on`); err != nil {
			return err
		}
	}
	if bare {
		if err := c.addChecksums(); err != nil {
			return err
		}
	}
	if level, err := c.scalar(`PRAGMA synchronous`); err != nil || level != int64(2) {
		if err == nil {
			err = errcode.New(errcode.Internal, op, fmt.Sprintf("synchronous is %v, not FULL", level))
		}
		return err
	}
	c.cache.clear()
	return nil
}

// logLimit is how much of its space the log keeps after a checkpoint, in bytes.
const logLimit = 8 << 20

// emptyLog copies a large log into the file and cuts it off: else each start has
// to recover it again, until as much is written.
func (c *conn) emptyLog(ctx context.Context) error {
	// A file is opened at the first read, and its log recovered.
	if _, err := c.scalar(`SELECT count(*) FROM sqlite_schema`); err != nil {
		return err
	}
	if size, err := c.fileSize(sqlite3.FCNTL_JOURNAL_POINTER); err != nil || size <= logLimit {
		return nil // SQLite without such a file: in memory
	}
	err := c.db.retryBusy(ctx, func() error { return c.exec(`PRAGMA wal_checkpoint(truncate)`) })
	if Damaged(err) {
		return err
	}
	return nil // a disk that is full: the log serves as well
}

// fileSize is the length of the database's file, or of its log.
func (c *conn) fileSize(which sqlite3.FcntlOpcode) (int64, error) {
	f, err := c.c.FileControl("main", which)
	if err != nil {
		return 0, err
	}
	if f, ok := f.(interface{ Size() (int64, error) }); ok {
		return f.Size()
	}
	return 0, nil
}

// Close ends everything: an open transaction rolls back, a running query
// fails with HEDDLE_CLOSED at its next batch. A second call does nothing.
func (db *DB) Close() (err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	close(db.gone)
	defer func() {
		if r := recover(); r != nil {
			err = wrapErr(context.Background(), recovered(r), "store: close", "")
		}
	}()
	conns := []*conn{db.readerConn, db.writerConn}
	if db.readerConn == db.writerConn {
		conns = conns[1:]
	}
	for c := range db.iterators {
		conns = append([]*conn{c}, conns...) // the writer goes last, and empties the log
	}
	for _, c := range conns {
		if c == nil {
			continue
		}
		if e := c.close(); e != nil && err == nil {
			err = wrapErr(context.Background(), e, "store: close", "")
		}
	}
	return err
}

// close ends what runs on the connection. The mutex is held.
func (c *conn) close() error {
	c.capture = nil
	c.cache.clear()
	var open []*sqlite3.Stmt
	for s := range c.c.Stmts() {
		open = append(open, s)
	}
	for _, s := range open {
		s.Close()
	}
	if !c.c.GetAutocommit() {
		c.c.Exec(`ROLLBACK`)
	}
	if c.db.damaged {
		c.c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true) // it is kept as it was found
	}
	return c.c.Close()
}

// Probe returns once the way into SQLite is free.
func (db *DB) Probe() {
	db.mu.Lock()
	defer db.mu.Unlock()
}

// SetRecorder installs the recorder. It is called before the first write.
func (db *DB) SetRecorder(r Recorder) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.recorder = r
}

// Tables returns the tables of the main schema, by name. Heddle's own and
// SQLite's are left out, and so are the shadow tables of virtual ones.
func (db *DB) Tables() []*Table {
	db.mu.Lock()
	defer db.mu.Unlock()
	return append([]*Table(nil), db.schema.list...)
}

// Table returns the named table. Case matters not.
func (db *DB) Table(name string) (*Table, bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	t := db.schema.byName[strings.ToLower(name)]
	return t, t != nil
}

// turn waits for a connection.
func (db *DB) turn(ctx context.Context, ch chan *conn, op string) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, errcode.Wrap(err, errcode.Aborted, op)
	}
	select {
	case c := <-ch:
		return c, nil
	case <-ctx.Done():
		return nil, errcode.Wrap(ctx.Err(), errcode.Aborted, op)
	case <-db.gone:
		return nil, closedErr(op)
	}
}

// retryBusy runs f again while SQLite returns BUSY, for at most [Bounds.Busy]. The
// mutex, which the caller holds, is released while it waits.
func (db *DB) retryBusy(ctx context.Context, f func() error) error {
	wait, spent := time.Millisecond, time.Duration(0)
	for {
		err := f()
		if err == nil || !isBusy(err) || spent >= db.opts.Bounds.Busy || ctx.Err() != nil {
			return err
		}
		db.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		db.mu.Lock()
		if db.closed {
			return closedErr("store: use")
		}
		spent += wait
		wait = min(wait*2, 100*time.Millisecond)
	}
}

// yield lets other goroutines into SQLite: an Unlock followed by a Lock
// alone would win the mutex back.
func (db *DB) yield() { db.opts.Yield() }
