package await

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// ending is a test whose time is over at once.
type ending struct {
	testing.TB
	said string
}

func (e *ending) Deadline() (time.Time, bool) { return time.Now().Add(reserve), true }

func (e *ending) Fatalf(format string, args ...any) {
	e.said = fmt.Sprintf(format, args...)
	panic(e)
}

func TestEvent(t *testing.T) {
	ch := make(chan int, 1)
	go func() { ch <- 7 }()
	if got := Event(t, ch, "a number"); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	close(ch)
	Event(t, ch, "the end")
}

func TestEvent_neverComes(t *testing.T) {
	e := &ending{TB: t}
	func() {
		defer func() { recover() }()
		Event(e, make(chan int), "a number")
	}()
	if want := "a number: " + errOver.Error(); e.said != want {
		t.Errorf("got %q, want %q", e.said, want)
	}
	ctx := Context(e)
	if <-ctx.Done(); !errors.Is(context.Cause(ctx), errOver) {
		t.Errorf("the context ended with %v", context.Cause(ctx))
	}
}

func TestTrue(t *testing.T) {
	n, ch := 0, make(chan struct{}, 1)
	True(t, "three", func() bool { n++; return n == 3 }, func() <-chan struct{} { ch <- struct{}{}; return ch })
	if n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

// In a bubble the testing package refuses to tell the deadline.
func TestContext_bubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, ok := Context(t).Deadline(); ok {
			t.Error("a deadline in a bubble, whose time is not the binary's")
		}
	})
}
