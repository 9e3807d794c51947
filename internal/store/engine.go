package store

import "github.com/ncruces/go-sqlite3"

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
	NewTally func(conn *sqlite3.Conn, hook func(sqlite3.PreUpdateData)) Tally
}

// Run is how far RunRows came.
type Run struct {
	Rows, Bytes     int   // of what it was given
	Changes         int64 // of all rows
	LastInsertRowID int64
}

// Tally counts events in front of a pre-update hook, which is not called for them.
// It is used inside SQLite only.
type Tally interface {
	// Add keeps further events of op on a table of the main schema from the hook:
	// they are counted, or, if rowids, the new rowid of each is noted. Writes of
	// sqlite3_blob_write are not kept from it. Add returns the event's index: 0, 1, …
	// since Clear; or -1 if there is no room.
	Add(table string, op sqlite3.AuthorizerActionCode, rowids bool) int
	// Count is how many events the i-th has counted.
	Count(i int) int
	// Rows calls row with what was noted, in order, and forgets it. When there is
	// no room for more, events go to the hook.
	Rows(row func(i int, rowid int64))
	// Clear forgets all that was counted, noted and added.
	Clear()
}

// An EncodedBatch is a [Batch] whose rows lie in one piece of memory, in the page
// encoding of package value.
type EncodedBatch interface {
	Batch
	// Encoded returns the rows that are left.
	Encoded() (rows []byte, columns, n int)
	// Skip passes over the next n rows, which take that many bytes.
	Skip(n, bytes int)
}
