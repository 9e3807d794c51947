package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// HintsSubject are hints under test.
type HintsSubject struct {
	// Open opens those of one more server, which are closed with the test.
	Open func() logstore.Hints
	// Interrupt cuts all servers off, so that hints are lost, and lets them come back.
	Interrupt func()
	News      bool // small commits are carried
}

// RunHints runs the suite of hints. open is called for each of its tests.
func RunHints(t *testing.T, open func(t *testing.T) *HintsSubject) {
	for name, test := range map[string]func(*testing.T, *HintsSubject){
		"others": testOthers, "news": testNews, "interrupted": testInterrupted, "ends": testEnds, "nobody": testNobody,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// heard is what a server has heard.
type heard struct {
	mu    sync.Mutex
	begun int // hints without a space
	last  map[string]logstore.Hint
	more  chan struct{} // holds a token where there is more
	ended chan error
}

// watch watches as a server does: where Watch ends with an error it is called again.
func watch(ctx context.Context, h logstore.Hints) *heard {
	w := &heard{last: map[string]logstore.Hint{}, more: make(chan struct{}, 1), ended: make(chan error, 1)}
	go func() {
		for {
			err := h.Watch(ctx, w.take)
			if !errors.Is(err, logstore.ErrUnavailable) {
				w.ended <- err
				return
			}
		}
	}()
	return w
}

func (w *heard) take(h logstore.Hint) {
	w.mu.Lock()
	if h.Space == "" {
		w.begun++
	} else {
		w.last[h.Space] = h
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// until waits until what was heard is enough.
func (w *heard) until(t *testing.T, what string, enough func() bool) {
	t.Helper()
	for {
		w.mu.Lock()
		ok := enough()
		w.mu.Unlock()
		if ok {
			return
		}
		await.Event(t, w.more, what)
	}
}

// begins waits for the hint that a watch begins with.
func (w *heard) begins(t *testing.T) {
	t.Helper()
	w.until(t, "the beginning of a watch", func() bool { return w.begun > 0 })
}

// Each server hears from each, of every space.
func testOthers(t *testing.T, s *HintsSubject) {
	var all []logstore.Hints
	var heard []*heard
	for i := range 3 {
		all = append(all, s.Open())
		heard = append(heard, watch(t.Context(), all[i]))
		heard[i].begins(t)
	}
	const spaces = 200
	name := func(from, n int) string {
		return fmt.Sprintf("%d-%03d%s", from, n, strings.Repeat("-", wire.MaxSpace-5))
	}
	var group sync.WaitGroup
	for from := range all {
		for part := range 4 {
			group.Go(func() {
				for n := part; n < spaces; n += 4 {
					all[from].Send(logstore.Hint{Space: name(from, n), Seq: uint64(n) + 1})
				}
			})
		}
	}
	group.Wait()
	for at, w := range heard {
		for from := range all {
			for n := range spaces {
				if at == from {
					continue // a server may hear itself
				}
				w.until(t, "a hint", func() bool { return w.last[name(from, n)].Seq == uint64(n)+1 })
			}
		}
	}
}

// news is a commit of n entries with bodies of so many bytes.
func news(n, size int) logstore.Hint {
	h := logstore.Hint{Space: fmt.Sprintf("%d-%d", n, size), News: &logstore.News{
		Base: wire.Position{Epoch: wire.Epoch{1}, Seq: 7, Chain: wire.Hash{7}}, Digest: wire.Hash{9}}}
	at := h.News.Base
	for i := range n {
		e := wire.Entry{Seq: at.Seq + 1, Client: wire.ClientID{byte(i)}, Counter: uint64(i) + 1, Body: make([]byte, size)}
		if i%3 == 2 {
			e.Outcome, e.Body = "APP_NO", nil
		} else {
			e.BodyHash = wire.HashBody(e.Body)
		}
		e.Chain = e.ChainAfter(at.Chain)
		at.Seq, at.Chain = e.Seq, e.Chain
		h.News.Entries = append(h.News.Entries, e)
	}
	h.Seq = at.Seq
	return h
}

// A commit comes as it was sent, or is left out.
func testNews(t *testing.T, s *HintsSubject) {
	a, b := s.Open(), s.Open()
	w := watch(t.Context(), b)
	w.begins(t)
	for _, test := range []struct {
		n, size int
		small   bool
	}{{1, 0, true}, {1, 100, true}, {20, 200, true}, {1, 40_000, false}, {100, 1000, false}} {
		h := news(test.n, test.size)
		a.Send(h)
		w.until(t, "a hint", func() bool { return w.last[h.Space].Seq == h.Seq })
		got := w.last[h.Space].News
		switch {
		case got == nil && !(s.News && test.small):
		case got == nil || !got.Proven() || got.Base != h.News.Base || got.Head().Seq != h.Seq ||
			got.Digest != h.News.Digest || len(got.Entries) != test.n:
			t.Errorf("%d entries of %d bytes: got %+v", test.n, test.size, got)
		case !reflect.DeepEqual(got.Entries[0].Chain, h.News.Entries[0].Chain):
			t.Errorf("got %+v", got.Entries[0])
		}
	}
}

// reach sends hints until one of them has come: others may be lost meanwhile.
func reach(t *testing.T, from logstore.Hints, to *heard, seq uint64) {
	t.Helper()
	await.Poll(t, "a hint", func() bool {
		from.Send(logstore.Hint{Space: "s", Seq: seq})
		to.mu.Lock()
		defer to.mu.Unlock()
		return to.last["s"].Seq == seq
	})
}

// Where hints are lost, a watch begins anew, and hints come again.
func testInterrupted(t *testing.T, s *HintsSubject) {
	a, b := s.Open(), s.Open()
	w := watch(t.Context(), b)
	w.begins(t)
	for n := range uint64(3) {
		reach(t, a, w, n+1)
		w.mu.Lock()
		w.begun = 0
		w.mu.Unlock()
		s.Interrupt()
		w.begins(t)
	}
	reach(t, a, w, 4)
}

// A watch ends with its context, or with the hints.
func testEnds(t *testing.T, s *HintsSubject) {
	h := s.Open()
	ctx, cancel := context.WithCancel(t.Context())
	first, second := watch(ctx, h), watch(t.Context(), h)
	first.begins(t)
	second.begins(t)
	cancel()
	if err := await.Event(t, first.ended, "the end of a watch"); !errors.Is(err, context.Canceled) {
		t.Errorf("its context has ended: got %v", err)
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	if err := await.Event(t, second.ended, "the end of a watch"); err != nil {
		t.Errorf("closed: got %v", err)
	}
	h.Send(logstore.Hint{Space: "s", Seq: 1}) // nobody hears it
}

// Who sends does not wait, though nobody takes it.
func testNobody(t *testing.T, s *HintsSubject) {
	h := s.Open()
	for n := range uint64(20_000) {
		h.Send(logstore.Hint{Space: "s", Seq: n + 1})
	}
}
