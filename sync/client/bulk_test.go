package client_test

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"testing"
	"time"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/server"
)

// places are synthetic rows of the shape of a gazetteer's.
func places(n int) iter.Seq[[]store.Value] {
	return func(yield func([]store.Value) bool) {
		for i := range n {
			row := []store.Value{
				fmt.Sprintf("%08x-%04x", uint32(i)*2654435761, i%65536),
				fmt.Sprintf("Place %d on the Water", i),
				float64(i%180) - 90.25, float64(i%360) - 180.5,
				"DE", fmt.Sprintf("%02d", i%100), nil,
			}
			if !yield(row) {
				return
			}
		}
	}
}

const placesSchema = `CREATE TABLE notes(id TEXT PRIMARY KEY, name TEXT NOT NULL, lat REAL, lng REAL, country TEXT,
	admin1 TEXT, admin2 TEXT)`

var bulkRows = flag.Int("bulk.rows", 20_000, "rows of TestClient_bulk")

// TestClient_bulk moves one large transaction to a second device, and an update
// of all its rows back.
func TestClient_bulk(t *testing.T) {
	n := *bulkRows
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL, placesSchema), newDevice(t, hs.URL, placesSchema)
	pushed, pulled := 0, 0
	a.c.OnProgress(func(p client.Progress) {
		if p.Phase == "push" && p.Done <= p.Total {
			pushed++
		}
	})
	b.c.OnProgress(func(p client.Progress) {
		if p.Phase == "pull" && p.Rows == uint64(n) {
			pulled++
		}
	})
	step := func(what string, f func()) {
		began := time.Now()
		f()
		t.Logf("%-28s %v", what, time.Since(began).Round(time.Millisecond))
	}
	step("insert and record", func() {
		err := a.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			_, err := tx.Bulk(`INSERT INTO notes VALUES(?, ?, ?, ?, ?, ?, ?)`, places(n))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	step("push, and pull of the own", a.now)
	step("pull by another device", b.now)
	if pushed < 2 || pulled != 1 {
		t.Errorf("got %d events of pushing and %d of pulling", pushed, pulled)
	}
	same(t, hs.URL, a, b)
	b.want(`SELECT count(*) FROM notes`, fmt.Sprint(n))
	step("update and record", func() { b.exec(`UPDATE notes SET lat = lat + 1`) })
	// Meanwhile the first device has a write of its own among those rows.
	a.exec(`UPDATE notes SET lat = 0, name = 'mine' WHERE rowid = 77`)
	step("push, and pull of the own", b.now)
	step("pull onto a pending write", func() { a.now(); b.now() })
	same(t, hs.URL, a, b)
	a.want(`SELECT lat, name FROM notes WHERE rowid = 77`, "0.0|mine")
	step("delete and record", func() { a.exec(`DELETE FROM notes`) })
	step("push, and pull of the own", a.now)
	step("pull by another device", b.now)
	same(t, hs.URL, a, b)
	b.want(`SELECT count(*) FROM notes`, "0")
}
