package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

const scriptOp = "store: import"

// maxScriptSQL is how many bytes one statement of an imported text may have: a
// BLOB, which is written as hexadecimal digits, half as many.
const maxScriptSQL = 32 << 20

// scriptPiece is how much of a text is compiled at first, and scriptPart how much
// is read at least. Tests lower them.
var (
	scriptPiece = 4 << 10
	scriptPart  = 64 << 10
)

// isText reports whether a file begins like SQL text in UTF-8, and not like an
// SQLite file or any other bytes.
func isText(first []byte) bool {
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

// script is the text of a database, as sqlite3's .dump writes it, on its way into
// an empty file. The text has one transaction, which is the import's, whatever it
// says itself.
type script struct {
	db  *DB
	c   *conn
	r   io.Reader
	buf []byte // what was read and not run
	end bool   // there is no more to be read

	begun bool // the text began a transaction and has not ended it
}

// runScript writes the database that a text describes to an empty file, with pages
// of that size.
func (db *DB) runScript(ctx context.Context, scratch ScratchFile, size Value, r io.Reader) (err error) {
	s := &script{db: db, r: r, c: &conn{db: db, foreign: true}}
	db.mu.Lock()
	s.c.c, err = sqlite3.OpenContext(ctx, scratch.URI())
	db.mu.Unlock()
	if err != nil {
		return err
	}
	c := s.c
	c.script = s
	err = db.inside(ctx, c, func() error {
		c.limit()
		c.c.Limit(sqlite3.LIMIT_SQL_LENGTH, maxScriptSQL)
		if err := c.functions(); err != nil {
			return err
		}
		// A size of pages undoes the room for checksums.
		if err := c.exec(fmt.Sprintf(`PRAGMA page_size = %d`, size)); err != nil {
			return err
		}
		if _, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, checksumSize); err != nil {
			return err
		}
		if err := c.exec(`PRAGMA journal_mode = memory; PRAGMA synchronous = off;
			PRAGMA trusted_schema = off; PRAGMA foreign_keys = off`); err != nil {
			return err
		}
		if err := c.c.SetAuthorizer(c.authorize); err != nil {
			return err
		}
		return c.exec(`BEGIN`)
	})
	if err == nil {
		err = s.run(ctx)
	}
	if err == nil {
		err = db.inside(ctx, c, func() error { return c.exec(`COMMIT`) })
	}
	closed := db.inside(context.Background(), c, func() error { return c.close() })
	return errors.Join(err, closed)
}

// run runs the text's statements.
func (s *script) run(ctx context.Context) error {
	for {
		if err := s.read(scriptPart); err != nil {
			return err
		}
		if !validText(s.buf) || bytes.IndexByte(s.buf, 0) >= 0 {
			return errcode.New(errcode.BadParam, scriptOp, "the text is not in UTF-8, or has a NUL byte in it")
		}
		more := false
		err := s.db.inside(ctx, s.c, func() (err error) {
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
		case !s.end && len(s.buf) < maxScriptSQL+scriptPart:
			// The statement goes on in what is still to come.
			if err := s.read(2 * len(s.buf)); err != nil {
				return err
			}
		case len(s.buf) > 0:
			return errcode.New("SQLITE_TOOBIG", scriptOp,
				fmt.Sprintf("a statement of the text has more than %d MiB", maxScriptSQL>>20))
		case s.begun:
			return errcode.New(errcode.BadParam, scriptOp, "the text breaks off: it begins a transaction and does not commit it")
		default:
			return nil
		}
		s.db.yield()
	}
}

// read reads until n bytes are there, or the text has ended.
func (s *script) read(n int) error {
	for !s.end && len(s.buf) < n {
		at := len(s.buf)
		s.buf = append(s.buf, make([]byte, max(scriptPart, n-at))...)
		got, err := io.ReadFull(s.r, s.buf[at:])
		s.buf = s.buf[:at+got]
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			s.end = true
		default:
			return errcode.Wrap(err, errcode.Internal, scriptOp)
		}
	}
	return nil
}

// next runs the next statement. It reports false if more has to be read first, or
// if that was the last one: a statement is whole if it ends before the text does.
func (s *script) next() (more bool, err error) {
	for size := scriptPiece; ; size *= 2 {
		size = min(size, len(s.buf))
		whole := s.end && size == len(s.buf)
		p, tail, err := s.c.prepare(string(s.buf[:size]), scripted)
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
func (s *script) step(p *stmt) error {
	defer p.Close()
	if p.vacuum {
		return nil
	}
	return p.Exec()
}

// wrong names the statement.
func (s *script) wrong(err error, size int) error {
	const most = 500
	sql := strings.ToValidUTF8(string(s.buf[:min(size, most)]), "")
	if s.c.denied != nil {
		err = s.c.denied
	}
	return wrapErr(context.Background(), err, scriptOp, strings.TrimSpace(sql))
}

// scriptPragmas are those of a text that count. The others are of the program that
// ran it, and are passed over.
var scriptPragmas = map[string]bool{"writable_schema": true, "user_version": true, "application_id": true}

// admit stands before a text's statements.
func (s *script) admit(action sqlite3.AuthorizerActionCode, a3 string) sqlite3.AuthorizerReturnCode {
	deny := func(code, msg string) sqlite3.AuthorizerReturnCode {
		s.c.denied = errcode.New(code, scriptOp, msg)
		return sqlite3.AUTH_DENY
	}
	switch action {
	case sqlite3.AUTH_TRANSACTION:
		if s.begun = a3 == "BEGIN"; a3 == "ROLLBACK" {
			return deny("SQLITE_CORRUPT",
				"the text rolls its transaction back: the database that it was made of could not be read whole")
		}
		return sqlite3.AUTH_IGNORE
	case sqlite3.AUTH_PRAGMA:
		if !scriptPragmas[strings.ToLower(a3)] {
			return sqlite3.AUTH_IGNORE
		}
	case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH:
		return deny(errcode.Unsupported, "a text with ATTACH cannot be imported: write one for each database")
	}
	return sqlite3.AUTH_OK
}
