package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/sync/fold"
	"heddle/sync/server"
	"heddle/sync/wire"
)

// state is what a snapshot brought.
type state struct {
	rows    map[string]*fold.Row
	schema  *fold.Schema
	frames  int
	again   int // rows
	resumed bool
	at      wire.Resume
	end     *wire.Snapshot
}

// takeSnapshot pulls with req until the snapshot is whole, or for frames frames.
func (a *author) takeSnapshot(s *state, req wire.PullRequest, frames int, between func()) {
	t := a.h.t
	t.Helper()
	req.Client, req.Snapshots = a.id, true
	res := a.h.post(a.space, "pull?wait=0", req.Marshal())
	defer res.Body.Close()
	r := wire.NewFrameReader(res.Body)
	later := false // something was pushed after the snapshot's end was made, while it was on its way
	for n := 0; n < frames; {
		f, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Hello != nil {
			s.at.Epoch = f.Hello.Epoch
		}
		if f.Error != nil {
			t.Fatalf("%+v", f.Error)
		}
		later = later || len(f.Entries) > 0
		if f.CaughtUp != nil && !later && (s.end == nil || f.CaughtUp.Seq != s.end.Seq || f.CaughtUp.Digest != s.end.End.Digest) {
			t.Errorf("caught up with %+v", f.CaughtUp)
		}
		p := f.Snapshot
		if p == nil {
			continue
		}
		if n == 0 {
			s.resumed = p.Resumed
			if !p.Resumed {
				*s = state{rows: map[string]*fold.Row{}, at: wire.Resume{Epoch: s.at.Epoch}}
			}
		}
		n++
		s.frames++
		if p.Schema != nil {
			if s.schema, err = fold.UnmarshalSchema(p.Schema); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range p.Tables {
			for rows := table.Rows; len(rows) > 0; {
				var key, cells []byte
				if key, cells, rows, err = wire.CutRow(rows); err != nil {
					t.Fatal(err)
				}
				id := table.Table + "\x00" + string(key)
				if p.Again {
					s.again++
				} else {
					if s.at.Table+"\x00"+string(s.at.Key) >= id {
						t.Errorf("%q comes after %q", id, s.at.Key)
					}
					s.at.Table, s.at.Key = table.Table, bytes.Clone(key)
				}
				if len(cells) == 0 {
					delete(s.rows, id)
					continue
				}
				row := &fold.Row{}
				if row.Cells, err = wire.DecodeRow(cells); err != nil {
					t.Fatal(err)
				}
				s.rows[id] = row
			}
		}
		s.at.Seq, s.at.Chain, s.at.Done = p.Seq, p.Chain, s.at.Done || p.Last
		if p.End != nil {
			s.end = p
		}
		if between != nil {
			between()
		}
	}
}

// check holds a snapshot against the digest that it names and the server's.
func (a *author) check(s *state) {
	t := a.h.t
	t.Helper()
	if s.end == nil {
		t.Fatal("the snapshot has no end")
	}
	var d fold.Digest
	for id, row := range s.rows {
		table, enc, _ := strings.Cut(id, "\x00")
		key, err := wire.DecodeKey([]byte(enc))
		if err != nil {
			t.Fatal(err)
		}
		d.Add(table, key, row, s.schema)
	}
	if got := d.Sum(); got != s.end.End.Digest || got != a.h.digest(a.space, fmt.Sprintf("?seq=%d", s.end.Seq)).Digest {
		t.Errorf("the rows have digest %x, the snapshot names %x", got, s.end.End.Digest)
	}
}

// One that writers disturb at every frame, and one that goes on after a break.
func TestSnapshot(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	random := rand.New(rand.NewPCG(1, 2)) // what does not compress fills the buffers on the way
	for i := range 80 {
		text := make([]byte, 200_000)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		a.push(a.write(body(fmt.Sprintf("k%02d", i), string(text)))...)
	}
	n := 0
	disturb := func() {
		if n++; n < 5 {
			a.push(a.write(body("k00", fmt.Sprint(n), "k79", 1, fmt.Sprintf("k%02d", 10+n), nil, fmt.Sprintf("new%d", n), "new", "k50", nil))...)
		}
	}
	b := newAuthor(h, "s", 2)
	whole := &state{}
	b.takeSnapshot(whole, wire.PullRequest{Anew: true}, 1000, disturb)
	b.check(whole)
	if whole.frames < 5 || whole.again == 0 || whole.resumed {
		t.Errorf("%d frames, %d rows again", whole.frames, whole.again)
	}
	n = 0
	broken := &state{}
	b.takeSnapshot(broken, wire.PullRequest{Anew: true}, 1, nil)
	for i := 0; broken.end == nil; i++ {
		disturb()
		at := broken.at
		b.takeSnapshot(broken, wire.PullRequest{Resume: &at}, 1, nil)
		if !broken.resumed {
			t.Error("it began anew")
		}
		if i > 100 {
			t.Fatal("it does not get on")
		}
	}
	b.check(broken)
	if len(broken.end.End.Clients) != 1 || broken.end.End.Clients[0] != (wire.Decided{Client: a.id, Counter: a.counter}) {
		t.Errorf("got %+v", broken.end.End.Clients)
	}
	// What is of another log begins anew.
	other := broken.at
	other.Chain[0] ^= 1
	b.takeSnapshot(broken, wire.PullRequest{Resume: &other}, 1000, nil)
	if broken.resumed {
		t.Error("a snapshot of another past was resumed")
	}
	b.check(broken)
	h.refused(h.post("s", "pull", (&wire.PullRequest{Client: b.id, Snapshots: true, Anew: true, Position: wire.Position{Epoch: wire.Epoch{1}}}).Marshal()), 409, errcode.Diverged)
	empty := newAuthor(h, "empty", 3)
	none := &state{}
	empty.takeSnapshot(none, wire.PullRequest{Anew: true}, 1000, nil)
	empty.check(none)
}

// The log stays in proportion to the live data, and those behind its horizon
// are told.
func TestCompaction(t *testing.T) {
	const most = 100_000
	h := start(t, func(o *server.Options) {
		o.Limits.Log = most
		o.Decide = func(_ context.Context, d *server.Decision) error {
			b := d.Body
			if b.Ops[0].Key[0] == "bad" {
				return errcode.New("APP_NO", "decide", "no")
			}
			return nil
		}
	})
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	a.push(a.write(body("k", "first"))...)
	a.push(a.write(body("bad", "void"))...)
	b.catchUp()
	old := b.at
	logged := func() (n, entries int64) {
		db, err := sqlite3.Open("file:" + filepath.ToSlash(filepath.Join(h.o.Dir, "s.space.db")))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s, _, err := db.Prepare(`SELECT total(coalesce(length(body), 0) + 160), count(*) FROM log`)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Step()
		return s.ColumnInt64(0), s.ColumnInt64(1)
	}
	for i := range 400 {
		a.push(a.write(body("k", fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))))...)
		if n, _ := logged(); n > most+2000 {
			t.Fatalf("the log has %d bytes after %d transactions", n, i)
		}
	}
	n, entries := logged()
	if entries > 100 || n < most/2 {
		t.Errorf("%d bytes in %d entries are left", n, entries)
	}
	if d := h.digest("s", ""); d.Seq != 402 || d.Rows != 1 {
		t.Errorf("got %+v", d)
	}
	b.at = old
	h.refused(b.try(b.write(body("x", "y"))...), 409, errcode.Behind)
	h.refused(h.post("s", "pull", (&wire.PullRequest{Client: b.id, Position: old}).Marshal()), 409, errcode.Behind)
	s := &state{}
	a.takeSnapshot(s, wire.PullRequest{Position: old}, 1000, nil)
	a.check(s)
	void := wire.Outcome{Counter: 2, Seq: 2, Code: "APP_NO"}
	if own := s.end.End.Own; len(own) < 2 || own[len(own)-1] != void || own[0].Counter != 402 || own[0].BodyHash == (wire.Hash{}) {
		t.Errorf("the author's own outcomes: got %+v", own)
	}
	// The position at the horizon itself is one to go on from.
	b.at = wire.Position{Epoch: s.at.Epoch, Seq: s.end.Seq, Chain: s.end.Chain}
	b.rows, b.schema = s.rows, *s.schema
	for range 200 {
		a.push(a.write(body("k", strings.Repeat("y", 1000)))...)
	}
	h.restart()
	if n, _ := logged(); n > most+2000 {
		t.Errorf("the log has %d bytes", n)
	}
	// A void that its author has seen is kept no longer.
	a.at = b.at
	a.at.Seq = 0
	s = &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	a.at = wire.Position{Epoch: s.at.Epoch, Seq: s.end.Seq, Chain: s.end.Chain}
	a.push(a.write(body("k", "z"))...)
	s = &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	for _, o := range s.end.End.Own {
		if o == void {
			t.Error("a void that its author has seen is still told")
		}
	}
}
