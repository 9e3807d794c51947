package main

import (
	"cmp"
	"time"
)

// bounds are the waits of the commands, beside those that flags set. A field
// that is 0 has the value in the comment; tests set what a slow machine could
// reach higher.
type bounds struct {
	header   time.Duration // for the head of a request; 10 s
	idle     time.Duration // how long a connection without a request stays open; 2 min
	request  time.Duration // server.Limits.Request
	decision time.Duration // server.Limits.Decision
}

func (b bounds) defaults() bounds {
	b.header = cmp.Or(b.header, 10*time.Second)
	b.idle = cmp.Or(b.idle, 2*time.Minute)
	return b
}

// busy is how long a command waits for a file that a server has locked.
const busy = 5 * time.Second
