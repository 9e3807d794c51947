package store

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
)

// A Side is a file beside the database that a copy of it passes through. It is
// either open in SQLite, by its URI, or read and written as bytes.
type Side interface {
	URI() string // with a query
	io.ReaderAt
	io.WriterAt
	Close() error // removes it
}

// SideFunc makes an empty one. It may wait, and is called outside SQLite.
type SideFunc func(ctx context.Context) (Side, error)

func (db *DB) side(ctx context.Context) (Side, error) {
	if db.opts.Side != nil {
		s, err := db.opts.Side(ctx)
		// Where the files were removed there is no beside, and all the more to save.
		if errcode.Of(err) != errcode.StorageLost {
			return s, errcode.Wrap(err, errcode.StorageUnavail, "store: side file")
		}
	}
	s := &memorySide{}
	s.uri, s.memFile, s.drop = memory.create(nil)
	return s, nil
}

type memorySide struct {
	*memFile
	uri  string
	drop func()
}

func (s *memorySide) URI() string { return s.uri }
func (s *memorySide) Close() error {
	s.drop()
	return nil
}
