package replica

import (
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// conn is the writing connection with the statements that a client uses again
// and again. Only who holds the writer may use it.
type conn struct {
	sqlite *sqlite3.Conn
	stmts  map[string]*sqlite3.Stmt
}

// prepare returns a compiled statement, from the cache if it was used before.
// The cache is bounded by the number of tables and the sets of columns that
// are written together.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
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
	stmt, _, err := c.sqlite.Prepare(sql)
	if err != nil {
		return nil, sqlError(err, sql)
	}
	if c.stmts == nil {
		c.stmts = map[string]*sqlite3.Stmt{}
	}
	c.stmts[sql] = stmt
	return stmt, nil
}

// close lets go of all statements.
func (c *conn) close() {
	for sql, stmt := range c.stmts {
		stmt.Close()
		delete(c.stmts, sql)
	}
}

// exec runs a statement that returns no rows.
func (c *conn) exec(sql string, args ...any) error {
	stmt, err := c.prepare(sql)
	if err != nil {
		return err
	}
	return run(stmt, args...)
}

// query calls row for each row of a query. row must not run the same query.
func (c *conn) query(sql string, args []any, row func(*sqlite3.Stmt) error) (err error) {
	stmt, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer func() {
		if e := stmt.Reset(); err == nil {
			err = sqlError(e, sql)
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
	return sqlError(stmt.Err(), sql)
}

// once is query for one that is not asked again.
func (c *conn) once(sql string, row func(*sqlite3.Stmt)) error {
	stmt, _, err := c.sqlite.Prepare(sql)
	if err != nil {
		return sqlError(err, sql)
	}
	defer stmt.Close()
	for stmt.Step() {
		row(stmt)
	}
	return sqlError(stmt.Err(), sql)
}

// sqlError gives an error of SQLite its code and statement.
func sqlError(err error, sql string) error {
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
	return sqlError(stmt.Exec(), stmt.SQL())
}

// bind sets all parameters of stmt.
func bind(stmt *sqlite3.Stmt, args ...any) error {
	for i, v := range args {
		if err := bindValue(stmt, i+1, v); err != nil {
			return sqlError(err, stmt.SQL())
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

// column reads a value as SQLite stores it. It owns its memory.
func column(stmt *sqlite3.Stmt, i int) wire.Value {
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

// ident quotes an identifier.
func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// idents quotes identifiers, with suffix after each, and joins them.
func idents(names []string, suffix, separator string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(ident(name))
		b.WriteString(suffix)
	}
	return b.String()
}
