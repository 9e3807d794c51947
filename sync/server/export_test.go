package server

import "math"

// Follow looks through the spaces, as a hint that says nothing has it done.
func (s *Server) Follow() { s.followed(map[string]uint64{"": math.MaxUint64}, true) }

// CutLater cuts a space's log, as far as it may be.
func (s *Server) CutLater(name string) {
	sp := s.acquire(name)
	defer s.release(sp)
	sp.cutLater()
}
