package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

func testSpaces(t *testing.T, s *Subject) {
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("space-%02d", i*7%25))
		create(t, s, names[i])
	}
	slices.Sort(names)
	commitOne(t, s, names[3], 1)
	var found []string
	for after := ""; ; after = found[len(found)-1] {
		infos, err := s.Spaces(t.Context(), after, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if (i.Head.Seq == 1) != (i.Space == names[3]) || i.Gone {
				t.Errorf("got %+v", i)
			}
			found = append(found, i.Space)
		}
		if len(infos) == 0 {
			break
		}
	}
	if !slices.Equal(found, names) {
		t.Errorf("got %q, want %q", found, names)
	}
	heads, err := s.Heads(t.Context(), []string{names[4], "none", names[3]})
	if err != nil || len(heads) != 3 || heads[0].Epoch != (wire.Epoch{7}) || heads[1] != (logstore.Head{}) ||
		heads[2].Seq != 1 {
		t.Errorf("got %+v, %v", heads, err)
	}
}

// A space moves between a store and the model, there and back.
func testImport(t *testing.T, s *Subject) {
	model := NewModel()
	a := &author{Rand: rand.New(rand.NewPCG(9, 9))}
	create(t, model, "from")
	for range 40 {
		d, err := all(t, model, "from")
		if err == nil {
			err = model.Commit(t.Context(), "from", a.commit(&d))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copySpace := func(from, to logstore.Store, name, as string) error {
		return from.Read(t.Context(), name, func(v logstore.View) error { return to.Import(t.Context(), as, v) })
	}
	want := NewModel()
	if err := errors.Join(copySpace(model, s, "from", "to"), copySpace(model, want, "from", "to")); err != nil {
		t.Fatal(err)
	}
	equal(t, s, want, "to")
	if err := copySpace(model, s, "from", "to"); !errors.Is(err, logstore.ErrExists) {
		t.Errorf("again: %v", err)
	}
	if err := copySpace(s, want, "to", "back"); err != nil {
		t.Fatal(err)
	}
	got, err := all(t, want, "back")
	first, err2 := all(t, want, "to")
	if norm(&got); err != nil || err2 != nil || !reflect.DeepEqual(got, normed(first)) {
		t.Errorf("back: got %+v\nwant %+v, %v, %v", got, first, err, err2)
	}
	commitOne(t, s, "to", 1000)
}

func normed(d dump) dump { norm(&d); return d }

// A deleted space is gone for good.
func testDelete(t *testing.T, s *Subject) {
	create(t, s, "s")
	create(t, s, "other")
	m := commitOne(t, s, "s", 1)
	if err := s.Delete(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := all(t, s, "s"); !errors.Is(err, logstore.ErrGone) {
			t.Errorf("read: %v", err)
		}
		if err := s.Create(t.Context(), "s", wire.Epoch{9}); !errors.Is(err, logstore.ErrGone) {
			t.Errorf("create: %v", err)
		}
		if err := s.Commit(t.Context(), "s", one(&m, number(1), 2)); !errors.Is(err, logstore.ErrMoved) {
			t.Errorf("commit: %v", err)
		}
		err := s.Read(t.Context(), "other", func(v logstore.View) error { return s.Import(t.Context(), "s", v) })
		if !errors.Is(err, logstore.ErrGone) {
			t.Errorf("import: %v", err)
		}
		heads, err := s.Heads(t.Context(), []string{"s", "other"})
		if err != nil || !heads[0].Gone || heads[1].Gone {
			t.Errorf("heads: %+v, %v", heads, err)
		}
		infos, err := s.Spaces(t.Context(), "", 10)
		if err != nil || len(infos) != 2 || infos[0].Gone || infos[1] != (logstore.Info{Space: "s", Gone: true}) {
			t.Errorf("spaces: %+v, %v", infos, err)
		}
		if s.Reopen == nil {
			return
		}
		s.Store = s.Reopen()
	}
}

// A cut takes the log to where it is told, and leaves outcomes and head.
func testCut(t *testing.T, s *Subject) {
	create(t, s, "s")
	for n := range uint64(5) {
		commitOne(t, s, "s", n+1)
	}
	before, err := all(t, s, "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ to, horizon uint64 }{{2, 2}, {0, 2}, {1, 2}, {9, 5}} {
		if err := s.Cut(t.Context(), "s", test.to); err != nil {
			t.Fatal(err)
		}
		d, err := all(t, s, "s")
		if err != nil {
			t.Fatal(err)
		}
		if d.Meta.Horizon != test.horizon || len(d.Entries) != int(5-test.horizon) || len(d.Cut) != int(test.horizon) ||
			d.Meta.State != before.Meta.State || d.Meta.HorizonChain != before.Entries[test.horizon-1].Chain {
			t.Errorf("cut to %d: got %+v", test.to, d)
		}
		if !reflect.DeepEqual(d.Outcomes, before.Outcomes) {
			t.Errorf("cut to %d: got outcomes %+v, want %+v", test.to, d.Outcomes, before.Outcomes)
		}
	}
	if m := commitOne(t, s, "s", 6); m.Logged != logstore.EntryBytes+int64(len(fmt.Append(nil, number(1), 6))) {
		t.Errorf("the log counts %d bytes", m.Logged)
	}
}

// A cut keeps the entries that it is told to, however often the log is cut.
func testKeep(t *testing.T, s *Subject) {
	create(t, s, "s")
	bodies := [][]byte{{8, 2, 1}, {8, 1, 1}, {8}, {8, 2}, {8, 1, 2}, {8, 2, 3, 4}}
	for n, body := range bodies {
		m, err := meta(t.Context(), s, "s")
		w := one(&m, number(1), uint64(n+1))
		e := &w.Entries[0]
		e.Body, e.BodyHash = body, wire.HashBody(body)
		e.Chain = e.ChainAfter(m.Head.Chain)
		w.Head.Chain = e.Chain
		if err = errors.Join(err, s.Commit(t.Context(), "s", w)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		to   uint64
		kept []uint64
	}{{2, []uint64{1}}, {3, []uint64{1}}, {5, []uint64{1, 4}}} {
		m, err := meta(t.Context(), s, "s")
		w := &logstore.WriteSet{Base: m.Head, State: m.State, Cut: test.to, Keep: keepMark}
		if err = errors.Join(err, s.Commit(t.Context(), "s", w)); err != nil {
			t.Fatal(err)
		}
		d, err := all(t, s, "s")
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		logged := int64(0)
		for _, e := range append(d.Kept, d.Entries...) {
			if logged += int64(len(e.Body)) + logstore.EntryBytes; e.Seq <= test.to {
				seqs = append(seqs, e.Seq)
			}
		}
		if !slices.Equal(seqs, test.kept) || d.Meta.Horizon != test.to || d.Meta.Logged != logged ||
			len(d.Entries) != len(bodies)-int(test.to) || len(d.Cut) != int(test.to)-len(test.kept) {
			t.Errorf("cut to %d: got %+v", test.to, d)
		}
	}
	to := NewModel()
	if err := s.Read(t.Context(), "s", func(v logstore.View) error { return to.Import(t.Context(), "s", v) }); err != nil {
		t.Fatal(err)
	}
	equal(t, s, to, "s")
}

// Blobs come and go with commits, and are gone with the space.
func testBlobs(t *testing.T, s *Subject) {
	create(t, s, "s")
	create(t, s, "other")
	put := func(space string, all ...logstore.Blob) error {
		m, err := meta(t.Context(), s, space)
		if err != nil {
			return err
		}
		return s.Commit(t.Context(), space, &logstore.WriteSet{Base: m.Head, State: m.State, Blobs: all})
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
	err := errors.Join(put("s", logstore.Blob{Name: "chunk/1", Bytes: large, At: 7}, logstore.Blob{Name: "chunk/2",
		Bytes: []byte{}, At: 8}), put("s", logstore.Blob{Name: "chunk/2", Bytes: []byte("two"), At: 9},
		logstore.Blob{Name: "log", Bytes: []byte("x")}), put("other", logstore.Blob{Name: "chunk/3", Bytes: []byte("y")}))
	if err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		was   []logstore.Blob
		moved bool
	}{
		{[]logstore.Blob{{Name: "log", Bytes: []byte("x")}, {Name: "none"}}, false},
		{[]logstore.Blob{{Name: "log", Bytes: []byte("y")}}, true},
		{[]logstore.Blob{{Name: "log", Bytes: []byte("x")}, {Name: "chunk/2", Bytes: []byte{}}}, true},
		{[]logstore.Blob{{Name: "log"}}, true},
		{[]logstore.Blob{{Name: "chunk/3", Bytes: []byte("y")}}, true}, // of the other space
		{[]logstore.Blob{{Name: "none", Bytes: []byte{}}}, true},
	} {
		m, err := meta(t.Context(), s, "s")
		if err != nil {
			t.Fatal(err)
		}
		w := &logstore.WriteSet{Base: m.Head, State: m.State, Was: test.was, Told: []logstore.DeviceHead{{N: uint64(i + 1)}}}
		err = s.Commit(t.Context(), "s", w)
		after, err2 := meta(t.Context(), s, "s")
		if err2 != nil || test.moved != errors.Is(err, logstore.ErrMoved) || !test.moved && err != nil ||
			test.moved == (after.Told > m.Told) {
			t.Errorf("where blobs have to be %+v: %v, %v, heads told %d and then %d", test.was, err, err2, m.Told, after.Told)
		}
	}
	if s.Reopen != nil {
		s.Store = s.Reopen()
	}
	look := func(prefix string, want ...logstore.BlobInfo) {
		t.Helper()
		if err := s.Read(t.Context(), "s", func(v logstore.View) error {
			got, err := v.Blobs(prefix)
			none, err2 := v.Blob("chunk/3") // of the other space
			if !slices.Equal(got, want) || none != nil {
				t.Errorf("under %q: got %+v, want %+v, and of another space %q", prefix, got, want, none)
			}
			return errors.Join(err, err2)
		}); err != nil {
			t.Fatal(err)
		}
	}
	one, two := logstore.BlobInfo{Name: "chunk/1", Size: int64(len(large)), At: 7}, logstore.BlobInfo{Name: "chunk/2",
		Size: 3, At: 9}
	log := logstore.BlobInfo{Name: "log", Size: 1}
	look("", one, two, log)
	look("chunk/", one, two)
	look("d")
	m, err := meta(t.Context(), s, "s")
	moved := &logstore.WriteSet{Base: m.Head, State: m.State, Blobs: []logstore.Blob{{Name: "log"}}}
	moved.Base.Seq++
	if err := errors.Join(err, s.Commit(t.Context(), "s", moved)); !errors.Is(err, logstore.ErrMoved) {
		t.Errorf("on another base: %v", err)
	}
	if err := put("s", logstore.Blob{Name: "chunk/1"}, logstore.Blob{Name: "none"}); err != nil {
		t.Fatal(err)
	}
	look("", two, log)
	if err := s.Delete(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	create(t, s, "again")
	if err := s.Read(t.Context(), "again", func(v logstore.View) error {
		got, err := v.Blobs("")
		if len(got) > 0 {
			t.Errorf("another space has %+v", got)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func testKick(t *testing.T, s *Subject) {
	create(t, s, "s")
	for n := range uint64(3) {
		m, err := meta(t.Context(), s, "s")
		heads, err2 := s.Heads(t.Context(), []string{"s"})
		if err != nil || err2 != nil || m.Kicks != n || heads[0].Kicks != n {
			t.Errorf("got %+v, %+v, %v, %v", m, heads, err, err2)
		}
		if err := s.Kick(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Kick(t.Context(), "none"); !errors.Is(err, logstore.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// Of what a device has told, that of the highest number stays. It is written on the head alone, counted, and hinted at.
func testTold(t *testing.T, s *Subject) {
	create(t, s, "s")
	first, err := meta(t.Context(), s, "s")
	if err != nil {
		t.Fatal(err)
	}
	m := commitOne(t, s, "s", 1)
	tell := func(m *logstore.Meta, device byte, n uint64) error {
		return s.Commit(t.Context(), "s", &logstore.WriteSet{Base: m.Head, State: m.State,
			Told: []logstore.DeviceHead{{Device: [16]byte{device}, N: n, Bytes: fmt.Append(nil, device, n)}}})
	}
	if err := tell(&first, 1, 99); !errors.Is(err, logstore.ErrMoved) {
		t.Errorf("on an older head: %v", err)
	}
	for i, told := range [][2]uint64{{2, 7}, {1, 3}, {1, 5}, {1, 4}, {2, 7}} {
		if err := tell(&m, byte(told[0]), told[1]); err != nil {
			t.Fatal(err)
		}
		heads, err := s.Heads(t.Context(), []string{"s"})
		if want := uint64(i + 1); err != nil || heads[0].Told != want {
			t.Errorf("got %+v, %v, want told %d times", heads, err, want)
		}
	}
	d, err := all(t, s, "s")
	want := []logstore.DeviceHead{{Device: [16]byte{1}, N: 5, Bytes: fmt.Append(nil, 1, 5)},
		{Device: [16]byte{2}, N: 7, Bytes: fmt.Append(nil, 2, 7)}}
	if err != nil || !reflect.DeepEqual(d.Told, want) || d.Meta.Head != m.Head || d.Meta.State != m.State {
		t.Errorf("got %+v, %v, want %+v", d, err, want)
	}
	commitOne(t, s, "s", 2)
}

// What a call whose context has ended says is true, or says that it is not known.
func testCancel(t *testing.T, s *Subject) {
	create(t, s, "s")
	m := commitOne(t, s, "s", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := meta(ctx, s, "s"); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	err := s.Commit(ctx, "s", one(&m, number(1), 2))
	now, rerr := meta(t.Context(), s, "s")
	if rerr != nil || err == nil && now.Head.Seq != 2 || now.Head.Seq > 2 {
		t.Errorf("commit: %v, and then %+v, %v", err, now, rerr)
	}
	commitOne(t, s, "s", now.Head.Seq+1)
}

// A hint comes of a commit that nothing has lost.
func testWatch(t *testing.T, s *Subject) {
	create(t, s, "s")
	ctx, cancel := context.WithCancel(t.Context())
	hints := make(chan logstore.Hint, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Watch(ctx, func(h logstore.Hint) {
			select {
			case hints <- h:
			default:
			}
		})
	}()
	for n := uint64(1); ; n++ { // the first ones may come before it watches
		commitOne(t, s, "s", n)
		select {
		case h := <-hints:
			if h.Space != "s" && h.Space != "" {
				t.Errorf("got %+v", h)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			return
		default:
		}
	}
}
