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

// message takes one message of a tab, and returns at once: the worker lets Go's
// goroutines run afterwards.
//
//go:wasmexport heddle_message
func message(session, size int32) {
	turns.since = time.Now()
	p := make([]byte, size)
	take(unsafe.Pointer(unsafe.SliceData(p)))
	defer jsbridge.Recovered("a tab's message")
	if lines != nil {
		lines.Message(int(session), p)
	}
}

// take copies the message that came to p.
//
//go:wasmimport lines take
func take(p unsafe.Pointer)

// aborted reports whether the page of that session aborts that request, as far
// as its shared memory tells.
//
//go:wasmimport lines aborted
func aborted(session, id int32) int32

// send posts a copy to the tab of that session. One that is gone swallows it.
//
//go:wasmimport lines send
func send(session int32, p unsafe.Pointer, size int32)
