// Package growth has tests tell a cost that grows with its input from one that
// grows with its square, on any machine: it compares the processor's time, which
// others on the machine do not use up, for one input and for one eight times as
// large.
package growth

import (
	"runtime"
	"testing"
	"time"
)

const (
	factor = 8
	// Linear cost grows by 8, sorting by 11 or so, quadratic cost by 64.
	most = 28
	// A shorter time says little.
	least = 2 * time.Millisecond
)

// Linear fails if f, which makes what is measured for inputs of size n, makes
// functions whose time grows much faster than n.
func Linear(t testing.TB, n int, f func(n int) func()) {
	t.Helper()
	small, large := f(n), f(factor*n)
	var a, b time.Duration
	for range 3 { // others may be in the way once: of a cache, of the garbage collector
		a, b = quicker(a, spent(small)), quicker(b, spent(large))
		if b <= most*max(a, least) {
			return
		}
	}
	t.Errorf("%v for size %d, %v for size %d: more than linear", a, n, b, factor*n)
}

func quicker(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// spent is the time that f takes of the processor.
func spent(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	before := processor()
	f()
	return processor() - before
}
