package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Repaired is what Repair did to a space's file.
type Repaired struct {
	Seq      uint64    // the log's end
	Horizon  uint64    // the log begins after this
	Rows     uint64    // of the folded state
	Digest   wire.Hash // at Seq
	FromLog  bool      // the rows were folded from the log; else the stored rows were taken
	Problems []string  // what was damaged, in the order of discovery
	Damaged  string    // a copy of the file as it was
}

// Repair rebuilds the file of a space in a data directory that no server uses:
// its rows and its digest from the log where the log is whole, else from the
// stored rows; then the log is cut behind the last entry that is lost. The file
// as it was is kept beside it, with ".damaged" in its name. After an error the
// space's file is as it was.
//
// Devices go on where they are if nothing was lost. If the end of the log was,
// they give the server back what they wrote, as after a restored backup; where a
// row differs, they take the server's.
func Repair(dir, space string) (_ *Repaired, err error) {
	const op = "server: repair"
	lock, err := lockDir(dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.close()) }()
	file := fileName(dir, space)
	if _, err := os.Stat(file); err != nil {
		return nil, errcode.New(errcode.NotFound, op, fmt.Sprintf("there is no space %q in %s", space, dir))
	}
	kept, err := keepDamaged(file)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	part := file + ".repair"
	if err := errors.Join(remove(part), remove(part+"-wal"), remove(part+"-shm")); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	done, err := rebuild(file, part, space)
	if err != nil {
		return nil, errcode.Wrap(errors.Join(err, remove(part)), errcode.Damaged, op)
	}
	done.Damaged = kept
	if err := os.Rename(part, file); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	return done, errcode.Wrap(flush(dir), errcode.Server, op)
}

func beyondRepair(what string, err error) error {
	what += ": restore a backup"
	if err != nil {
		what += " (" + err.Error() + ")"
	}
	return &errcode.Error{Code: errcode.Damaged, Op: "server: repair", Msg: what, Err: err}
}

// keepDamaged copies a file and its write-ahead log beside them.
func keepDamaged(file string) (kept string, err error) {
	for n := 1; ; n++ {
		kept = fmt.Sprintf("%s.damaged-%d", file, n)
		if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	for _, suffix := range []string{"-wal", ""} {
		err := copyFile(file+suffix, kept+suffix)
		if err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
	}
	return kept, flush(filepath.Dir(file))
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

// flush puts a file, or the names in a directory, on the disk.
func flush(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
