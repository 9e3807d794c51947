package leader

import (
	"cmp"
	"time"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
)

// Bounds are the waits of the leader and of the packages it uses. A field that is 0
// has the value in the comment. Tests of a wait run in a bubble of
// testing/synctest with these values; others raise
// those that a slow machine could reach.
type Bounds struct {
	TxIdle    time.Duration // without a request an interactive transaction or a load is rolled back; 30 s
	Token     time.Duration // until pages must have answered with a token; 30 s
	Check     time.Duration // after an unclean end, until the file is checked: queries of the start come first; 3 s
	HeadFirst time.Duration // after a commit, until the head is announced again; doubles; 250 ms
	HeadLast  time.Duration // the longest such pause, which stays; a minute

	Store store.Bounds
	Sync  client.Bounds
}

func (b *Bounds) defaults() {
	b.TxIdle = cmp.Or(b.TxIdle, 30*time.Second)
	b.Token = cmp.Or(b.Token, 30*time.Second)
	b.Check = cmp.Or(b.Check, 3*time.Second)
	b.HeadFirst = cmp.Or(b.HeadFirst, 250*time.Millisecond)
	b.HeadLast = cmp.Or(b.HeadLast, time.Minute)
}
