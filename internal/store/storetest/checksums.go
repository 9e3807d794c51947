package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/dbfile"
)

// Checksums checks that every page of the file at path has a checksum, that health says so,
// and that a flipped bit is seen.
func Checksums(t testing.TB, db *store.DB, path string) {
	t.Helper()
	ctx := context.Background()
	says := func() bool {
		about, err := db.About(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return about.Checksums
	}
	if !says() {
		t.Error("health says that there are no checksums")
	}
	rows := Query(t, db, `SELECT count(*) FROM notes`)
	if n := rows[0][0].(int64); n != 300 {
		t.Fatalf("%d rows, want 300", n)
	}
	c, err := sqlite3.Open("file:" + path)
	if err == nil {
		err = errors.Join(c.Exec(`PRAGMA wal_checkpoint(truncate)`), c.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := dbfile.PageSize(file)
	if !dbfile.Checksummed(file) || len(file)%n != 0 || !says() {
		t.Fatalf("%d bytes, pages of %d, checksums: %v; health says %v", len(file), n, dbfile.Checksummed(file), says())
	}
	for at := 0; at < len(file); at += n {
		if !dbfile.Intact(file[at : at+n]) {
			t.Errorf("page %d has no checksum of its own", at/n+1)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := bytes.Index(file[len(file)/2:], []byte("A")) + len(file)/2 // within a row's text
	if _, err := f.WriteAt([]byte{file[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	found, err := db.Check(ctx, false, nil)
	if err != nil || len(found.Problems) == 0 {
		t.Errorf("a flipped bit was not seen: %v, %v", found, fmt.Sprint(err))
	}
}
