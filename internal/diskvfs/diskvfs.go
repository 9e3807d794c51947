// Package diskvfs is go-sqlite3's VFS for the operating system's files, without
// memory mapping.
//
// A file whose pages have checksums cannot be mapped, which the binding knows once
// it has read the file's header. SQLite asks when it opens the file, before that:
// it believes that the file can be mapped, and a checkpoint that finds the log
// changed by another connection asks the binding to unmap what it has not mapped.
// The binding (go-sqlite3 0.36.0, vfsUnfetch) panics then.
package diskvfs

import (
	"fmt"

	"github.com/ncruces/go-sqlite3/vfs"
)

// Name is what the VFS is called, as in "file:notes.db?vfs=disk".
const Name = "disk"

func init() { vfs.Register(Name, disk{vfs.Find("").(vfs.VFSFilename)}) }

type disk struct{ vfs.VFSFilename }

// file is what the operating system's files are, but for what maps them.
type file interface {
	vfs.FileHasMoved
	vfs.FileLockState
	vfs.FilePersistWAL
	vfs.FilePowersafeOverwrite
	vfs.FileSharedMemory
	vfs.FileSizeHint
}

// unmapped hides the method that maps a file.
type unmapped struct{ file }

// OpenFilename implements vfs.VFSFilename.
func (d disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	opened, flags, err := d.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return opened, flags, err
	}
	f, ok := opened.(file)
	if !ok {
		opened.Close()
		return nil, flags, fmt.Errorf("diskvfs: a file of the binding is %T", opened)
	}
	return unmapped{f}, flags, nil
}
