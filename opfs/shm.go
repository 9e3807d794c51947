//go:build !js

package opfs

import (
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3/vfs"
)

// shmDir is where the connections of one VFS map the shared memory of WAL: a
// directory of temporary files that exists while files are open. Guarded by
// VFS.mu.
//
// https://sqlite.org/wal.html#implementation_of_shared_memory_for_the_wal_index
type shmDir struct{ path string }

// open makes the shared memory for one connection to the database file. It is
// mapped only when SQLite asks for it.
func (d *shmDir) open(name string, flags vfs.OpenFlag) (vfs.SharedMemory, error) {
	if !vfs.SupportsSharedMemory {
		return nil, nil
	}
	if d.path == "" {
		path, err := os.MkdirTemp("", "heddle-shm-")
		if err != nil {
			return nil, err
		}
		d.path = path
	}
	return vfs.NewSharedMemory(filepath.Join(d.path, name+"-shm"), flags), nil
}

func (d *shmDir) close() {
	if d.path != "" {
		os.RemoveAll(d.path)
		d.path = ""
	}
}
