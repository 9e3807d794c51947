package server_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

func TestPush_isIdempotent(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	first := a.write(body("x", "1"))
	second := a.write(body("x", 1))
	a.push(first...)
	for range 3 { // the answer was lost
		if res := a.push(append(first, second...)...); res.Decided != 2 || res.Head != 2 {
			t.Fatalf("got %+v", res)
		}
	}
	third := a.write(body("x", 1))
	fourth := a.write(body("x", 1))
	if res := a.push(fourth...); res.Decided != 2 || res.Head != 2 {
		t.Errorf("after a gap: got %+v", res)
	}
	if res := a.push(append(third, fourth...)...); res.Decided != 4 {
		t.Errorf("the gap filled: got %+v", res)
	}
	if res := a.push(); res.Decided != 4 || res.Head != 4 {
		t.Errorf("a push of nothing: got %+v", res)
	}
	h.refused(a.try(wire.SplitBody(2, body("x", "other"))...), 409, errcode.ClientFork)
	a.catchUp()
	if len(a.log) != 4 || a.digest.Sum() != h.digest("s", "").Digest {
		t.Errorf("got %d entries", len(a.log))
	}
}

func TestPush_inParts(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Body = 5 << 20 })
	a := newAuthor(h, "s", 1)
	parts := a.write(body("x", strings.Repeat("a", 3<<20)))
	if len(parts) != 4 {
		t.Fatalf("got %d parts", len(parts))
	}
	if res := a.push(parts[0], parts[1]); res.Staged != 2 || res.Decided != 0 || res.Head != 0 {
		t.Errorf("two parts: got %+v", res)
	}
	h.restart()
	if res := a.push(parts[3]); res.Staged != 2 {
		t.Errorf("a gap: got %+v", res)
	}
	if res := a.push(parts[1], parts[2]); res.Staged != 3 {
		t.Errorf("one again, one new: got %+v", res)
	}
	if res := a.push(parts[3]); res.Staged != 0 || res.Decided != 1 {
		t.Errorf("the last: got %+v", res)
	}
	a.catchUp()

	// Another body under the same number is a fork, decided or not.
	half := a.write(body("x", strings.Repeat("b", 3<<20)))
	a.push(half[0])
	h.refused(a.try(wire.SplitBody(2, body("x", strings.Repeat("c", 3<<20)))[1]), 409, errcode.ClientFork)

	// Parts that do not make what they say are dropped, and can be sent again.
	broken := half[3]
	broken.Bytes = bytes.Repeat([]byte("d"), len(broken.Bytes))
	h.refused(a.try(half[1], half[2], broken), 400, errcode.Protocol)
	if res := a.push(half...); res.Decided != 2 {
		t.Errorf("sent anew: got %+v", res)
	}
	h.refused(a.try(wire.Part{Counter: 3, Total: 1, BodyHash: wire.Hash{1}, Bytes: []byte("x")}), 400, errcode.Protocol)

	// Too large for this server: decided void, the queue goes on.
	large := a.write(body("x", strings.Repeat("e", 6<<20)))
	for _, p := range large {
		a.push(p)
	}
	a.push(a.write(body("x", 1))...)
	a.catchUp()
	if n := len(a.log); n != 4 || a.log[2].Outcome != errcode.TooBig || a.log[3].Outcome != "" {
		t.Errorf("got %d entries, outcomes %q, %q", n, a.log[2].Outcome, a.log[n-1].Outcome)
	}
}

func TestPush_voids(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Limits.Ops, o.Limits.Row = 3, 1000
		o.Decide = func(_ context.Context, d *server.Decision) error {
			b := d.Body
			for _, op := range b.Ops {
				switch op.Key[0] {
				case "forbidden":
					return errcode.New("APP_NO", "app", "no")
				case "odd":
					return errors.New("no reason")
				}
			}
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	alien := &wire.Shape{Kind: wire.Insert, Table: "alien", Columns: []string{"c"}, Joins: []wire.Join{0}}
	tests := []struct {
		name string
		body []byte
		want string
	}{
		{"fine", body("x", "1"), ""},
		{"not a body", []byte("garbage"), errcode.BadBody},
		{"a table without descriptor",
			(&wire.Body{Shapes: []*wire.Shape{alien},
				Ops: []wire.Op{{Shape: alien, Key: []wire.Value{"k"}, Cells: []wire.Value{nil}}}}).Marshal(), errcode.BadBody},
		{"a null key", body(nil, "x"), errcode.NullKey},
		{"the app's rule", body("forbidden", "x"), "APP_NO"},
		{"without a code", body("odd", "x"), errcode.Rejected},
		{"too many operations", body("a", "", "b", "", "c", "", "d", ""), errcode.TooBig},
		{"too large a row", body("x", strings.Repeat("x", 1000)), errcode.TooBig},
		{"fine again", body("x", 1), ""},
		{"nothing at all", (&wire.Body{}).Marshal(), ""},
	}
	var parts []wire.Part
	for _, test := range tests {
		parts = append(parts, a.write(test.body)...)
	}
	a.push(parts...)
	a.catchUp()
	b := newAuthor(h, "s", 2)
	b.catchUp()
	for i, test := range tests {
		if got := a.log[i].Outcome; got != test.want {
			t.Errorf("%s: got outcome %q, want %q", test.name, got, test.want)
		}
		if got := a.log[i].BodyHash; got != wire.HashBody(test.body) {
			t.Errorf("%s: the entry does not keep the hash of its body", test.name)
		}
	}
	if a.digest.Sum() != b.digest.Sum() || len(a.rows) != 1 {
		t.Errorf("a void transaction left something: %v", a.rows)
	}
	h.restart()
	if got := h.digest("s", ""); got.Digest != a.digest.Sum() || got.Rows != 1 {
		t.Errorf("after a restart: got %+v, want %x", got, a.digest.Sum())
	}
}

// What a transaction does to one large row again and again is done by every
// replica, each time with the whole row.
func TestPush_largeRowAgainAndAgain(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Again = 10 << 20 })
	a := newAuthor(h, "s", 1)
	edits := []any{"x", strings.Repeat("a", 1<<20)}
	for range 5 {
		edits = append(edits, "x", 1)
	}
	few := body(edits...)
	for range 100 {
		edits = append(edits, "x", 1)
	}
	parts := append(a.write(few), a.write(body(edits...))...)
	for _, p := range append(parts, a.write(body("x", 1))...) {
		a.push(p)
	}
	a.catchUp()
	for i, want := range []string{"", errcode.TooBig, ""} {
		if got := a.log[i].Outcome; got != want {
			t.Errorf("entry %d: got outcome %q, want %q", i+1, got, want)
		}
	}
}

// staged changes the time of the parts that are held.
func (h *harness) staged(age time.Duration) {
	h.t.Helper()
	c, err := sqlite3.Open("file:" + filepath.ToSlash(h.file()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(fmt.Sprintf(`UPDATE upload SET at = %d`, time.Now().Add(-age).Unix())); err != nil {
		h.t.Fatal(err)
	}
	if c.Changes() == 0 {
		h.t.Fatal("there are no parts")
	}
}

// Two copies of a database share an id until the log shows it. What one of them
// has begun to send and left must not stop the other.
func TestPush_abandonedPartsGiveWay(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	one := a.write(body("x", strings.Repeat("a", 3<<20)))
	other := wire.SplitBody(1, body("x", strings.Repeat("b", 3<<20)))
	a.sent[1] = body("x", strings.Repeat("b", 3<<20))
	a.push(one[0], one[1])
	h.refused(a.try(other[0]), 409, errcode.ClientFork)
	h.staged(time.Hour)
	if res := a.push(other[2]); res.Staged != 0 {
		t.Errorf("a part from the middle: got %+v", res)
	}
	if res := a.push(other[0], other[1]); res.Staged != 2 {
		t.Errorf("the other's first parts: got %+v", res)
	}
	h.refused(a.try(one[0]), 409, errcode.ClientFork)
	if res := a.push(other[2:]...); res.Decided != 1 {
		t.Errorf("the other's last parts: got %+v", res)
	}
	a.catchUp()
}

func TestPush_partsAreDroppedAfterAWeek(t *testing.T) {
	h := start(t, nil)
	gone, a := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	gone.push(gone.write(body("x", strings.Repeat("a", 2<<20)))[0])
	h.staged(8 * 24 * time.Hour)
	a.push(a.write(body("x", strings.Repeat("a", 2<<20)))[0]) // the space stays open meanwhile
	if res := gone.push(); res.Staged != 0 {
		t.Errorf("got %+v", res)
	}
}

func TestPush_undecidedStaysPending(t *testing.T) {
	ready := false
	h := start(t, func(o *server.Options) {
		o.Decide = func(_ context.Context, d *server.Decision) error {
			b := d.Body
			if b.Ops[0].Key[0] == "later" && !ready {
				return fmt.Errorf("no database: %w", server.ErrUndecided)
			}
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	first, later := a.write(body("x", "1")), a.write(body("later", "1"))
	if res := a.push(append(first, later...)...); res.Decided != 1 {
		t.Errorf("got %+v", res)
	}
	h.refused(a.try(later...), 503, errcode.Server)
	ready = true
	if res := a.push(later...); res.Decided != 2 {
		t.Errorf("got %+v", res)
	}
}

// More tables than a space takes are void, at once and one by one, and the space
// and its devices go on.
func TestPush_schemaTooBig(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	tables := func(from, n int) []byte {
		b := &wire.Body{}
		for i := range n {
			b.Schema = append(b.Schema, wire.TableSchema{Table: fmt.Sprint("table", from+i), Key: []string{"id"}})
		}
		return b.Marshal()
	}
	for _, from := range []int{0, 6000} {
		a.push(a.write(tables(from, 6000))...)
	}
	a.push(append(a.write(tables(0, 600)), a.write(tables(600, 600))...)...)
	a.push(a.write(body("x", "1"))...)
	h.restart()
	a.push(a.write(body("x", 1))...)
	a.catchUp()
	var outcomes []string
	for _, e := range a.log {
		outcomes = append(outcomes, e.Outcome)
	}
	want := []string{errcode.TooBig, errcode.TooBig, "", errcode.TooBig, "", ""}
	if !slices.Equal(outcomes, want) {
		t.Errorf("got outcomes %q, want %q", outcomes, want)
	}
	s := &state{}
	a.takeSnapshot(s, wire.PullRequest{Anew: true}, 1000, nil)
	a.check(s)
}

// Groups are migrations: a request of some kilobytes cannot make the digest of a
// space large.
func TestPush_groups(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	columns := func(n int) []byte {
		d := wire.TableSchema{Table: "notes", Key: []string{"id"}}
		s := &wire.Shape{Kind: wire.Insert, Table: "notes"}
		var cells []wire.Value
		for i := range n {
			c := wire.ColumnSchema{Name: fmt.Sprint("c", i), Group: uint32(i + 1)}
			d.Columns = append(d.Columns, c)
			s.Columns, s.Joins, cells = append(s.Columns, c.Name), append(s.Joins, wire.JoinLast), append(cells, int64(1))
		}
		return (&wire.Body{Schema: []wire.TableSchema{d}, Shapes: []*wire.Shape{s},
			Ops: []wire.Op{{Shape: s, Key: []wire.Value{"k"}, Cells: cells}}}).Marshal()
	}
	a.push(append(a.write(columns(wire.MaxGroups+1)), a.write(columns(wire.MaxGroups))...)...)
	a.catchUp()
	if a.log[0].Outcome != errcode.TooBig || a.log[1].Outcome != "" {
		t.Errorf("got outcomes %q and %q", a.log[0].Outcome, a.log[1].Outcome)
	}
}

// A deadline ends a decision in the middle, and nothing of it has happened.
func TestPush_deadline(t *testing.T) {
	var slow atomic.Bool
	h := start(t, func(o *server.Options) {
		o.Limits.Decision = 200 * time.Millisecond
		o.Decide = func(ctx context.Context, d *server.Decision) error {
			if slow.Load() && d.Body.Ops[0].Key[0] == "second" {
				<-ctx.Done() // and then it says yes
			}
			return nil
		}
	})
	a := newAuthor(h, "s", 1)
	parts := append(a.write(body("first", "1")), a.write(body("second", "1", "second", 1, "second", 1))...)
	slow.Store(true)
	h.refused(a.try(parts...), 503, errcode.Timeout)
	h.o.Limits.Decision = await.Long
	h.restart()
	if got := h.digest("s", ""); got.Seq != 0 {
		t.Errorf("something has happened: %+v", got)
	}
	slow.Store(false)
	if res := a.push(parts...); res.Decided != 2 || res.Head != 2 {
		t.Errorf("got %+v", res)
	}
	a.catchUp()
}

var manyRows = flag.Int("push.rows", 20_000, "rows of TestPush_manyRows")

// How long a large import takes to decide is in the log of the test.
func TestPush_manyRows(t *testing.T) {
	n := *manyRows
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	in := &wire.Shape{Kind: wire.Insert, Table: "notes", Columns: []string{"body", "n"}, Joins: []wire.Join{0, 0}}
	b := &wire.Body{Schema: notes, Shapes: []*wire.Shape{in}}
	for i := range n {
		b.Ops = append(b.Ops, wire.Op{Shape: in, Key: []wire.Value{fmt.Sprintf("018f3b1c-%012d", i*7919%n)},
			Cells: []wire.Value{"a place with a name", int64(i)}})
	}
	parts := a.write(b.Marshal())
	began := time.Now()
	var res *wire.PushResponse
	for len(parts) > 0 {
		k := min(3, len(parts))
		res = a.push(parts[:k]...)
		parts = parts[k:]
	}
	t.Logf("%d rows decided in %v", n, time.Since(began))
	if res.Decided != 1 {
		t.Fatalf("got %+v", res)
	}
	a.catchUp()
	if got := h.digest("s", ""); got.Rows != uint64(n) || got.Digest != a.digest.Sum() {
		t.Errorf("got %+v, want %d rows and %x", got, n, a.digest.Sum())
	}
}
