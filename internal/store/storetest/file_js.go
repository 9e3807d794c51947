package storetest

import (
	"strconv"
	"testing"

	"heddle.dev/heddle/internal/opfs"

	"github.com/ncruces/go-sqlite3/vfs"
)

// The engine gives shared memory to the VFS of this name alone.
func init() { vfs.Register("opfs", opfs.New(opfs.Memory())) }

var files int

// File names a new database file.
func File(testing.TB) string {
	files++
	return "file:test" + strconv.Itoa(files) + ".db?vfs=opfs"
}
