package store

import (
	"context"
	"fmt"
	"io"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/capture"
	"heddle.dev/heddle/internal/store/dbfile"
	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
)

// conn is one of the database's connections. All of it is used inside DB.inside alone.
type conn struct {
	*sqlconn.Conn
	db *DB

	capture  *capture.Capture // of the open transaction; nil outside and during migrations
	notified notified         // in the open transaction
	tally    capture.Tally    // stands before the pre-update hook; nil if the engine has none
	foreign  bool             // it works on another file: an import's
	held     bool             // a recorder runs: its goroutine is inside SQLite already
}

// inside runs f inside SQLite: with the mutex, so no other goroutine uses any
// connection meanwhile. ctx interrupts it. f must not wait for anything.
func (db *DB) inside(ctx context.Context, c *conn, f func() error) (err error) {
	if c.held {
		return f()
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return closedErr("store: use")
	}
	c.SetInterrupt(ctx)
	defer func() {
		c.SetInterrupt(context.Background())
		if r := recover(); r != nil {
			err = sqlerr.Recovered(r)
		}
		if err != nil {
			db.noteDamage(c, err)
		}
	}()
	return f()
}

// connect opens a connection and sets it up. The mutex is held.
func (db *DB) connect(ctx context.Context, writer bool) (_ *conn, err error) {
	c := &conn{db: db}
	if c.Conn, err = sqlconn.Open(ctx, db.opts.Filename, db.names); err != nil {
		return nil, err
	}
	c.OnSchema = db.dropCaches
	defer func() {
		if err != nil {
			c.Conn.Close()
		}
	}()
	if writer {
		if open := db.opts.Engine.NewTally; open != nil {
			c.tally = open(c.Conn.Conn, c.preUpdate)
		}
		if c.tally == nil {
			c.PreUpdateHook(c.preUpdate)
		}
	}
	if writer && db.opts.SingleConn {
		if err := c.Exec(`PRAGMA locking_mode = exclusive`); err != nil {
			return nil, err
		}
	}
	if err := c.setup(ctx, writer); err != nil {
		return nil, err
	}
	return c, c.Authorize()
}

// setup asks for WAL and FULL and makes sure of both.
func (c *conn) setup(ctx context.Context, writer bool) error {
	const op = "store: open"
	// A page that is not in the cache is a call out of the engine, and a load that
	// outgrows it writes pages more than once. 16 MiB is what SQLite's own build
	// for browsers takes; it fills only as far as it is used.
	if err := c.Exec(`PRAGMA cache_size = -16384`); err != nil {
		return err
	}
	bare := false // its pages have no checksums
	if writer {
		// Every page has a checksum, in eight bytes that SQLite leaves free;
		// go-sqlite3 keeps and verifies them. https://sqlite.org/cksumvfs.html
		if has, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES); err != nil {
			return err
		} else if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, dbfile.ChecksumSize); err != nil {
			return err
		} else if size, err := c.fileSize(sqlite3.FCNTL_FILE_POINTER); err != nil {
			return err
		} else if size > 0 {
			bare = has != dbfile.ChecksumSize
		} else if err := c.Exec(`PRAGMA synchronous = normal`); err != nil {
			// A new file is made with checksums, and its first page in a rollback journal
			// that has no pages: NORMAL flushes that once before the page is written, FULL
			// twice. https://sqlite.org/pragma.html#pragma_synchronous
			return err
		}
		// The log gives its space back after a checkpoint: it counts against the quota.
		if err := c.Exec(fmt.Sprintf(`PRAGMA journal_size_limit = %d`, logLimit)); err != nil {
			return err
		}
		var mode Value
		err := c.db.retryBusy(ctx, func() (err error) {
			mode, err = c.Scalar(`PRAGMA journal_mode = wal`)
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
	if err := c.Exec(`PRAGMA synchronous = full; PRAGMA foreign_keys = on; PRAGMA temp_store = memory; PRAGMA
		trusted_schema = off`); err != nil {
		return err
	}
	// No SQL writes to sqlite_schema or to the shadow tables of an index.
	if _, err := c.Config(sqlite3.DBCONFIG_DEFENSIVE, true); err != nil {
		return err
	}
	if !writer {
		if err := c.Exec(`PRAGMA query_only = on`); err != nil {
			return err
		}
	}
	if bare {
		if err := c.addChecksums(); err != nil {
			return err
		}
	}
	if level, err := c.Scalar(`PRAGMA synchronous`); err != nil || level != int64(2) {
		if err == nil {
			err = errcode.New(errcode.Internal, op, fmt.Sprintf("synchronous is %v, not FULL", level))
		}
		return err
	}
	c.ClearCache()
	return nil
}

// logLimit is how much of its space the log keeps after a checkpoint, in bytes.
const logLimit = 8 << 20

// emptyLog copies a large log into the file and cuts it off: else each start has
// to recover it again, until as much is written. It does so as well where the power was
// cut while the file's first page was written: the log has that page, but whether pages
// carry checksums is read from the file. A checkpoint that a reader holds back might
// write other pages before that one, without their checksums.
func (c *conn) emptyLog(ctx context.Context) error {
	// A file is opened at the first read, and its log recovered.
	if _, err := c.Scalar(`SELECT count(*) FROM sqlite_schema`); err != nil {
		return err
	}
	size, err := c.fileSize(sqlite3.FCNTL_JOURNAL_POINTER)
	if err != nil || size == 0 || size <= logLimit && c.hasHeader() {
		return nil // SQLite without such a file: in memory
	}
	err = c.db.retryBusy(ctx, func() error { return c.Exec(`PRAGMA wal_checkpoint(truncate)`) })
	if sqlerr.Damaged(err) {
		return err
	}
	return nil // a disk that is full: the log serves as well
}

// fileSize is the length of the database's file, or of its log.
func (c *conn) fileSize(which sqlite3.FcntlOpcode) (int64, error) {
	f, err := c.FileControl("main", which)
	if err != nil {
		return 0, err
	}
	if f, ok := f.(interface{ Size() (int64, error) }); ok {
		return f.Size()
	}
	return 0, nil
}

// hasHeader reports whether the database's file begins as one does, or is empty.
func (c *conn) hasHeader() bool {
	f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	file, ok := f.(io.ReaderAt)
	if err != nil || !ok {
		return true
	}
	var head [dbfile.HeaderSize]byte
	n, _ := file.ReadAt(head[:], 0)
	return n == 0 || dbfile.HasMagic(head[:n])
}

// addChecksums gives an older file its checksums, if that takes little memory:
// VACUUM holds a copy of it. One that is larger gets them from a VACUUM of the
// app's, and health says so until then.
func (c *conn) addChecksums() error {
	const most = 64 << 20
	size, err := c.Scalar(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`)
	if n, _ := size.(int64); err != nil || n == 0 || n > most {
		return err
	}
	if err := c.Exec(`VACUUM; PRAGMA wal_checkpoint(truncate)`); errcode.Of(sqlerr.Wrap(context.Background(), err, "",
		"")) != "SQLITE_FULL" {
		return err
	}
	return nil // there is no space for it now
}

// close ends what runs on the connection. The mutex is held.
func (c *conn) close() error {
	c.capture = nil
	if c.db.damaged {
		c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true) // it is kept as it was found
	}
	return c.Conn.Close()
}

// preUpdate is the pre-update hook.
func (c *conn) preUpdate(d sqlite3.PreUpdateData) {
	if c.capture != nil {
		c.capture.PreUpdate(d)
	}
}

// follow begins to capture a transaction, or what comes after a savepoint of one.
func (c *conn) follow(origin Origin) {
	c.capture = capture.New(c.Conn, c.tally, c.db.schema, capture.Options{
		Local: origin.Kind != Sync, Rows: c.db.notices.carryRows()})
	c.notified = notified{}
}

// begins is called before s runs for the app.
func (c *conn) begins(s *sqlconn.Stmt) {
	if c.capture != nil {
		c.capture.Begins(s)
		if s.Savepoint != "" {
			if s.Savepoint == "ROLLBACK" {
				c.capture.Undo()
			}
			c.notified.savepoint(s.Savepoint, s.SavepointName)
		}
	}
	c.Begins(s)
}

// bookkeeping runs f, which makes Heddle's own writes and does not show them to the app.
func (c *conn) bookkeeping(f func() error) error {
	if c.capture != nil {
		c.capture.Begins(nil)
	}
	return c.Bookkeeping(f)
}

// loadSchema reads the schema through c and keeps it. It is called inside SQLite.
func (db *DB) loadSchema(c *conn) error {
	s, err := schema.Read(c.Conn)
	if err != nil {
		return err
	}
	// An open transaction keeps what it has noted so far.
	if cp := c.capture; cp != nil {
		cp.Renew(s)
	}
	db.schema = s
	return db.names.LoadTemp(c.Conn)
}

// dropCaches lets go of every prepared statement that nobody runs: after DDL
// what was noted of them may be wrong.
func (db *DB) dropCaches() {
	for _, c := range []*conn{db.writerConn, db.readerConn, db.snapshot} {
		if c != nil {
			c.ClearCache()
			c.Stale = true
		}
	}
}
