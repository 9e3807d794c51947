// Package sqlconn is one connection to SQLite: its compiled statements, with what
// SQLite's authorizer told of each, and the rules for what the app's SQL may do.
//
// A connection is used by one goroutine at a time: inside SQLite, in the words of
// package store.
package sqlconn

import (
	"context"
	"strings"

	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Conn is a connection with its statement cache and authorizer.
type Conn struct {
	*sqlite3.Conn
	Names *Names

	cache stmtCache

	// Mode is on whose behalf statements are compiled, and run where SQLite asks
	// while they run. Denied is why the authorizer has refused the last one.
	Mode   Mode
	Denied error

	Stale   bool  // another connection has changed the schema; see Refresh
	Current *Stmt // the statement that runs for the app
	Apply   bool  // heddle_applying()

	Analyzed bool // ANALYZE was compiled or ran since this was false

	Note     func(Action)                              // sees what the statements of a migration do, if not nil
	Admit    func(Action) sqlite3.AuthorizerReturnCode // decides in the mode Scripted
	OnSchema func()                                    // is called when a statement that changes the schema has run

	pure map[string]bool // the functions, lower case, and whether their value depends on their arguments alone

	effects *Effects // of the statement being compiled
	dropOK  string   // the table whose DROP is being compiled
	sql     string   // what is being compiled

	// What changes() and total_changes() show: bookkeeping before COMMIT
	// counts in SQLite and must not show.
	hidden     int64 // rows changed by bookkeeping so far
	kept       int64 // changes() before the last bookkeeping
	keptIsLast bool  // nothing ran for the app since
}

// Open opens a file, sets the limits of the connection and adds Heddle's
// functions. SQLite asks nobody until Authorize is called.
func Open(ctx context.Context, filename string, names *Names) (_ *Conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = sqlerr.Recovered(r)
		}
	}()
	c := &Conn{Names: names}
	if c.Conn, err = sqlite3.OpenContext(ctx, filename); err != nil {
		return nil, err
	}
	for id, n := range Limits {
		c.Limit(id, n)
	}
	if err := c.functions(); err != nil {
		c.Conn.Close()
		return nil, err
	}
	return c, nil
}

// Authorize puts the authorizer before every statement that is compiled from now on.
func (c *Conn) Authorize() error { return c.SetAuthorizer(c.authorize) }

// Close ends what runs on the connection and closes it.
func (c *Conn) Close() error {
	c.ClearCache()
	var open []*sqlite3.Stmt
	for s := range c.Stmts() {
		open = append(open, s)
	}
	for _, s := range open {
		s.Close()
	}
	if !c.GetAutocommit() {
		c.Conn.Exec(`ROLLBACK`)
	}
	return c.Conn.Close()
}

// Prepare compiles the first statement of sql. It returns nil if there is
// none, and what follows.
func (c *Conn) Prepare(sql string, mode Mode) (*Stmt, string, error) {
	if s := c.cache.take(sql, mode); s != nil {
		return s, "", nil
	}
	s := &Stmt{}
	p, tail, err := c.compile(sql, mode, &s.Effects)
	if err != nil {
		if c.Denied != nil {
			err = c.Denied
		}
		return nil, "", err
	}
	tail = strings.TrimLeft(tail, " \t\r\n;")
	if p == nil {
		return nil, tail, nil
	}
	s.Stmt = p
	s.sql = sql
	s.ReadsOnly = p.ReadOnly()
	s.simple = tail == ""
	// SQLite asks the authorizer about everything but VACUUM, until that runs.
	s.Vacuum = !s.acts && !s.ReadsOnly && p.ColumnCount() == 0
	if n := p.BindCount(); n > 0 {
		s.names = make([]string, n)
		for i := range s.names {
			s.names[i] = p.BindName(i + 1)
		}
	}
	return s, tail, nil
}

// compile prepares with the authorizer on behalf of mode, also if it panics.
func (c *Conn) compile(sql string, mode Mode, effects *Effects) (*sqlite3.Stmt, string, error) {
	old, outer := c.Mode, c.effects
	defer func() { c.Mode, c.effects, c.sql = old, outer, "" }()
	c.Mode, c.effects, c.sql, c.Denied, c.dropOK = mode, effects, sql, nil, ""
	return c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
}

// Refresh reads the schema again after another connection has changed it: SQLite
// notices the change when a statement runs, not when one is compiled.
func (c *Conn) Refresh() {
	if c.Stale && c.TxnState("main") == sqlite3.TXN_NONE {
		_, err := c.Scalar(`SELECT 1 FROM sqlite_schema LIMIT 1`)
		c.Stale = err != nil
	}
}

// Release resets s and keeps it for the next one, if it can.
func (c *Conn) Release(s *Stmt, mode Mode) error {
	err := s.Reset()
	if s.Schema || !s.simple {
		s.Close()
		if s.Schema && c.OnSchema != nil {
			c.OnSchema()
		}
		return err
	}
	if len(s.names) > 0 {
		s.ClearBindings()
	}
	c.cache.put(s, mode)
	return err
}

// Exec runs statements of Heddle's own.
func (c *Conn) Exec(sql string) error {
	old := c.Mode
	c.Mode = Trusted
	defer func() { c.Mode = old }()
	return c.Conn.Exec(sql)
}

// Control runs BEGIN, COMMIT and the like, whose statements stay compiled.
func (c *Conn) Control(sql string) error {
	s, _, err := c.Prepare(sql, Trusted)
	if err != nil {
		return err
	}
	defer c.Release(s, Trusted)
	return s.Exec()
}

// Scalar runs a query of Heddle's own and returns the first column of its
// first row.
func (c *Conn) Scalar(sql string, args ...value.Value) (v value.Value, err error) {
	err = c.Each(sql, func(s *sqlite3.Stmt) error {
		row := []value.Value{nil}
		if s.ColumnCount() != 1 {
			row = make([]value.Value, s.ColumnCount())
		}
		err := Scan(s, row)
		v = row[0]
		return err
	}, args...)
	return v, err
}

// Each runs a query of Heddle's own.
func (c *Conn) Each(sql string, row func(*sqlite3.Stmt) error, args ...value.Value) error {
	s, _, err := c.Prepare(sql, Trusted)
	if err != nil {
		return err
	}
	defer c.Release(s, Trusted)
	if err := s.Bind(value.Params{Positional: args}); err != nil {
		return err
	}
	for s.Step() {
		if err := row(s.Stmt); err != nil {
			return err
		}
	}
	return s.Err()
}

// Run is Each for a statement without rows.
func (c *Conn) Run(sql string, args ...value.Value) error {
	return c.Each(sql, func(*sqlite3.Stmt) error { return nil }, args...)
}
