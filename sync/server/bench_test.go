package server_test

import (
	"fmt"
	"testing"

	"heddle/sync/wire"
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
