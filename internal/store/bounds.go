package store

import (
	"cmp"
	"time"
)

// Bounds are all waits of the store. A field that is 0 has the value in
// the comment. Tests of a wait run in a bubble of testing/synctest with these
// values, or set one so short that it ends soon on any machine; other tests
// get bounds that a slow machine does not reach.
type Bounds struct {
	ReadAge time.Duration // how long a read may keep its snapshot; a minute, no bound if negative
	Slot    time.Duration // how long an iteration waits while too many are open; 1 s
	Busy    time.Duration // the sum of the pauses between attempts while SQLite returns BUSY; 5 s
	Stretch time.Duration // one call of a check into SQLite; 8 ms
}

func (b *Bounds) defaults() {
	b.ReadAge = cmp.Or(b.ReadAge, time.Minute)
	b.Slot = cmp.Or(b.Slot, time.Second)
	b.Busy = cmp.Or(b.Busy, 5*time.Second)
	b.Stretch = cmp.Or(b.Stretch, 8*time.Millisecond)
}
