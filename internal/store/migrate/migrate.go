// Package migrate brings a database file to the app's migrations.
package migrate

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/crypto/blake2b"
)

const migrateOp = "store: migrate"

// tables record which migrations ran, and which of them brought a column: the groups
// that replicas compare.
const tables = `
CREATE TABLE heddle_migration(number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE heddle_column("table" TEXT NOT NULL, "column" TEXT NOT NULL, migration INTEGER NOT NULL,
	PRIMARY KEY("table", "column")) WITHOUT ROWID;`

// Plan says what a file is brought to.
type Plan struct {
	Migrations []string // run once each, in order, all that are due in one transaction
	Tables     string   // SQL that makes further tables of Heddle's in a new file

	// NewHook makes what follows the migrations. It is called in their
	// transaction, before the first one that is due. It may be nil.
	NewHook func(*sqlite3.Conn) (Hook, error)

	// Retry runs a function again while SQLite returns BUSY.
	Retry func(context.Context, func() error) error
}

// Run brings the file of c to the migrations of the plan, all in one transaction.
// It fails with HEDDLE_MIGRATION if the file had others than these, or more of them.
// It is called inside SQLite.
func (p *Plan) Run(ctx context.Context, c *sqlconn.Conn) (err error) {
	done, err := migrated(c)
	if err != nil {
		return sqlerr.Wrap(ctx, err, migrateOp, "")
	}
	if err := checkMigrations(done, p.Migrations); err != nil {
		return err
	}
	if len(done) == len(p.Migrations) && done != nil {
		return nil
	}
	// A migration may rebuild a table that others refer to: with foreign keys
	// on, dropping the old one would cascade. SQLite ignores the switch inside
	// a transaction. https://sqlite.org/lang_altertable.html section 7
	if _, err := c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, false); err != nil {
		return sqlerr.Wrap(ctx, err, migrateOp, "")
	}
	defer c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, true)
	c.SetInterrupt(ctx)
	defer c.SetInterrupt(context.Background())
	if err := p.Retry(ctx, func() error { return c.Exec(`BEGIN IMMEDIATE`) }); err != nil {
		return sqlerr.Wrap(ctx, err, migrateOp, "")
	}
	defer func() {
		if err != nil && !c.GetAutocommit() {
			c.SetInterrupt(context.Background())
			c.Exec(`ROLLBACK`)
		}
	}()
	if err := p.runFrom(ctx, c, done); err != nil {
		return sqlerr.Wrap(ctx, err, migrateOp, "")
	}
	c.ClearCache()
	return sqlerr.Wrap(ctx, c.Exec(`COMMIT`), migrateOp, "")
}

// runFrom runs the migrations that the file has not had, and the hook.
func (p *Plan) runFrom(ctx context.Context, c *sqlconn.Conn, done [][]byte) error {
	if done == nil {
		if err := c.Exec(tables + p.Tables); err != nil {
			return err
		}
	}
	m := &migrator{Conn: c, kept: map[string]bool{}, skipped: map[int64]error{}}
	if p.NewHook != nil {
		var err error
		if m.hook, err = p.NewHook(c.Conn); err != nil {
			return err
		}
	}
	for i := len(done); i < len(p.Migrations); i++ {
		m.blame = func(err error) error { return migrationErr(ctx, err, i+1, p.Migrations[i]) }
		if err := m.migrate(i+1, p.Migrations[i]); err != nil {
			return m.blame(err)
		}
	}
	return m.finish()
}

// migrationErr names the migration that failed, unless ctx has ended.
func migrationErr(ctx context.Context, err error, number int, sql string) error {
	e := sqlerr.Wrap(ctx, err, migrateOp, sql).(*errcode.Error)
	if e.Code == errcode.Aborted || e.Code == errcode.Timeout {
		return e
	}
	return &errcode.Error{Code: errcode.Migration, Op: migrateOp, SQL: sql, Err: err,
		Msg: fmt.Sprintf("migration %d failed: %s: %s", number, e.Code, e.Message())}
}

// migrated returns the hashes of the migrations that the file has had, nil if
// it is new.
func migrated(c *sqlconn.Conn) (hashes [][]byte, err error) {
	n, err := c.Scalar(`SELECT count(*) FROM sqlite_schema WHERE name = 'heddle_migration'`)
	if err != nil || n == int64(0) {
		return nil, err
	}
	hashes = [][]byte{}
	err = c.Each(`SELECT number, hash FROM heddle_migration ORDER BY number`, func(s *sqlite3.Stmt) error {
		if s.ColumnInt(0) != len(hashes)+1 {
			return errcode.New(errcode.Migration, migrateOp, "the file's record of migrations has a gap")
		}
		hashes = append(hashes, s.ColumnBlob(1, nil))
		return nil
	})
	return hashes, err
}

func checkMigrations(done [][]byte, migrations []string) error {
	for i := range min(len(done), len(migrations)) {
		if !bytes.Equal(done[i], hashMigration(migrations[i])) {
			return &errcode.Error{Code: errcode.Migration, Op: migrateOp, SQL: migrations[i], Msg: fmt.Sprintf(
				"migration %d is not the one that this database ran: an applied migration must not change, add another one", i+1)}
		}
	}
	if len(done) > len(migrations) {
		return errcode.New(errcode.Migration, migrateOp, fmt.Sprintf(
			"the database has had %d migrations and this build of the app knows %d: a newer build wrote it, load that one",
			len(done), len(migrations)))
	}
	return nil
}

func hashMigration(sql string) []byte {
	h := blake2b.Sum256([]byte(strings.TrimSpace(sql)))
	return h[:]
}

// recordMigration notes that the migration ran and which columns it brought.
func recordMigration(c *sqlconn.Conn, number int, sql string, before map[[2]string]bool) error {
	after, err := columns(c)
	if err != nil {
		return err
	}
	for col := range before {
		if !after[col] {
			if err := c.Run(`DELETE FROM heddle_column WHERE "table" = ? AND "column" = ?`, col[0], col[1]); err != nil {
				return err
			}
		}
	}
	for col := range after {
		if !before[col] {
			if err := c.Run(`INSERT OR REPLACE INTO heddle_column VALUES(?, ?, ?)`, col[0], col[1], int64(number)); err != nil {
				return err
			}
		}
	}
	return c.Run(`INSERT INTO heddle_migration VALUES(?, ?)`, int64(number), hashMigration(sql))
}

// columns returns the (table, column) pairs of the app's tables.
func columns(c *sqlconn.Conn) (map[[2]string]bool, error) {
	cols := map[[2]string]bool{}
	err := c.Each(`SELECT t.name, x.name FROM pragma_table_list t, pragma_table_xinfo(t.name, 'main') x
		WHERE t.schema = 'main' AND t.type = 'table'`, func(s *sqlite3.Stmt) error {
		if name := s.ColumnText(0); !sqlconn.Ours(name) {
			cols[[2]string{strings.ToLower(name), strings.ToLower(s.ColumnText(1))}] = true
		}
		return nil
	})
	return cols, err
}
