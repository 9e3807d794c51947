package sqlitestore_test

import (
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/wire"
)

// format7 is a file of the space "s" as the version before this package left it, as
// SQL: fourteen transactions of two subjects, of which the log has the last five,
// one of the others is void, and a part of a fifteenth.
//
//go:embed testdata/format7.sql
var format7 string

// before has what makes a file of each format of one of the format after it.
var before = map[int]string{
	6: `CREATE TABLE refused(client BLOB NOT NULL, counter INTEGER NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL,
			PRIMARY KEY (client, counter)) STRICT, WITHOUT ROWID;
		INSERT INTO refused SELECT client, counter, seq, code FROM outcome WHERE code <> ''; DROP TABLE outcome`,
	5: `ALTER TABLE log RENAME TO l; ALTER TABLE part RENAME TO p;
		CREATE TABLE log(seq INTEGER PRIMARY KEY, client BLOB NOT NULL, counter INTEGER NOT NULL, outcome TEXT NOT NULL,
			body_hash BLOB NOT NULL, body BLOB, chain BLOB NOT NULL, UNIQUE (client, counter)) STRICT;
		CREATE TABLE part(client BLOB NOT NULL, counter INTEGER NOT NULL, idx INTEGER NOT NULL, total INTEGER NOT NULL,
			body_hash BLOB NOT NULL, bytes BLOB NOT NULL, at INTEGER NOT NULL, UNIQUE (client, counter, idx)) STRICT;
		INSERT INTO log SELECT seq, client, counter, outcome, body_hash, body, chain FROM l;
		INSERT INTO part SELECT client, counter, idx, total, body_hash, bytes, at FROM p;
		DROP TABLE l; DROP TABLE p`,
	4: `DROP TABLE owner; DROP TABLE upload`,
	3: `UPDATE digest SET digest = zeroblob(32)`, // they were of another kind
	2: `ALTER TABLE row DROP COLUMN sum`,
}

// oldFile makes a space's own file of a format.
func oldFile(t *testing.T, dir string, format int) string {
	t.Helper()
	file := filepath.Join(dir, "s.space.db")
	c, err := sqlite3.Open("file:" + filepath.ToSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Exec(format7)
	for f := 6; f >= format && err == nil; f-- {
		err = c.Exec(before[f])
	}
	finish := fmt.Sprintf(`UPDATE space SET format = %d; PRAGMA journal_mode = wal`, format)
	err = errors.Join(err, c.Exec(finish), c.Close())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func hash(t *testing.T, text string) (h wire.Hash) {
	t.Helper()
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}

// A data directory of an earlier version is taken over with all that it has.
func TestTakeOver(t *testing.T) {
	for format := 7; format >= 2; format-- {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			dir := t.TempDir()
			file := oldFile(t, dir, format)
			for range 2 { // and it is there when it is opened again
				s := open(t, dir, 2)
				checkTakenOver(t, s, format)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the space's own file is still there: %v", err)
				}
			}
		})
	}
}

func checkTakenOver(t *testing.T, s *sqlitestore.Store, format int) {
	t.Helper()
	digest := hash(t, "75a8e7248da13b5ff8bf9bc3e1c66c64b17df8a432630e9cdc08ff8a8a99b660")
	err := s.Read(t.Context(), "s", func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		want := wire.Position{Seq: 14, Chain: hash(t, "eb1ba9ce296f94652e3e5e47518f1c7f50bbbfc955b9cfd1b4fb2118f613299d")}
		hex.Decode(want.Epoch[:], []byte("747d70e3f681e727b870de0c48ac155a"))
		if m.Head != want || m.Digest != digest || m.RowCount != 4 || m.Horizon != 9 || m.Live == 0 || m.Logged == 0 {
			t.Errorf("got %+v", m)
		}
		if sum, n := digestOf(t, v); sum != digest || n != 4 {
			t.Errorf("the %d rows have the digest %x", n, sum)
		}
		entries, err := v.Entries(m.Horizon, 1<<20, wire.ClientID{})
		if err != nil {
			return err
		}
		at := m.HorizonChain
		for _, e := range entries {
			if e.Chain != e.ChainAfter(at) || e.Outcome == "" && wire.HashBody(e.Body) != e.BodyHash {
				t.Errorf("entry %d is not what it was", e.Seq)
			}
			at = e.Chain
		}
		if at != m.Head.Chain || len(entries) != 5 {
			t.Errorf("%d entries end in %x", len(entries), at)
		}
		ann, bob := wire.ClientID{1}, wire.ClientID{2}
		clients, err := v.Clients([]wire.ClientID{ann, bob})
		owned := format > 4 // formats before it knew no owners
		if err != nil || clients[0].Decided != 12 || clients[1].Decided != 2 || clients[0].Owned != owned ||
			owned && (clients[0].Owner != "ann" || clients[1].Owner != "bob") {
			t.Errorf("got %+v, %v", clients, err)
		}
		var codes []string
		for o, err := range v.Outcomes(ann, 100) {
			if err != nil {
				return err
			}
			codes = append(codes, o.Code)
		}
		if format > 6 && len(codes) != 12 || !slices.Contains(codes, "APP_NO") {
			t.Errorf("got outcomes %q", codes)
		}
		uploads, err := v.Uploads()
		parts, err2 := v.Parts(bob)
		if err != nil || err2 != nil || len(uploads) != 1 || len(parts) != 1 || uploads[0].Client != bob ||
			uploads[0].Counter != 3 || uploads[0].Total != 2 || uploads[0].Held != 1 || len(parts[0]) != 20 {
			t.Errorf("got %+v, %q, %v, %v", uploads, parts, err, err2)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// digestOf computes the digest of the rows.
func digestOf(t *testing.T, v logstore.View) (wire.Hash, int) {
	t.Helper()
	data, err := v.Schema()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := fold.UnmarshalSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	d, n := &fold.Digest{}, 0
	for row, err := range v.Scan(logstore.RowID{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		key, err := wire.DecodeKey([]byte(row.Key))
		cells, err2 := wire.DecodeRow(row.Cells)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		d.Add(row.Table, key, &fold.Row{Cells: cells}, schema)
		n++
	}
	return d.Sum(), n
}

// A space's own file that cannot be taken over stops no other space, is refused each
// time it is asked for, and is taken over once it can be. It is never made anew.
func TestTakeOver_damaged(t *testing.T) {
	dir := t.TempDir()
	file := oldFile(t, dir, 7)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("this is no database, and longer than the hundred bytes that a header of one "+
		"would have, so that SQLite says so"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, 2)
	defer s.Close()
	none := func(logstore.View) error { return nil }
	if err := s.Create(t.Context(), "other", wire.Epoch{1}); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Read(t.Context(), "s", none); errcode.Of(err) != errcode.Damaged {
			t.Errorf("read: %v", err)
		}
		if err := s.Create(t.Context(), "s", wire.Epoch{1}); errcode.Of(err) != errcode.Damaged {
			t.Errorf("create: %v", err)
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	checkTakenOver(t, s, 7)
}

// One that was copied before the power went, and not yet removed, is the same space.
func TestTakeOver_twice(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		oldFile(t, dir, 7)
		s := open(t, dir, 2)
		checkTakenOver(t, s, 7)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A damaged file of an earlier version is repaired into the file of many.
func TestRepair_oldFile(t *testing.T) {
	dir := t.TempDir()
	file := oldFile(t, dir, 7)
	c, err := sqlite3.Open("file:" + filepath.ToSlash(file))
	if err == nil {
		err = errors.Join(c.Exec(`UPDATE log SET body = x'00' WHERE seq = 11`), c.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := sqlitestore.Repair(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	if done := all[0]; len(all) != 1 || done.Seq != 14 || done.Horizon != 11 || done.Rows != 4 || len(done.Problems) != 1 {
		t.Errorf("got %+v", done)
	}
	s := open(t, dir, 2)
	defer s.Close()
	err = s.Read(t.Context(), "s", func(v logstore.View) error {
		m, err := v.Meta()
		if m.Head.Seq != 14 || m.Digest != all[0].Digest {
			t.Errorf("got %+v", m)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
