package main

import (
	"cmp"
	"context"
	"io"

	sqlite3_wasm "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/opfs/atrest"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/jsbridge"
)

// directory returns where the database's files are: those that the worker
// opened, or memory if the app asked for it by name. With a key they are encrypted.
func directory(
	ctx context.Context, host *jsbridge.Host, open rpc.OpenConfig, c jsbridge.HostConfig,
) (opfs.Directory, error) {
	if open.Storage == "memory" {
		return opfs.Memory(), nil
	}
	dir := opfs.From(jsbridge.OpenedOPFS(0))
	if len(c.Key) != atrest.KeySize {
		return dir, nil
	}
	if err := host.AwaitRest(ctx); err != nil { // the cipher is there
		return nil, err
	}
	key := atrest.Key(c.Key)
	if c.Recode != "" {
		file, err := opfs.File(open.Name)
		if err != nil {
			return nil, err
		}
		recoding := atrest.Recoding{Dir: dir, Key: key, Bulk: sqlite3_wasm.Adiantum{}, Encrypt: c.Recode == "encrypt",
			Files: []string{file, file + "-wal", file + "-journal"}, Journal: file + "-recode", Step: progress}
		if err := recoding.Run(); err != nil {
			return nil, errcode.Wrap(err, "SQLITE_FULL", "open: encryptAtRest")
		}
		if err := host.Recoded(ctx); err != nil || c.Recode == "decrypt" {
			return dir, err
		}
	}
	return atrest.New(dir, key, sqlite3_wasm.Adiantum{}), nil
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
