package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/crypto/blake2b"
)

const migrateOp = "store: migrate"

// tablesOfMigration record which migrations ran, and which of them brought a
// column: the groups that replicas compare.
const tablesOfMigration = `
CREATE TABLE heddle_migration(number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE heddle_column("table" TEXT NOT NULL, "column" TEXT NOT NULL, migration INTEGER NOT NULL,
	PRIMARY KEY("table", "column")) WITHOUT ROWID;` + writeLogTable

// migrate brings the file to the given migrations, all in one transaction. It
// is called inside SQLite.
func (db *DB) migrate(ctx context.Context, c *conn, migrations []string) (err error) {
	done, err := c.migrated()
	if err != nil {
		return wrapErr(ctx, err, migrateOp, "")
	}
	if err := checkMigrations(done, migrations); err != nil {
		return err
	}
	if len(done) == len(migrations) && done != nil {
		return nil
	}
	// A migration may rebuild a table that others refer to: with foreign keys
	// on, dropping the old one would cascade. SQLite ignores the switch inside
	// a transaction. https://sqlite.org/lang_altertable.html section 7
	if _, err := c.c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, false); err != nil {
		return wrapErr(ctx, err, migrateOp, "")
	}
	defer c.c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, true)
	c.c.SetInterrupt(ctx)
	defer c.c.SetInterrupt(context.Background())
	if err := db.retryBusy(ctx, func() error { return c.exec(`BEGIN IMMEDIATE`) }); err != nil {
		return wrapErr(ctx, err, migrateOp, "")
	}
	defer func() {
		if err != nil && !c.c.GetAutocommit() {
			c.c.SetInterrupt(context.Background())
			c.exec(`ROLLBACK`)
		}
	}()
	if err := db.migrateFrom(ctx, c, done, migrations); err != nil {
		return wrapErr(ctx, err, migrateOp, "")
	}
	c.cache.clear()
	return wrapErr(ctx, c.exec(`COMMIT`), migrateOp, "")
}

// migrateFrom runs the migrations that the file has not had, and the hook.
func (db *DB) migrateFrom(ctx context.Context, c *conn, done [][]byte, migrations []string) error {
	if done == nil {
		tables := tablesOfMigration
		if db.opts.Seed {
			tables += tableOfSeed
		}
		if err := c.exec(tables); err != nil {
			return err
		}
	}
	m := &migrator{conn: c, kept: map[string]bool{}, skipped: map[int64]error{}}
	if db.opts.MigrationHook != nil {
		var err error
		if m.hook, err = db.opts.MigrationHook(c.c); err != nil {
			return err
		}
	}
	for i := len(done); i < len(migrations); i++ {
		m.blame = func(err error) error { return migrationErr(ctx, err, i+1, migrations[i]) }
		if err := m.migrate(i+1, migrations[i]); err != nil {
			return m.blame(err)
		}
	}
	return m.finish()
}

// migrationErr names the migration that failed, unless ctx has ended.
func migrationErr(ctx context.Context, err error, number int, sql string) error {
	e := wrapErr(ctx, err, migrateOp, sql).(*errcode.Error)
	if e.Code == errcode.Aborted || e.Code == errcode.Timeout {
		return e
	}
	return &errcode.Error{Code: errcode.Migration, Op: migrateOp, SQL: sql, Err: err,
		Msg: fmt.Sprintf("migration %d failed: %s: %s", number, e.Code, e.Message())}
}

// migrated returns the hashes of the migrations that the file has had, nil if
// it is new.
func (c *conn) migrated() (hashes [][]byte, err error) {
	n, err := c.scalar(`SELECT count(*) FROM sqlite_schema WHERE name = 'heddle_migration'`)
	if err != nil || n == int64(0) {
		return nil, err
	}
	hashes = [][]byte{}
	err = c.each(`SELECT number, hash FROM heddle_migration ORDER BY number`, func(s *sqlite3.Stmt) error {
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
func (c *conn) recordMigration(number int, sql string, before map[[2]string]bool) error {
	after, err := c.columns()
	if err != nil {
		return err
	}
	for col := range before {
		if !after[col] {
			if err := c.run(`DELETE FROM heddle_column WHERE "table" = ? AND "column" = ?`, col[0], col[1]); err != nil {
				return err
			}
		}
	}
	for col := range after {
		if !before[col] {
			if err := c.run(`INSERT OR REPLACE INTO heddle_column VALUES(?, ?, ?)`, col[0], col[1], int64(number)); err != nil {
				return err
			}
		}
	}
	return c.run(`INSERT INTO heddle_migration VALUES(?, ?)`, int64(number), hashMigration(sql))
}

// run is each for a statement without rows.
func (c *conn) run(sql string, args ...Value) error {
	return c.each(sql, func(*sqlite3.Stmt) error { return nil }, args...)
}

// columns returns the (table, column) pairs of the app's tables.
func (c *conn) columns() (map[[2]string]bool, error) {
	cols := map[[2]string]bool{}
	err := c.each(`SELECT t.name, x.name FROM pragma_table_list t, pragma_table_xinfo(t.name, 'main') x
		WHERE t.schema = 'main' AND t.type = 'table'`, func(s *sqlite3.Stmt) error {
		if name := s.ColumnText(0); !ours(name) {
			cols[[2]string{strings.ToLower(name), strings.ToLower(s.ColumnText(1))}] = true
		}
		return nil
	})
	return cols, err
}

// loadMigrations fills Column.Migration.
func (db *DB) loadMigrations(c *conn, s *schema) error {
	return c.each(`SELECT "table", "column", migration FROM heddle_column`, func(st *sqlite3.Stmt) error {
		if t := s.byName[st.ColumnText(0)]; t != nil {
			if i := t.ColumnIndex(st.ColumnText(1)); i >= 0 {
				t.Columns[i].Migration = st.ColumnInt(2)
			}
		}
		return nil
	})
}

// dropCaches lets go of every prepared statement that nobody runs: after DDL
// what was noted of them may be wrong.
func (db *DB) dropCaches() {
	for _, c := range []*conn{db.writerConn, db.readerConn} {
		if c != nil {
			c.cache.clear()
			c.stale = true
		}
	}
}
