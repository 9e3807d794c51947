package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"heddle/internal/errcode"
	"heddle/sync/server"
)

// A space whose file cannot be opened is refused each time it is asked for, and
// is served once it can.
func TestServer_spaceDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.space.db")
	if err := os.WriteFile(file, []byte("this is no database, and longer than the hundred bytes that a header of one would have, so that SQLite says so"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, func(o *server.Options) { o.Dir, o.Logger = dir, nil })
	for range 2 {
		h.refused(h.do("GET", "/v1/spaces/s/digest", nil), 500, errcode.Server)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	newAuthor(h, "s", 1).catchUp()
}
