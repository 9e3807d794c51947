package synced

import (
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Conn is the writing connection with the statements that a client uses again
// and again. Only the holder of the writer may use it.
type Conn struct {
	SQLite *sqlite3.Conn
	stmts  map[string]*sqlite3.Stmt
}

// Prepare returns a compiled statement, from the cache if it was used before.
// The cache is bounded by the number of tables and the sets of columns that
// are written together.
func (c *Conn) Prepare(sql string) (*sqlite3.Stmt, error) {
	if stmt, ok := c.stmts[sql]; ok {
		return stmt, nil
	}
	if len(c.stmts) >= 256 {
		for sql, stmt := range c.stmts {
			if !stmt.Busy() {
				stmt.Close()
				delete(c.stmts, sql)
			}
		}
	}
	stmt, _, err := c.SQLite.Prepare(sql)
	if err != nil {
		return nil, SQLError(err, sql)
	}
	if c.stmts == nil {
		c.stmts = map[string]*sqlite3.Stmt{}
	}
	c.stmts[sql] = stmt
	return stmt, nil
}

// Close lets go of all statements.
func (c *Conn) Close() {
	for sql, stmt := range c.stmts {
		stmt.Close()
		delete(c.stmts, sql)
	}
}

// Exec runs a statement that returns no rows.
func (c *Conn) Exec(sql string, args ...any) error {
	stmt, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	return run(stmt, args...)
}

// Query calls row for each row of a query. row must not run the same query.
func (c *Conn) Query(sql string, args []any, row func(*sqlite3.Stmt) error) (err error) {
	stmt, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() {
		if e := stmt.Reset(); err == nil {
			err = SQLError(e, sql)
		}
	}()
	if err := bind(stmt, args...); err != nil {
		return err
	}
	for stmt.Step() {
		if err := row(stmt); err != nil {
			return err
		}
	}
	return SQLError(stmt.Err(), sql)
}

// Has reports whether a query has rows.
func (c *Conn) Has(sql string, args ...any) (has bool, err error) {
	err = c.Query(sql, args, func(*sqlite3.Stmt) error {
		has = true
		return nil
	})
	return has, err
}

// Int returns the integer that a query gives, 0 for no row and for NULL.
func (c *Conn) Int(sql string, args ...any) (n int64, err error) {
	err = c.Query(sql, args, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	})
	return n, err
}

// once is Query for a statement that is not kept.
func (c *Conn) once(sql string, row func(*sqlite3.Stmt)) error {
	stmt, _, err := c.SQLite.Prepare(sql)
	if err != nil {
		return SQLError(err, sql)
	}
	defer stmt.Close()
	for stmt.Step() {
		row(stmt)
	}
	return SQLError(stmt.Err(), sql)
}

// SQLError gives an error of SQLite its code and statement.
func SQLError(err error, sql string) error {
	if err == nil {
		return nil
	}
	code := errcode.Of(err)
	var x sqlite3.ExtendedErrorCode
	if errors.As(err, &x) {
		code = errcode.SQLite(uint32(x))
	}
	return &errcode.Error{Code: code, Op: "sync", SQL: sql, Err: err}
}

// run executes a prepared statement that returns no rows.
func run(stmt *sqlite3.Stmt, args ...any) error {
	if err := bind(stmt, args...); err != nil {
		return err
	}
	return SQLError(stmt.Exec(), stmt.SQL())
}

// bind sets all parameters of stmt.
func bind(stmt *sqlite3.Stmt, args ...any) error {
	for i, v := range args {
		if err := bindValue(stmt, i+1, v); err != nil {
			return SQLError(err, stmt.SQL())
		}
	}
	return nil
}

func bindValue(stmt *sqlite3.Stmt, i int, v wire.Value) error {
	switch v := v.(type) {
	case nil:
		return stmt.BindNull(i)
	case int64:
		return stmt.BindInt64(i, v)
	case int:
		return stmt.BindInt64(i, int64(v))
	case float64:
		return stmt.BindFloat(i, v)
	case string:
		return stmt.BindText(i, v)
	case []byte:
		switch {
		case v == nil:
			return stmt.BindNull(i)
		case len(v) == 0:
			return stmt.BindZeroBlob(i, 0)
		}
		return stmt.BindBlob(i, v)
	default:
		return errcode.New(errcode.Internal, "sync: bind", "a value is of none of SQLite's types")
	}
}

// Column reads a value as SQLite stores it. It owns its memory.
func Column(stmt *sqlite3.Stmt, i int) wire.Value {
	switch stmt.ColumnType(i) {
	case sqlite3.INTEGER:
		return stmt.ColumnInt64(i)
	case sqlite3.FLOAT:
		return stmt.ColumnFloat(i)
	case sqlite3.TEXT:
		return stmt.ColumnText(i)
	case sqlite3.BLOB:
		return stmt.ColumnBlob(i, []byte{})
	default:
		return nil
	}
}

// Ident quotes an identifier.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Idents quotes identifiers, with suffix after each, and joins them.
func Idents(names []string, suffix, separator string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(Ident(name))
		b.WriteString(suffix)
	}
	return b.String()
}
