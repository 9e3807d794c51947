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
	Greeting     time.Duration // how long a stream's first frame may take before a poll is tried; 10 s
	Poll         time.Duration // how long a poll stays open where streams are held back; 20 s
	Pace         time.Duration // about the pause between polls where connections are scarce; 2 s
	StreamFirst  time.Duration // a stream is tried again after so long, and each time after twice as long; 10 min
	StreamLast   time.Duration // up to this; 2 h
	Token        time.Duration // how long Config.Token may take; 40 s
	BackoffFirst time.Duration // the pause after the first error is at most so long, and doubles; 500 ms
	BackoffLast  time.Duration // the longest pause; 30 s
	LookAgain    time.Duration // the pause after HEDDLE_DIVERGED, in case the server was repaired; 1 min
	BackoffLeast time.Duration // added to each pause; 50 ms
	Tell         time.Duration // between two heads of a sealed space; 1 min
	Withheld     time.Duration // until it is a warning that a member's entries have not come; 1 min
}

func (b *Bounds) defaults() {
	b.Silence = cmp.Or(b.Silence, 40*time.Second)
	b.Greeting = cmp.Or(b.Greeting, 10*time.Second)
	b.Poll = cmp.Or(b.Poll, 20*time.Second)
	b.Pace = cmp.Or(b.Pace, 2*time.Second)
	b.StreamFirst = cmp.Or(b.StreamFirst, 10*time.Minute)
	b.StreamLast = cmp.Or(b.StreamLast, 2*time.Hour)
	b.Token = cmp.Or(b.Token, 40*time.Second)
	b.BackoffFirst = cmp.Or(b.BackoffFirst, 500*time.Millisecond)
	b.BackoffLast = cmp.Or(b.BackoffLast, 30*time.Second)
	b.LookAgain = cmp.Or(b.LookAgain, time.Minute)
	b.BackoffLeast = cmp.Or(b.BackoffLeast, 50*time.Millisecond)
	b.Tell = cmp.Or(b.Tell, time.Minute)
	b.Withheld = cmp.Or(b.Withheld, time.Minute)
}

// maxRetryAfter is the longest pause that a server can ask for.
const maxRetryAfter = time.Hour
