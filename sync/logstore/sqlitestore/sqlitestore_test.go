package sqlitestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/wire"
)

func open(t *testing.T, dir string, files int) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(sqlitestore.Options{Dir: dir, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	for _, files := range []int{1, 4} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) *storetest.Subject {
				dir := t.TempDir()
				s := open(t, dir, files)
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
				return &storetest.Subject{Store: s, Reopen: func() logstore.Store {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
					s = open(t, dir, 7) // how many there are is said by those that are there
					return s
				}}
			})
		})
	}
}

// A file of the format before is brought to this one, with what is in it.
func TestOpen_formatBefore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	if err := s.Create(t.Context(), "s", wire.Epoch{1}); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Close())
	c, err := sqlite3.Open(filepath.Join(dir, "spaces-1-of-1.db"))
	must(err)
	must(c.Exec(`DROP TABLE head; DROP TABLE blob; ALTER TABLE space DROP COLUMN told; PRAGMA user_version = 1`))
	must(c.Close())
	for range 2 {
		s = open(t, dir, 1)
		must(s.Read(t.Context(), "s", func(v logstore.View) error {
			m, err := v.Meta()
			if m.Head.Epoch != (wire.Epoch{1}) {
				t.Errorf("got %+v", m)
			}
			told, err2 := v.DeviceHeads()
			if len(told) > 1 {
				t.Errorf("got %+v", told)
			}
			return errors.Join(err, err2)
		}))
		must(s.Commit(t.Context(), "s", &logstore.WriteSet{Base: wire.Position{Epoch: wire.Epoch{1}},
			State: logstore.State{Head: wire.Position{Epoch: wire.Epoch{1}}},
			Told:  []logstore.DeviceHead{{Device: [16]byte{1}, N: 1, Bytes: []byte{1}}}}))
		must(s.Close())
	}
}

// Each page of a file has a checksum from the beginning: what has changed on the disk
// is damage, and no answer is made of it.
func TestOpen_newFileHasChecksums(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	if err := s.Create(t.Context(), "s", wire.Epoch{1}); err != nil {
		t.Fatal(err)
	}
	e := wire.Entry{Seq: 1, Counter: 1, Body: []byte(strings.Repeat("a body ", 3000))}
	e.Chain = e.ChainAfter(wire.Hash{})
	base := wire.Position{Epoch: wire.Epoch{1}}
	w := &logstore.WriteSet{Base: base, Entries: []wire.Entry{e},
		State: logstore.State{Head: wire.Position{Epoch: base.Epoch, Seq: 1, Chain: e.Chain}}}
	if err := errors.Join(s.Commit(t.Context(), "s", w), s.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "spaces-1-of-1.db")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, []byte("a body"))
	if at < 0 {
		t.Fatal("the body is not found in the file")
	}
	data[at] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, 1)
	err = s.Read(t.Context(), "s", func(v logstore.View) error {
		_, err := v.Entries(0, 1<<20, wire.ClientID{})
		return err
	})
	if errcode.Of(err) != errcode.Damaged {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A file keeps the page checksums that it was made with, or without.
func TestOpen_bare(t *testing.T) {
	header := func(dir string, bare, has bool) error {
		t.Helper()
		s, err := sqlitestore.Open(sqlitestore.Options{Dir: dir, Bare: bare})
		if err != nil {
			return err
		}
		if err := errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Close()); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "spaces-1-of-1.db"))
		if err != nil || (data[20] == 8) != has { // https://sqlite.org/fileformat2.html#resbyte
			t.Errorf("the file's header says %d, %v", data[20], err)
		}
		return err
	}
	bare, checked := t.TempDir(), t.TempDir()
	for _, again := range []error{header(bare, true, false), header(bare, false, false), header(bare, true, false),
		header(checked, false, true), header(checked, false, true)} {
		if again != nil {
			t.Error(again)
		}
	}
	if err := header(checked, true, true); errcode.Of(err) != errcode.BadParam {
		t.Errorf("a file with checksums that is to have none: got %v", err)
	}
}

// An empty file is one that was never made: it is made. With a write-ahead log
// beside it, it has lost what it had.
func TestOpen_emptyFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spaces-1-of-1.db")
	empty := func() {
		t.Helper()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	create := func() error {
		s := open(t, dir, 0)
		return errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Close())
	}
	empty()
	if err := create(); err != nil {
		t.Error(err)
	}
	empty()
	if err := os.WriteFile(file+"-wal", []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := create(); errcode.Of(err) != errcode.Damaged {
			t.Errorf("got %v", err)
		}
		if data, err := os.ReadFile(file + "-wal"); err != nil || string(data) != "what was there" {
			t.Errorf("the log is changed: %q, %v", data, err)
		}
	}
	if err := errors.Join(os.Remove(file), os.Remove(file+"-wal"), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := create(); errcode.Of(err) != errcode.Damaged {
		t.Errorf("got %v", err)
	}
}

// A path that SQLite cannot open is refused before anything is made.
func TestOpen_longPath(t *testing.T) {
	dir := t.TempDir()
	deep := func(n int) string {
		path := dir
		for len(path) < n {
			path = filepath.Join(path, strings.Repeat("d", min(100, max(1, n-len(path)-1))))
		}
		return path
	}
	s := open(t, deep(959), 1)
	if err := errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Close()); err != nil {
		t.Error(err)
	}
	long := deep(960)
	if _, err := sqlitestore.Open(sqlitestore.Options{Dir: long}); errcode.Of(err) != errcode.BadParam {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(long); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// What is deleted or cut is not in the files any more.
func TestDelete_erases(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	const secret = "a secret that is to be forgotten"
	for _, space := range []string{"deleted", "cut", "kept"} {
		if err := s.Create(t.Context(), space, wire.Epoch{1}); err != nil {
			t.Fatal(err)
		}
		base := wire.Position{Epoch: wire.Epoch{1}}
		for n := range uint64(30) {
			e := wire.Entry{Seq: n + 1, Counter: n + 1, Body: []byte(strings.Repeat(secret+" in "+space+", ", 60))}
			e.Chain = e.ChainAfter(base.Chain)
			head := wire.Position{Epoch: base.Epoch, Seq: e.Seq, Chain: e.Chain}
			w := &logstore.WriteSet{Base: base, State: logstore.State{Head: head}, Entries: []wire.Entry{e}}
			if err := s.Commit(t.Context(), space, w); err != nil {
				t.Fatal(err)
			}
			base = head
		}
	}
	if err := errors.Join(s.Delete(t.Context(), "deleted"), s.Cut(t.Context(), "cut", 30), s.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, space := range []string{"deleted", "cut", "kept"} {
			found[space] = found[space] || strings.Contains(string(data), secret+" in "+space)
		}
	}
	if found["deleted"] || found["cut"] || !found["kept"] {
		t.Errorf("found: %v", found)
	}
}
