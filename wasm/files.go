package main

import (
	"cmp"
	"context"
	"io"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/jsbridge"
)

// directory returns where the database's files are: those that the worker
// opened, or memory if the app asked for it by name.
func directory(storage string) opfs.Directory {
	if storage == "memory" {
		return opfs.Memory()
	}
	return opfs.From(jsbridge.OpenedOPFS(0))
}

// scratchFiles makes the files that copies pass through: in the database's folder, or in
// memory if the database is.
func scratchFiles(host *jsbridge.Host, dir opfs.Directory, files *opfs.VFS, storage, vfsName string) store.ScratchFunc {
	if storage == "memory" {
		return nil
	}
	return func(ctx context.Context) (store.ScratchFile, error) {
		name, err := host.OpenScratch(ctx)
		if err != nil {
			if c, ok := dir.(opfs.Checker); ok {
				err = cmp.Or(c.Check(ctx), err)
			}
			return nil, err
		}
		h, err := dir.Open(name)
		if err != nil {
			host.CloseScratch(name)
			return nil, err
		}
		return &scratchFile{host: host, name: name, uri: "file:" + name + "?vfs=" + vfsName, h: h,
			end: files.Draft(name)}, nil
	}
}

// scratchFile is a file whose bytes SQLite and Go see in turn.
type scratchFile struct {
	host *jsbridge.Host
	name string
	uri  string
	h    opfs.Handle
	end  func()
}

func (s *scratchFile) URI() string { return s.uri }

func (s *scratchFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.h.ReadAt(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteAt leaves the count as the browser gave it: the writer compares.
func (s *scratchFile) WriteAt(p []byte, off int64) (int, error) { return s.h.WriteAt(p, off) }

func (s *scratchFile) Close() error {
	s.end()
	s.host.CloseScratch(s.name)
	return nil
}
