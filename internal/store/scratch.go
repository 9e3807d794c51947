package store

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
)

// A ScratchFile is a temporary file for a copy of the database. It is either open in
// SQLite, by its URI, or read and written as bytes.
type ScratchFile interface {
	URI() string // with a query
	io.ReaderAt
	io.WriterAt
	Close() error // removes it
}

// ScratchFunc makes an empty scratch file. It may wait, and is called outside SQLite.
type ScratchFunc func(ctx context.Context) (ScratchFile, error)

func (db *DB) scratch(ctx context.Context) (ScratchFile, error) {
	if db.opts.Scratch != nil {
		s, err := db.opts.Scratch(ctx)
		// If the storage was removed, a copy in memory can still save the content.
		if errcode.Of(err) != errcode.StorageLost {
			return s, errcode.Wrap(err, errcode.StorageUnavail, "store: scratch file")
		}
	}
	s := &memoryScratch{}
	s.uri, s.memFile, s.drop = memory.create(nil)
	return s, nil
}

type memoryScratch struct {
	*memFile
	uri  string
	drop func()
}

func (s *memoryScratch) URI() string { return s.uri }
func (s *memoryScratch) Close() error {
	s.drop()
	return nil
}
