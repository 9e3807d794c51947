package server

import (
	"sync"
	"time"

	"heddle.dev/heddle/sync/wire"
)

// defaults sets the limits that are not set. Without tokens a subject is an
// address, behind which there may be anybody: it has no limits of its own.
func (l *Limits) defaults(dev bool) {
	or(&l.Body, wire.MaxBody)
	l.Body = min(l.Body, wire.MaxBody)
	or(&l.Ops, wire.MaxOps)
	or(&l.Row, wire.MaxRow)
	l.Row = min(l.Row, wire.MaxRow) // or no frame of a snapshot could hold it
	or(&l.Again, 256<<20)
	or(&l.Staged, 256<<20)
	or(&l.Uploads, 1000)
	or(&l.Log, 16<<20)
	or(&l.Digests, 10_000)
	or(&l.Frame, 2<<20)
	or(&l.Streams, 10_000)
	or(&l.Spaces, 64)
	or(&l.Request, 30*time.Second)
	or(&l.Refused, 2*time.Second)
	or(&l.Decision, time.Minute)
	or(&l.Pushes, 256)
	or(&l.Zips, 256)
	each(&l.SubjectStaged, 64<<20, dev)
	each(&l.SubjectUploads, 32, dev)
	each(&l.SubjectStreams, 100, dev)
	each(&l.SubjectPushes, 16, dev)
	each(&l.SubjectZips, 16, dev)
	each(&l.Rate, 50, dev)
}

type limit interface {
	~int | ~int64 | ~float64
}

// or gives a limit that is not set its default.
func or[T limit](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// each is or for a limit of one subject: a negative one is none.
func each[T limit](p *T, v T, dev bool) {
	switch {
	case *p == 0 && dev:
		*p = -1
	case *p == 0:
		*p = v
	}
}

// slots counts what is in use at the moment.
type slots struct {
	mu   sync.Mutex
	used map[slot]int
}

// slot is a kind of use, by a subject, in a space; an empty one stands for all.
type slot struct{ kind, subject, space string }

// take takes a place if fewer than most are in use; a negative most is no limit.
// The place is given back by calling back, once.
func (s *slots) take(of slot, most int) (back func(), ok bool) {
	if most < 0 {
		return func() {}, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[of] >= most {
		return nil, false
	}
	if s.used == nil {
		s.used = map[slot]int{}
	}
	s.used[of]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.used[of]--; s.used[of] == 0 {
			delete(s.used, of)
		}
	}, true
}

// takeBoth takes a place of a subject in a space, and one of the space.
func (s *slots) takeBoth(kind, subject, space string, each, all int) (back func(), ok bool) {
	own, ok := s.take(slot{kind, subject, space}, each)
	if !ok {
		return nil, false
	}
	shared, ok := s.take(slot{kind, "", space}, all)
	if !ok {
		own()
		return nil, false
	}
	return func() { shared(); own() }, true
}
