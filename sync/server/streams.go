package server

import (
	"context"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
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

// tail holds the log's newest entries as they stand in a stream. A commit wakes
// every device that follows the space: the first one reads and encodes what is
// new, and the others send the same bytes.
type tail struct {
	mu       sync.Mutex
	seq      uint64      // of the last frame
	frames   []tailFrame // of the entries up to seq, the newest last
	caughtUp []byte      // the frame that says so at seq
	newest   []byte      // the last frame and caughtUp
}

// tailFrame is an entry's frame.
type tailFrame struct {
	author wire.ClientID
	data   []byte // nil for an entry that is too large to be kept
}

const (
	tailEntries = 8        // how many are kept: more are sent in a frame of several
	tailBytes   = 32 << 10 // and how large each may be
)

// news returns the frames that a stream which has sent the log up to after sends
// next, to its end, and where that is. It returns nil for a stream that is to read
// the log itself: it is far behind, or an entry is its reader's own, whose body it
// does not get.
func (sp *space) news(after uint64, reader wire.ClientID) (data []byte, seq uint64) {
	t := &sp.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	head := sp.currentHead().seq
	if head-after > tailEntries || head > t.seq && t.fill(sp, head) != nil ||
		t.seq-after > uint64(len(t.frames)) || t.seq <= after {
		return nil, 0
	}
	frames := t.frames[len(t.frames)-int(t.seq-after):]
	for i := range frames {
		if frames[i].data == nil || frames[i].author == reader {
			return nil, 0
		}
	}
	if len(frames) == 1 {
		return t.newest, t.seq
	}
	for i := range frames {
		data = append(data, frames[i].data...)
	}
	return append(data, t.caughtUp...), t.seq
}

// fill reads what has come after the last frame.
func (t *tail) fill(sp *space, head uint64) error {
	after := max(t.seq, head-min(head, tailEntries))
	if after != t.seq {
		t.frames = nil
	}
	entries, err := sp.entries(after, head, wire.ClientID{}, tailBytes)
	if err != nil {
		return err
	}
	last := entries[len(entries)-1].Seq
	d, err := sp.digestAt(last)
	if err != nil {
		return err
	}
	frames := t.frames
	for i := range entries {
		f := tailFrame{author: entries[i].Client}
		if entries[i].Outcome != "" || entries[i].Body != nil {
			f.data = wire.AppendFrame(nil, &wire.Frame{Entries: entries[i : i+1]})
		}
		frames = append(frames, f)
	}
	t.frames = append([]tailFrame(nil), frames[max(0, len(frames)-tailEntries):]...)
	t.seq = last
	t.caughtUp = wire.AppendFrame(nil, &wire.Frame{CaughtUp: &wire.CaughtUp{Seq: last, Digest: d.Digest}})
	newest := t.frames[len(t.frames)-1].data
	t.newest = append(newest[:len(newest):len(newest)], t.caughtUp...)
	return nil
}
