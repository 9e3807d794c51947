package server

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"heddle.dev/heddle/sync/logstore"
)

// hints are what the store has told and the server has not yet looked at.
type hints struct {
	mu    sync.Mutex
	seqs  map[string]uint64 // by space: how far it has come at least
	all   bool              // any space may have moved
	ready chan struct{}     // holds a token where there are some
}

func newHints() hints { return hints{seqs: map[string]uint64{}, ready: make(chan struct{}, 1)} }

func (h *hints) add(hint logstore.Hint) {
	h.mu.Lock()
	if hint.Space == "" {
		h.all = true
	} else {
		if hint.Seq == 0 { // not known: it is looked at in any case
			hint.Seq = math.MaxUint64
		}
		h.seqs[hint.Space] = max(hint.Seq, h.seqs[hint.Space])
	}
	h.mu.Unlock()
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

func (h *hints) take() (seqs map[string]uint64, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seqs, all = h.seqs, h.all
	h.seqs, h.all = map[string]uint64{}, false
	return seqs, all
}

// watchStore brings streams what other servers have committed, until the server
// closes.
func (s *Server) watchStore() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.watching.Go(func() { s.listen(ctx) })
	var recheck <-chan time.Time
	if s.o.Recheck > 0 {
		tick := time.NewTicker(s.o.Recheck)
		defer tick.Stop()
		recheck = tick.C
	}
	var last time.Time
	for {
		select {
		case <-s.hints.ready:
		case <-recheck:
			s.hints.add(logstore.Hint{})
		case <-s.closing:
			return
		}
		select { // what comes together is looked at together, the first one after a while at once
		case <-time.After(hintEvery - time.Since(last)):
		case <-s.closing:
			return
		}
		last = time.Now()
		seqs, all := s.hints.take()
		if moved := s.followed(seqs, all); len(moved) > 0 {
			s.look(ctx, moved, seqs)
		}
	}
}

// listen takes the store's hints. Where it gives none any more, it is asked again, and
// all is looked at once.
func (s *Server) listen(ctx context.Context) {
	for {
		err := s.store.Watch(ctx, s.heard)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("the store gave no hints for a moment", "error", err)
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return
		}
		s.hints.add(logstore.Hint{})
	}
}

// heard takes a hint. What it carries goes to the streams at once, if the chain proves
// that it comes next; otherwise the store is looked at.
func (s *Server) heard(h logstore.Hint) {
	s.tally.hints.Add(1)
	if h.News != nil {
		s.mu.Lock()
		sp := s.spaces[h.Space]
		s.mu.Unlock()
		if sp != nil && sp.hear(h.News) {
			s.tally.news.Add(1)
			return
		}
	}
	s.hints.add(h)
}

// followed returns the spaces that somebody follows and that may have moved.
func (s *Server) followed(seqs map[string]uint64, all bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	note := func(name string, sp *space, seq uint64) {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.feeds > 0 && seq > sp.head.Seq {
			names = append(names, name)
		}
	}
	if all {
		for name, sp := range s.spaces {
			note(name, sp, math.MaxUint64)
		}
	} else {
		for name, seq := range seqs {
			if sp := s.spaces[name]; sp != nil {
				note(name, sp, seq)
			}
		}
	}
	slices.Sort(names)
	return names
}

// headsAtOnce is of how many spaces the heads are read in one query.
const headsAtOnce = 1000

// look reads the heads of spaces, and what is new in those that have moved. Some may
// have been hinted at.
func (s *Server) look(ctx context.Context, names []string, hinted map[string]uint64) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.Store)
	defer cancel()
	for chunk := range slices.Chunk(names, headsAtOnce) {
		heads, err := s.store.Heads(ctx, chunk)
		for i := 0; err == nil && i < len(heads); i++ {
			err = s.lookAt(ctx, chunk[i], &heads[i], hinted)
		}
		if err != nil {
			s.log.Error("the heads of spaces cannot be read", "error", err)
			return
		}
	}
}

func (s *Server) lookAt(ctx context.Context, name string, h *logstore.Head, hinted map[string]uint64) error {
	s.mu.Lock()
	sp := s.spaces[name]
	if sp != nil {
		sp.refs++
	}
	s.mu.Unlock()
	if sp == nil {
		return nil
	}
	defer s.release(sp)
	if !sp.told(h) {
		return nil
	}
	if hinted[name] == 0 {
		s.tally.unhinted.Add(1)
	}
	return sp.refresh(ctx)
}
