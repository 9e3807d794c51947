// Package storetest has the suite that every store of package logstore passes, a
// model to compare stores with, and a store whose calls fail.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Subject is a store under test.
type Subject struct {
	logstore.Store
	// Reopen closes the store and opens it on what it has kept; nil if it keeps
	// nothing.
	Reopen func() logstore.Store
}

// Run runs the suite. open makes an empty store, which is closed with the test.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	for name, test := range map[string]func(*testing.T, *Subject){
		"create": testCreate, "fence": testFence, "new": testNew, "some": testSome,
		"random": testRandom, "keys": testKeys, "moment": testMoment,
		"concurrent": testConcurrent, "spaces": testSpaces, "import": testImport, "delete": testDelete,
		"cut": testCut, "keep": testKeep, "blobs": testBlobs, "kick": testKick, "told": testTold, "cancel": testCancel,
		"watch": testWatch,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// dump is all that a View has.
type dump struct {
	Meta     logstore.Meta
	Schema   []byte
	Buckets  []wire.Bucket
	Rows     []logstore.Row
	Entries  []wire.Entry
	States   []logstore.State
	Clients  []logstore.Client
	Cut      []wire.Outcome
	Outcomes []wire.Outcome
	Uploads  []logstore.Upload
	Parts    [][]byte
	Told     []logstore.DeviceHead
	Kept     []wire.Entry // before the log's beginning
	Blobs    []logstore.Blob
}

func collect[T any](t *testing.T, all iter.Seq2[T, error]) (list []T) {
	t.Helper()
	for v, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// all reads a space whole.
func all(t *testing.T, s logstore.Store, space string) (d dump, err error) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	err = s.Read(t.Context(), space, func(v logstore.View) (err error) {
		d = dump{Buckets: collect(t, v.Buckets()), Rows: collect(t, v.Scan(logstore.RowID{}, 1<<20)),
			Clients: collect(t, v.AllClients()), Cut: collect(t, v.CutOutcomes())}
		d.Meta, err = v.Meta()
		must(err)
		d.Schema, err = v.Schema()
		must(err)
		for at := d.Meta.Horizon; at < d.Meta.Head.Seq; at = d.Entries[len(d.Entries)-1].Seq {
			entries, err := v.Entries(at, 300, wire.ClientID{})
			must(err)
			if len(entries) == 0 {
				t.Fatalf("there is no entry after %d, and the head is %d", at, d.Meta.Head.Seq)
			}
			d.Entries = append(d.Entries, entries...)
		}
		for i := range d.Entries {
			e := &d.Entries[i]
			st, found, err := v.At(e.Seq)
			must(err)
			if found {
				d.States = append(d.States, st)
			}
			hash, found, err := v.Find(e.Client, e.Counter)
			must(err)
			chain, known, err := v.Chain(e.Seq)
			must(err)
			if !found || hash != e.BodyHash || !known || chain != e.Chain {
				t.Errorf("entry %d is not found by its counter or its seq", e.Seq)
			}
		}
		for _, c := range d.Clients {
			d.Outcomes = append(d.Outcomes, collect(t, v.Outcomes(c.ID, 3))...)
		}
		d.Uploads, err = v.Uploads()
		must(err)
		for _, u := range d.Uploads {
			parts, err := v.Parts(u.Client)
			must(err)
			d.Parts = append(d.Parts, parts...)
		}
		d.Told, err = v.DeviceHeads()
		must(err)
		d.Kept, d.Blobs = kept(t, v, d.Meta.Horizon), blobs(t, v)
		ids := []logstore.RowID{{Table: "none", Key: "x"}}
		for _, r := range d.Rows {
			ids = append(ids, r.RowID)
		}
		cells, err := v.Rows(ids)
		must(err)
		for i := range cells {
			if i == 0 && cells[i] != nil || i > 0 && !slices.Equal(cells[i], d.Rows[i-1].Cells) {
				t.Errorf("row %d by its id is another than in the scan", i)
			}
		}
		return nil
	})
	return d, err
}

// kept returns the entries that cuts have kept.
func kept(t *testing.T, v logstore.View, horizon uint64) (all []wire.Entry) {
	t.Helper()
	for at := uint64(0); ; {
		entries, err := v.Entries(at, 300, wire.ClientID{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Seq > horizon {
				return all
			}
			all, at = append(all, e), e.Seq
		}
		if len(entries) == 0 {
			return all
		}
	}
}

// blobs returns all blobs, and looks at each by its name and by a prefix of it.
func blobs(t *testing.T, v logstore.View) (all []logstore.Blob) {
	t.Helper()
	infos, err := v.Blobs("")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		bytes, err := v.Blob(i.Name)
		some, err2 := v.Blobs(i.Name[:1])
		if err != nil || err2 != nil || int64(len(bytes)) != i.Size || !slices.Contains(some, i) {
			t.Fatalf("blob %+v has %d bytes, and stands among %+v: %v, %v", i, len(bytes), some, err, err2)
		}
		all = append(all, logstore.Blob{Name: i.Name, Bytes: bytes, At: i.At})
	}
	return all
}

// equal compares a store with the model.
func equal(t *testing.T, got, want logstore.Store, space string) dump {
	t.Helper()
	g, err := all(t, got, space)
	w, werr := all(t, want, space)
	if (err == nil) != (werr == nil) || err != nil && !errors.Is(err, werr) {
		t.Fatalf("read: got %v, want %v", err, werr)
	}
	norm(&g)
	norm(&w)
	for i := range reflect.TypeFor[dump]().NumField() {
		a, b := reflect.ValueOf(g).Field(i).Interface(), reflect.ValueOf(w).Field(i).Interface()
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%s: got %+v\nwant %+v", reflect.TypeFor[dump]().Field(i).Name, a, b)
		}
	}
	return g
}

// norm makes nil of what is empty.
func norm(d *dump) {
	if len(d.Schema) == 0 {
		d.Schema = nil
	}
	for _, all := range [][]wire.Entry{d.Entries, d.Kept} {
		for i := range all {
			if len(all[i].Body) == 0 {
				all[i].Body = nil
			}
		}
	}
}

// keepMark is how the bodies of entries begin that cuts are to keep.
var keepMark = []byte{8, 2}

// author makes write sets that are decided on a dump.
type author struct {
	*rand.Rand
	at int64 // the server's clock
}

func (a *author) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.Uint32())
	}
	return b
}

func (a *author) client() wire.ClientID { return wire.ClientID{byte(1 + a.IntN(4))} }

// commit makes a random commit on a space.
func (a *author) commit(d *dump) *logstore.WriteSet {
	w := &logstore.WriteSet{Base: d.Meta.Head, State: d.Meta.State}
	counters := map[wire.ClientID]uint64{}
	for _, c := range d.Clients {
		counters[c.ID] = c.Decided
	}
	changed := map[wire.ClientID]bool{}
	for range a.IntN(4) {
		id := a.client()
		counters[id]++
		changed[id] = true
		e := wire.Entry{Seq: w.Head.Seq + 1, Client: id, Counter: counters[id], Body: a.bytes(a.IntN(200))}
		if a.IntN(4) == 0 {
			e.Body = append(bytes.Clone(keepMark), e.Body...)
		}
		e.BodyHash = wire.HashBody(e.Body)
		if a.IntN(4) == 0 {
			if e.Outcome = "NO"; a.IntN(2) == 0 {
				e.Body = nil
			}
		}
		e.Chain = e.ChainAfter(w.Head.Chain)
		w.Head.Seq, w.Head.Chain = e.Seq, e.Chain
		w.Entries = append(w.Entries, e)
	}
	if len(w.Entries) > 0 {
		w.Digest = wire.HashBody(w.Head.Chain[:])
		w.RowCount, w.Live = a.Uint64N(100), a.Int64N(1000)
		for i := range a.IntN(5) {
			r := logstore.Row{RowID: logstore.RowID{Table: fmt.Sprint("t", a.IntN(2)), Key: fmt.Sprint(i, "\x00", a.IntN(3))}}
			if a.IntN(3) > 0 {
				r.Cells = a.bytes(1 + a.IntN(50))
			}
			if a.IntN(2) == 0 {
				r.New = !slices.ContainsFunc(d.Rows, func(have logstore.Row) bool { return have.RowID == r.RowID })
			}
			w.Rows = append(w.Rows, r)
		}
		for i := range a.IntN(4) {
			b := wire.Bucket{Table: "t", Group: uint32(i), Number: uint32(a.IntN(256))}
			if a.IntN(3) > 0 {
				b.Sum = a.bytes(40)
			}
			w.Buckets = append(w.Buckets, b)
		}
		if a.IntN(5) == 0 {
			w.Schema = a.bytes(20)
		}
		if a.IntN(4) == 0 && w.Base.Seq > d.Meta.Horizon {
			w.Cut = d.Meta.Horizon + 1 + a.Uint64N(w.Base.Seq-d.Meta.Horizon)
			if a.IntN(2) == 0 {
				w.Keep = keepMark
			}
		}
	}
	for _, name := range []string{"a", "a/1", "a/2", "b\x7f"} {
		switch a.IntN(8) {
		case 0:
			w.Blobs = append(w.Blobs, logstore.Blob{Name: name, Bytes: a.bytes(a.IntN(3000)), At: a.at})
		case 1:
			w.Blobs = append(w.Blobs, logstore.Blob{Name: name})
		}
	}
	for id := range changed {
		c := logstore.Client{ID: id, Decided: counters[id]}
		if a.IntN(2) == 0 {
			c.Owned, c.Owner = true, fmt.Sprint("subject ", a.IntN(3))
		}
		w.Clients = append(w.Clients, c)
		if a.IntN(3) == 0 {
			w.Seen = append(w.Seen, logstore.Seen{Client: id, Seq: a.Uint64N(w.Head.Seq + 1), Counter: a.Uint64N(3)})
		}
	}
	a.upload(w, d)
	if a.IntN(3) == 0 {
		w.Told = append(w.Told, logstore.DeviceHead{Device: [16]byte{byte(a.IntN(3))}, N: 1 + a.Uint64N(9),
			Bytes: a.bytes(40)})
	}
	return w
}

// upload has a client begin an upload, go on with it, or end it.
func (a *author) upload(w *logstore.WriteSet, d *dump) {
	if a.IntN(3) > 0 {
		return
	}
	a.at++
	u := logstore.Upload{Client: a.client(), Account: "someone", Counter: a.Uint64N(5), Total: 9, At: a.at}
	for _, held := range d.Uploads {
		if held.Client != u.Client {
			continue
		}
		if a.IntN(3) > 0 {
			u = held
			break
		}
		w.Drop = append(w.Drop, u.Client)
		if a.IntN(2) == 0 {
			return
		}
	}
	w.Parts = append(w.Parts, logstore.Part{Client: u.Client, Index: u.Held, Bytes: a.bytes(30)})
	u.Held, u.Bytes, u.At = u.Held+1, u.Bytes+30, a.at
	w.Uploads = append(w.Uploads, u)
}

// strange returns positions that differ from p in one part each.
func strange(p wire.Position) (all []wire.Position) {
	epoch, seq, chain := p, p, p
	epoch.Epoch[0] ^= 1
	seq.Seq++
	chain.Chain[0] ^= 1
	return []wire.Position{epoch, seq, chain, {}}
}

// number is a client id.
func number(n int) (id wire.ClientID) {
	binary.BigEndian.PutUint32(id[:], uint32(n)+1)
	return id
}

// one makes a commit of one entry.
func one(d *logstore.Meta, id wire.ClientID, counter uint64) *logstore.WriteSet {
	w := &logstore.WriteSet{Base: d.Head, State: d.State, Clients: []logstore.Client{{ID: id, Decided: counter}}}
	e := wire.Entry{Seq: d.Head.Seq + 1, Client: id, Counter: counter, Body: fmt.Append(nil, id, counter)}
	e.BodyHash = wire.HashBody(e.Body)
	e.Chain = e.ChainAfter(d.Head.Chain)
	w.Head.Seq, w.Head.Chain, w.Entries = e.Seq, e.Chain, []wire.Entry{e}
	w.RowCount, w.Live = e.Seq, int64(e.Seq)
	return w
}

func meta(ctx context.Context, s logstore.Store, space string) (m logstore.Meta, err error) {
	err = s.Read(ctx, space, func(v logstore.View) (err error) {
		m, err = v.Meta()
		return err
	})
	return m, err
}
