package store

import (
	"heddle.dev/heddle/internal/store/capture"
	"heddle.dev/heddle/internal/store/migrate"
	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// The values, parameters and results of statements: see package value.
type (
	Value  = value.Value
	Params = value.Params
	Result = value.Result
)

// What the packages below define and a user of a database meets.
type (
	Table         = schema.Table
	Column        = schema.Column
	Change        = capture.Change
	TableCommit   = capture.TableCommit
	RowChange     = capture.RowChange
	MigrationHook = migrate.Hook
	ScratchFile   = scratch.File
	ScratchFunc   = scratch.Func
)

// MaxKeys bounds the keys that a TableCommit carries.
const MaxKeys = capture.MaxKeys

// Scan reads the row that s stands on: INTEGER as int64, REAL as float64, TEXT
// as string, BLOB as []byte (never nil), NULL as nil. dest has one element for
// each column; strings and slices are the caller's to keep.
func Scan(s *sqlite3.Stmt, dest []Value) error { return sqlconn.Scan(s, dest) }

// BindValue binds the i-th parameter of s, from 1 on.
func BindValue(s *sqlite3.Stmt, i int, v Value) error { return sqlconn.BindValue(s, i, v) }

// Damaged reports whether an error means that the database file itself is not
// what SQLite wrote.
func Damaged(err error) bool { return sqlerr.Damaged(err) }

// Args makes positional parameters.
func Args(values ...Value) Params { return value.Args(values...) }

// Options say how to open a database.
type Options struct {
	Filename   string      // as given to go-sqlite3, e.g. "file:notes.db?vfs=opfs"
	Migrations []string    // run once each, in order, all that are due in one transaction
	Synced     []string    // tables whose rows are captured whole
	SingleConn bool        // WAL in exclusive mode and no reading connection: for a VFS without shared memory
	Yield      func()      // lets other goroutines run during long operations; runtime.Gosched if nil
	Scratch    ScratchFunc // where copies of the database pass through; memory if nil
	OnDamage   func(error) // called once, in a goroutine, when an error is [Damaged]
	Engine     Engine      // what only the browser's engine can do
	Bounds     Bounds      // for tests
	Seed       bool        // a new file gets a seed: see [Tx.TakeSeed]

	// MigrationHook makes what follows the migrations of a database: this one,
	// or a file that is imported. It is called in their transaction, before the
	// first one that is due. It may be nil.
	MigrationHook func(*sqlite3.Conn) (MigrationHook, error)
}

// Engine is what an engine may do in one call where this package makes a call for
// each row. Both may be nil; then the work is done in Go, with the same result.
type Engine struct {
	// RunRows runs stmt, which was reset, for up to max rows of parameters in
	// the page encoding of package value: columns values a row. The code is 0 if that
	// many rows ran, negative if the next row is one to run in Go, and else
	// SQLite's: then stmt must be reset, which reports the error. ok is false, and
	// nothing was done, if it cannot run this statement.
	RunRows func(stmt *sqlite3.Stmt, rows []byte, columns, max int) (run Run, code int, ok bool)
	// NewTally sets the pre-update hook of conn, behind a tally.
	NewTally func(conn *sqlite3.Conn, hook func(sqlite3.PreUpdateData)) capture.Tally
}

// Run is how far RunRows came.
type Run struct {
	Rows, Bytes     int   // of what it was given
	Changes         int64 // of all rows
	LastInsertRowID int64
}

// OriginKind is where a transaction came from.
type OriginKind uint8

// The kinds of origins.
const (
	Local OriginKind = 1 // an app's own write, of any tab
	Sync  OriginKind = 2 // entries of the log being applied
)

// Origin is where a transaction came from.
type Origin struct {
	Kind OriginKind
	Tab  string // the tab that wrote; "" where it does not matter
}

// Recorder sees each local transaction that changed synced tables, inside that
// transaction and before its COMMIT. It may write through tx.Conn; what it
// writes to synced tables is committed and announced but not recorded again.
// An error rolls the transaction back and is what Commit returns; COMMIT itself
// may still fail after Record has returned, so what a recorder keeps in memory
// follows OnCommit. The changes are the recorder's to keep.
type Recorder interface {
	Record(tx *Tx, changes []Change) error
}

// Commit is what a transaction did, for subscribers.
type Commit struct {
	Number uint64 // 1, 2, … since the database was opened; but see [DB.NumberAbove]
	Origin Origin
	Schema bool // the schema changed, or the whole content was replaced: anything may have changed
	Tables []TableCommit

	Notifications []Notification // in the order of Tx.Notify
}

// Deps is what a statement reads, as the authorizer saw it.
type Deps struct {
	// Reads holds the columns read of each table, in the schema's spelling.
	// A table of which only the number of rows matters has none. Views are
	// expanded; an FTS5 table stands for its shadow tables.
	Reads    map[string]map[string]bool
	ReadOnly bool
	Volatile bool     // it calls a function whose value depends on more than its arguments
	Columns  []string // names of the result's columns
	ByRowID  bool     // it reads one table in the order of the rowids: see [DB.Plan]
	Temp     bool     // it reads a temporary table: then the other fields are not set
}
