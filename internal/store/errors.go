package store

import (
	"context"
	"errors"
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// wrapErr gives an error of SQLite its code, operation and SQL. An error that
// has a code keeps it and gets the SQL where it has none.
func wrapErr(ctx context.Context, err error, op, sql string) error {
	if err == nil {
		return nil
	}
	code := sqliteCode(err)
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

// sqliteCode returns the extended result code in err, 0 if there is none.
func sqliteCode(err error) uint32 {
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		return uint32(code)
	}
	return 0
}

func isBusy(err error) bool {
	code := sqliteCode(err)
	return code&0xff == uint32(sqlite3.BUSY) || code&0xff == uint32(sqlite3.LOCKED)
}

// recovered turns go-sqlite3's panics on what an app can bring about into errors:
// on want of memory, and on a name beyond 1,000,000 bytes. Every other panic is a
// fault of ours or of a callback and goes on.
func recovered(r any) error {
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

func closedErr(op string) error {
	return errcode.New(errcode.Closed, op, "the database is closed")
}

func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
