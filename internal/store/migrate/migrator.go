package migrate

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Hook follows the migrations of one file, inside the transaction in
// which all of them run: for sync, to which a migration changes schemas and
// never rows. While its methods run, heddle_applying() is true, foreign keys are
// off and checks are ignored. Its errors undo all of the migrations.
type Hook interface {
	// Touch is called once for each table, before the first statement that may
	// change its rows: one that drops, renames or writes it, or drops or renames
	// a column. It reports whether the rows will be put back.
	Touch(table string) (kept bool, err error)
	// Without calls run, which changes the schema of a kept table, while that
	// has no rows.
	Without(table string, run func() error) error
	// Done is called after the last migration and before COMMIT. tables are
	// those of the main schema as it is now.
	Done(tables []*schema.Table) error
}

// migrator runs the migrations of a file.
//
// A statement that fails because of rows that the hook will put back is not what
// ends a migration: other devices may have written rows that the schema before
// took and the new one does not. So a table that is filled from such rows is left
// without those that it refuses, an UPDATE of them is passed over, and a change of
// schema that they keep from happening is made while they are not there.
type migrator struct {
	*sqlconn.Conn
	hook    Hook
	names   value.Value       // of Heddle's tables, as the hook left them
	blame   func(error) error // names the migration that failed
	kept    map[string]bool   // tables that the hook was asked about, in lower case
	skipped map[int64]error   // by root page: tables that were not written, and why
}

// statement is a statement of a migration, with what the authorizer reports of it.
type statement struct {
	*sqlconn.Stmt
	sql string
	effects
}

// effects are what a statement does to tables of the main schema.
type effects struct {
	touches []string // tables whose rows it may change
	altered string   // the table of an ALTER TABLE, or one that gets an index
	written string   // the table of an INSERT, UPDATE or DELETE
	dropped string   // the table of a DROP TABLE
	inserts bool
}

func (e *effects) note(a sqlconn.Action) {
	switch a.Code {
	case sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE, sqlite3.AUTH_DROP_TABLE:
		if a.Schema != "main" || strings.HasPrefix(strings.ToLower(a.A3), "sqlite_") {
			return
		}
		e.touches = append(e.touches, a.A3)
		switch {
		case a.Code == sqlite3.AUTH_DROP_TABLE:
			e.dropped = a.A3
		case e.written == "":
			e.written, e.inserts = a.A3, a.Code == sqlite3.AUTH_INSERT
		}
	case sqlite3.AUTH_ALTER_TABLE:
		if a.A3 == "main" {
			e.altered = a.A4
		}
	case sqlite3.AUTH_CREATE_INDEX:
		if a.Schema == "main" {
			e.altered = a.A4
		}
	case sqlite3.AUTH_FUNCTION:
		// ADD COLUMN is what does without functions of SQLite's own.
		if e.altered != "" && strings.HasPrefix(a.A4, "sqlite_") {
			e.touches = append(e.touches, e.altered)
		}
	}
}

// compile compiles the first statement of sql, and returns what follows.
func (m *migrator) compile(sql string) (*statement, string, error) {
	s := &statement{}
	m.Note = s.note
	defer func() { m.Note = nil }()
	compiled, tail, err := m.Prepare(sql, sqlconn.Migration)
	if err != nil || compiled == nil {
		return nil, tail, err
	}
	s.Stmt, s.sql = compiled, strings.TrimSuffix(sql, tail)
	return s, tail, nil
}

// migrate runs one migration and records it.
func (m *migrator) migrate(number int, sql string) error {
	before, err := columns(m.Conn)
	if err != nil {
		return err
	}
	if m.names, err = m.OurNames(); err != nil {
		return err
	}
	for rest := sql; rest != ""; {
		s, tail, err := m.compile(rest)
		if err != nil {
			return err
		}
		if s != nil {
			if err := m.run(s); err != nil {
				return err
			}
		}
		rest = tail
		if m.GetAutocommit() {
			return errcode.New(errcode.TxControl, migrateOp, "the migration ended its transaction")
		}
	}
	if err := m.CheckNames(m.names); err != nil {
		return err
	}
	return recordMigration(m.Conn, number, sql, before)
}

// run runs a statement and closes it.
func (m *migrator) run(s *statement) (err error) {
	defer func() { s.Close() }()
	if n := s.NumParams(); n > 0 {
		return sqlconn.BadCount(n, 0)
	}
	for _, table := range s.touches {
		if err := m.touch(table); err != nil {
			return err
		}
	}
	if s.dropped != "" { // whatever was wrong with it
		root, err := m.root(s.dropped)
		if err != nil {
			return err
		}
		defer delete(m.skipped, root)
	}
	if err = s.Exec(); err == nil || !refusedRows(err) || m.hook == nil || m.GetAutocommit() {
		return err
	}
	switch {
	case s.altered != "":
		if e := m.touch(s.altered); e != nil || !m.kept[strings.ToLower(s.altered)] {
			return err
		}
		again := func() error { return m.execMigration(s.sql) }
		return m.hooked(func() error { return m.hook.Without(s.altered, again) })
	case s.written != "" && (!s.inserts || m.readsKept(s)):
		return m.writeLess(s, err)
	}
	return err
}

// refusedRows reports whether a statement failed because of what is in rows.
func refusedRows(err error) bool {
	switch sqlite3.ErrorCode(sqlerr.Code(err) & 0xff) {
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
	if err := m.CheckNames(m.names); err != nil {
		return err
	}
	return m.hooked(func() (err error) {
		if m.kept[name], err = m.hook.Touch(table); err != nil {
			return err
		}
		m.names, err = m.OurNames()
		return err
	})
}

// readsKept reports whether a statement reads rows that the hook puts back.
func (m *migrator) readsKept(s *statement) bool {
	for table := range s.Reads {
		if err := m.touch(table); err == nil && m.kept[strings.ToLower(table)] {
			return true
		}
	}
	return false
}

// writeLess runs an INSERT that has failed without the rows that the table
// refuses: without all if that is not possible.
func (m *migrator) writeLess(s *statement, why error) error {
	root, err := m.root(s.written)
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
	root, err := m.Scalar(`SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`, table)
	n, _ := root.(int64)
	return n, err
}

// execMigration runs a statement once more, on behalf of the app.
func (m *migrator) execMigration(sql string) error {
	s, _, err := m.Prepare(sql, sqlconn.Migration)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Exec()
}

// orIgnore makes INSERT, INSERT OR … or REPLACE into INSERT OR IGNORE. It is
// false of a statement that begins otherwise.
func orIgnore(sql string) (string, bool) {
	rest := sqlconn.SkipSpace(sql)
	word := func() string {
		n := 0
		for n < len(rest) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
			n++
		}
		w := strings.ToUpper(rest[:n])
		rest = sqlconn.SkipSpace(rest[n:])
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
	s, err := schema.Read(m.Conn)
	if err != nil {
		return err
	}
	for root, why := range m.skipped {
		name, err := m.Scalar(`SELECT lower(name) FROM sqlite_schema WHERE type = 'table' AND rootpage = ?`, root)
		if err != nil {
			return err
		}
		if name, ok := name.(string); ok && !(m.kept[name] && m.Names.Synced(name)) {
			return why
		}
	}
	return m.hooked(func() error { return m.hook.Done(s.Tables) })
}

// hooked runs a method of the hook.
func (m *migrator) hooked(f func() error) error {
	defer func(apply bool) { m.Apply = apply }(m.Apply)
	m.Apply = true
	if err := m.Exec(`PRAGMA ignore_check_constraints = on`); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return m.Exec(`PRAGMA ignore_check_constraints = off`)
}
