//go:build !linux

package growth

import "time"

var start = time.Now()

// processor is the time that has passed: the thread's own is not known here.
func processor() time.Duration { return time.Since(start) }
