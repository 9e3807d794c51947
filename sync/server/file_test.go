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
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// inFile runs SQL on the file of the spaces, whose server is down.
func (h *harness) inFile(f func(*sqlite3.Conn) error) {
	h.t.Helper()
	db, err := sqlite3.Open("file:" + filepath.ToSlash(h.file()))
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
	whole := read(t, h.file())
	r := rand.New(rand.NewPCG(1, 2))
	refused, hidden := 0, 0
	for range 60 {
		flipped := bytes.Clone(whole)
		at := r.IntN(len(flipped))
		flipped[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(h.file(), flipped, 0o600); err != nil {
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
	h.inFile(func(db *sqlite3.Conn) error {
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

// damaged starts a space with a history, and damages its file.
func damaged(t *testing.T, damage func(h *harness)) (h *harness, a *author) {
	h = start(t, func(o *server.Options) { o.Logger = nil })
	a = newAuthor(h, "s", 1)
	for i := range 20 {
		a.push(a.write(body(fmt.Sprintf("k%d", i), strings.Repeat("content ", 30), "count", "x"))...)
		a.push(a.write(body("count", 1))...)
	}
	a.push(a.write(body("k3", nil))...)
	a.counter++ // a transaction that is void
	a.push(wire.SplitBody(a.counter, []byte("no body"))...)
	a.push(a.write(body("k4", "new"))...)
	a.catchUp()
	h.down()
	damage(h)
	return h, a
}

// sql changes the file behind its page checksums.
func sql(text string) func(*harness) {
	return func(h *harness) {
		h.inFile(func(db *sqlite3.Conn) error { return db.Exec(text) })
	}
}

// flip turns a bit of the first byte after a text in the file.
func flip(after string) func(*harness) {
	return func(h *harness) {
		data := read(h.t.(*testing.T), h.file())
		at := bytes.Index(data, []byte(after))
		if at < 0 {
			h.t.Fatalf("%q is not in the file", after)
		}
		data[at+len(after)] ^= 4
		if err := os.WriteFile(h.file(), data, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestRepair(t *testing.T) {
	for _, test := range []struct {
		name    string
		damage  func(*harness)
		fromLog bool
		horizon uint64 // of the repaired log
		lost    bool   // a row is not what it was: devices take the server's
		end     bool   // the log's end is lost: devices give it back
	}{
		{name: "nothing", damage: func(*harness) {}, fromLog: true},
		{name: "a row", fromLog: true,
			damage: sql(`UPDATE row SET cells = CAST(replace(cells, 'content', 'kontent') AS BLOB) WHERE instr(key, 'k1')`)},
		{name: "all rows", damage: sql(`DELETE FROM row`), fromLog: true},
		{name: "the digest", fromLog: true,
			damage: sql(`DELETE FROM bucket; UPDATE log SET digest = NULL; UPDATE space SET digest = zeroblob(32)`)},
		{name: "the clients", damage: sql(`UPDATE client SET decided = 3`), fromLog: true},
		{name: "a bit in a page", damage: flip("body\x03\xf0\x01content "), fromLog: true},
		{name: "a chain hash", damage: sql(`UPDATE log SET chain = zeroblob(32) WHERE seq = 7`), fromLog: true},
		{name: "a body", damage: sql(`UPDATE log SET body = x'00' WHERE seq = 7`), horizon: 7},
		{name: "two entries", damage: sql(`DELETE FROM log WHERE seq IN (5, 9)`), horizon: 10},
		{name: "the first entry", damage: sql(`UPDATE log SET counter = 99 WHERE seq = 1`), horizon: 1},
		{name: "the end", damage: sql(`DELETE FROM log WHERE seq > 40`), fromLog: true, end: true},
		{name: "the last body", damage: sql(`UPDATE log SET body = x'00' WHERE seq = (SELECT max(seq) FROM log)`),
			fromLog: true, end: true},
		{name: "a body and a row", damage: sql(`UPDATE log SET body = x'00' WHERE seq = 7;
			UPDATE row SET cells = CAST(replace(cells, 'content', 'kontent') AS BLOB) WHERE instr(cells, 'content')`),
			horizon: 7, lost: true},
		{name: "the last body and an earlier one",
			damage: sql(`UPDATE log SET body = x'00' WHERE seq IN (7, (SELECT max(seq) FROM log))`), horizon: 43},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, a := damaged(t, test.damage)
			all, err := sqlitestore.Repair(h.dir, "s")
			if err != nil {
				t.Fatal(err)
			}
			done := all[0]
			if !test.fromLog && len(done.Problems) == 0 {
				t.Error("no problem is named")
			}
			if done.FromLog != test.fromLog || done.Horizon != test.horizon {
				t.Errorf("got %+v", done)
			}
			if _, err := os.Stat(done.Damaged); err != nil {
				t.Error(err)
			}
			h.up()
			rows, err := h.rows("s")
			if err != nil {
				t.Fatal(err)
			}
			if test.end {
				if done.Seq >= a.at.Seq {
					t.Errorf("the log ends at %d", done.Seq)
				}
				h.refused(a.try(a.write(body("k", "v"))...), 409, errcode.Diverged)
				return
			}
			if got := h.digest("s", ""); done.Digest != got.Digest || got.Seq != a.at.Seq || got.Chain != a.at.Chain {
				t.Errorf("got %+v, the device is at %d %x", got, a.at.Seq, a.at.Chain)
			}
			if !test.lost && (!reflect.DeepEqual(rows, present(a)) || done.Digest != a.digest.Sum()) {
				t.Errorf("the rows are others than the device's")
			}
			// The device goes on where it was.
			a.push(a.write(body("k", "v"))...)
			if !test.lost {
				a.catchUp()
			}
		})
	}
}

// present returns the rows that an author has, without those that are gone.
func present(a *author) map[string]*fold.Row {
	rows := map[string]*fold.Row{}
	for id, row := range a.rows {
		if row != nil {
			rows[id] = row
		}
	}
	return rows
}

// A space whose rows and log are both beyond reading is left as it was.
func TestRepair_refuses(t *testing.T) {
	h, _ := damaged(t, sql(`DELETE FROM log WHERE seq = 1; UPDATE descriptors SET schema = x'ff'`))
	before := read(t, h.file())
	if _, err := sqlitestore.Repair(h.dir, "s"); errcode.Of(err) != errcode.Damaged ||
		!strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(before, read(t, h.file())) {
		t.Error("the file has changed")
	}
	if _, err := sqlitestore.Repair(h.dir, "none"); errcode.Of(err) != errcode.NotFound {
		t.Errorf("got %v", err)
	}
	h.up()
	if _, err := sqlitestore.Repair(h.dir, "s"); errcode.Of(err) != errcode.Blocked {
		t.Errorf("with a server that runs: %v", err)
	}
}
