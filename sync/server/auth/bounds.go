package auth

import "time"

// The waits of a KeySet.
const (
	// fetchEvery is how often a JWKS document is fetched unasked.
	fetchEvery = 15 * time.Minute
	// fetchAgain is the least time between two fetches, whatever asks for them.
	fetchAgain = 30 * time.Second
	// fetchTime is how long one may take.
	fetchTime = 10 * time.Second
)
