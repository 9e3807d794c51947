package server

import (
	"sync"
	"time"

	"heddle.dev/heddle/sync/wire"
)

// defaults sets the limits that are not set. Without tokens a subject is an
// address, which many devices may share: it has no limits of its own.
func (l *Limits) defaults(dev bool) {
	setDefault(&l.Body, wire.MaxBody)
	l.Body = min(l.Body, wire.MaxBody)
	setDefault(&l.Ops, wire.MaxOps)
	setDefault(&l.Row, wire.MaxRow)
	l.Row = min(l.Row, wire.MaxRow) // or no frame of a snapshot could hold it
	setDefault(&l.Again, 256<<20)
	setDefault(&l.Staged, 256<<20)
	setDefault(&l.Uploads, 1000)
	setDefault(&l.Log, 16<<20)
	setDefault(&l.Digests, 10_000)
	setDefault(&l.Frame, 2<<20)
	setDefault(&l.Streams, 10_000)
	setDefault(&l.Spaces, 64)
	setDefault(&l.Request, 30*time.Second)
	setDefault(&l.Refused, 2*time.Second)
	setDefault(&l.Decision, time.Minute)
	setDefault(&l.Pushes, 256)
	setDefault(&l.Zips, 256)
	setSubjectDefault(&l.SubjectStaged, 64<<20, dev)
	setSubjectDefault(&l.SubjectUploads, 32, dev)
	setSubjectDefault(&l.SubjectStreams, 100, dev)
	setSubjectDefault(&l.SubjectPushes, 16, dev)
	setSubjectDefault(&l.SubjectZips, 16, dev)
	setSubjectDefault(&l.Rate, 50, dev)
}

type limit interface {
	~int | ~int64 | ~float64
}

// setDefault gives a limit that is not set its default.
func setDefault[T limit](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// setSubjectDefault is setDefault for a limit of one subject, where a negative
// value means no limit.
func setSubjectDefault[T limit](p *T, v T, dev bool) {
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
// release gives it back, and is called once.
func (s *slots) take(of slot, most int) (release func(), ok bool) {
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
func (s *slots) takeBoth(kind, subject, space string, each, all int) (release func(), ok bool) {
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
