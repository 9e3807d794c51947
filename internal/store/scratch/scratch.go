// Package scratch has the temporary files through which copies of a database pass,
// and those that are in memory.
package scratch

import (
	"context"
	"io"
)

// A File is a temporary file for a copy of the database. It is either open in
// SQLite, by its URI, or read and written as bytes.
type File interface {
	URI() string // with a query
	io.ReaderAt
	io.WriterAt
	Close() error // removes it
}

// A Func makes an empty file. It may wait, and is called outside SQLite.
type Func func(ctx context.Context) (File, error)
