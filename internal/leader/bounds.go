package leader

import (
	"cmp"
	"time"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
)

// Bounds are the leader's waits, and those of what it drives. A field that is 0
// has the value in the comment. Tests of a wait run in a bubble of
// testing/synctest with these values; others set what a slow machine could reach
// higher.
type Bounds struct {
	TxIdle     time.Duration // an interactive transaction, or a load, that stays silent so long is rolled back; 30 s
	Token      time.Duration // how long pages may take over a token; 30 s
	Check      time.Duration // after an unclean end, until the file is checked: who has come to see their rows comes first; 3 s
	SpeakFirst time.Duration // after a commit, until it is said again how far the leader is; doubles; 250 ms
	SpeakLast  time.Duration // the longest such pause; a minute

	Store store.Bounds
	Sync  client.Bounds
}

func (b *Bounds) defaults() {
	b.TxIdle = cmp.Or(b.TxIdle, 30*time.Second)
	b.Token = cmp.Or(b.Token, 30*time.Second)
	b.Check = cmp.Or(b.Check, 3*time.Second)
	b.SpeakFirst = cmp.Or(b.SpeakFirst, 250*time.Millisecond)
	b.SpeakLast = cmp.Or(b.SpeakLast, time.Minute)
}
