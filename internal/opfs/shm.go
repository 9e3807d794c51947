//go:build !js

package opfs

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/ncruces/go-sqlite3/vfs"
)

// shmDir is where the connections of one VFS map the shared memory of WAL: files
// in a temporary directory of the process, which exists while some VFS has files
// open. Guarded by VFS.mu.
//
// https://sqlite.org/wal.html#implementation_of_shared_memory_for_the_wal_index
type shmDir struct{ path, prefix string }

var shmDirs struct {
	mu    sync.Mutex
	path  string
	users int
	next  int
}

// open makes the shared memory for one connection to the database file. It is
// mapped only when SQLite asks for it.
func (d *shmDir) open(name string, flags vfs.OpenFlag) (vfs.SharedMemory, error) {
	if !vfs.SupportsSharedMemory {
		return nil, nil
	}
	if d.path == "" {
		shmDirs.mu.Lock()
		defer shmDirs.mu.Unlock()
		if shmDirs.users == 0 {
			path, err := os.MkdirTemp("", "heddle-shm-")
			if err != nil {
				return nil, err
			}
			shmDirs.path = path
		}
		shmDirs.users++
		shmDirs.next++
		d.path, d.prefix = shmDirs.path, strconv.Itoa(shmDirs.next)+"-"
	}
	return vfs.NewSharedMemory(filepath.Join(d.path, d.prefix+name+"-shm"), flags), nil
}

func (d *shmDir) close() {
	if d.path == "" {
		return
	}
	shmDirs.mu.Lock()
	defer shmDirs.mu.Unlock()
	shmDirs.users--
	if shmDirs.users == 0 {
		os.RemoveAll(d.path)
	}
	d.path = ""
}
