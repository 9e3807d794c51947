package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/dbfile"
	"heddle.dev/heddle/internal/store/script"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// backupPages is how many pages an export copies in one call into SQLite.
const backupPages = 512

// Export writes a valid SQLite file with the content as of now: one snapshot,
// which writers do not wait for. w is called outside SQLite.
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	const op = "store: export"
	k, err := db.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	part := make([]byte, CopyChunk)
	for at := int64(0); at < k.Size; {
		if err := ctx.Err(); err != nil {
			return errcode.Wrap(err, errcode.Aborted, op)
		}
		n, err := k.ReadChunk(part, at)
		if err != nil {
			return err
		}
		if _, err := w.Write(part[:n]); err != nil {
			return errcode.Wrap(err, errcode.Internal, op)
		}
		at += int64(n)
	}
	return nil
}

// CopyChunk is a size of parts that whole pages fill, whatever their size.
const CopyChunk = dbfile.Chunk

// A Copy is a file with the content that the database had at one moment.
type Copy struct {
	Size    int64
	scratch ScratchFile
	page    int // its size, 0 without checksums
}

// Snapshot copies the database to a scratch file. Other calls do not wait for it.
//
// https://sqlite.org/backup.html
func (db *DB) Snapshot(ctx context.Context) (_ *Copy, err error) {
	const op = "store: export"
	scratch, err := db.scratch(ctx)
	if err != nil {
		return nil, err
	}
	k := &Copy{scratch: scratch}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	e, err := db.extraConn(ctx, op)
	if err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	defer e.end()
	c := e.c
	var b *sqlite3.Backup
	err = db.inside(ctx, c, func() (err error) {
		// The read transaction holds one snapshot over all steps: without it
		// each commit would restart the copy.
		if err := c.Exec(`BEGIN; SELECT count(*) FROM sqlite_schema`); err != nil {
			return err
		}
		size, err := c.Scalar(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`)
		if err != nil {
			return err
		}
		k.Size, _ = size.(int64)
		b, err = c.BackupInit("main", scratch.URI()+"&_pragma=journal_mode(off)&_pragma=synchronous(off)")
		return err
	})
	for done := false; err == nil && !done; {
		err = db.inside(ctx, c, func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			done, err = b.Step(backupPages)
			return err
		})
		db.yield()
	}
	e2 := db.inside(context.Background(), c, func() error {
		err := b.Close()
		if !c.GetAutocommit() {
			err = errors.Join(err, c.Exec(`ROLLBACK`))
		}
		return err
	})
	if err = errors.Join(err, e2); err != nil {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	var head [dbfile.HeaderSize]byte
	if _, err := scratch.ReadAt(head[:], 0); err != nil && err != io.EOF {
		return nil, sqlerr.Wrap(ctx, err, op, "")
	}
	if dbfile.Checksummed(head[:]) {
		k.page = dbfile.PageSize(head[:])
	}
	return k, nil
}

// ReadChunk reads into p from at on and returns how much: all of p but at the end. The
// size of p and at are whole multiples of CopyChunk.
func (k *Copy) ReadChunk(p []byte, at int64) (int, error) {
	n := int(min(int64(len(p)), k.Size-at))
	if n <= 0 {
		return 0, nil
	}
	if m, err := k.scratch.ReadAt(p[:n], at); m != n {
		return 0, sqlerr.Wrap(context.Background(), errors.Join(io.ErrUnexpectedEOF, err), "store: export", "")
	}
	if k.page > 0 {
		dbfile.Seal(p[:n], k.page)
	}
	if at > 0 {
		return n, nil
	}
	return n, dbfile.RollbackMode(p[:n])
}

// Close removes the copy.
func (k *Copy) Close() error { return k.scratch.Close() }

// OnImport lets f adapt the content of an import before it replaces the
// database's: the replica's identity belongs to the file's place, not to its
// bytes. f has the copy's connection alone, in a transaction; an error ends
// the import. It is called before the first Import.
func (db *DB) OnImport(f func(*sqlite3.Conn) error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.onImport = append(db.onImport, f)
}

// Import replaces the content of the database by that of an SQLite file, or of
// the database that a text describes, as sqlite3's .dump writes it. The file must
// pass SQLite's quick check, and have had a beginning of this
// database's migrations (HEDDLE_MIGRATION otherwise); the missing ones run on
// a copy first. If Import fails, the database is as it was. Subscribers get a
// commit with Schema set. The write logs of sessions stay.
func (db *DB) Import(ctx context.Context, r io.Reader) error {
	return db.ImportOnce(ctx, r, "")
}

// ImportOnce is Import as a write of a session, with the entry of its write log.
func (db *DB) ImportOnce(ctx context.Context, r io.Reader, session string, entries ...Entry) error {
	const op = "store: import"
	scratch, err := db.scratch(ctx)
	if err != nil {
		return err
	}
	defer func() { scratch.Close() }()
	header, err := db.take(ctx, scratch, r)
	if err != nil {
		return sqlerr.Wrap(ctx, err, op, "")
	}
	c, err := db.turn(ctx, db.writer, op)
	if err != nil {
		return err
	}
	defer func() {
		c.foreign = false
		db.writer <- c
		db.notices.deliver()
	}()
	// The reading connection must not stand in a snapshot meanwhile.
	if db.reader != db.writer {
		rc, err := db.turn(ctx, db.reader, op)
		if err != nil {
			return err
		}
		defer func() { db.reader <- rc }()
	}
	size, err := db.pageSize(ctx, c)
	if err != nil {
		return err
	}
	// A backup into WAL keeps the destination's page size, and takes over whether
	// pages have checksums: a file that differs is rewritten.
	var like ScratchFile
	if !dbfile.Checksummed(header) || int64(dbfile.PageSize(header)) != size {
		if like, err = db.scratch(ctx); err != nil {
			return err
		}
		defer func() { like.Close() }()
	}
	return sqlerr.Wrap(ctx, db.inside(ctx, c, func() error {
		c.foreign = true
		if err := db.prepareImport(ctx, c, scratch.URI(), like, size, session, entries); err != nil {
			return err
		}
		c.foreign = false
		db.dropCaches()
		if like != nil {
			scratch, like = like, scratch // and the former is not needed any more
			like.Close()
			if err := dbfile.SealFile(scratch); err != nil {
				return err
			}
		}
		if err := c.Restore("main", scratch.URI()); err != nil {
			return err
		}
		db.writeLogs.add(session, entries)
		if err := db.loadSchema(c); err != nil {
			return err
		}
		db.notices.add(&Commit{Origin: Origin{Kind: Local}, Schema: true})
		return nil
	}), op, "")
}

// pageSize is the size of our pages.
func (db *DB) pageSize(ctx context.Context, c *conn) (size Value, err error) {
	err = db.inside(ctx, c, func() (err error) {
		size, err = c.Scalar(`PRAGMA page_size`)
		return err
	})
	return size, sqlerr.Wrap(ctx, err, "store: page size", "")
}

// take reads a file into a scratch file, or runs a text there, and returns the file's
// header.
func (db *DB) take(ctx context.Context, scratch ScratchFile, r io.Reader) (header []byte, err error) {
	part := make([]byte, CopyChunk)
	n, err := io.ReadFull(r, part)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, errcode.Wrap(err, errcode.Internal, "store: import")
	}
	if !script.IsText(part[:n]) {
		return takeFile(scratch, part, n, r)
	}
	c, err := db.turn(ctx, db.writer, "store: import")
	if err != nil {
		return nil, err
	}
	size, err := db.pageSize(ctx, c)
	if db.writer <- c; err != nil {
		return nil, err
	}
	if err := db.runScript(ctx, scratch, size, io.MultiReader(bytes.NewReader(part[:n]), r)); err != nil {
		return nil, err
	}
	if err := dbfile.SealFile(scratch); err != nil {
		return nil, err
	}
	_, err = scratch.ReadAt(part[:dbfile.HeaderSize], 0)
	return part[:dbfile.HeaderSize], err
}

// runScript writes the database that a text describes to an empty file, with pages
// of that size.
func (db *DB) runScript(ctx context.Context, file ScratchFile, size Value, r io.Reader) (err error) {
	c := &conn{db: db, foreign: true}
	db.mu.Lock()
	c.Conn, err = sqlconn.Open(ctx, file.URI(), sqlconn.NewNames(nil))
	db.mu.Unlock()
	if err != nil {
		return err
	}
	inside := func(ctx context.Context, f func() error) error { return db.inside(ctx, c, f) }
	err = script.Import(ctx, script.Target{Conn: c.Conn, PageSize: size, Inside: inside, Yield: db.yield}, r)
	return errors.Join(err, inside(context.Background(), c.close))
}

// takeFile reads a file into a scratch file: n bytes are in part already.
func takeFile(scratch ScratchFile, part []byte, n int, r io.Reader) (header []byte, err error) {
	if err := dbfile.RollbackMode(part[:n]); err != nil {
		return nil, err
	}
	if room := part[20]; room > dbfile.ChecksumSize {
		return nil, errcode.New(errcode.Unsupported, "store: import", fmt.Sprintf(
			"the file's pages leave %d bytes free, for a cipher perhaps: VACUUM INTO a file without them", room))
	}
	header = append(header, part[:dbfile.HeaderSize]...)
	for at := int64(0); n > 0; {
		if m, err := scratch.WriteAt(part[:n], at); err != nil || m != n {
			return nil, errors.Join(sqlite3.FULL, err)
		}
		at += int64(n)
		if n, err = io.ReadFull(r, part); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, errcode.Wrap(err, errcode.Internal, "store: import")
		}
	}
	return header, nil
}

// prepareImport checks the copy and brings it to this database's migrations. It is
// written to like, if that is not nil, with pages like ours.
func (db *DB) prepareImport(ctx context.Context, w *conn, uri string, like ScratchFile, size Value, session string,
	entries []Entry) (err error) {
	const op = "store: import"
	c, err := sqlconn.Open(ctx, uri, db.names)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Exec(`PRAGMA journal_mode = memory; PRAGMA synchronous = off; PRAGMA trusted_schema = off`); err != nil {
		return err
	}
	if v, err := c.Scalar(`PRAGMA quick_check(1)`); err != nil || v != "ok" {
		if err == nil {
			err = errcode.New("SQLITE_CORRUPT", op, fmt.Sprint("the file is damaged: ", v))
		}
		return err
	}
	if v, err := c.Scalar(`PRAGMA encoding`); err != nil || v != "UTF-8" {
		if err == nil {
			err = errcode.New(errcode.Unsupported, op, fmt.Sprint("the file's text is in ", v, ", it must be UTF-8"))
		}
		return err
	}
	if err := c.Authorize(); err != nil {
		return err
	}
	if err := db.migrate(ctx, c); err != nil {
		return err
	}
	c.SetInterrupt(ctx)
	if err := w.carryWriteLogs(c, session, entries); err != nil {
		return err
	}
	for _, f := range db.onImport {
		if err := c.Exec(`BEGIN`); err != nil {
			return err
		}
		if err := f(c.Conn); err != nil {
			return err
		}
		if err := c.Exec(`COMMIT`); err != nil {
			return err
		}
	}
	if like == nil {
		return nil
	}
	return rewrite(c, like.URI(), size)
}

// rewrite writes the database to an empty file, with pages of that size which
// have room for checksums.
func rewrite(c *sqlconn.Conn, uri string, size Value) error {
	// The size for VACUUM is the connection's, whatever schema the pragma names, and
	// the checksums of a file forbid to say it for main. Said for main, it would
	// undo the room for checksums as well.
	if err := c.Exec(fmt.Sprintf(`PRAGMA temp.page_size = %d`, size)); err != nil {
		return err
	}
	if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, dbfile.ChecksumSize); err != nil {
		return err
	}
	return c.Exec(`VACUUM INTO ` + sqlite3.Quote(uri))
}
