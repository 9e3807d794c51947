package store

import (
	"context"
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// conn is one connection with its statement cache and authorizer. All of it
// is used inside DB.inside alone.
type conn struct {
	c     *sqlite3.Conn
	db    *DB
	cache stmtCache

	mode   authMode
	denied error    // why the authorizer refused the statement being prepared
	col    *collect // what the statement being prepared does
	dropOK string   // the table whose DROP is being prepared
	sql    string   // what is being prepared
	script *script  // the text that is imported

	stale    bool            // another connection has changed the schema; see refresh
	capture  *capture        // of the open transaction; nil outside and during migrations
	tally    Tally           // stands before the pre-update hook; nil if the engine has none
	current  *stmt           // the statement that runs for the app
	analyzed bool            // ANALYZE was compiled or ran in this transaction
	apply    bool            // heddle_applying()
	foreign  bool            // it works on another file: an import's
	pure     map[string]bool // the functions, lower case, and whether their value depends on their arguments alone
	held     bool            // a recorder runs: its goroutine is inside SQLite already

	// What changes() and total_changes() show: bookkeeping before COMMIT
	// counts in SQLite and must not show.
	hidden     int64 // rows changed by bookkeeping so far
	kept       int64 // changes() before the last bookkeeping
	keptIsLast bool  // nothing ran for the app since
}

// stmt is a prepared statement with what its preparation told.
type stmt struct {
	*sqlite3.Stmt
	sql    string
	names  []string // of the parameters, "" for ?
	simple bool     // the SQL holds this statement alone: it may be cached
	vacuum bool     // it is VACUUM
	collect
}

// collect is what the authorizer reports of one statement.
type collect struct {
	readOnly      bool
	writer        bool   // asks for something that only the writing connection knows
	schema        bool   // DDL
	alters        bool   // ALTER TABLE
	savepoint     string // what it does with one: BEGIN, RELEASE or ROLLBACK; "" if nothing
	savepointName string
	acts          bool // it does anything that SQLite asks about
	more          bool // it does more than to read and write rows
	temp          bool // it reads a temporary table
	functions     map[string]bool
	reads         map[string]map[string]bool
	updates       map[string]map[string]bool
	migrates      migrates // in migrations alone
}

func (c *collect) add(m *map[string]map[string]bool, table, column string) {
	if *m == nil {
		*m = map[string]map[string]bool{}
	}
	cols := (*m)[table]
	if cols == nil {
		cols = map[string]bool{}
		(*m)[table] = cols
	}
	if column != "" {
		cols[column] = true
	}
}

// prepare compiles the first statement of sql. It returns nil if there is
// none, and what follows.
func (c *conn) prepare(sql string, mode authMode) (*stmt, string, error) {
	if s := c.cache.take(sql, mode); s != nil {
		return s, "", nil
	}
	s := &stmt{}
	p, tail, err := c.compile(sql, mode, &s.collect)
	if err != nil {
		if c.denied != nil {
			err = c.denied
		}
		return nil, "", err
	}
	tail = strings.TrimLeft(tail, " \t\r\n;")
	if p == nil {
		return nil, tail, nil
	}
	s.Stmt = p
	s.sql = sql
	s.readOnly = p.ReadOnly()
	s.simple = tail == ""
	// SQLite asks the authorizer about everything but VACUUM, until that runs.
	s.vacuum = !s.acts && !s.readOnly && p.ColumnCount() == 0
	if n := p.BindCount(); n > 0 {
		s.names = make([]string, n)
		for i := range s.names {
			s.names[i] = p.BindName(i + 1)
		}
	}
	return s, tail, nil
}

// compile prepares with the authorizer on behalf of mode, also if it panics.
func (c *conn) compile(sql string, mode authMode, col *collect) (*sqlite3.Stmt, string, error) {
	old, oldCol := c.mode, c.col
	defer func() { c.mode, c.col, c.sql = old, oldCol, "" }()
	c.mode, c.col, c.sql, c.denied, c.dropOK = mode, col, sql, nil, ""
	return c.c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
}

// refresh reads the schema again after another connection has changed it: SQLite
// notices the change when a statement runs, not when one is compiled.
func (c *conn) refresh() {
	if c.stale && c.c.TxnState("main") == sqlite3.TXN_NONE {
		_, err := c.scalar(`SELECT 1 FROM sqlite_schema LIMIT 1`)
		c.stale = err != nil
	}
}

// release resets s and keeps it for the next one, if it can.
func (c *conn) release(s *stmt, mode authMode) error {
	err := s.Reset()
	if s.schema || !s.simple {
		s.Close()
		if s.schema {
			c.db.dropCaches()
		}
		return err
	}
	if len(s.names) > 0 {
		s.ClearBindings()
	}
	c.cache.put(s, mode)
	return err
}

// exec runs statements of Heddle's own.
func (c *conn) exec(sql string) error {
	old := c.mode
	c.mode = trusted
	defer func() { c.mode = old }()
	return c.c.Exec(sql)
}

// control runs BEGIN, COMMIT and the like, whose statements stay compiled.
func (c *conn) control(sql string) error {
	s, _, err := c.prepare(sql, trusted)
	if err != nil {
		return err
	}
	defer c.release(s, trusted)
	return s.Exec()
}

// scalar runs a query of Heddle's own and returns the first column of its
// first row.
func (c *conn) scalar(sql string, args ...Value) (v Value, err error) {
	err = c.each(sql, func(s *sqlite3.Stmt) error {
		row := []Value{nil}
		if s.ColumnCount() != 1 {
			row = make([]Value, s.ColumnCount())
		}
		err := Scan(s, row)
		v = row[0]
		return err
	}, args...)
	return v, err
}

// each runs a query of Heddle's own.
func (c *conn) each(sql string, row func(*sqlite3.Stmt) error, args ...Value) error {
	s, _, err := c.prepare(sql, trusted)
	if err != nil {
		return err
	}
	defer c.release(s, trusted)
	if err := s.bind(Params{Positional: args}); err != nil {
		return err
	}
	for s.Step() {
		if err := row(s.Stmt); err != nil {
			return err
		}
	}
	return s.Err()
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
	c.c.SetInterrupt(ctx)
	defer func() {
		c.c.SetInterrupt(context.Background())
		if r := recover(); r != nil {
			err = recovered(r)
		}
		if err != nil {
			db.noteDamage(c, err)
		}
	}()
	return f()
}

// Scan reads the row that s stands on: INTEGER as int64, REAL as float64, TEXT
// as string, BLOB as []byte (never nil), NULL as nil. dest has one element for
// each column; strings and slices are the caller's to keep.
func Scan(s *sqlite3.Stmt, dest []Value) error {
	clear(dest)
	if err := s.Columns(dest...); err != nil {
		return err
	}
	for i, v := range dest {
		if b, ok := v.([]byte); ok && b == nil {
			dest[i] = []byte{}
		}
	}
	return nil
}

// columnNames returns the names of a statement's result columns.
func columnNames(s *sqlite3.Stmt) []string {
	names := make([]string, s.ColumnCount())
	for i := range names {
		names[i] = s.ColumnName(i)
	}
	return names
}

// stmtCache keeps prepared statements that are not in use. The least recently used
// ones are closed first.
type stmtCache struct {
	list []cached // from the least to the most recently used
}

type cached struct {
	s    *stmt
	mode authMode
}

const (
	cacheSize   = 64
	cacheMaxSQL = 16 << 10
)

func (k *stmtCache) take(sql string, mode authMode) *stmt {
	for i := len(k.list) - 1; i >= 0; i-- {
		if e := k.list[i]; e.mode == mode && e.s.sql == sql {
			k.list = append(k.list[:i], k.list[i+1:]...)
			return e.s
		}
	}
	return nil
}

func (k *stmtCache) put(s *stmt, mode authMode) {
	if len(s.sql) > cacheMaxSQL {
		s.Close()
		return
	}
	if len(k.list) >= cacheSize {
		k.list[0].s.Close()
		k.list = append(k.list[:0], k.list[1:]...)
	}
	k.list = append(k.list, cached{s, mode})
}

func (k *stmtCache) clear() {
	for _, e := range k.list {
		e.s.Close()
	}
	k.list = nil
}

// bind sets every parameter of s. Too many, too few or unknown ones are errors.
func (s *stmt) bind(p Params) error {
	const op = "store: bind"
	switch {
	case p.Named != nil && len(p.Positional) > 0:
		return errcode.New(errcode.BadParam, op, "parameters are given by position and by name; use one")
	case p.Named != nil:
		return s.bindNamed(p.Named)
	case len(p.Positional) != len(s.names):
		return badCount(len(s.names), len(p.Positional))
	}
	for i, v := range p.Positional {
		if err := s.bindValue(i+1, v); err != nil {
			return err
		}
	}
	return nil
}
