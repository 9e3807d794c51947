package main

import (
	"time"
	"unsafe"

	"heddle.dev/heddle/jsbridge"
)

// Messages between the tabs and the leader cross by functions that
// are exported and imported directly: a call through syscall/js costs more than most answers.
// web/src/worker/go-host.ts has the other half. What is rare goes through jsbridge.Host.

// lines takes the tabs' messages once there is a host.
var lines *tabs

// arrived has an element while the worker may hold messages that receive has not taken.
var arrived = make(chan struct{}, 1)

// wake says that messages came; the worker lets Go's goroutines run afterwards.
//
// A function that the worker's events call must not wait, not even for the collector of
// garbage, as each allocation may: other goroutines would run inside the call, one of them
// inside SQLite, and the call would return out of turn, which ends the engine.
//
//go:wasmexport heddle_wake
func wake() {
	select {
	case arrived <- struct{}{}:
	default:
	}
}

// receive takes the tabs' messages in order, and answers what it can on the spot.
func receive() {
	for range arrived {
		turns.since = time.Now()
		for size := next(); size >= 0; size = next() {
			p := make([]byte, size)
			session := take(unsafe.Pointer(unsafe.SliceData(p)))
			message(int(session), p, together() > 1)
		}
	}
}

func message(session int, p []byte, more bool) {
	defer jsbridge.Recovered("a tab's message")
	lines.Message(session, p, more)
}

// next returns the size of the next message that came, or -1.
//
//go:wasmimport lines next
func next() int32

// take copies the message that next told of to p, and returns its session.
//
//go:wasmimport lines take
func take(p unsafe.Pointer) int32

// together returns how many requests came together and are not answered, the one that was
// taken among them.
//
//go:wasmimport lines together
func together() int32

// aborted reports whether the page of that session aborts that request, as far
// as its shared memory tells.
//
//go:wasmimport lines aborted
func aborted(session, id int32) int32

// send posts a copy to the tab of that session. One that is gone swallows it.
//
//go:wasmimport lines send
func send(session int32, p unsafe.Pointer, size int32)
