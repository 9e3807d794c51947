package main

import (
	"runtime"
	"time"

	"heddle.dev/heddle/jsbridge"
)

// While Go is at work the worker takes no message: no abort, no short call. So
// work that lasts goes on in another turn of the worker's loop, now and then.

var turns struct {
	since   time.Time // when a message, or a turn, came last
	waiting []chan struct{}
}

// yield lets other goroutines run, and the worker if it has waited for long. It
// is called outside SQLite.
func yield() {
	if time.Since(turns.since) < longestTurn {
		runtime.Gosched()
		return
	}
	c := make(chan struct{})
	turns.waiting = append(turns.waiting, c)
	if len(turns.waiting) == 1 {
		askTurn()
	}
	<-c
}

// turn is called in the next turn of the worker's loop after askTurn; the worker
// lets Go's goroutines run afterwards.
//
//go:wasmexport heddle_turn
func turn() {
	defer jsbridge.Recovered("a turn")
	turns.since = time.Now()
	for _, c := range turns.waiting {
		close(c)
	}
	turns.waiting = nil
}

//go:wasmimport lines turn
func askTurn()
