package sqlitestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/diskvfs"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// conn is a connection with its prepared statements. It is for one goroutine at
// a time.
type conn struct {
	c     *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

func openConn(name string) (*conn, error) {
	c, err := sqlite3.Open(name)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]*sqlite3.Stmt{}}, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.c.Close()
}

// fileURI names a file to SQLite, whatever characters its path has. More
// parameters may follow.
func fileURI(path, vfsName string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path),
		RawQuery: "mode=rwc&vfs=" + url.QueryEscape(cmp.Or(vfsName, diskvfs.Name))}
	return u.String()
}

// run executes one statement with args (nil, int64, uint64, uint32, int,
// string, []byte) and calls row for each result. sql must be constant: its
// statement is kept.
func (c *conn) run(sql string, row func(*sqlite3.Stmt) error, args ...any) (err error) {
	s, err := c.bind(sql, args)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Reset(); err == nil {
			err = e
		}
	}()
	for s.Step() {
		if row != nil {
			if err := row(s); err != nil {
				return err
			}
		}
	}
	return s.Err()
}

// errStop ends a run early.
var errStop = errors.New("sqlitestore: stop")

// each is run for an iterator: row returns false to stop.
func (c *conn) each(sql string, row func(*sqlite3.Stmt) bool, args ...any) error {
	err := c.run(sql, func(s *sqlite3.Stmt) error {
		if !row(s) {
			return errStop
		}
		return nil
	}, args...)
	if err == errStop {
		return nil
	}
	return err
}

func (c *conn) bind(sql string, args []any) (s *sqlite3.Stmt, err error) {
	if s = c.stmts[sql]; s == nil {
		if s, _, err = c.c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, err
		}
		c.stmts[sql] = s
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case int:
			err = s.BindInt64(i+1, int64(v))
		case int64:
			err = s.BindInt64(i+1, v)
		case uint64:
			err = s.BindInt64(i+1, int64(v))
		case uint32:
			err = s.BindInt64(i+1, int64(v))
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			if v == nil {
				v = []byte{}
			}
			err = s.BindBlob(i+1, v)
		default:
			err = fmt.Errorf("sqlitestore: a parameter of type %T", v)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// blob copies a result column; it is never nil.
func blob(s *sqlite3.Stmt, column int) []byte {
	return append([]byte{}, s.ColumnRawBlob(column)...)
}

// isDamage reports whether SQLite has met damage in a file.
func isDamage(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.IOERR_DATA)
}

// translate gives an error of SQLite's the meaning that logstore has for it.
func translate(ctx context.Context, err error) error {
	var coded *errcode.Error
	switch {
	case err == nil, errors.As(err, &coded), errors.Is(err, logstore.ErrMoved), errors.Is(err, logstore.ErrNotNew):
		return err
	case isDamage(err):
		return &errcode.Error{Code: errcode.Damaged, Op: "sqlitestore", Err: err}
	case errors.Is(err, sqlite3.INTERRUPT) && ctx.Err() != nil:
		return ctx.Err()
	}
	for _, temporary := range []error{sqlite3.FULL, sqlite3.BUSY, sqlite3.IOERR, sqlite3.CANTOPEN, sqlite3.INTERRUPT} {
		if errors.Is(err, temporary) {
			return fmt.Errorf("%w: %w", logstore.ErrUnavailable, err)
		}
	}
	return err
}
