package opfstest

import (
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
)

func memorySubject() Subject {
	return Subject{
		Fresh:        func(*testing.T) (opfs.Directory, string) { return opfs.Memory(), "test.db" },
		SharedMemory: vfs.SupportsSharedMemory,
	}
}

func TestMemory_directory(t *testing.T) { Directory(t, memorySubject()) }
func TestMemory_sqlite(t *testing.T)    { SQLite(t, memorySubject()) }
