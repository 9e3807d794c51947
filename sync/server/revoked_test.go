package server_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// until waits for a stream's end, and returns its last frame.
func until(t *testing.T, frames *wire.FrameReader) (last *wire.Frame) {
	t.Helper()
	for {
		f, err := frames.Next()
		if err == io.EOF {
			return last
		}
		if err != nil {
			t.Fatal(err)
		}
		last = f
	}
}

// A stream ends when its token is revoked, or its key is removed; others go on.
func TestStreams_endWithTheirTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	one, two := []byte(strings.Repeat("1", 40)), []byte(strings.Repeat("2", 40))
	keys, err := auth.OpenKeys(t.Context(), auth.KeyOptions{Files: []string{write("one", one), write("two", two)}})
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := auth.OpenRevocations(write("revoked", []byte("# nothing yet\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, func(o *server.Options) { o.Dev, o.Tokens, o.Revoked = false, keys, revoked.Revoked })
	open := func(key []byte, g auth.Grant) (*wire.FrameReader, func() int) {
		t.Helper()
		g.Spaces, g.Expires = auth.Spaces(auth.Read, "s"), time.Now().Add(time.Hour)
		token, err := mustKey(t, key).Mint(g)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		frames, res := newAuthor(h, "s", 0).pull(ctx, "", "Authorization", "Bearer "+token)
		t.Cleanup(func() { res.Body.Close() })
		if f, err := frames.Next(); err != nil || f.Hello == nil {
			t.Fatalf("got %+v, %v", f, err)
		}
		return frames, func() int {
			res := h.do("GET", "/v1/spaces/s/digest", nil, "Authorization", "Bearer "+token)
			res.Body.Close()
			return res.StatusCode
		}
	}
	past := time.Now().Add(-time.Minute)
	byName, nameCounts := open(one, auth.Grant{Subject: "ann", ID: "phone"})
	bySubject, _ := open(one, auth.Grant{Subject: "bob"})
	byTime, _ := open(one, auth.Grant{Subject: "cid", Issued: past})
	byKey, keyCounts := open(two, auth.Grant{Subject: "ann"})
	stays, stillCounts := open(one, auth.Grant{Subject: "cid"})

	ended := func(name string, frames *wire.FrameReader) {
		t.Helper()
		began := time.Now()
		if f := until(t, frames); f == nil || f.Error == nil || f.Error.Code != errcode.Unauthorized {
			t.Errorf("%s: the last frame is %+v", name, f)
		}
		t.Logf("%s: ended after %v", name, time.Since(began))
	}
	write("revoked", []byte("jti phone\nsub bob\nbefore "+past.Add(time.Second).Format(time.RFC3339)+" cid\n"))
	if err := revoked.Refresh(); err != nil {
		t.Fatal(err)
	}
	ended("by name", byName)
	ended("by subject", bySubject)
	ended("by time", byTime)
	write("two", bytes.Repeat([]byte("3"), 40))
	if err := keys.Refresh(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ended("by key", byKey)
	if a, b, c := nameCounts(), keyCounts(), stillCounts(); a != 401 || b != 401 || c != 200 {
		t.Errorf("requests get %d, %d and %d", a, b, c)
	}
	h.srv.Drain()
	if f := until(t, stays); f == nil || f.Error == nil || f.Error.Code != errcode.Closed {
		t.Errorf("the last stream ended with %+v", f)
	}
}
