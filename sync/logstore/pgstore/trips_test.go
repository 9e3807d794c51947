package pgstore

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

// counted counts how often it is written to after it was read from.
type counted struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

func (c *counted) Write(p []byte) (int, error) {
	if !c.wrote.Swap(true) {
		c.trips.Add(1)
	}
	return c.Conn.Write(p)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wrote.Store(false)
	return n, err
}

// none are hints that nobody hears.
type none struct{ logstore.Hints }

func (none) Send(logstore.Hint) {}

// A commit is one round trip, on a connection that has its statements.
func TestCommit_oneRoundTrip(t *testing.T) {
	url := pgtest.Database(t)
	config, err := configOf(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{config: config.ConnConfig.Copy(), hints: none{}, log: slog.New(slog.DiscardHandler)}
	if err := s.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var trips atomic.Int64
	config.MaxConns = 1
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // else after a second
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &counted{Conn: c, trips: &trips}, err
	}
	if s.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	defer s.pool.Close()
	if err := s.Create(t.Context(), "s", wire.Epoch{1}); err != nil {
		t.Fatal(err)
	}
	st := logstore.State{Head: wire.Position{Epoch: wire.Epoch{1}}}
	least := int64(100)
	for n := uint64(1); n <= 20; n++ {
		w := &logstore.WriteSet{Base: st.Head, State: st}
		for i := range 3 {
			e := wire.Entry{Seq: w.Head.Seq + 1, Client: wire.ClientID{byte(i + 1)}, Counter: n, Body: []byte("body")}
			e.Chain = e.ChainAfter(w.Head.Chain)
			w.Head.Seq, w.Head.Chain = e.Seq, e.Chain
			w.Entries = append(w.Entries, e)
			w.Rows = append(w.Rows, logstore.Row{RowID: logstore.RowID{Table: "t", Key: string(rune('a' + i))},
				Cells: []byte("cells")})
			w.Buckets = append(w.Buckets, wire.Bucket{Table: "t", Number: uint32(i), Sum: []byte("sum")})
			w.Clients = append(w.Clients, logstore.Client{ID: e.Client, Decided: n})
		}
		before := trips.Load()
		if err := s.Commit(t.Context(), "s", w); err != nil {
			t.Fatal(err)
		}
		st, least = w.State, min(least, trips.Load()-before)
	}
	if least != 1 {
		t.Errorf("a commit took %d round trips at least", least)
	}
}
