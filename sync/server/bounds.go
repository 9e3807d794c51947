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
	// maxWait is the longest wait of a poll: what lies between may have less patience.
	maxWait = time.Minute
	// fetchEvery is how often a JWKS document is fetched unasked.
	fetchEvery = 15 * time.Minute
	// fetchAgain is the least time between two fetches, whatever asks for them.
	fetchAgain = 30 * time.Second
	// fetchTime is how long one may take.
	fetchTime = 10 * time.Second
)
