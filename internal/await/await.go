// Package await has tests wait for events: as long as it takes, for a slow
// machine is no fault. A wait that nothing ends fails its test shortly before
// the test binary's own time is over (go test -timeout), while it can still say
// what it waited for.
package await

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Long is a bound for what a test does not want to run into.
const Long = 24 * time.Hour

// reserve is what is left of the binary's time when a wait gives up.
const reserve = 5 * time.Second

// errOver is the cause of a context that has ended so.
var errOver = errors.New("the test binary's time is nearly over")

// Context returns a context that ends with the test, or when its time is nearly
// over.
func Context(t testing.TB) context.Context {
	end, ok := deadline(t)
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadlineCause(t.Context(), end, errOver)
	t.Cleanup(cancel)
	return ctx
}

// Deadline is when a wait is to give up: for connections. It is zero where there
// is no such time.
func Deadline(t testing.TB) time.Time {
	end, ok := deadline(t)
	if !ok {
		return time.Time{}
	}
	return end
}

// Event waits for a value from ch, or for ch to be closed.
func Event[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	ctx := Context(t)
	select {
	case v := <-ch:
		return v
	case <-ctx.Done():
		t.Fatalf("%s: %v", what, context.Cause(ctx))
		panic("unreachable")
	}
}

// True waits until ok says so. changed returns a channel on which something
// comes, or that is closed, when ok may say otherwise than before it was called.
func True[T any](t testing.TB, what string, ok func() bool, changed func() <-chan T) {
	t.Helper()
	for {
		ch := changed()
		if ok() {
			return
		}
		Event(t, ch, what)
	}
}

// Poll waits until ok says so, where nothing tells of a change. It asks each
// millisecond.
func Poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-time.After(time.Millisecond):
		case <-Context(t).Done():
			t.Fatalf("%s: %v", what, errOver)
		}
	}
}

// deadline is when a wait is to give up. There is none for benchmarks, with
// -timeout 0, and in a bubble of testing/synctest, which notices by itself that
// no goroutine can go on.
func deadline(t testing.TB) (end time.Time, ok bool) {
	d, has := t.(interface{ Deadline() (time.Time, bool) })
	if !has {
		return end, false
	}
	defer func() {
		if recover() != nil { // that is how it answers in a bubble
			ok = false
		}
	}()
	end, ok = d.Deadline()
	return end.Add(-reserve), ok
}
