package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// state is what a snapshot brought.
type state struct {
	rows    map[string]*fold.Row
	schema  *fold.Schema
	frames  int
	again   int // rows
	resumed bool
	at      wire.Resume
	clients []wire.Decided
	own     []wire.Outcome
	end     *wire.Snapshot
}

// eachRow calls f for each row of a frame of a snapshot; row is nil if it is gone.
func eachRow(frame *wire.Snapshot, f func(table string, key []byte, row *fold.Row)) error {
	for _, table := range frame.Tables {
		for rest := table.Rows; len(rest) > 0; {
			key, cells, after, err := wire.CutRow(rest)
			if err != nil {
				return err
			}
			var row *fold.Row
			if len(cells) > 0 {
				values, err := wire.DecodeRow(cells)
				if err != nil {
					return err
				}
				row = &fold.Row{Cells: values}
			}
			f(table.Table, key, row)
			rest = after
		}
	}
	return nil
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
		if f.CaughtUp != nil && !later &&
			(s.end == nil || f.CaughtUp.Seq != s.end.Seq || f.CaughtUp.Digest != s.end.End.Digest) {
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
		err = eachRow(p, func(table string, key []byte, row *fold.Row) {
			id := table + "\x00" + string(key)
			if p.Again {
				s.again++
			} else {
				if s.at.Table+"\x00"+string(s.at.Key) >= id {
					t.Errorf("%q comes after %q", id, s.at.Key)
				}
				s.at.Table, s.at.Key = table, bytes.Clone(key)
			}
			if s.rows[id] = row; row == nil {
				delete(s.rows, id)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		s.at.Seq, s.at.Chain, s.at.Done = p.Seq, p.Chain, s.at.Done || p.Last
		s.clients, s.own = append(s.clients, p.Clients...), append(s.own, p.Own...)
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
			a.push(a.write(body("k00", fmt.Sprint(n), "k79", 1, fmt.Sprintf("k%02d", 10+n), nil, fmt.Sprintf("new%d", n),
				"new", "k50", nil))...)
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
		b.takeSnapshot(broken, wire.PullRequest{Resume: &at, Clients: []wire.ClientID{a.id, {77}}}, 1, nil)
		if !broken.resumed {
			t.Error("it began anew")
		}
		if i > 100 {
			t.Fatal("it does not get on")
		}
	}
	b.check(broken)
	if len(broken.clients) != 1 || broken.clients[0] != (wire.Decided{Client: a.id, Counter: a.counter}) {
		t.Errorf("got %+v", broken.clients)
	}
	// A position in another log starts over.
	other := broken.at
	other.Chain[0] ^= 1
	b.takeSnapshot(broken, wire.PullRequest{Resume: &other}, 1000, nil)
	if broken.resumed {
		t.Error("a snapshot of another past was resumed")
	}
	b.check(broken)
	h.refused(h.post("s", "pull",
		(&wire.PullRequest{Client: b.id, Snapshots: true, Anew: true,
			Position: wire.Position{Epoch: wire.Epoch{1}}}).Marshal()), 409, errcode.Diverged)
	empty := newAuthor(h, "empty", 3)
	none := &state{}
	empty.takeSnapshot(none, wire.PullRequest{Anew: true}, 1000, nil)
	empty.check(none)
}

// The clients and outcomes of a snapshot are cut into frames like its rows. They are
// those of the clients that were asked for.
func TestSnapshot_outcomes(t *testing.T) {
	const frame, n = 4096, 300
	h := start(t, func(o *server.Options) { o.Limits.Frame = frame })
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	b.push(b.write(body("b", "1"))...)
	var parts []wire.Part
	for i := range n {
		data := body("k", fmt.Sprint(i))
		if i%3 == 0 {
			data = data[1:] // makes no sense: it is void
		}
		parts = append(parts, a.write(data)...)
	}
	a.push(parts...)
	a.counter = 0
	a.catchUp()
	res := h.post("s", "pull?wait=0",
		(&wire.PullRequest{Client: a.id, Snapshots: true, Anew: true, Clients: []wire.ClientID{{7}, b.id}}).Marshal())
	defer res.Body.Close()
	var own []wire.Outcome
	var clients []wire.Decided
	frames := 0
	next(t, wire.NewFrameReader(res.Body), func(f *wire.Frame) {
		if size := len(f.Marshal()); size > 2*frame {
			t.Errorf("a frame has %d bytes", size)
		}
		if s := f.Snapshot; s != nil {
			own, clients = append(own, s.Own...), append(clients, s.Clients...)
			frames += min(1, len(s.Own))
			if len(s.Own) > 0 && s.Seq != n+1 {
				t.Errorf("outcomes are as of %d, the end is %d", s.Seq, n+1)
			}
		}
	}, func(f *wire.Frame) bool { return f.Snapshot != nil && f.Snapshot.End != nil })
	if want := []wire.Decided{{Client: a.id, Counter: n}, {Client: b.id, Counter: 1}}; !slices.Equal(clients, want) {
		t.Errorf("got clients %+v, want %+v", clients, want)
	}
	if len(own) != n+1 || frames < 4 {
		t.Fatalf("got %d outcomes of %d in %d frames", len(own), n+1, frames)
	}
	if other := own[n]; other.Client != b.id || other.Counter != 1 {
		t.Errorf("of another that was asked for: got %+v", other)
	}
	own = own[:n]
	for i, o := range own {
		e := a.log[n-i]
		if o.Counter != e.Counter || o.Seq != e.Seq || o.Code != e.Outcome || o.BodyHash != e.BodyHash {
			t.Fatalf("got %+v for entry %+v", o, e)
		}
	}
}

// The largest row that a space takes fits a frame.
func TestSnapshot_largestRow(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	row := func(text string) int { return len(wire.EncodeRow(map[string]wire.Value{"body": text})) }
	text := strings.Repeat("x", wire.MaxRow)
	text = text[:2*len(text)-row(text)]
	for _, data := range [][]byte{body("x", text), body("x", text+"y"), body("y", text)} {
		for parts := a.write(data); len(parts) > 0; {
			n := min(3, len(parts))
			a.push(parts[:n]...)
			parts = parts[n:]
		}
	}
	a.catchUp()
	if a.log[0].Outcome != "" || a.log[1].Outcome != errcode.TooBig || a.log[2].Outcome != "" {
		t.Fatalf("got outcomes %q, %q, %q", a.log[0].Outcome, a.log[1].Outcome, a.log[2].Outcome)
	}
	s := &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	a.check(s)
}

// The log stays in proportion to the live data, and devices behind its
// horizon get HEDDLE_BEHIND.
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
		db, err := sqlite3.Open("file:" + filepath.ToSlash(h.file()))
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
	// Outcomes that the log no longer has come with their hash: a replica takes a
	// transaction for decided only where the hash is that of its body.
	if len(s.own) != 402 {
		t.Errorf("the author's own outcomes: got %d, want 402", len(s.own))
	}
	for i, o := range s.own {
		if o.Counter != uint64(402-i) || o.BodyHash == (wire.Hash{}) || (o.Code == "APP_NO") != (o.Counter == 2) {
			t.Errorf("outcome %d: got %+v", i, o)
		}
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
	// An outcome that its author has seen is kept no longer.
	a.at = b.at
	a.at.Seq = 0
	s = &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	a.at = wire.Position{Epoch: s.at.Epoch, Seq: s.end.Seq, Chain: s.end.Chain}
	a.push(a.write(body("k", "z"))...)
	s = &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	for _, o := range s.own {
		if o.Counter == 2 {
			t.Error("an outcome that its author has seen is still told")
		}
	}
}

// TestDigest_buckets: the buckets are told up to 4 MiB; beyond, the answer says to
// start over, and the digest itself is told all the same.
func TestDigest_buckets(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	const groups = wire.MaxGroups
	table := strings.Repeat("t", wire.MaxName)
	schema := wire.TableSchema{Table: table, Key: []string{"id"}}
	shape := &wire.Shape{Kind: wire.Insert, Table: table}
	for g := range groups {
		name := fmt.Sprint("c", g)
		schema.Columns = append(schema.Columns, wire.ColumnSchema{Name: name, Group: uint32(g + 1)})
		shape.Columns = append(shape.Columns, name)
	}
	slices.Sort(shape.Columns)
	shape.Joins = make([]wire.Join, groups)
	values := make([]wire.Value, groups)
	for i := range values {
		values[i] = int64(1)
	}
	for row := range 20 {
		b := &wire.Body{Shapes: []*wire.Shape{shape},
			Ops: []wire.Op{{Shape: shape, Key: []wire.Value{fmt.Sprint(row)}, Cells: values}}}
		if row == 0 {
			b.Schema = []wire.TableSchema{schema}
		}
		a.push(a.write(b.Marshal())...)
		res := h.do("GET", "/v1/spaces/s/digest?buckets=1", nil)
		if size := (row + 1) * groups * (len(table) + 40); size < wire.MaxRequest*3/4 {
			if d := ok(h, res, wire.UnmarshalDigestResponse); len(d.Buckets) < row*groups/2 {
				t.Errorf("%d rows: %d buckets", row+1, len(d.Buckets))
			}
			continue
		} else if size < wire.MaxRequest*5/4 {
			res.Body.Close()
			continue
		}
		h.refused(res, 413, errcode.TooBig)
	}
	if d := h.digest("s", ""); d.Rows != 20 || d.Digest == (wire.Hash{}) || len(d.Buckets) != 0 {
		t.Errorf("got %d rows, %d buckets", d.Rows, len(d.Buckets))
	}
}
