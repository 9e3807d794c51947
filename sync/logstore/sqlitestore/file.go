package sqlitestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// readers is how many connections of a file read; one more writes.
const readers = 2

// file is one file of many spaces. Its connections are opened when they are
// needed.
type file struct {
	path, vfs string
	fixed     bool // it is not made where it is not there
	bare      bool // it has no page checksums

	turn    chan struct{} // holds one token: the right to write
	w       *conn         // by who has the turn
	opened  int64         // its version when it was opened
	readers chan *conn    // those that nobody uses; nil ones are not open yet

	mu    sync.Mutex
	queue []*commit // that wait for their turn
}

func newFile(path, vfs string) *file {
	f := &file{path: path, vfs: vfs, turn: make(chan struct{}, 1), readers: make(chan *conn, readers)}
	for range readers {
		f.readers <- nil
	}
	return f
}

// close waits for those who use the file.
func (f *file) close() error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	var errs []error
	for range readers {
		if c := <-f.readers; c != nil {
			errs = append(errs, c.close())
		}
		f.readers <- nil
	}
	if f.w != nil {
		errs = append(errs, f.w.close())
		f.w = nil
	}
	return errors.Join(errs...)
}

// exists reports whether there is a file with something in it. An empty one is
// what is left of one that was never made; with a log beside it, it has lost what
// it had.
func exists(path, vfsName string) (bool, error) {
	if vfsName != "" {
		return vfs.Find(vfsName).Access(path, vfs.ACCESS_EXISTS)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errcode.New(errcode.Damaged, "sqlitestore: open file", path+" is not a regular file")
	case info.Size() > 0:
		return true, nil
	}
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		return false, errcode.New(errcode.Damaged, "sqlitestore: open file",
			path+" is empty, but its write-ahead log is not: restore a backup")
	}
	return false, nil
}

// open opens the connection that writes, and makes the file. The caller has the
// turn.
func (f *file) open() error {
	if f.w != nil {
		return nil
	}
	there, err := exists(f.path, f.vfs)
	if err == nil && !there && f.fixed {
		err = logstore.ErrNotFound
	}
	if err != nil {
		return err
	}
	c, err := openConn(fileURI(f.path, f.vfs) + "&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	err = c.prepare(f.bare)
	if err == nil {
		f.opened, err = c.version()
	}
	if err != nil {
		return errors.Join(err, c.close())
	}
	f.w = c
	return nil
}

// version changes when another connection has written to the file:
// https://sqlite.org/pragma.html#pragma_data_version
func (c *conn) version() (v int64, err error) {
	err = c.run(`PRAGMA data_version`, func(s *sqlite3.Stmt) error {
		v = s.ColumnInt64(0)
		return nil
	})
	return v, err
}

// prepare makes the tables of a new file, brings an older one to this format, and refuses a later one. A file
// keeps the page checksums that it was made with, or without.
func (c *conn) prepare(bare bool) (err error) {
	made, found, kind := false, 0, 0
	if err := c.run(`SELECT (SELECT count(*) FROM sqlite_schema), user_version, application_id
		FROM pragma_user_version, pragma_application_id`, func(s *sqlite3.Stmt) error {
		made, found, kind = s.ColumnInt(0) == 0, s.ColumnInt(1), s.ColumnInt(2)
		return nil
	}); err != nil {
		return err
	}
	room, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES)
	if err != nil {
		return err
	}
	if made { // room for checksums first: auto_vacuum makes the first page, which says how much there is
		if !bare {
			if _, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, checksumSize); err != nil {
				return err
			}
		}
		if err := c.c.Exec(`PRAGMA auto_vacuum = incremental`); err != nil {
			return err
		}
	} else if found < 1 || found > format || kind != applicationID {
		return fmt.Errorf("sqlitestore: the file has format %d of %x, and this version reads %d", found, kind, format)
	} else if bare && room == checksumSize {
		return errcode.New(errcode.BadParam, "sqlitestore: open file", "the file has page checksums, which another "+
			"program's checkpoints undo: copy its spaces into a directory whose files have none")
	}
	if err := c.configure(); err != nil || !made && found == format {
		return err
	}
	tx, err := c.c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	sql := schemaSQL
	if !made {
		for sql = ""; found < format; found++ {
			sql += formats[found]
		}
	}
	return c.c.Exec(sql + fmt.Sprintf(`PRAGMA user_version = %d; PRAGMA application_id = %d`, format, applicationID))
}

// configure sets what a writer needs. What is deleted is overwritten in the pages that
// are written anyway. A checkpoint
// comes after 16 MiB of the write-ahead log: each costs two flushes, and writes a
// page once, however often it has changed since the last.
func (c *conn) configure() error {
	const sql = `PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA journal_size_limit = 67108864;
		PRAGMA wal_autocheckpoint = 4000; PRAGMA secure_delete = fast`
	return c.c.Exec(sql)
}

// read runs f in a read transaction.
func (f *file) read(ctx context.Context, run func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-f.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.readers <- c }()
	if c == nil {
		if err := f.write(ctx, func(*conn) error { return nil }); err != nil { // makes the file
			return err
		}
		opened, err := openConn(fileURI(f.path, f.vfs) + "&_pragma=busy_timeout(10000)&_pragma=query_only(on)")
		if err != nil {
			return translate(ctx, err)
		}
		c = opened
	}
	return translate(ctx, c.reading(ctx, run))
}

func (c *conn) reading(ctx context.Context, run func(*conn) error) error {
	old := c.c.SetInterrupt(ctx)
	defer c.c.SetInterrupt(old)
	if err := c.run(`BEGIN`, nil); err != nil {
		return err
	}
	defer func() {
		c.c.SetInterrupt(context.Background())
		c.run(`ROLLBACK`, nil)
	}()
	return run(c)
}

// write runs f with the connection that writes.
func (f *file) write(ctx context.Context, run func(*conn) error) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := f.open(); err != nil {
		return translate(ctx, err)
	}
	return translate(ctx, run(f.w))
}

// written reports whether another process has written to the file since its version
// was seen, 0 for when it was opened.
func (f *file) written(seen int64) (now int64, yes bool) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	default:
		return seen, false // it is looked at again
	}
	if f.w == nil {
		return seen, false
	}
	now, err := f.w.version()
	if err != nil {
		return seen, false
	}
	return now, now != cmp.Or(seen, f.opened)
}

// giveBack gives the pages of what was deleted back to the file system, and takes
// what is left of it out of the write-ahead log.
func (f *file) giveBack(ctx context.Context) error {
	return f.write(ctx, func(c *conn) error {
		if err := c.c.Exec(`PRAGMA incremental_vacuum`); err != nil {
			return err
		}
		_, _, err := c.c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		if errors.Is(err, sqlite3.BUSY) {
			return nil // a reader needs the log: a later checkpoint does it
		}
		return err
	})
}

// head returns a space's head, without epoch if there is no such space.
func (c *conn) head(space string) (h logstore.Head, err error) {
	err = c.run(`SELECT epoch, seq, chain, kicks, gone, told FROM space WHERE name = ?`, func(s *sqlite3.Stmt) error {
		copy(h.Epoch[:], s.ColumnRawBlob(0))
		h.Seq = uint64(s.ColumnInt64(1))
		copy(h.Chain[:], s.ColumnRawBlob(2))
		h.Kicks, h.Gone, h.Told = uint64(s.ColumnInt64(3)), s.ColumnBool(4), uint64(s.ColumnInt64(5))
		return nil
	}, space)
	return h, err
}

// spaces appends the spaces after a name.
func (c *conn) spaces(after string, n int, all *[]logstore.Info) error {
	const sql = `SELECT name, gone, epoch, seq, chain, rows, live, logged, horizon FROM space
		WHERE name > ? ORDER BY name LIMIT ?`
	return c.run(sql, func(s *sqlite3.Stmt) error {
		i := logstore.Info{Space: s.ColumnText(0), Gone: s.ColumnBool(1), Rows: uint64(s.ColumnInt64(5)),
			Live: s.ColumnInt64(6), Logged: s.ColumnInt64(7), Horizon: uint64(s.ColumnInt64(8))}
		copy(i.Head.Epoch[:], s.ColumnRawBlob(2))
		i.Head.Seq = uint64(s.ColumnInt64(3))
		copy(i.Head.Chain[:], s.ColumnRawBlob(4))
		*all = append(*all, i)
		return nil
	}, after, n)
}
