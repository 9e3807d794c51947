// Package sqlerr gives SQLite's errors their codes, and tells from an error what
// it says of the database: that it is busy, or that the file is damaged.
package sqlerr

import (
	"context"
	"errors"
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// Wrap gives an error of SQLite its code, operation and SQL. An error that
// has a code keeps it and gets the SQL where it has none.
func Wrap(ctx context.Context, err error, op, sql string) error {
	if err == nil {
		return nil
	}
	code := Code(err)
	// A recorder gives an interruption a code of its own.
	if ctx.Err() != nil && code&0xff == uint32(sqlite3.INTERRUPT) {
		w := errcode.Wrap(ctx.Err(), errcode.Aborted, op).(*errcode.Error)
		w.SQL = sql
		return w
	}
	if e := (*errcode.Error)(nil); errors.As(err, &e) {
		if e.SQL == "" && sql != "" {
			return &errcode.Error{Code: e.Code, Op: op, Msg: e.Message(), SQL: sql, Err: err}
		}
		return err
	}
	if code == 0 {
		w := errcode.Wrap(err, errcode.Internal, op).(*errcode.Error)
		w.SQL = sql
		return w
	}
	msg := err.Error()
	if class := sqlite3.ErrorCode(code); class == sqlite3.ERROR || class == sqlite3.CONSTRAINT {
		// "constraint failed: UNIQUE constraint failed: t.a" repeats itself.
		msg = strings.TrimPrefix(msg, class.Error()+": ")
	}
	msg = strings.TrimPrefix(msg, "sqlite3: ")
	if code == uint32(sqlite3.TOOBIG) {
		msg += ": a value or a row has 64 MiB at most, the text of one statement 1,000,000 bytes (give values as " +
			"parameters, rows to bulk)"
	}
	return &errcode.Error{Code: errcode.SQLite(code), Op: op, Msg: msg, SQL: sql, Err: err}
}

// Code returns the extended result code in err, 0 if there is none.
func Code(err error) uint32 {
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		return uint32(code)
	}
	return 0
}

// Busy reports whether another connection was in the way.
func Busy(err error) bool {
	code := Code(err)
	return code&0xff == uint32(sqlite3.BUSY) || code&0xff == uint32(sqlite3.LOCKED)
}

// Damaged reports whether an error means that the database file itself is not
// what SQLite wrote. A virtual table whose own content is inconsistent does not
// count: an index of FTS5 can be rebuilt.
func Damaged(err error) bool {
	switch errcode.Of(err) {
	case errcode.Damaged, "SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_CORRUPT_SEQUENCE", "SQLITE_NOTADB",
		"SQLITE_IOERR_DATA", "SQLITE_IOERR_CORRUPTFS":
		return true
	}
	switch Code(err) {
	case uint32(sqlite3.CORRUPT), uint32(sqlite3.CORRUPT_INDEX), uint32(sqlite3.CORRUPT_SEQUENCE), uint32(sqlite3.NOTADB),
		uint32(sqlite3.IOERR_DATA), uint32(sqlite3.IOERR_CORRUPTFS):
		return true
	}
	return false
}

// Recovered turns go-sqlite3's panics on what an app can bring about into errors:
// on want of memory, and on a name beyond 1,000,000 bytes. Every other panic is a
// fault of ours or of a callback and goes on.
func Recovered(r any) error {
	if e, ok := r.(error); ok {
		switch e.Error() {
		case "sqlite3: out of memory":
			return sqlite3.NOMEM
		case "sqlite3: missing NUL terminator":
			return errLongName
		}
	}
	panic(r)
}

var errLongName error = errcode.New("SQLITE_TOOBIG", "store: read",
	"the name of a column, a table or a parameter is longer than 1,000,000 bytes: name it with AS")
