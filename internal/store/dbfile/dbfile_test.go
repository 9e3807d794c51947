package dbfile_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/dbfile"
	"heddle.dev/heddle/internal/store/scratch"
	"heddle.dev/heddle/internal/store/storetest"
)

func BenchmarkChecksum(b *testing.B) {
	page := bytes.Repeat([]byte("0123456789abcdef"), 256)
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		dbfile.Intact(page)
	}
}

// TestChecksums_ofNewFiles: every page of a new file carries a checksum, an
// export's as well, and a flipped bit is an error instead of an answer.
func TestChecksums_ofNewFiles(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: storetest.Notes})
	storetest.Exec(t, db, `INSERT INTO notes(id, body) SELECT value, hex(randomblob(400)) FROM `+storetest.Series(500))
	storetest.Exec(t, db, `DELETE FROM notes WHERE id % 3 = 0`)
	var out bytes.Buffer
	if err := db.Export(ctx, &out); err != nil {
		t.Fatal(err)
	}
	file := out.Bytes()
	n := dbfile.PageSize(file)
	if !dbfile.Checksummed(file) || n != 4096 || len(file)%n != 0 {
		t.Fatalf("a file of %d bytes with pages of %d, checksums: %v", len(file), n, dbfile.Checksummed(file))
	}
	for at := 0; at < len(file); at += n {
		if !dbfile.Intact(file[at : at+n]) {
			t.Errorf("page %d has no checksum of its own", at/n+1)
		}
	}
	const question = `SELECT group_concat(id || body || done) FROM (SELECT * FROM notes ORDER BY id)`
	want := storetest.Query(t, db, question)[0][0]
	flipped, seen := 0, 0
	for at := 5; at < len(file); at += 1009 {
		broken := bytes.Clone(file)
		broken[at] ^= 1 << (at % 8)
		flipped++
		got, err := ask(broken, question)
		switch {
		case err != nil:
			seen++
		case got != want:
			t.Errorf("byte %d: a wrong answer", at)
		}
	}
	t.Logf("%d bits flipped, one at a time: %d seen by one query, the others in pages that it does not read", flipped,
		seen)
	if seen < flipped/2 {
		t.Error("the query reads most of the file, and saw few of the flips")
	}
}

// ask opens the bytes of a file and returns a query's first value.
func ask(file []byte, sql string) (store.Value, error) {
	f := scratch.NewMemory(file)
	defer f.Close()
	c, err := sqlite3.Open(f.URI())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, _, err := c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.Step()
	return s.ColumnText(0), s.Err()
}
