package main

import (
	"heddle.dev/heddle/jsbridge"
)

// The page wants to know whether its worker lives. The worker asks here, and Go
// answers once everything that a request needs could be had; while a statement
// runs, the worker cannot be asked, and Go speaks up by itself. web/src/worker/heartbeat.ts
// has the other half.

// pulse asks for an answer, and returns at once: the worker lets Go's goroutines
// run afterwards.
//
//go:wasmexport heddle_pulse
func pulse() {
	defer jsbridge.Recovered("the pulse")
	go func() {
		quiet := int32(0)
		if lines != nil && lines.leader.Pulse() {
			quiet = 1
		}
		alive(quiet)
	}()
}

// alive answers; quiet is 1 if no tab waits for anything: a good moment to begin
// anew.
//
//go:wasmimport pulse alive
func alive(quiet int32)

// beat says that work goes on inside SQLite: a statement that runs, a log that is
// recovered.
//
//go:wasmimport pulse beat
func beat()
