package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
)

// The drill: a server is backed up while it takes pushes, goes on, loses its
// disk and is put back from the copy. The devices end as they were, with all
// that the server had acknowledged.
func TestBackup_drill(t *testing.T) {
	data, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	url, stop := serving(t, "--dev", "--data", data)
	addr := strings.Trim(strings.TrimPrefix(url, "http:"), "/")
	device(t, url, "Other", filepath.Join(t.TempDir(), "other.db"), true, "")

	ctx := await.Context(t)
	type replica struct {
		db *store.DB
		c  *client.Client
	}
	open := func() replica {
		db, err := store.Open(ctx, store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "d.db"),
			Migrations: []string{`CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT)`}, Synced: []string{"notes"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		c, err := client.Open(ctx, db, client.Config{URL: url, Space: "s", IntegerKey: true,
			Tables: map[string]client.Merge{"notes": nil}, HTTP: nethttp.Doer{}, Bounds: client.Bounds{Silence: await.Long}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return replica{db, c}
	}
	write := func(r replica, i int) {
		t.Helper()
		err := r.db.Update(ctx, store.Origin{}, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO notes VALUES(?, hex(randomblob(500)))`, store.Args(int64(i)))
			return err
		})
		if err == nil {
			err = r.c.Now(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := open(), open()
	const before, after = 60, 20
	reached, done := make(chan struct{}), make(chan struct{})
	go func() { // pushes go on while the copy is made
		defer close(done)
		for i := range before {
			if i == before/3 {
				close(reached)
			}
			write(a, i)
		}
	}()
	<-reached
	out := works(t, "backup", "--data", data, "--to", copied)
	<-done
	if !regexp.MustCompile(`(?m)^s at \d+, \d+ rows$`).MatchString(out) || !strings.Contains(out, "Other at 1, 3 rows") ||
		!strings.Contains(out, "2 spaces") {
		t.Errorf("got %s", out)
	}
	for i := range after {
		write(b, 1000+i)
	}
	if code := stop(); code != exitOK {
		t.Errorf("the server ended with %d", code)
	}
	for _, space := range []string{"s", "Other"} {
		if report := works(t, "inspect", fileOf(t, copied, space)); !strings.Contains(report, "integrity  ok") {
			t.Errorf("got %s", report)
		}
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}

	_, stop = serving(t, "--dev", "--data", copied, "--addr", addr)
	defer stop()
	for range 2 {
		for _, r := range []replica{a, b} {
			if err := r.c.Now(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := ""
	for i, r := range []replica{a, b, open()} {
		if err := r.c.Now(ctx); err != nil {
			t.Fatal(err)
		}
		_, digest, err := r.c.Digest(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		err = r.db.Query(ctx, `SELECT count(*) FROM notes`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			n = s.ColumnInt64(0)
			return nil
		})
		if err != nil || n != before+after {
			t.Errorf("device %d has %d rows (%v), want %d", i, n, err, before+after)
		}
		if got := fmt.Sprintf("%x", digest); want == "" {
			want = got
		} else if got != want {
			t.Errorf("device %d has digest %s, the first %s", i, got, want)
		}
	}
	if report := works(t, "digest", "--server", url, "--space", "s"); !strings.Contains(report, want) {
		t.Errorf("the server has %s, the devices %s", report, want)
	}
}

// A space larger than SQLite's cache is copied with a checksum in every page.
func TestBackup_large(t *testing.T) {
	data, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	url, stop := serving(t, "--dev", "--data", data)
	device(t, url, "s", filepath.Join(t.TempDir(), "d.db"), true, "")
	stop()
	db, err := sqlite3.Open("file:" + fileOf(t, data, "s"))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Exec(`CREATE TABLE large(a);
		INSERT INTO large SELECT randomblob(3000) FROM
			(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) SELECT i FROM n)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	works(t, "backup", "--data", data, "--to", copied)
	file := fileOf(t, copied, "s")
	if header, err := os.ReadFile(file); err != nil || header[20] != 8 {
		t.Errorf("the copy has no page checksums (%v)", err)
	}
	works(t, "inspect", file)
}

func TestBackup_refuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "spaces-1-of-4.db"), []byte(strings.Repeat("no database ", 1000)),
		0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		code int
		args []string
	}{
		{exitUsage, nil},
		{exitUsage, []string{"--data", full}},
		{exitFailed, []string{"--data", filepath.Join(full, "none"), "--to", t.TempDir()}},
		{exitFailed, []string{"--data", t.TempDir(), "--to", full}},
		{exitFailed, []string{"--data", broken, "--to", t.TempDir()}},
	} {
		if code, out, problems := heddle(t, append([]string{"backup"}, test.args...)...); code != test.code ||
			problems == "" {
			t.Errorf("backup %q: exit %d, %s%s", test.args, code, out, problems)
		}
	}
	if code, out, _ := heddle(t, "backup", "--data", t.TempDir(), "--to",
		filepath.Join(t.TempDir(), "new")); code != exitOK || out != "0 spaces\n" {
		t.Errorf("of an empty directory: exit %d, %s", code, out)
	}
}
