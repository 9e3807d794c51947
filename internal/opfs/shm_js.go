package opfs

import "github.com/ncruces/go-sqlite3/vfs"

// shmDir has nothing to do in the browser: there the engine itself provides the
// shared memory of WAL, as plain Go memory, to the files of the VFS "opfs".
// Without that engine WAL needs locking_mode=EXCLUSIVE.
type shmDir struct{}

func (*shmDir) open(string, vfs.OpenFlag) (vfs.SharedMemory, error) { return nil, nil }
func (*shmDir) close()                                              {}
