package client

import (
	"cmp"
	"time"
)

// Bounds are the client's waits, all of them. A field that is 0 has the value in
// the comment. They are set by tests alone: a test of a wait runs in a bubble of
// testing/synctest with these values, and any other one sets what it could run
// into on a slow machine so high that it does not.
type Bounds struct {
	Silence      time.Duration // how long a server may be silent; 40 s: it sends a heartbeat every 15 seconds
	Token        time.Duration // how long Config.Token may take; 40 s
	BackoffFirst time.Duration // the pause after the first error is at most so long, and doubles; 500 ms
	BackoffLast  time.Duration // the longest pause; 30 s
	BackoffLeast time.Duration // added to each pause; 50 ms
}

func (b *Bounds) defaults() {
	b.Silence = cmp.Or(b.Silence, 40*time.Second)
	b.Token = cmp.Or(b.Token, 40*time.Second)
	b.BackoffFirst = cmp.Or(b.BackoffFirst, 500*time.Millisecond)
	b.BackoffLast = cmp.Or(b.BackoffLast, 30*time.Second)
	b.BackoffLeast = cmp.Or(b.BackoffLeast, 50*time.Millisecond)
}

// maxRetryAfter is the longest pause that a server can ask for.
const maxRetryAfter = time.Hour
