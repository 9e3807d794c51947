// Package script reads the text of a database, as sqlite3's .dump writes it.
package script

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/dbfile"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

const op = "store: import"

// MaxSQL is how many bytes one statement of an imported text may have: a
// BLOB, which is written as hexadecimal digits, half as many.
const MaxSQL = 32 << 20

// Piece is how much of a text is compiled at first, and Part how much
// is read at least. Tests lower them.
var (
	Piece = 4 << 10
	Part  = 64 << 10
)

// IsText reports whether a file begins like SQL text in UTF-8, and not like an
// SQLite file or any other bytes.
func IsText(first []byte) bool {
	if len(first) == 0 {
		return false
	}
	for i, b := range first {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f' || b == 0x7f {
			return false
		}
		if i > 4096 {
			break
		}
	}
	return validText(first)
}

// validText reports whether a piece of a text is in UTF-8. Its last character may
// be cut off.
func validText(piece []byte) bool {
	for cut := range min(utf8.UTFMax, len(piece)+1) {
		if utf8.Valid(piece[:len(piece)-cut]) {
			return true
		}
	}
	return false
}

// batch is how many statements run in one call of Target.Inside.
const batch = 256

// Target is the empty file that a text fills.
type Target struct {
	*sqlconn.Conn
	PageSize value.Value
	Inside   func(ctx context.Context, f func() error) error // runs f inside SQLite
	Yield    func()                                          // lets other goroutines in
}

// script is a text on its way into the target. The text has one transaction, which is
// the import's, whatever it says itself.
type script struct {
	Target
	r   io.Reader
	buf []byte // what was read and not run
	end bool   // there is no more to be read

	begun bool // the text began a transaction and has not ended it
}

// Import writes the database that a text describes to the target, whose connection is
// of no other use then.
func Import(ctx context.Context, to Target, r io.Reader) error {
	s := &script{Target: to, r: r}
	s.Admit = s.admit
	err := s.Inside(ctx, func() error {
		s.Limit(sqlite3.LIMIT_SQL_LENGTH, MaxSQL)
		// A size of pages undoes the room for checksums.
		if err := s.Exec(fmt.Sprintf(`PRAGMA page_size = %d`, s.PageSize)); err != nil {
			return err
		}
		if _, err := s.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, dbfile.ChecksumSize); err != nil {
			return err
		}
		if err := s.Exec(`PRAGMA journal_mode = memory; PRAGMA synchronous = off;
			PRAGMA trusted_schema = off; PRAGMA foreign_keys = off`); err != nil {
			return err
		}
		if err := s.Authorize(); err != nil {
			return err
		}
		return s.Exec(`BEGIN`)
	})
	if err == nil {
		err = s.run(ctx)
	}
	if err == nil {
		err = s.Inside(ctx, func() error { return s.Exec(`COMMIT`) })
	}
	return err
}

// run runs the text's statements.
func (s *script) run(ctx context.Context) error {
	for {
		if err := s.read(Part); err != nil {
			return err
		}
		if !validText(s.buf) || bytes.IndexByte(s.buf, 0) >= 0 {
			return errcode.New(errcode.BadParam, op, "the text is not in UTF-8, or has a NUL byte in it")
		}
		more := false
		err := s.Inside(ctx, func() (err error) {
			for range batch {
				if more, err = s.next(); err != nil || !more {
					return err
				}
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case more:
		case !s.end && len(s.buf) < MaxSQL+Part:
			// The statement goes on in what is still to come.
			if err := s.read(2 * len(s.buf)); err != nil {
				return err
			}
		case len(s.buf) > 0:
			return errcode.New("SQLITE_TOOBIG", op,
				fmt.Sprintf("a statement of the text has more than %d MiB", MaxSQL>>20))
		case s.begun:
			return errcode.New(errcode.BadParam, op, "the text breaks off: it begins a transaction and does not commit it")
		default:
			return nil
		}
		s.Yield()
	}
}

// read reads until n bytes are there, or the text has ended.
func (s *script) read(n int) error {
	for !s.end && len(s.buf) < n {
		at := len(s.buf)
		s.buf = append(s.buf, make([]byte, max(Part, n-at))...)
		got, err := io.ReadFull(s.r, s.buf[at:])
		s.buf = s.buf[:at+got]
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			s.end = true
		default:
			return errcode.Wrap(err, errcode.Internal, op)
		}
	}
	return nil
}

// next runs the next statement. It reports false if more has to be read first, or
// if that was the last one: a statement is whole if it ends before the text does.
func (s *script) next() (more bool, err error) {
	for size := Piece; ; size *= 2 {
		size = min(size, len(s.buf))
		whole := s.end && size == len(s.buf)
		p, tail, err := s.Prepare(string(s.buf[:size]), sqlconn.Scripted)
		if tail == "" && !whole {
			// It may go on: an error, too, may be of the place where it was cut off.
			if p != nil {
				p.Close()
			}
			if size < len(s.buf) {
				continue
			}
			return false, nil
		}
		if err != nil {
			return false, s.wrong(err, size)
		}
		taken := size - len(tail)
		if p != nil {
			err = s.step(p)
		}
		if err != nil {
			return false, s.wrong(err, taken)
		}
		s.buf = s.buf[taken:]
		return len(s.buf) > 0, nil
	}
}

// step runs a statement and drops its rows; VACUUM has nothing to do in a file
// that is written in one go.
func (s *script) step(p *sqlconn.Stmt) error {
	defer p.Close()
	if p.Vacuum {
		return nil
	}
	return p.Exec()
}

// wrong names the statement.
func (s *script) wrong(err error, size int) error {
	const most = 500
	sql := strings.ToValidUTF8(string(s.buf[:min(size, most)]), "")
	if s.Denied != nil {
		err = s.Denied
	}
	return sqlerr.Wrap(context.Background(), err, op, strings.TrimSpace(sql))
}

// pragmas are those of a text that count. The others are of the program that
// ran it, and are passed over.
var pragmas = map[string]bool{"writable_schema": true, "user_version": true, "application_id": true}

// admit stands before a text's statements.
func (s *script) admit(a sqlconn.Action) sqlite3.AuthorizerReturnCode {
	deny := func(code, msg string) sqlite3.AuthorizerReturnCode {
		s.Denied = errcode.New(code, op, msg)
		return sqlite3.AUTH_DENY
	}
	switch a.Code {
	case sqlite3.AUTH_TRANSACTION:
		if s.begun = a.A3 == "BEGIN"; a.A3 == "ROLLBACK" {
			return deny("SQLITE_CORRUPT",
				"the text rolls its transaction back: the database that it was made of could not be read whole")
		}
		return sqlite3.AUTH_IGNORE
	case sqlite3.AUTH_PRAGMA:
		if !pragmas[strings.ToLower(a.A3)] {
			return sqlite3.AUTH_IGNORE
		}
	case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH:
		return deny(errcode.Unsupported, "a text with ATTACH cannot be imported: write one for each database")
	}
	return sqlite3.AUTH_OK
}
