package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// backupPages is how many pages an export copies before it lets others in.
const backupPages = 512

// maxVacuum is up to which size an imported file without checksums gets them:
// VACUUM makes a copy of it in memory.
const maxVacuum = 64 << 20

// Export writes a valid SQLite file with the content as of now: one snapshot,
// taken beside writers. It is complete in memory before the first byte is
// written; w is called outside SQLite.
//
// https://sqlite.org/backup.html
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	const op = "store: export"
	data, err := db.snapshot(ctx)
	if err != nil {
		return wrapErr(ctx, err, op, "")
	}
	const chunk = 256 << 10
	for len(data) > 0 {
		n := min(chunk, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			return errcode.Wrap(err, errcode.Internal, op)
		}
		data = data[n:]
		if err := ctx.Err(); err != nil {
			return errcode.Wrap(err, errcode.Aborted, op)
		}
	}
	return nil
}

func (db *DB) snapshot(ctx context.Context) ([]byte, error) {
	c, err := db.turn(ctx, db.reader, "store: export")
	if err != nil {
		return nil, err
	}
	defer func() { db.reader <- c }()
	var size Value
	err = db.inside(ctx, c, func() (err error) {
		size, err = c.scalar(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`)
		return err
	})
	if err != nil {
		return nil, err
	}
	n, _ := size.(int64)
	uri, f, drop := memory.create(make([]byte, 0, n))
	defer drop()
	var b *sqlite3.Backup
	err = db.inside(ctx, c, func() (err error) {
		// The read transaction holds one snapshot over all steps: without it
		// each commit would start the copy anew.
		if err := c.exec(`BEGIN; SELECT count(*) FROM sqlite_schema`); err != nil {
			return err
		}
		b, err = c.c.BackupInit("main", uri)
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
		db.breathe()
	}
	e := db.inside(context.Background(), c, func() error {
		err := b.Close()
		if !c.c.GetAutocommit() {
			err = errors.Join(err, c.exec(`ROLLBACK`))
		}
		return err
	})
	if err = errors.Join(err, e); err != nil {
		return nil, err
	}
	if len(f.data) >= headerSize && checksummed(f.data) {
		seal(f.data, pageSize(f.data))
	}
	return f.data, rollbackMode(f.data)
}

// OnImport lets f adapt the content of an import before it replaces the
// database's: the replica's identity belongs to the file's place, not to its
// bytes. f has the copy's connection alone, in a transaction; an error ends
// the import. It is called before the first Import.
func (db *DB) OnImport(f func(*sqlite3.Conn) error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.onImport = append(db.onImport, f)
}

// Import replaces the content of the database by that of an SQLite file. The
// file must pass SQLite's quick check, and have had a beginning of this
// database's migrations (HEDDLE_MIGRATION otherwise); the missing ones run on
// a copy first. If Import fails, the database is as it was. Subscribers get a
// commit with Schema set. What is kept of tabs' writes stays, and outcomes are
// kept with the new content.
func (db *DB) Import(ctx context.Context, r io.Reader, outcomes ...Outcomes) error {
	const op = "store: import"
	data, err := io.ReadAll(r)
	if err != nil {
		return errcode.Wrap(err, errcode.Internal, op)
	}
	if err := rollbackMode(data); err != nil {
		return err
	}
	uri, _, drop := memory.create(data)
	defer drop()
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
	return wrapErr(ctx, db.inside(ctx, c, func() error {
		c.foreign = true
		err := db.prepareImport(ctx, c, uri, checksummed(data) || len(data) > maxVacuum, outcomes)
		if err != nil {
			return err
		}
		c.foreign = false
		db.dropCaches()
		if err := c.c.Restore("main", uri); err != nil {
			return err
		}
		if err := db.loadSchema(c); err != nil {
			return err
		}
		db.notices.add(&Commit{Origin: Origin{Kind: Local}, Schema: true})
		return nil
	}), op, "")
}

// prepareImport checks the copy and brings it to this database's migrations.
// Unless keep is set, the copy gets checksums.
func (db *DB) prepareImport(ctx context.Context, w *conn, uri string, keep bool, outcomes []Outcomes) (err error) {
	const op = "store: import"
	c := &conn{db: db}
	if c.c, err = sqlite3.OpenContext(ctx, uri); err != nil {
		return err
	}
	defer func() {
		c.cache.clear()
		err = errors.Join(err, c.c.Close())
	}()
	if err := c.functions(); err != nil {
		return err
	}
	if _, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, 8); err != nil {
		return err
	}
	if err := c.exec(`PRAGMA journal_mode = memory; PRAGMA synchronous = off; PRAGMA trusted_schema = off`); err != nil {
		return err
	}
	if v, err := c.scalar(`PRAGMA quick_check(1)`); err != nil || v != "ok" {
		if err == nil {
			err = errcode.New("SQLITE_CORRUPT", op, fmt.Sprint("the file is damaged: ", v))
		}
		return err
	}
	if v, err := c.scalar(`PRAGMA encoding`); err != nil || v != "UTF-8" {
		if err == nil {
			err = errcode.New(errcode.Unsupported, op, fmt.Sprint("the file's text is in ", v, ", it must be UTF-8"))
		}
		return err
	}
	size, err := w.scalar(`PRAGMA page_size`)
	if err != nil {
		return err
	}
	if err := c.c.SetAuthorizer(c.authorize); err != nil {
		return err
	}
	if err := db.migrate(ctx, c, db.opts.Migrations); err != nil {
		return err
	}
	c.c.SetInterrupt(ctx)
	if err := w.carryOutcomes(c, outcomes); err != nil {
		return err
	}
	for _, f := range db.onImport {
		if err := c.exec(`BEGIN`); err != nil {
			return err
		}
		if err := f(c.c); err != nil {
			return err
		}
		if err := c.exec(`COMMIT`); err != nil {
			return err
		}
	}
	if v, err := c.scalar(`PRAGMA page_size`); err != nil || v == size && keep {
		return err
	}
	// A backup into WAL keeps the destination's page size.
	return c.exec(fmt.Sprintf(`PRAGMA page_size = %d; VACUUM`, size))
}
