package client_test

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/sync/server"
)

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
