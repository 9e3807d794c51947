package server

import (
	"context"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

var (
	errDrained = errcode.New(errcode.Closed, "server: pull", "the server is shutting down")
	errExpired = errcode.New(errcode.Unauthorized, "server: pull", "the token has expired")
)

// openStream counts a stream in, if there is room, and ends it when its token
// expires.
func (s *Server) openStream(request context.Context, f *feed) (closeStream func(), err error) {
	release, ok := s.slots.take(slot{kind: "stream", subject: f.caller.by}, s.o.Limits.SubjectStreams)
	if !ok {
		return nil, errcode.New(errcode.RateLimited, "server: pull", "too many open streams of one subject: close some first")
	}
	f.ctx, f.end = context.WithCancelCause(request)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) >= s.o.Limits.Streams {
		f.end(nil)
		release()
		return nil, errcode.New(errcode.Busy, "server: pull", "the server has too many open streams")
	}
	s.streams[f] = true
	var expiry *time.Timer
	if at := f.caller.Expires; !at.IsZero() {
		expiry = time.AfterFunc(time.Until(at), func() { f.end(errExpired) })
	}
	return func() {
		if expiry != nil {
			expiry.Stop()
		}
		s.mu.Lock()
		delete(s.streams, f)
		s.mu.Unlock()
		f.end(nil)
		release()
	}, nil
}

// versioned is a Verifier whose keys change. Its version changes with them.
type versioned interface{ Version() uint64 }

// watch ends the open streams whose tokens are no longer valid.
func (s *Server) watch() {
	keys, _ := s.o.Tokens.(versioned)
	if s.o.Revoked == nil && keys == nil {
		return
	}
	version := uint64(0)
	if keys != nil {
		version = keys.Version()
	}
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.drain:
			return
		case <-tick.C:
		}
		changed := false
		if keys != nil {
			v := keys.Version()
			changed, version = v != version, v
		}
		s.recheck(changed)
	}
}

// recheck ends the streams whose tokens were revoked, and, with newKeys, those
// whose tokens no key verifies any more. A stream that was ended before and is
// still there has a client that does not read: its connection is cut.
func (s *Server) recheck(newKeys bool) {
	s.mu.Lock()
	feeds := make([]*feed, 0, len(s.streams))
	for f := range s.streams {
		if f.ended {
			f.rc.SetWriteDeadline(time.Now())
			continue
		}
		feeds = append(feeds, f)
	}
	s.mu.Unlock()
	for _, f := range feeds {
		err := s.checkToken(f, newKeys)
		if err == nil {
			continue
		}
		s.mu.Lock()
		f.ended = true
		s.mu.Unlock()
		f.end(err)
	}
}

// checkToken returns why a stream's token is no longer valid, nil if it is.
func (s *Server) checkToken(f *feed, newKeys bool) error {
	if s.o.Revoked != nil && s.o.Revoked(&f.caller.Grant) {
		return errRevoked
	}
	if !newKeys {
		return nil
	}
	if _, err := s.o.Tokens.Verify(f.ctx, f.caller.token); errcode.Of(err) == errcode.Unauthorized {
		return err
	}
	return nil
}
