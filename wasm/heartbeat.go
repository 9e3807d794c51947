package main

import (
	"heddle.dev/heddle/jsbridge"
)

// The page wants to know whether its worker lives. The worker asks here, and Go
// answers once everything that a request needs could be had; while a statement
// runs, the worker cannot be asked, and Go speaks up by itself. web/src/worker/heartbeat.ts
// has the other half.

// probe asks for an answer, and returns at once: the worker lets Go's goroutines
// run afterwards. To begin a goroutine does not wait for the collector (see wake): the
// runtime allocates it on a stack of its own.
//
//go:wasmexport heddle_probe
func probe() {
	defer jsbridge.Recovered("the heartbeat")
	go func() {
		quiet := int32(0)
		if lines != nil && lines.leader.Probe() {
			quiet = 1
		}
		pong(quiet)
	}()
}

// pong answers; quiet is 1 if no tab waits for anything: a good moment for a new
// engine.
//
//go:wasmimport heartbeat pong
func pong(quiet int32)

// progress says that work goes on inside SQLite: a statement that runs, a log that is
// recovered.
//
//go:wasmimport heartbeat progress
func progress()
