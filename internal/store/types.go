package store

import (
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// The values, parameters and results of statements: see package value.
type (
	Value  = value.Value
	Params = value.Params
	Result = value.Result
)

// Args makes positional parameters.
func Args(values ...Value) Params { return value.Args(values...) }

// MaxKeys bounds the keys that a TableCommit carries.
const MaxKeys = 1000

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

// Change is the net difference that a transaction made to one row.
type Change struct {
	Table *Table
	Key   []Value // values of the columns Table.Key, or the rowid if there are none
	// Before and After hold a value for each of Table.Columns. A missing row
	// is nil. A changed key is two changes: a delete and an insert.
	Before, After []Value
	// Reinserted says that the row was deleted and inserted again under its
	// key (also by INSERT OR REPLACE): it travels as a whole.
	Reinserted bool
}

// Table describes a table of the main schema. It does not change: after DDL
// there is another.
type Table struct {
	Name    string
	Columns []Column // the stored ones, in order; virtual generated columns are left out
	// indexes in Columns of the primary key's columns, in the key's order; none without an explicit key
	Key          []int
	WithoutRowID bool
	RowIDKey     bool // INTEGER PRIMARY KEY: the key is the rowid
	Strict       bool
	Virtual      bool // a virtual table: no columns of it are reported in commits
	Synced       bool

	cids  []int  // each column's index in the table as SQLite numbers them
	rowid string // a name for the rowid that no column takes; "" if there is none
}

// Column describes a stored column.
type Column struct {
	Name       string
	Decl       string // declared type, as written
	Collation  string // "BINARY" unless declared otherwise
	NotNull    bool
	HasDefault bool
	Default    *Value // the constant default as a row stores it; nil if there is none or it is an expression
	Generated  bool   // GENERATED ALWAYS … STORED
	Migration  int    // 1-based number of the migration that brought it; 0 if none did
}

// ColumnIndex returns the index of the named column, or -1. Case is ignored.
func (t *Table) ColumnIndex(name string) int {
	for i := range t.Columns {
		if equalFold(t.Columns[i].Name, name) {
			return i
		}
	}
	return -1
}

// Commit is what a transaction did, for subscribers.
type Commit struct {
	Number uint64 // 1, 2, … since the database was opened
	Origin Origin
	Schema bool // the schema changed, or the whole content was replaced: anything may have changed
	Tables []TableCommit

	Notifications []Notification // in the order of Tx.Notify
}

// TableCommit is what a transaction did to one table. For synced tables of a
// local transaction it is the net difference; otherwise it may name rows that
// ended as they were.
type TableCommit struct {
	Table                      string
	Inserted, Updated, Deleted [][]Value // keys as in Change.Key; at most MaxKeys in all
	More                       int       // further rows whose keys are left out
	Columns                    []string  // columns that updates touched; all of them if HasInsertOrDelete
	HasInsertOrDelete          bool
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
	Temp     bool     // it reads a temporary table: then the other fields are not set
}
