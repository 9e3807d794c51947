package shelf_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

var limits = shelf.Limits{Kept: 100, Entries: 50, Bytes: 1000, Step: 40, Abandoned: time.Hour}

func ids(all []shelf.Snapshot) (n []byte) {
	for _, one := range all {
		n = append(n, one.ID[0])
	}
	return n
}

func snapshot(n byte, seq uint64) shelf.Snapshot { return shelf.Snapshot{ID: seal.ID{n}, Seq: seq} }

// The proved one stays until a newer is, and of those that are newer the last two.
func TestShelf(t *testing.T) {
	s := &shelf.Shelf{}
	if s.Newest() != nil || s.Proved() != nil {
		t.Error("an empty shelf has snapshots")
	}
	for _, step := range []struct {
		add, prove byte
		gone, left []byte
	}{
		{1, 0, nil, []byte{1}}, {2, 0, nil, []byte{1, 2}}, {3, 0, []byte{1}, []byte{2, 3}},
		{0, 2, nil, []byte{2, 3}}, {4, 0, nil, []byte{2, 3, 4}}, {5, 0, []byte{3}, []byte{2, 4, 5}},
		{6, 0, []byte{4}, []byte{2, 5, 6}}, {0, 9, nil, []byte{2, 5, 6}}, {0, 6, []byte{5, 2}, []byte{6}},
	} {
		var gone []shelf.Snapshot
		if step.add > 0 {
			gone = s.Add(snapshot(step.add, uint64(step.add)*10))
		} else {
			gone = s.Prove(seal.ID{step.prove})
		}
		if !slices.Equal(ids(gone), step.gone) || !slices.Equal(ids(s.Snapshots), step.left) {
			t.Errorf("%+v: got %v gone and %v left", step, ids(gone), ids(s.Snapshots))
		}
	}
}

// A new device is offered what is proved before what is not.
func TestShelf_offers(t *testing.T) {
	s := &shelf.Shelf{}
	for n := range byte(4) {
		s.Add(snapshot(n+1, uint64(n)))
		if n == 1 {
			s.Prove(seal.ID{2})
		}
	}
	if got, want := ids(s.Offers()), []byte{2, 4, 3}; !slices.Equal(got, want) {
		t.Errorf("offered are %v, want %v", got, want)
	}
}

func meta(head, horizon uint64, logged int64) *logstore.Meta {
	return &logstore.Meta{State: logstore.State{Head: wire.Position{Seq: head}}, Horizon: horizon, Logged: logged}
}

func TestShelf_due(t *testing.T) {
	empty, one := &shelf.Shelf{}, &shelf.Shelf{Snapshots: []shelf.Snapshot{{Seq: 200, Size: 4000, Before: 700}}}
	for _, test := range []struct {
		s    *shelf.Shelf
		m    *logstore.Meta
		want bool
	}{
		{empty, meta(0, 0, 0), false}, {empty, meta(50, 0, 1000), false}, {empty, meta(51, 0, 10), true},
		{empty, meta(2, 0, 1001), true}, {one, meta(200, 0, 9000), false}, {one, meta(250, 0, 2700), false},
		{one, meta(251, 0, 800), true}, {one, meta(201, 0, 2701), true},
	} {
		if got := test.s.Due(test.m, &limits, test.s.Newest()); got != test.want {
			t.Errorf("%+v with %+v: got %v", test.s, test.m, got)
		}
	}
}

// The log is never cut unless a snapshot is proved, never beyond it, and never into its end.
func TestShelf_cutTo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		s, newest := &shelf.Shelf{}, uint64(0)
		for i := range r.IntN(4) {
			one := snapshot(byte(i+1), 1+r.Uint64N(500))
			if one.Proved = r.IntN(2) == 0; one.Proved {
				newest = max(newest, one.Seq)
			}
			s.Snapshots = append(s.Snapshots, one)
		}
		slices.SortFunc(s.Snapshots, func(a, b shelf.Snapshot) int { return int(a.Seq) - int(b.Seq) })
		head := r.Uint64N(700)
		m := meta(head, r.Uint64N(head+1), 0)
		to := s.CutTo(m, &limits)
		if to < m.Horizon || to > m.Horizon && (to > newest || to+limits.Kept > head || to > m.Horizon+limits.Step) {
			t.Fatalf("%+v with %+v is cut to %d", s, m, to)
		}
		if next := m.Horizon + 1; to == m.Horizon && next <= newest && next+limits.Kept <= head {
			t.Fatalf("%+v with %+v is not cut", s, m)
		}
	}
}

// What no snapshot needs goes: at once where one that is gone had it, else when it was abandoned.
func TestWaste(t *testing.T) {
	store := storetest.NewModel()
	epoch := wire.Epoch{1}
	if err := store.Create(t.Context(), "s", epoch); err != nil {
		t.Fatal(err)
	}
	manifest := func(chunks ...byte) *seal.Manifest {
		m := &seal.Manifest{Device: seal.ID{1}, Epoch: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
			Members: seal.Hash{1}, Nonce: seal.Nonce{1}, Box: make([]byte, 272), Signature: seal.Signature{2}}
		for _, n := range chunks {
			m.Chunks = append(m.Chunks, seal.Chunk{Hash: seal.Hash{n}, Epoch: 1, Size: 100, Rows: 1})
		}
		return m
	}
	const now = 100_000
	w := &logstore.WriteSet{Base: wire.Position{Epoch: epoch}, State: logstore.State{Head: wire.Position{Epoch: epoch}}}
	for n := byte(1); n <= 5; n++ {
		at := int64(now)
		if n == 5 {
			at -= 3601
		}
		w.Blobs = append(w.Blobs, logstore.Blob{Name: shelf.ChunkName(seal.Hash{n}), Bytes: []byte{n}, At: at})
	}
	w.Blobs = append(w.Blobs, logstore.Blob{Name: shelf.SnapshotName(seal.ID{1}), Bytes: manifest(1, 2, 4).Marshal()},
		logstore.Blob{Name: shelf.SnapshotName(seal.ID{2}), Bytes: manifest(2, 3).Marshal()})
	if err := store.Commit(t.Context(), "s", w); err != nil {
		t.Fatal(err)
	}
	err := store.Read(t.Context(), "s", func(v logstore.View) error {
		s := &shelf.Shelf{Snapshots: []shelf.Snapshot{snapshot(2, 20), snapshot(3, 30)}} // the last is not written yet
		all, err := shelf.Waste(v, s, []shelf.Snapshot{snapshot(1, 10)}, manifest(3, 4), &limits, now)
		var names []string
		for _, b := range all {
			if names = append(names, b.Name); b.Bytes != nil {
				t.Errorf("%s is written", b.Name)
			}
		}
		want := []string{shelf.ChunkName(seal.Hash{1}), shelf.ChunkName(seal.Hash{5}), shelf.SnapshotName(seal.ID{1})}
		if !slices.Equal(names, want) {
			t.Errorf("got %q, want %q", names, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
