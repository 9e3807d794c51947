package server_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// inFile runs SQL on a space's file, whose server is down.
func (h *harness) inFile(space string, f func(*sqlite3.Conn) error) {
	h.t.Helper()
	db, err := sqlite3.Open("file:" + filepath.ToSlash(h.file(space)))
	if err == nil {
		err = f(db)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) file(space string) string { return filepath.Join(h.o.Dir, space+".space.db") }

// A space's file of each earlier format goes on: its log, its rows, its digest.
func TestFile_formats(t *testing.T) {
	// What makes a file of each format of one of the format after it.
	before := map[int]string{
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
		1: `DROP TABLE refused; ALTER TABLE space DROP COLUMN live; ALTER TABLE space DROP COLUMN logged;
			ALTER TABLE space DROP COLUMN horizon; ALTER TABLE space DROP COLUMN horizon_chain`,
	}
	for format := 1; before[format] != ""; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			h := start(t, nil)
			a := newAuthor(h, "s", 1)
			a.push(a.write(body("k", "text", "l", "more"))...)
			a.push(a.write(body("k", 1))...)
			want := h.digest("s", "")
			h.down()
			h.inFile("s", func(db *sqlite3.Conn) error {
				for f := len(before); f >= format; f-- {
					if err := db.Exec(before[f]); err != nil {
						return err
					}
				}
				if err := db.Exec(fmt.Sprintf(`UPDATE space SET format = %d`, format)); err != nil {
					return err
				}
				return db.Exec(`VACUUM INTO ` + sqlite3.Quote("file:"+filepath.ToSlash(h.file("s"))+".old?reserve=0"))
			})
			if err := os.Rename(h.file("s")+".old", h.file("s")); err != nil {
				t.Fatal(err)
			}
			if file := read(t, h.file("s")); file[20] != 0 {
				t.Fatalf("the pages of the old file leave %d bytes free", file[20])
			}
			h.up()
			if got := h.digest("s", ""); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if format < 4 { // earlier digests were of another kind
				h.refused(h.do("GET", "/v1/spaces/s/digest?seq=1", nil), 404, errcode.NotFound)
			}
			a.push(a.write(body("k", nil))...)
			b := newAuthor(h, "s", 2)
			b.catchUp()
			s := &state{}
			b.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
			b.check(s)
			h.down()
			if file := read(t, h.file("s")); file[20] != 8 {
				t.Errorf("the file has no page checksums")
			}
		})
	}
}

// A bit that the disk flips in a space's file is never served: each request
// answers as if nothing had been flipped, or fails, and says that the file is
// damaged.
func TestFile_flippedBit(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Logger = nil })
	a := newAuthor(h, "s", 1)
	for i := range 40 {
		a.push(a.write(body(fmt.Sprintf("k%d", i), strings.Repeat("content ", 60)))...)
	}
	a.catchUp()
	h.down()
	whole := read(t, h.file("s"))
	r := rand.New(rand.NewPCG(1, 2))
	refused, hidden := 0, 0
	for range 60 {
		flipped := bytes.Clone(whole)
		at := r.IntN(len(flipped))
		flipped[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(h.file("s"), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		h.up()
		if rows, err := h.rows("s"); err != nil {
			refused++
		} else if hidden++; !reflect.DeepEqual(rows, a.rows) {
			t.Errorf("the flip of a bit of byte %d is in what was served", at)
		}
		h.down()
	}
	if refused < 10 {
		t.Errorf("%d of %d flips were met", refused, refused+hidden)
	}
	t.Logf("%d flips met, %d in pages that were not read", refused, hidden)
}

// A row that was changed in the file by a program, behind the page's checksum, is
// not served, and nothing is folded onto it.
func TestFile_changedRow(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Logger = nil })
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("k", "text", "l", "more"))...)
	h.down()
	h.inFile("s", func(db *sqlite3.Conn) error {
		return db.Exec(`UPDATE row SET cells = CAST(replace(cells, 'text', 'tixt') AS BLOB)`)
	})
	h.up()
	if _, err := h.rows("s"); errcode.Of(err) != errcode.Server {
		t.Errorf("a snapshot with a changed row: %v", err)
	}
	h.refused(a.try(a.write(body("k", "new"))...), 500, errcode.Server)
}

// rows takes a snapshot of a space.
func (h *harness) rows(space string) (map[string]*fold.Row, error) {
	h.t.Helper()
	res := h.post(space, "pull?wait=0",
		(&wire.PullRequest{Client: wire.ClientID{9}, Snapshots: true, Anew: true}).Marshal())
	defer res.Body.Close()
	if res.StatusCode != 200 {
		data, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		e, err := wire.UnmarshalError(data)
		if err != nil {
			return nil, err
		}
		return nil, errcode.New(e.Code, "pull", e.Message)
	}
	rows := map[string]*fold.Row{}
	for r := wire.NewFrameReader(res.Body); ; {
		f, err := r.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if f.Error != nil {
			return nil, errcode.New(f.Error.Code, "pull", f.Error.Message)
		}
		if f.Snapshot == nil {
			continue
		}
		err = eachRow(f.Snapshot, func(table string, key []byte, row *fold.Row) {
			rows[table+"\x00"+string(key)] = row
		})
		if err != nil {
			return nil, err
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
