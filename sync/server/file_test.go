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
