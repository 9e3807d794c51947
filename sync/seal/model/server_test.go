package model

import "slices"

// server is the honest one. It has no key, and runs the checks that need none
// before it takes an entry.
type server struct {
	w       *world
	l       *log
	newest  map[deviceID]head
	backups []backup
	late    []*pushed // requests that are still on their way
	shelf   *shelf
}

type backup struct {
	l      *log
	newest map[deviceID]head
	shelf  *shelf
}

func (s *server) pull(p position) ([]*entry, bool) {
	if !s.l.has(p) {
		return nil, false
	}
	return s.l.entries[p.seq:], true
}

func (s *server) members() *log { return s.l }

func (s *server) push(from position, p *pushed) string {
	if !s.l.has(from) {
		return diverged
	}
	return s.decide(p)
}

func (s *server) decide(p *pushed) string {
	h := hashOf(*p.body)
	at := s.l.clients[p.client]
	if p.counter <= at.counter {
		for _, e := range s.l.entries {
			if e.client == p.client && e.counter == p.counter && e.bodyHash == h {
				return ok
			}
		}
		return clientFork
	}
	if p.counter != at.counter+1 {
		return protocol
	}
	e := s.l.next(p)
	v := s.l.judge(e, false)
	if s.w.without == ruleServerChecks {
		s.l.append(e, v)
		return ok
	}
	if v.stop != "" {
		return protocol
	}
	if v.code != ok {
		return v.code
	}
	if p.body.kind == data && s.w.chance(30) { // an app's rule, or a quota
		e.outcome = quota
		e.chain = e.chainAfter(s.l.chainAt(e.seq - 1))
		v = s.l.judge(e, false)
		s.w.hit("a void of the server's")
	}
	s.l.append(e, v)
	return ok
}

// next is p as l's next entry.
func (l *log) next(p *pushed) *entry {
	e := &entry{seq: len(l.entries) + 1, client: p.client, counter: p.counter, bodyHash: hashOf(*p.body), body: p.body}
	e.chain = e.chainAfter(l.chainAt(e.seq - 1))
	return e
}

func (s *server) heads() []head {
	var all []head
	for _, id := range sorted(s.newest) {
		if _, is := s.l.members[id]; is {
			all = append(all, s.newest[id])
		}
	}
	return all
}

// postHead keeps no head that would make a replica stop. It answers with the
// device's newest number.
func (s *server) postHead(h head) int {
	old := s.newest[h.device]
	if h.n <= old.n {
		return old.n + 1
	}
	_, is := s.l.members[h.device]
	wrong := !is || !s.l.has(h.pos) || slices.ContainsFunc(h.left, s.l.has) || h.pos.seq < old.pos.seq
	if wrong && s.w.without != ruleServerHeads {
		return h.n + 1
	}
	s.newest[h.device] = h
	return h.n
}

func (s *server) keep() {
	b := backup{s.l.clone(), map[deviceID]head{}, s.shelf.clone()}
	for id, h := range s.newest {
		b.newest[id] = h
	}
	s.backups = append(s.backups, b)
}

func (s *server) restore() {
	if len(s.backups) == 0 {
		return
	}
	b := s.backups[s.w.random.IntN(len(s.backups))]
	if len(b.l.entries) < len(s.l.entries) {
		s.w.hit("the server is put back to a backup")
	}
	s.l, s.newest, s.shelf = b.l.clone(), map[deviceID]head{}, b.shelf.clone()
	for id, h := range b.newest {
		s.newest[id] = h
	}
}
