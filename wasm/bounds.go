package main

import "time"

// The waits of the program itself; what it runs has its own, see leader.Bounds.
const (
	// longestTurn is how long Go may keep the worker at a stretch, where it can choose.
	longestTurn = 8 * time.Millisecond
	// untilCollected is when garbage is collected first, after Ready: the first answers are out by then.
	untilCollected = 200 * time.Millisecond
	// closeTime is how long closing may take. The page ends the worker a little later.
	closeTime = 2 * time.Second
)
