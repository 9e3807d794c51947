//go:build !js

package storetest

import (
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
)

// The browser's engine has FTS5 built in.
func init() { sqlite3.AutoExtension(fts5.Register) }

// File names a new database file.
func File(t testing.TB) string { return "file:" + filepath.Join(t.TempDir(), "test.db") }
