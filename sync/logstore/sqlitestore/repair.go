package sqlitestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Repaired is what Repair did to a space.
type Repaired struct {
	Space    string
	Seq      uint64    // the log's end
	Horizon  uint64    // the log begins after this
	Rows     uint64    // of the folded state
	Digest   wire.Hash // at Seq
	FromLog  bool      // the rows were folded from the log; else the stored rows were taken
	Problems []string  // what was damaged, in the order of discovery
	Damaged  string    // a copy of the file as it was
}

// Repair rebuilds the file that holds a space, with all the spaces in it, in a data
// directory that no server uses: the rows and the digest of each from its log
// where that is whole, else from the stored rows; then the log is cut behind the
// last entry that is lost. The file as it was is kept beside it, with ".damaged"
// in its name. After an error the file is as it was. The space asked for comes
// first in the answer.
//
// Devices go on where they are if nothing was lost. If the end of the log was,
// they give the server back what they wrote, as after a restored backup; where a
// row differs, they take the server's.
func Repair(dir, space string) (_ []*Repaired, err error) {
	const op = "sqlitestore: repair"
	lock, err := lockDir(dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.close()) }()
	if _, err := os.Stat(oldFile(dir, space)); err == nil {
		all, err := repairOld(dir, space)
		return all, errcode.Wrap(err, errcode.Damaged, op)
	}
	path, err := FileOf(dir, space)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, errcode.New(errcode.NotFound, op, fmt.Sprintf("there is no space %q in %s", space, dir))
	}
	kept, err := keepDamaged(path)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	part := path + ".repair"
	if err := errors.Join(remove(part), remove(part+"-wal"), remove(part+"-shm")); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	all, err := rebuild(path, part, space)
	if err != nil {
		return nil, errcode.Wrap(errors.Join(err, remove(part)), errcode.Damaged, op)
	}
	for _, done := range all {
		done.Damaged = kept
	}
	if err := os.Rename(part, path); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	return all, errcode.Wrap(errors.Join(remove(path+"-wal"), remove(path+"-shm"), flush(dir)), errcode.Server, op)
}

// repairOld rebuilds a space of a file of its own into the file of many.
func repairOld(dir, space string) (_ []*Repaired, err error) {
	path := oldFile(dir, space)
	kept, err := keepDamaged(path)
	if err != nil {
		return nil, err
	}
	if err := settle(path, true); err != nil {
		return nil, err
	}
	s, err := Open(Options{Dir: dir, Shared: true}) // the caller has locked it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var all []*Repaired
	f := s.fileOf(space)
	f.fixed = false
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	if err := f.open(); err != nil {
		return nil, err
	}
	if all, err = f.w.rebuildFrom(path, oldViews, space); err != nil {
		return nil, err
	}
	for _, done := range all {
		done.Damaged = kept
	}
	return all, errors.Join(remove(path), remove(path+"-wal"), remove(path+"-shm"), flush(dir))
}

func beyondRepair(what string, err error) error {
	what += ": restore a backup"
	if err != nil {
		what += " (" + err.Error() + ")"
	}
	return &errcode.Error{Code: errcode.Damaged, Op: "sqlitestore: repair", Msg: what, Err: err}
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
