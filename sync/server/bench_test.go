package server_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// One durable transaction over HTTP: what a replica waits for.
func BenchmarkPush_one(b *testing.B) {
	h := start(b, nil)
	a := newAuthor(h, "s", 1)
	n := 0
	for b.Loop() {
		a.push(a.write(body(fmt.Sprint(n%100), 1))...)
		n++
	}
}

// A hundred transactions in one request: a device that comes back.
func BenchmarkPush_hundred(b *testing.B) {
	h := start(b, nil)
	a := newAuthor(h, "s", 1)
	for b.Loop() {
		var parts []wire.Part
		for i := range 100 {
			parts = append(parts, a.write(body(fmt.Sprint(i), 1))...)
		}
		a.push(parts...)
	}
}

// Sixteen devices that write one row at a time, in one space and in one each: what
// shares a commit, and what shares a flush.
func BenchmarkPush_writers(b *testing.B) {
	const writers = 16
	for _, spaces := range []int{1, writers} {
		b.Run(fmt.Sprintf("%d spaces", spaces), func(b *testing.B) {
			h := start(b, nil)
			h.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			b.ResetTimer()
			for i := range writers {
				group.Go(func() {
					a := newAuthor(h, fmt.Sprint("s", i%spaces), byte(i+1))
					for n := 0; left.Add(-1) >= 0; n++ {
						a.push(a.write(body(fmt.Sprint(i, "-", n%1000), "some text"))...)
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

// Batches of hundreds: what a server does for a device that was away, in a space
// of one table and in one of fifty, each with rows in all of its buckets.
func BenchmarkPush_batch(b *testing.B) {
	for _, tables := range []int{1, 50} {
		b.Run(fmt.Sprintf("%d tables", tables), func(b *testing.B) {
			h := start(b, nil)
			a := newAuthor(h, "s", 1)
			for t := range tables {
				a.push(a.write(tableBody(t, 1000))...)
			}
			const batch = 400
			n := 0
			for b.Loop() {
				var parts []wire.Part
				for range batch {
					n++
					parts = append(parts, a.write(tableBody(n%tables, 1))...)
				}
				a.push(parts...)
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

// tableBody makes a transaction that writes rows of one of many tables.
func tableBody(table, rows int) []byte {
	name := fmt.Sprint("t", table)
	s := &wire.Shape{Kind: wire.Insert, Table: name, Columns: []string{"v"}, Joins: []wire.Join{0}}
	b := &wire.Body{Shapes: []*wire.Shape{s},
		Schema: []wire.TableSchema{{Table: name, Key: []string{"id"}, Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}}
	for i := range rows {
		b.Ops = append(b.Ops, wire.Op{Shape: s, Key: []wire.Value{fmt.Sprint(i)}, Cells: []wire.Value{"some text"}})
	}
	return b.Marshal()
}

// A new device: ten thousand entries, checked and folded.
func BenchmarkPull_backlog(b *testing.B) {
	h := start(b, nil)
	a := newAuthor(h, "s", 1)
	for range 100 {
		var parts []wire.Part
		for i := range 100 {
			parts = append(parts, a.write(body(fmt.Sprint(i), 1))...)
		}
		a.push(parts...)
	}
	for b.Loop() {
		newAuthor(h, "s", 2).catchUp()
	}
}
