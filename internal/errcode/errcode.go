// Package errcode is the one error vocabulary of Heddle: what Go returns, what
// travels on the wire and between tabs, and what JavaScript reads as
// error.code.
//
// A code is either SQLite's own extended name (SQLITE_CONSTRAINT_UNIQUE, see
// https://sqlite.org/rescode.html) or one of the HEDDLE_ names below.
//
// Tested by gen/codes: the lists in Go and TypeScript that are generated from it.
package errcode

//go:generate go run ./gen ../../web/src/shared/codes.gen.ts
//go:generate go run ./gen ../../codes.gen.go

import (
	"context"
	"errors"
)

// Codes of Heddle's own. Each says what happened to the call.
const (
	Aborted        = "HEDDLE_ABORTED"        // the caller's AbortSignal or context ended the call; nothing was written
	Assets         = "HEDDLE_ASSETS"         // a file of the package could not be loaded: the worker or a wasm file
	BadBody        = "HEDDLE_BAD_BODY"       // a transaction's body does not decode: the server decided void
	BadCode        = "HEDDLE_BAD_CODE"       // a recovery code was mistyped: its check symbols do not fit
	BadPassphrase  = "HEDDLE_BAD_PASSPHRASE" // a passphrase opens nothing in the space, or is too short to be set
	BadSeal        = "HEDDLE_BAD_SEAL"       // a sealed box does not open: it has another key, or was altered
	Behind         = "HEDDLE_BEHIND"         // the server's log does not reach back to this replica: it takes a snapshot
	BadParam       = "HEDDLE_BAD_PARAM"      // a parameter is missing, superfluous or of a type SQLite has not
	Busy           = "HEDDLE_BUSY"           // this tab has too many calls waiting or iterations open; nothing was written
	Blocked        = "HEDDLE_BLOCKED"        // another tab holds the database and does not answer
	ClientFork     = "HEDDLE_CLIENT_FORK"    // one client id numbered two transactions alike: the database was copied
	Closed         = "HEDDLE_CLOSED"         // the database, or the engine behind it, is closed
	Damaged        = "HEDDLE_DAMAGED"        // the database file is not what was written; it is kept as it is
	Diverged       = "HEDDLE_DIVERGED"       // the server's log is not the one this replica follows, or a digest differs
	EngineCrash    = "HEDDLE_ENGINE_CRASH"   // the engine died over this call twice and wrote nothing, or died too often
	Forbidden      = "HEDDLE_FORBIDDEN"      // the token does not grant the space
	Gone           = "HEDDLE_GONE"           // the space was deleted on the server, for good
	Internal       = "HEDDLE_INTERNAL"       // a fault of Heddle itself
	Keys           = "HEDDLE_KEYS"           // the key of an entry of the sealed space has not come to this device yet
	LeaderLost     = "HEDDLE_LEADER_LOST"    // no leading tab answered in time: a write under way has happened or not
	Locked         = "HEDDLE_LOCKED"         // the database is sealed or encrypted at rest, and was opened without its key
	MembersMoved   = "HEDDLE_MEMBERS_MOVED"  // a Change of a space's members follows another one: it is made anew
	Migration      = "HEDDLE_MIGRATION"      // a migration failed, or an applied one was changed
	Network        = "HEDDLE_NETWORK"        // the server could not be reached
	NoSync         = "HEDDLE_NO_SYNC"        // the database was opened without sync
	NotAllowed     = "HEDDLE_NOT_ALLOWED"    // a Change of a space's members that its author may not make
	NotMember      = "HEDDLE_NOT_MEMBER"     // the device is not, or no more, a member of the sealed space
	NotFound       = "HEDDLE_NOT_FOUND"      // no such route, or the server does not keep (any more) what was asked for
	NullKey        = "HEDDLE_NULL_KEY"       // a row of a synced table has NULL in its primary key
	OldEpoch       = "HEDDLE_OLD_EPOCH"      // a sealed transaction has an older key than the newest: it is sealed anew
	Outdated       = "HEDDLE_OUTDATED"       // a newer build leads: reload; nothing was written unless it was under way
	Protocol       = "HEDDLE_PROTOCOL"       // a message does not decode, or is of a version that this build does not know
	Quota          = "HEDDLE_QUOTA"          // the space may not grow beyond its quota
	ResultLost     = "HEDDLE_RESULT_LOST"    // the leading tab went away; the write took effect, its rows were not kept
	RateLimited    = "HEDDLE_RATE_LIMITED"   // the server asks to wait
	Rejected       = "HEDDLE_REJECTED"       // the server decided void on a transaction
	Removed        = "HEDDLE_REMOVED"        // this device was removed from the sealed space: what is here stays readable
	Sealed         = "HEDDLE_SEALED"         // the space is sealed and the request is not, or the other way round
	Server         = "HEDDLE_SERVER"         // the server failed
	Stale          = "HEDDLE_STALE"          // a sealed transaction has seen too little of the log: it is sealed anew
	StorageLost    = "HEDDLE_STORAGE_LOST"   // the database's files were removed (site data cleared); it writes no more
	StorageUnavail = "HEDDLE_STORAGE"        // the browser offers no persistent storage here
	SyncSchema     = "HEDDLE_SYNC_SCHEMA"    // a synced table breaks a rule of sync; the message says which and what to do
	Tampered       = "HEDDLE_TAMPERED"       // the server shows what no honest one does, or has lost a part of the log
	Timeout        = "HEDDLE_TIMEOUT"        // the call's time is over
	TooBig         = "HEDDLE_TOO_BIG"        // a transaction or a call is larger than its limit; nothing was written
	TxClosed       = "HEDDLE_TX_CLOSED"      // the transaction has already ended
	TxLost         = "HEDDLE_TX_LOST"        // the leading tab went away inside a transaction or load; nothing was written
	TxNested       = "HEDDLE_TX_NESTED"      // a write on db inside its own transaction: call tx; nothing was written
	TxControl      = "HEDDLE_TX_CONTROL"     // BEGIN, COMMIT or ROLLBACK inside SQL: Heddle begins and ends transactions
	Unauthorized   = "HEDDLE_UNAUTHORIZED"   // the server refuses the token
	Unproved       = "HEDDLE_UNPROVED"       // a request to a sealed space has no valid signature of a member's device
	Unsupported    = "HEDDLE_UNSUPPORTED"    // this build or browser cannot do it
)

// Error is an error with its code, the operation that failed, the SQL where
// there is one, and the cause.
type Error struct {
	Code string // one of the constants above, or SQLite's extended name
	Op   string // "package: operation", for people
	Msg  string // what happened and what to do; the cause's text if empty
	SQL  string // the statement, where there is one
	Err  error  // the cause, may be nil
}

// Error returns "op: message".
func (e *Error) Error() string {
	msg := e.Message()
	if e.Op != "" {
		return e.Op + ": " + msg
	}
	return msg
}

// Message returns the text without the operation.
func (e *Error) Message() string {
	switch {
	case e.Msg != "":
		return e.Msg
	case e.Err != nil:
		return e.Err.Error()
	default:
		return e.Code
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same code and nothing else, so
// that errors.Is(err, &Error{Code: c}) matches.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Err == nil && t.Msg == "" && t.Op == ""
}

// New makes an error without a cause.
func New(code, op, msg string) *Error { return &Error{Code: code, Op: op, Msg: msg} }

// Wrap gives err a code and an operation. An err that already has a code keeps
// it, and its SQL. Wrap(nil) is nil.
func Wrap(err error, code, op string) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code, Op: op, SQL: e.SQL, Msg: e.Message(), Err: err}
	}
	switch {
	case errors.Is(err, context.Canceled):
		code = Aborted
	case errors.Is(err, context.DeadlineExceeded):
		code = Timeout
	}
	return &Error{Code: code, Op: op, Err: err}
}

// From returns the Error in err's chain, or makes one of err's code and op.
func From(err error, op string) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Of(err), Op: op, Err: err}
}

// Of returns the code of err: "" for nil, Internal where it carries none.
func Of(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return Aborted
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return Internal
	}
}
