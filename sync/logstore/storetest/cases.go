package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

func testCreate(t *testing.T, s *Subject) {
	if _, err := all(t, s, "s"); !errors.Is(err, logstore.ErrNotFound) {
		t.Errorf("before it is made: %v", err)
	}
	for range 2 { // the second epoch counts for nothing
		if err := s.Create(t.Context(), "s", wire.Epoch{byte(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Create(t.Context(), "s", wire.Epoch{2}); err != nil {
		t.Fatal(err)
	}
	if m, err := meta(t.Context(), s, "s"); err != nil || m.Head != (wire.Position{Epoch: wire.Epoch{1}}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

// A commit on another base than the head changes nothing.
func testFence(t *testing.T, s *Subject) {
	create(t, s, "s")
	m := commitOne(t, s, "s", 1)
	before, err := all(t, s, "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range append(strange(m.Head), wire.Position{Epoch: m.Head.Epoch}) {
		w := one(&m, number(1), 2)
		w.Base = base
		w.Rows = []logstore.Row{{RowID: logstore.RowID{Table: "t", Key: "k"}, Cells: []byte{1}}}
		if err := s.Commit(t.Context(), "s", w); !errors.Is(err, logstore.ErrMoved) {
			t.Errorf("on %+v: got %v", base, err)
		}
	}
	if err := s.Commit(t.Context(), "none", one(&m, number(1), 2)); !errors.Is(err, logstore.ErrMoved) {
		t.Errorf("to a space that is not there: %v", err)
	}
	if after, err := all(t, s, "s"); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("got %+v, want %+v, %v", after, before, err)
	}
	commitOne(t, s, "s", 2)
}

// A commit whose rows are not all new as it says changes nothing, wherever the one
// that is there stands among them.
func testNew(t *testing.T, s *Subject) {
	create(t, s, "s")
	m := commitOne(t, s, "s", 1)
	rows := func(isNew bool, keys ...string) (all []logstore.Row) {
		for _, k := range keys {
			all = append(all, logstore.Row{RowID: logstore.RowID{Table: "t", Key: k}, Cells: []byte(k), New: isNew})
		}
		return all
	}
	commit := func(counter uint64, rows []logstore.Row) error {
		w := one(&m, number(1), counter)
		w.Rows = rows
		return s.Commit(t.Context(), "s", w)
	}
	if err := commit(2, rows(true, "b")); err != nil {
		t.Fatal(err)
	}
	before, err := all(t, s, "s")
	if err != nil {
		t.Fatal(err)
	}
	m = before.Meta
	for _, keys := range [][]string{{"b"}, {"b", "c"}, {"a", "b"}, {"a", "b", "c"}} {
		if err := commit(3, rows(true, keys...)); !errors.Is(err, logstore.ErrNotNew) {
			t.Errorf("with rows %q: got %v", keys, err)
		}
	}
	if after, err := all(t, s, "s"); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("got %+v, want %+v, %v", after, before, err)
	}
	stale := m
	stale.Head.Seq-- // a base that is not the head comes first
	w := one(&stale, number(1), 3)
	w.Rows = rows(true, "b")
	if err := s.Commit(t.Context(), "s", w); !errors.Is(err, logstore.ErrMoved) {
		t.Errorf("on another base: got %v", err)
	}
	none := rows(true, "b", "a")
	none[0].Cells, none[1].Cells = nil, nil
	for _, order := range [][]logstore.Row{none[:1], none, {none[1], none[0]}} {
		if err := commit(3, order); !errors.Is(err, logstore.ErrNotNew) {
			t.Errorf("where nothing of the row is written: got %v", err)
		}
	}
	if err := commit(3, append(none[1:], rows(false, "b")...)); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	m = commitOne(t, s, "s", 4)
	if err := commit(5, append(rows(true, "a"), rows(false, "b")...)); err != nil {
		t.Errorf("where the others may be there: %v", err)
	}
}

// Commits of many spaces at once, of which some are refused: the others stand.
func testSome(t *testing.T, s *Subject) {
	const spaces = 12
	var group sync.WaitGroup
	metas := make([]logstore.Meta, spaces)
	name := func(i int) string { return fmt.Sprint("s", i) }
	for i := range spaces {
		create(t, s, name(i))
		metas[i] = commitOne(t, s, name(i), 1)
		w := one(&metas[i], number(1), 2)
		w.Rows = []logstore.Row{{RowID: logstore.RowID{Table: "t", Key: "there"}, Cells: []byte{1}}}
		if err := s.Commit(t.Context(), name(i), w); err != nil {
			t.Fatal(err)
		}
		if metas[i], _ = meta(t.Context(), s, name(i)); metas[i].Head.Seq != 2 {
			t.Fatalf("got %+v", metas[i])
		}
	}
	for round := range uint64(5) {
		for i := range spaces {
			group.Go(func() {
				w := one(&metas[i], number(1), 3+round)
				var want error
				switch i % 4 {
				case 1: // found before anything of it is written
					w.Rows = []logstore.Row{{RowID: logstore.RowID{Table: "t", Key: "there"}, Cells: []byte{2}, New: true}}
					want = logstore.ErrNotNew
				case 2: // found after a part of it is written
					w.Rows = []logstore.Row{{RowID: logstore.RowID{Table: "t", Key: "a"}, Cells: []byte{2}, New: true},
						{RowID: logstore.RowID{Table: "t", Key: "there"}, Cells: []byte{2}, New: true}}
					want = logstore.ErrNotNew
				case 3:
					w.Base.Chain[0]++
					want = logstore.ErrMoved
				}
				if err := s.Commit(t.Context(), name(i), w); !errors.Is(err, want) {
					t.Errorf("space %d: got %v, want %v", i, err, want)
				}
			})
		}
		group.Wait()
		for i := range spaces {
			d, err := all(t, s, name(i))
			if err != nil {
				t.Fatal(err)
			}
			if metas[i] = d.Meta; len(d.Rows) != 1 || i%4 > 0 && d.Meta.Head.Seq != 2 ||
				i%4 == 0 && d.Meta.Head.Seq != 3+round {
				t.Errorf("space %d has %d rows, and ends at %d", i, len(d.Rows), d.Meta.Head.Seq)
			}
		}
	}
}

func create(t *testing.T, s logstore.Store, space string) {
	t.Helper()
	if err := s.Create(t.Context(), space, wire.Epoch{7}); err != nil {
		t.Fatal(err)
	}
}

// commitOne commits a client's next transaction, and returns what is there then.
func commitOne(t *testing.T, s logstore.Store, space string, counter uint64) logstore.Meta {
	t.Helper()
	m, err := meta(t.Context(), s, space)
	if err == nil {
		err = s.Commit(t.Context(), space, one(&m, number(1), counter))
	}
	if err != nil {
		t.Fatal(err)
	}
	if m, err = meta(t.Context(), s, space); err != nil {
		t.Fatal(err)
	}
	return m
}

// Random commits to several spaces leave what they leave in the model.
func testRandom(t *testing.T, s *Subject) {
	for seed := range uint64(4) {
		model := NewModel()
		a := &author{Rand: rand.New(rand.NewPCG(seed, 1))}
		names := []string{fmt.Sprint("a", seed), fmt.Sprint("B", seed), fmt.Sprint("c", seed)}
		for _, name := range names {
			create(t, s, name)
			create(t, model, name)
		}
		for i := range 60 {
			name := names[a.IntN(len(names))]
			d, err := all(t, model, name)
			if err != nil {
				t.Fatal(err)
			}
			w := a.commit(&d)
			if err := errors.Join(model.Commit(t.Context(), name, w), s.Commit(t.Context(), name, w)); err != nil {
				t.Fatal(err)
			}
			if i%15 == 14 && s.Reopen != nil {
				s.Store = s.Reopen()
			}
			equal(t, s, model, name)
		}
		for _, name := range names {
			equal(t, s, model, name)
		}
	}
}

// Rows stand in the bytewise order of table and key, whatever bytes those have and
// however long they are, and are found by them.
func testKeys(t *testing.T, s *Subject) {
	model := NewModel()
	create(t, s, "s")
	create(t, model, "s")
	random := rand.New(rand.NewPCG(1, 2))
	ids := map[logstore.RowID]bool{}
	for _, table := range []string{"t", "T", "a\"b'c", "\xc3\xa4", "t\x01"} {
		for _, key := range []string{"", "\x00", "a", "a\x00", "\xff\xfe", "\xff"} {
			ids[logstore.RowID{Table: table, Key: key}] = true
		}
	}
	for _, length := range []int{1000, 1023, 1024, 1025, 1056, 2704, 9000, wire.MaxKey} {
		for range 6 { // most have the same beginning
			key := bytes.Repeat([]byte{'k'}, length)
			key[length-1-random.IntN(min(length, 40))] = byte(random.Uint32())
			ids[logstore.RowID{Table: "long", Key: string(key)}] = true
		}
	}
	write := func(counter uint64, change func(logstore.RowID) *logstore.Row) {
		t.Helper()
		m, err := meta(t.Context(), s, "s")
		w := one(&m, number(1), counter)
		for id := range ids {
			if r := change(id); r != nil {
				w.Rows = append(w.Rows, *r)
			}
		}
		if err := errors.Join(err, s.Commit(t.Context(), "s", w), model.Commit(t.Context(), "s", w)); err != nil {
			t.Fatal(err)
		}
		equal(t, s, model, "s")
	}
	write(1, func(id logstore.RowID) *logstore.Row {
		return &logstore.Row{RowID: id, Cells: []byte(id.Key[:min(9, len(id.Key))] + "x"), New: random.IntN(2) == 0}
	})
	write(2, func(id logstore.RowID) *logstore.Row {
		switch random.IntN(3) {
		case 0:
			return &logstore.Row{RowID: id}
		case 1:
			return &logstore.Row{RowID: id, Cells: []byte("other")}
		}
		return nil
	})
}

// A View stays at its moment, and a Read sees what any Commit before it has left.
func testMoment(t *testing.T, s *Subject) {
	create(t, s, "s")
	commitOne(t, s, "s", 1)
	err := s.Read(t.Context(), "s", func(v logstore.View) error {
		commitOne(t, s, "s", 2)
		m, err := v.Meta()
		entries, err2 := v.Entries(0, 1<<20, wire.ClientID{})
		if m.Head.Seq != 1 || len(entries) != 1 {
			t.Errorf("a View at 1 has the head %d and %d entries", m.Head.Seq, len(entries))
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := meta(t.Context(), s, "s"); err != nil || m.Head.Seq != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	strange := errors.New("of the function")
	if err := s.Read(t.Context(), "s", func(logstore.View) error { return strange }); !errors.Is(err, strange) {
		t.Errorf("got %v", err)
	}
}

// Writers that read, decide and commit have each of their transactions in the log
// once, in one order, whichever spaces they write to at the same time.
func testConcurrent(t *testing.T, s *Subject) {
	const writers, each = 6, 15
	spaces := []string{"one", "two"}
	var group sync.WaitGroup
	for _, space := range spaces {
		create(t, s, space)
		for w := range writers {
			group.Go(func() {
				for n := uint64(1); n <= each; {
					m, err := meta(t.Context(), s, space)
					if err == nil {
						err = s.Commit(t.Context(), space, one(&m, number(w), n))
					}
					switch {
					case err == nil:
						n++
					case !errors.Is(err, logstore.ErrMoved):
						t.Error(err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	for _, space := range spaces {
		d, err := all(t, s, space)
		if err != nil {
			t.Fatal(err)
		}
		last, prev := map[wire.ClientID]uint64{}, wire.Hash{}
		for i := range d.Entries {
			e := &d.Entries[i]
			if e.Seq != uint64(i+1) || e.Chain != e.ChainAfter(prev) || e.Counter != last[e.Client]+1 {
				t.Fatalf("%s: entry %d of %x is number %d", space, e.Seq, e.Client[:4], e.Counter)
			}
			last[e.Client], prev = e.Counter, e.Chain
		}
		if len(d.Entries) != writers*each || d.Meta.Head.Chain != prev {
			t.Errorf("%s has %d entries", space, len(d.Entries))
		}
	}
}
