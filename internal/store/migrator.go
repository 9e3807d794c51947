package store

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// MigrationHook follows the migrations of one file, inside the transaction in
// which all of them run: for sync, to which a migration changes schemas and
// never rows. While its methods run, heddle_applying() is true, foreign keys are
// off and checks are ignored. Its errors undo all of the migrations.
type MigrationHook interface {
	// Touch is called once for each table, before the first statement that may
	// change its rows: one that drops, renames or writes it, or drops or renames
	// a column. It reports whether the rows will be put back.
	Touch(table string) (kept bool, err error)
	// Without calls run, which changes the schema of a kept table, while that
	// has no rows.
	Without(table string, run func() error) error
	// Done is called after the last migration and before COMMIT. tables are
	// those of the main schema as it is now.
	Done(tables []*Table) error
}

// migrator runs the migrations of a file.
//
// A statement that fails because of rows that the hook will put back is not what
// ends a migration: other devices may have written rows that the schema before
// took and the new one does not. So a table that is filled from such rows is left
// without those that it refuses, an UPDATE of them is passed over, and a change of
// schema that they keep from happening is made while they are not there.
type migrator struct {
	*conn
	hook    MigrationHook
	names   Value             // of Heddle's tables, as the hook left them
	blame   func(error) error // names the migration that failed
	kept    map[string]bool   // tables that the hook was asked about, in lower case
	skipped map[int64]error   // by root page: tables that were not written, and why
}

// migrates is what the authorizer reports of a statement of a migration.
type migrates struct {
	touches []string // tables whose rows it may change
	altered string   // the table of an ALTER TABLE, or one that gets an index
	written string   // the table of an INSERT, UPDATE or DELETE
	dropped string   // the table of a DROP TABLE
	inserts bool
}

func (m *migrates) note(action sqlite3.AuthorizerActionCode, a3, a4, schema string) {
	switch action {
	case sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE, sqlite3.AUTH_DROP_TABLE:
		if schema != "main" || strings.HasPrefix(strings.ToLower(a3), "sqlite_") {
			return
		}
		m.touches = append(m.touches, a3)
		switch {
		case action == sqlite3.AUTH_DROP_TABLE:
			m.dropped = a3
		case m.written == "":
			m.written, m.inserts = a3, action == sqlite3.AUTH_INSERT
		}
	case sqlite3.AUTH_ALTER_TABLE:
		if a3 == "main" {
			m.altered = a4
		}
	case sqlite3.AUTH_CREATE_INDEX:
		if schema == "main" {
			m.altered = a4
		}
	case sqlite3.AUTH_FUNCTION:
		// ADD COLUMN is what does without functions of SQLite's own.
		if m.altered != "" && strings.HasPrefix(a4, "sqlite_") {
			m.touches = append(m.touches, m.altered)
		}
	}
}

// migrate runs one migration and records it.
func (m *migrator) migrate(number int, sql string) error {
	before, err := m.columns()
	if err != nil {
		return err
	}
	if m.names, err = m.ourNames(); err != nil {
		return err
	}
	for rest := sql; rest != ""; {
		s, tail, err := m.prepare(rest, migration)
		if err != nil {
			return err
		}
		if s != nil {
			s.sql = strings.TrimSuffix(rest, tail)
			if err := m.run(s); err != nil {
				return err
			}
		}
		rest = tail
		if m.c.GetAutocommit() {
			return errcode.New(errcode.TxControl, migrateOp, "the migration ended its transaction")
		}
	}
	if err := m.checkNames(m.names); err != nil {
		return err
	}
	return m.recordMigration(number, sql, before)
}

// run runs a statement and closes it.
func (m *migrator) run(s *stmt) (err error) {
	defer func() { s.Close() }()
	if len(s.names) > 0 {
		return badCount(len(s.names), 0)
	}
	for _, table := range s.migrates.touches {
		if err := m.touch(table); err != nil {
			return err
		}
	}
	if s.migrates.dropped != "" { // whatever was wrong with it
		root, err := m.root(s.migrates.dropped)
		if err != nil {
			return err
		}
		defer delete(m.skipped, root)
	}
	if err = s.Exec(); err == nil || !refusedRows(err) || m.hook == nil || m.c.GetAutocommit() {
		return err
	}
	switch did := &s.migrates; {
	case did.altered != "":
		if e := m.touch(did.altered); e != nil || !m.kept[strings.ToLower(did.altered)] {
			return err
		}
		again := func() error { return m.execMigration(s.sql) }
		return m.hooked(func() error { return m.hook.Without(did.altered, again) })
	case did.written != "" && (!did.inserts || m.readsKept(s)):
		return m.writeLess(s, err)
	}
	return err
}

// refusedRows reports whether a statement failed because of what is in rows.
func refusedRows(err error) bool {
	switch sqlite3.ErrorCode(sqliteCode(err) & 0xff) {
	case sqlite3.CONSTRAINT, sqlite3.MISMATCH, sqlite3.ERROR:
		return true
	}
	return false
}

// touch asks the hook to keep the rows of a table.
func (m *migrator) touch(table string) error {
	name := strings.ToLower(table)
	if _, asked := m.kept[name]; asked || m.hook == nil {
		return nil
	}
	if err := m.checkNames(m.names); err != nil {
		return err
	}
	return m.hooked(func() (err error) {
		if m.kept[name], err = m.hook.Touch(table); err != nil {
			return err
		}
		m.names, err = m.ourNames()
		return err
	})
}

// readsKept reports whether a statement reads rows that the hook puts back.
func (m *migrator) readsKept(s *stmt) bool {
	for table := range s.reads {
		if err := m.touch(table); err == nil && m.kept[strings.ToLower(table)] {
			return true
		}
	}
	return false
}

// writeLess runs an INSERT that has failed without the rows that the table
// refuses: without all if that is not possible.
func (m *migrator) writeLess(s *stmt, why error) error {
	root, err := m.root(s.migrates.written)
	if err != nil || root == 0 {
		return why
	}
	m.skipped[root] = m.blame(why)
	if sql, ok := orIgnore(s.sql); ok {
		if err := m.execMigration(sql); err != nil && !refusedRows(err) {
			return err
		}
	}
	return nil
}

// root returns the root page of a table, 0 if there is none. It stays the same
// when the table is renamed.
func (m *migrator) root(table string) (int64, error) {
	root, err := m.scalar(`SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`, table)
	n, _ := root.(int64)
	return n, err
}

// execMigration runs a statement once more, on behalf of the app.
func (m *migrator) execMigration(sql string) error {
	s, _, err := m.prepare(sql, migration)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Exec()
}

// orIgnore makes INSERT, INSERT OR … or REPLACE into INSERT OR IGNORE. It is
// false of a statement that begins otherwise.
func orIgnore(sql string) (string, bool) {
	rest := skipSpace(sql)
	word := func() string {
		n := 0
		for n < len(rest) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
			n++
		}
		w := strings.ToUpper(rest[:n])
		rest = skipSpace(rest[n:])
		return w
	}
	verb := word()
	if verb != "INSERT" && verb != "REPLACE" {
		return "", false
	}
	into := rest
	if word() == "OR" {
		word()
		into = rest
	}
	return "INSERT OR IGNORE " + into, true
}

// finish hands over to the hook. A table that was not written as it was told to be
// has to be one that the hook puts right.
func (m *migrator) finish() error {
	if m.hook == nil {
		return nil
	}
	s, err := m.db.readSchema(m.conn)
	if err != nil {
		return err
	}
	for root, why := range m.skipped {
		name, err := m.scalar(`SELECT lower(name) FROM sqlite_schema WHERE type = 'table' AND rootpage = ?`, root)
		if err != nil {
			return err
		}
		if name, ok := name.(string); ok && !(m.kept[name] && m.db.synced[name]) {
			return why
		}
	}
	return m.hooked(func() error { return m.hook.Done(s.list) })
}

// hooked runs a method of the hook.
func (c *conn) hooked(f func() error) error {
	defer func(apply bool) { c.apply = apply }(c.apply)
	c.apply = true
	if err := c.exec(`PRAGMA ignore_check_constraints = on`); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return c.exec(`PRAGMA ignore_check_constraints = off`)
}
