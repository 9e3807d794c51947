package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

var (
	errDrained = errcode.New(errcode.Closed, "server: pull", "the server is shutting down; connect again")
	errKicked  = errcode.New(errcode.Closed, "server: pull", "the stream was ended; connect again")
	errExpired = errcode.New(errcode.Unauthorized, "server: pull", "the token has expired")
)

// openStream counts a stream in, if there is room, and ends it when its token
// expires.
func (s *Server) openStream(request context.Context, f *feed) (closeStream func(), err error) {
	if s.leaving.Load() {
		return nil, errClosed
	}
	most := cmp.Or(int(f.caller.Quota.Streams), s.o.Limits.SubjectStreams)
	release, ok := s.slots.take(slot{kind: "stream", subject: f.caller.by}, most)
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
	leave := f.sp.follow()
	return func() {
		leave()
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
// every device that follows the space: the first one encodes what is new, and the
// others send the same bytes.
type tail struct {
	at       wire.Position // of the last frame
	frames   []tailFrame   // of the entries up to there, the newest last
	caughtUp []byte        // the frame that says so at that entry
	newest   []byte        // the last frame and caughtUp
}

// tailFrame is an entry's frame.
type tailFrame struct {
	author wire.ClientID
	before wire.Hash // the chain hash of the entry before
	entry  *wire.Entry
	data   []byte // nil until it is asked for, and for an entry that is too large to be kept
}

const (
	tailEntries = 8       // how many are kept: more are sent in a frame of several
	tailBytes   = 8 << 10 // and how large each may be
)

// add takes the entries that have moved the log from base to head.
func (t *tail) add(base wire.Position, entries []wire.Entry, head wire.Position, digest wire.Hash) {
	if len(entries) == 0 {
		return
	}
	if t.at != base {
		t.frames = nil
	}
	before := base.Chain
	frames := t.frames
	if n := len(entries); n > tailEntries {
		frames, before, entries = nil, entries[n-tailEntries-1].Chain, entries[n-tailEntries:]
	}
	for i := range entries {
		f := tailFrame{author: entries[i].Client, before: before}
		if len(entries[i].Body) <= tailBytes {
			e := entries[i]
			f.entry = &e
		}
		frames, before = append(frames, f), entries[i].Chain
	}
	t.frames = append([]tailFrame(nil), frames[max(0, len(frames)-tailEntries):]...)
	t.at, t.newest = head, nil
	t.caughtUp = wire.AppendFrame(nil, &wire.Frame{CaughtUp: &wire.CaughtUp{Seq: head.Seq, Digest: digest}})
}

// news returns the frames that a stream which has sent the log up to a position
// sends next, to its end, and where that is. It returns nil for a stream that is to
// read the log itself: it is far behind, or of another past, or an entry is its
// reader's own, whose body it does not get, or the log is its device's up to some entry
// alone.
func (sp *space) news(after wire.Position, reader wire.ClientID, device seal.ID) (data []byte, at wire.Position) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	t := &sp.tail
	n := t.at.Seq - after.Seq
	if sp.removed[device] > 0 ||
		t.at != sp.head.Position || t.at.Epoch != after.Epoch || t.at.Seq <= after.Seq || n > uint64(len(t.frames)) {
		return nil, at
	}
	frames := t.frames[len(t.frames)-int(n):]
	if frames[0].before != after.Chain {
		return nil, at
	}
	for i := range frames {
		f := &frames[i]
		if f.author == reader || f.data == nil && f.entry == nil {
			return nil, at
		}
		if f.data == nil {
			f.data, f.entry = wire.AppendFrame(nil, &wire.Frame{Entries: []wire.Entry{*f.entry}}), nil
		}
	}
	if n == 1 {
		if t.newest == nil {
			t.newest = slices.Concat(frames[0].data, t.caughtUp)
		}
		return t.newest, t.at
	}
	for i := range frames {
		data = append(data, frames[i].data...)
	}
	return append(data, t.caughtUp...), t.at
}
