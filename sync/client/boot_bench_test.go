package client_test

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"heddle/store"
	"heddle/sync/client"
	"heddle/sync/client/nethttp"
	"heddle/sync/server"
)

var bootRows = flag.Int("rows", 100_000, "rows that BenchmarkBootstrap fetches")

// BenchmarkBootstrap is what a new device does in a space of many rows of 200
// bytes, from open to fully synced, against a server in the same process:
//
//	go test ./sync/client -run - -bench Bootstrap -benchtime 1x -rows 1000000
func BenchmarkBootstrap(b *testing.B) {
	hs := newServer(b, server.Options{})
	a := newBootDevice(b, hs.URL, nil)
	const part = 100_000
	began := time.Now()
	for from := 0; from < *bootRows; from += part {
		err := a.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			_, err := tx.Bulk(`INSERT INTO notes(id, body, n) VALUES(?, ?, ?)`, bootRowsFrom(from, min(*bootRows, from+part)))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	// A log that is larger than the state, as it is where rows are changed.
	for i := range 30 {
		a.exec(`UPDATE notes SET body = body || '!' WHERE n = ?`, int64(i))
	}
	ctx := context.Background()
	if err := a.c.Now(ctx); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rows are there after %v", *bootRows, time.Since(began))
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		d := newBootDevice(b, hs.URL, nethttp.Doer{})
		phases := d.phases()
		b.StartTimer()
		if err := d.c.Now(ctx); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if phases("snapshot") == 0 {
			b.Fatal("it has read the log, and not the state")
		}
		d.want(`SELECT count(*) FROM notes`, fmt.Sprint(*bootRows))
		d.close()
		b.StartTimer()
	}
	b.ReportMetric(float64(*bootRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func bootRowsFrom(from, to int) iter.Seq[[]store.Value] {
	const words = "the shed of a loom opens and closes so that the weft may pass between its threads "
	return func(yield func([]store.Value) bool) {
		random := rand.New(rand.NewPCG(uint64(from), 1))
		for i := from; i < to; i++ {
			text := make([]byte, 0, 170)
			for len(text) < 160 {
				at := random.IntN(len(words) - 12)
				text = append(text, words[at:at+6+random.IntN(6)]...)
			}
			if !yield([]store.Value{fmt.Sprintf("%016x%016x", random.Uint64(), i), string(text), int64(i % 100)}) {
				return
			}
		}
	}
}

// BenchmarkPush is small transactions from their commit to the server's word
// that it has them.
func BenchmarkPush(b *testing.B) {
	hs := newServer(b, server.Options{})
	d := newDevice(b, hs.URL)
	d.now()
	b.ResetTimer()
	for range b.N {
		d.exec(`INSERT INTO notes(id, body) VALUES(uuid7(), 'some text of a note')`)
	}
	recorded := b.Elapsed()
	if err := d.c.Now(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/(b.Elapsed()-recorded).Seconds(), "pushed/s")
}

var _ client.Doer = nethttp.Doer{}
