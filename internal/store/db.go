package store

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/migrate"
	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// DB is an open database. Its methods may be called by several goroutines.
type DB struct {
	opts  Options
	names *sqlconn.Names

	mu     sync.Mutex // held during each call into SQLite, over both connections
	closed bool
	gone   chan struct{} // closed by Close

	damaged bool // a sign of damage was seen

	writerConn *conn
	readerConn *conn          // the same as writerConn with SingleConn
	writer     chan *conn     // the turn to write: the goroutine that holds the element has it
	reader     chan *conn     // the turn to read; the writer's with SingleConn
	snapshot   *conn          // of read transactions; nil before the first, and with SingleConn
	snapshots  chan *conn     // the turn to have one, perhaps nil; the writer's with SingleConn
	slots      chan struct{}  // an element for each iteration
	iterators  map[*conn]bool // all other connections: of iterations, checks
	idle       []*conn        // those not in use

	schema   *schema.Schema
	classes  map[string]Class // of SQL that was asked about; see Class
	recorder Recorder
	onImport []func(*sqlite3.Conn) error

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
		names:     sqlconn.NewNames(opts.Synced),
		classes:   map[string]Class{},
		writeLogs: writeLogs{logs: map[string]*writeLog{}},
		gone:      make(chan struct{}),
		writer:    make(chan *conn, 1),

		iterators: map[*conn]bool{},
		slots:     make(chan struct{}, maxIterations),
	}
	db.opts.Bounds.defaults()
	if db.opts.Yield == nil {
		db.opts.Yield = runtime.Gosched
	}
	defer func() {
		if r := recover(); r != nil {
			err = sqlerr.Wrap(ctx, sqlerr.Recovered(r), op, "")
		}
		if err != nil {
			db.damaged = db.damaged || sqlerr.Damaged(err)
			db.Close()
		}
	}()

	db.mu.Lock()
	defer db.mu.Unlock()
	if db.writerConn, err = db.connect(ctx, true); err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	if err := db.writerConn.emptyLog(ctx); err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	if err := db.migrate(ctx, db.writerConn.Conn); err != nil {
		return nil, err
	}
	// A file that an older build has made has no such table.
	if err := db.writerConn.Exec(writeLogTable); err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	db.readerConn, db.reader, db.snapshots = db.writerConn, db.writer, db.writer
	if !opts.SingleConn {
		db.snapshots = make(chan *conn, 1)
		db.snapshots <- nil // its connection is opened when it is needed
		if db.readerConn, err = db.connect(ctx, false); err != nil {
			return nil, sqlerr.Wrap(ctx, err, op, "")
		}
		db.reader = make(chan *conn, 1)
		db.reader <- db.readerConn
	}
	if err := db.loadSchema(db.writerConn); err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	db.writer <- db.writerConn
	return db, nil
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
			err = sqlerr.Wrap(context.Background(), sqlerr.Recovered(r), "store: close", "")
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
			err = sqlerr.Wrap(context.Background(), e, "store: close", "")
		}
	}
	return err
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
	return slices.Clone(db.schema.Tables)
}

// Table returns the named table. Case matters not.
func (db *DB) Table(name string) (*Table, bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	t := db.schema.Table(name)
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
		if err == nil || !sqlerr.Busy(err) || spent >= db.opts.Bounds.Busy || ctx.Err() != nil {
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

func closedErr(op string) error {
	return errcode.New(errcode.Closed, op, "the database is closed")
}

// noteDamage reports the first sign of damage. From then on the store avoids every
// write to the file that it can. The mutex is held.
func (db *DB) noteDamage(c *conn, err error) {
	if db.damaged || c.foreign || !Damaged(err) {
		return
	}
	db.damaged = true
	if db.opts.OnDamage != nil {
		go db.opts.OnDamage(err)
	}
}

// migrate brings the file of c to the app's migrations. It is called inside SQLite.
func (db *DB) migrate(ctx context.Context, c *sqlconn.Conn) error {
	plan := migrate.Plan{Migrations: db.opts.Migrations, Tables: writeLogTable, NewHook: db.opts.MigrationHook,
		Retry: db.retryBusy}
	if db.opts.Seed {
		plan.Tables += tableOfSeed
	}
	return plan.Run(ctx, c)
}

// scratch makes a scratch file.
func (db *DB) scratch(ctx context.Context) (ScratchFile, error) {
	if db.opts.Scratch != nil {
		s, err := db.opts.Scratch(ctx)
		// If the storage was removed, a copy in memory can still save the content.
		if errcode.Of(err) != errcode.StorageLost {
			return s, errcode.Wrap(err, errcode.StorageUnavail, "store: scratch file")
		}
	}
	return scratch.NewMemory(nil), nil
}

// tableOfSeed has a row in a file made with Options.Seed until its seed is written.
const tableOfSeed = `CREATE TABLE heddle_seed(owed INTEGER PRIMARY KEY); INSERT INTO heddle_seed VALUES(1);`

// TakeSeed reports whether the seed is still to be written: the file was made with
// Options.Seed, and no transaction in which TakeSeed reported true has committed.
// Committing this one settles it.
func (tx *Tx) TakeSeed() (owed bool, err error) {
	err = tx.Inside(func(*sqlite3.Conn) error {
		n, err := tx.c.Scalar(`SELECT count(*) FROM sqlite_schema WHERE name = 'heddle_seed'`)
		if err != nil || n == int64(0) {
			return err
		}
		if n, err = tx.c.Scalar(`SELECT count(*) FROM heddle_seed`); err != nil || n == int64(0) {
			return err
		}
		owed = true
		return tx.c.Run(`DELETE FROM heddle_seed`)
	})
	return owed, err
}
