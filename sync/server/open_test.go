package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
)

// A space whose file cannot be opened is refused each time it is asked for, and
// is served once it can.
func TestServer_spaceDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.space.db")
	if err := os.WriteFile(file,
		[]byte("this is no database, and longer than the hundred bytes that a header of one would have, "+
			"so that SQLite says so"), 0o600); err != nil {
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

// A path that SQLite cannot open is refused before anything is made.
func TestNew_longPath(t *testing.T) {
	dir := t.TempDir()
	deep := func(n int) string {
		path := dir
		for len(path) < n {
			path = filepath.Join(path, strings.Repeat("d", min(100, max(1, n-len(path)-1))))
		}
		return path
	}
	srv, err := server.New(server.Options{Dir: deep(767), Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if _, err := server.New(server.Options{Dir: deep(768) + "/x", Dev: true}); errcode.Of(err) != errcode.BadParam {
		t.Errorf("got %v", err)
	}
}
