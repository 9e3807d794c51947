package store

import (
	"cmp"
	"time"
)

// Bounds are the store's waits, all of them. A field that is 0 has the value in
// the comment. Tests of a wait run in a bubble of testing/synctest with these
// values, or set one so short that it ends soon on any machine; other tests are
// given what a slow machine does not reach.
type Bounds struct {
	ReadAge time.Duration // how long a read may keep its snapshot; a minute, negative is for ever
	Slot    time.Duration // how long an iteration waits for one of too many to end: it may just be ending; 1 s
	Busy    time.Duration // the sum of the pauses between attempts while SQLite says BUSY; 5 s
	Stretch time.Duration // a check's turn inside SQLite, beside other calls; 8 ms
}

func (b *Bounds) defaults() {
	b.ReadAge = cmp.Or(b.ReadAge, time.Minute)
	b.Slot = cmp.Or(b.Slot, time.Second)
	b.Busy = cmp.Or(b.Busy, 5*time.Second)
	b.Stretch = cmp.Or(b.Stretch, 8*time.Millisecond)
}
