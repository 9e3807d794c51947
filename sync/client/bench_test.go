package client_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

var bootRows = flag.Int("rows", 100_000, "rows that BenchmarkBootstrap fetches")

// BenchmarkBootstrap is what a new device does in a space of many rows of 200
// bytes, from open to fully synced, against a server in the same process:
//
//	go test ./sync/client -run - -bench Bootstrap -benchtime 1x -rows 1000000
func BenchmarkBootstrap(b *testing.B) {
	hs := newServer(b, server.Options{})
	began := time.Now()
	w := &writer{b: b, url: hs.URL}
	const part = 50_000
	for from := 0; from < *bootRows; from += part {
		w.push(bootBody(from, min(*bootRows, from+part)))
	}
	for from := 0; from < *bootRows/3; from += part { // so that the log is larger than the state
		w.push(bootBody(from, min(*bootRows/3, from+part)))
	}
	b.Logf("%d rows are there after %v", *bootRows, time.Since(began))
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		d := newBootDevice(b, hs.URL, nethttp.Doer{})
		d.close()
		b.StartTimer()
		d.open()
		if err := d.c.Now(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		d.want(`SELECT count(*) FROM notes`, fmt.Sprint(*bootRows))
		d.close()
		b.StartTimer()
	}
	b.ReportMetric(float64(*bootRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// writer pushes bodies without a database.
type writer struct {
	b       testing.TB
	url     string
	counter uint64
}

func (w *writer) push(body *wire.Body) {
	w.b.Helper()
	w.counter++
	for parts := wire.SplitBody(w.counter, body.Marshal()); len(parts) > 0; {
		n := min(3, len(parts))
		req := wire.PushRequest{Client: wire.ClientID{9}, Parts: parts[:n]}
		parts = parts[n:]
		resp, err := http.Post(w.url+"/v1/spaces/family/push", wire.MediaType, bytes.NewReader(req.Marshal()))
		if err != nil {
			w.b.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != 200 {
			w.b.Fatal(resp.Status)
		}
	}
}

func bootBody(from, to int) *wire.Body {
	const words = "the shed of a loom opens and closes so that the weft may pass between its threads "
	shape := &wire.Shape{Kind: wire.Insert, Table: "notes", Columns: []string{"body", "n"}, Joins: []wire.Join{0, 0}}
	body := &wire.Body{Shapes: []*wire.Shape{shape}, Schema: []wire.TableSchema{{Table: "notes", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "body", Group: 1}, {Name: "n", Group: 1, Default: int64(0)}}}}}
	for i := from; i < to; i++ {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		id := fmt.Sprintf("%016x%016x", random.Uint64(), i)
		text := make([]byte, 0, 170)
		for len(text) < 160 {
			at := random.IntN(len(words) - 12)
			text = append(text, words[at:at+6+random.IntN(6)]...)
		}
		body.Ops = append(body.Ops, wire.Op{Shape: shape, Key: []wire.Value{id},
			Cells: []wire.Value{string(text), int64(i % 100)}})
	}
	return body
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

// BenchmarkBlobs measures a transaction with rows that hold large blobs: its
// commit, its way to the server, and from there into another device.
func BenchmarkBlobs(b *testing.B) {
	const mib = 1 << 20
	for _, c := range []struct{ rows, size int }{{1, 1 * mib}, {1, 10 * mib}, {2, 15 * mib}} {
		b.Run(fmt.Sprintf("%dMiB", c.rows*c.size/mib), func(b *testing.B) {
			hs := newServer(b, server.Options{})
			writer, reader := newDevice(b, hs.URL), newDevice(b, hs.URL)
			plain := newDevice(b, hs.URL, notes+`; CREATE TABLE own(id TEXT PRIMARY KEY, body)`)
			writer.now()
			reader.now()
			insert := func(d *device, table string, n int) {
				for i := range c.rows {
					d.exec(`INSERT INTO `+table+`(id, body) VALUES(?, randomblob(?))`, fmt.Sprint(n, ".", i), c.size)
				}
			}
			var took [4]float64
			step := func(what int, f func()) {
				began := b.Elapsed()
				f()
				took[what] += (b.Elapsed() - began).Seconds()
			}
			b.ResetTimer()
			for n := range b.N {
				step(0, func() { insert(plain, "own", n) })
				step(1, func() { insert(writer, "notes", n) })
				step(2, func() { writer.now() })
				step(3, func() { reader.now() })
			}
			for i, name := range []string{"plain", "commit", "push", "pull"} {
				b.ReportMetric(took[i]*1000/float64(b.N), name+"-ms")
			}
		})
	}
}
