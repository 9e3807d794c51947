package main

import (
	"unsafe"

	"heddle/jsbridge"
)

// Messages between the tabs and the leader cross by go:wasmexport and
// go:wasmimport: a call through syscall/js costs more than most answers.
// web/src/shell.ts has the other half. What is rare goes through jsbridge.Shell.

// lines takes the tabs' messages once there is a shell.
var lines *tabs

// message takes one message of a tab, and returns at once: the worker lets Go's
// goroutines run afterwards.
//
//go:wasmexport heddle_message
func message(session, size int32) {
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

// send posts a copy to the tab of that session. One that is gone swallows it.
//
//go:wasmimport lines send
func send(session int32, p unsafe.Pointer, size int32)
