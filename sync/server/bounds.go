package server

import "time"

// Waits that no option sets; those of [Limits] and [Options] are there.
const (
	// abandoned is how long after its last part an upload gives way to another of
	// its number, and to others where there is no room.
	abandoned = 10 * time.Minute
	// forgotten is how long after its last part an upload is dropped.
	forgotten = 7 * 24 * time.Hour
	// recheckEvery is how often open streams are looked at for tokens that no
	// longer count.
	recheckEvery = 250 * time.Millisecond
	// quietSubject is how long after its last request a subject's rate is forgotten.
	quietSubject = time.Minute
)
