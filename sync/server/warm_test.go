package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// counted is a store that counts its calls.
func counted(inner logstore.Store) (store *storetest.Faulty, calls func() (reads, commits int)) {
	n := map[string]int{}
	store = &storetest.Faulty{Store: inner, Fault: func(_ context.Context, call string, after bool) error {
		if !after {
			n[call]++
		}
		return nil
	}}
	return store, func() (reads, commits int) {
		reads, commits = n["Read"], n["Commit"]
		clear(n)
		return reads, commits
	}
}

// What a push asks of the store: a space in memory takes one commit and no reads. What
// is not in memory is read, and so is what commits nothing.
func TestPush_whatItAsksOfTheStore(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { testAsks(t, open(t)) })
	}
}

func testAsks(t *testing.T, inner logstore.Store) {
	before := newAuthor(over(t, inner, nil), "s", 1)
	before.push(before.write(body("a", "1", "b", "1", "c", "1"))...)
	store, calls := counted(inner)
	h := over(t, store, nil)
	a := newAuthor(h, "s", 2)
	var last []wire.Part
	push := func(what string, reads, commits int, edits ...any) {
		t.Helper()
		if len(edits) > 0 {
			last = a.write(body(edits...))
		}
		a.push(last...)
		if r, c := calls(); r != reads || c != commits {
			t.Errorf("%s: %d reads and %d commits, want %d and %d", what, r, c, reads, commits)
		}
	}
	push("the first one of a server", 1, 1, "x", "1")
	push("a new row", 0, 1, "y", "1")
	push("rows that were just written", 0, 1, "x", "2", "y", 5)
	push("a row that is deleted", 0, 1, "x", nil)
	push("a row that was deleted", 0, 1, "x", "3")
	push("a new row that is deleted at once", 0, 1, "z", "1", "z", nil)
	push("an update of a row that was not read", 1, 1, "b", 5)
	push("an update of a row that was read", 0, 1, "b", 6)
	push("the same again", 1, 0)
	a.catchUp()
	calls()
	push("a position at the head", 0, 1, "y", 1)
	push("a position behind the head", 0, 1, "y", 1)
	push("an insert of a row that is there", 1, 2, "a", "2")
	for i := range 8 {
		push("an insert after a guess that was wrong", 1, 1, fmt.Sprint("n", i), "1")
	}
	push("an insert after those that were right", 0, 1, "m", "1")
	push("an insert of a row that is there, beside a new one", 1, 2, "k", "1", "c", "2")
	last = a.write(body("q", "1"))
	last = a.write(body("q", "2")) // the one before it does not come
	push("beyond a gap", 1, 0)
	last = nil
	push("nothing", 1, 0)
	a.counter -= 2
	b := newAuthor(h, "s", 3)
	b.push(b.write(body("x", "4"))...)
	if r, c := calls(); r != 1 || c != 1 {
		t.Errorf("another device: %d reads and %d commits", r, c)
	}
	push("after another device's", 0, 1, "x", "5")
	checkLog(t, h, map[wire.ClientID]uint64{{1}: 1, {2}: a.counter, {3}: 1})
}

// A device sends the same to two servers. What the one has guessed of a row is not proven
// where the other's commit has put the entry into the log.
func TestPush_decidedByAnotherServer(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			inner := open(t)
			before := newAuthor(over(t, inner, nil), "s", 1)
			before.push(before.write(body("a", "1"))...)
			var meanwhile func()
			store := &storetest.Faulty{Store: inner, Fault: func(_ context.Context, call string, after bool) error {
				if call != "Commit" || after || meanwhile == nil {
					return nil
				}
				meanwhile()
				meanwhile = nil
				return errors.New("the store does not answer")
			}}
			h := over(t, store, nil)
			a := newAuthor(h, "s", 2)
			a.push(a.write(body("x", "1"))...)
			twice := a.write(body("a", "2")) // whose row this server has not read
			meanwhile = func() {
				elsewhere := *a
				elsewhere.h = over(t, inner, nil)
				elsewhere.push(twice...)
			}
			a.push(twice...)
			a.push(a.write(body("y", "1"))...)
			if a.catchUp(); meanwhile != nil || a.digest.Sum() != h.digest("s", "").Digest {
				t.Error("the space has another digest than its log")
			}
		})
	}
}

// A server forgets, and a device notices nothing: whatever is in memory, what is
// decided is what a server without memory decides.
func TestPush_forgets(t *testing.T) {
	for name, open := range stores {
		for _, memory := range []int64{1, 600, 64 << 20} {
			t.Run(fmt.Sprint(name, " with ", memory), func(t *testing.T) {
				h := over(t, open(t), func(o *server.Options) { o.Limits.Memory, o.Limits.Spaces = memory, 2 })
				var authors []*author
				for i := range 4 {
					a := newAuthor(h, fmt.Sprint("s", i), 1)
					authors = append(authors, a)
				}
				for n := range 60 {
					a := authors[n*n%7%4]
					a.push(a.write(body(fmt.Sprint(n%5), "text", fmt.Sprint(n%3), 1, fmt.Sprint(n%4), nil))...)
					if n%3 == 0 {
						a.catchUp()
					}
				}
				for _, a := range authors {
					a.catchUp()
					if a.digest.Sum() != h.digest(a.space, "").Digest {
						t.Errorf("space %s has another digest than its log", a.space)
					}
				}
			})
		}
	}
}
