package server

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/accept"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// gzipFrom is the backlog in bytes from which a stream is compressed. A
// compressor costs about a megabyte as long as its stream is open, so a replica
// that only waits for news has none.
const gzipFrom = 4 << 10

// pull streams the log after the replica's position: hello, entries, caught-up
// with the digest, then what comes, with heartbeats between. With ?wait=N it ends
// when it has caught up and has brought something, and after N seconds at most.
func (s *Server) pull(w http.ResponseWriter, r *http.Request, c *caller) error {
	wait, err := parseWait(r.URL.Query())
	if err != nil {
		return err
	}
	data, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	req, err := wire.UnmarshalPullRequest(data)
	if err != nil {
		return err
	}
	sp, err := s.acquire(r.Context(), c.space, true)
	if err != nil {
		return err
	}
	defer s.release(sp)
	if err := sp.mayRead(&s.o, c, req.Client); err != nil {
		return err
	}
	head := sp.currentHead()
	snapshot, err := sp.wantsSnapshot(req)
	switch {
	case err != nil:
		return err
	case !snapshot:
		if head, err = sp.check(req.Position); err != nil {
			return err
		}
	case req.Resume == nil && req.Position.Epoch != wire.Epoch{} && req.Position.Epoch != head.epoch:
		return errEpoch
	}
	f := &feed{
		s: s, sp: sp, rc: http.NewResponseController(w), out: w, caller: c, seq: req.Position.Seq, wait: wait,
	}
	if !req.OwnBodies {
		f.author = req.Client
	}
	closeStream, err := s.openStream(r.Context(), f)
	if err != nil {
		return err
	}
	defer closeStream()
	release, err := f.compress(w, r, snapshot)
	if err != nil {
		return err
	}
	defer release()
	h := w.Header()
	h.Set("Content-Type", wire.MediaType)
	h.Set("X-Accel-Buffering", "no") // proxies: pass each frame on at once
	if origin := h.Get("Access-Control-Allow-Origin"); origin != "" {
		h.Set("Timing-Allow-Origin", origin) // a page learns whether it speaks HTTP/2, which spares connections
	}
	h.Add("Vary", "Accept-Encoding")
	w.WriteHeader(http.StatusOK)
	if err := f.send(&wire.Frame{Hello: &wire.Hello{Epoch: head.epoch, Head: head.seq}}); err != nil {
		return nil // the connection is gone
	}
	if snapshot {
		f.sent = true
		err = f.snapshot(req)
	}
	if err == nil {
		if err = f.run(); err == errDrained {
			err = nil // an end as any other
		}
	}
	if err != nil && !f.gone {
		_, e := s.publicError(r, err)
		f.send(&wire.Frame{Error: e})
	}
	if f.zip != nil && !f.gone {
		f.zip.Close()
	}
	return nil
}

// forever is the wait of a stream that stays open.
const forever time.Duration = -1

// parseWait reads how long a pull stays open without news.
func parseWait(query url.Values) (time.Duration, error) {
	if !query.Has("wait") {
		return forever, nil
	}
	seconds, err := strconv.ParseUint(query.Get("wait"), 10, 16)
	if wait := time.Duration(seconds) * time.Second; err == nil && wait <= maxWait {
		return wait, nil
	}
	return 0, errcode.New(errcode.BadParam, "server: pull", "wait is a number of seconds, 60 at most")
}

// feed is one stream.
type feed struct {
	s      *Server
	sp     *space
	rc     *http.ResponseController
	out    io.Writer
	zip    *gzip.Writer // nil if not compressed
	caller *caller
	ctx    context.Context // ends with the request, the token, or the server's streams
	end    context.CancelCauseFunc
	ended  bool // guarded by Server.mu: end was called for the token
	author wire.ClientID
	seq    uint64        // sent so far
	wait   time.Duration // how long to wait for the first news; forever without a bound
	sent   bool          // entries or a snapshot
	gone   bool          // the connection
}

// compress compresses the stream if the client accepts gzip, there is much to
// send, and not too many streams are compressed already.
func (f *feed) compress(w http.ResponseWriter, r *http.Request, snapshot bool) (release func(), err error) {
	nothing := func() {}
	if !accept.Encoding(r.Header.Get("Accept-Encoding"), "gzip") {
		return nothing, nil
	}
	n, err := f.sp.backlog(f.seq)
	if err != nil || n < gzipFrom && !snapshot {
		return nothing, err
	}
	l := &f.s.o.Limits
	release, ok := f.s.slots.takeBoth("zip", f.caller.by, f.caller.space, l.SubjectZips, l.Zips)
	if !ok {
		return nothing, nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	f.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
	f.out = f.zip
	return release, nil
}

// stopped returns why the stream is to end, nil while it goes on.
func (f *feed) stopped() error {
	select {
	case <-f.s.drain:
		return errDrained
	case <-f.ctx.Done():
		err := context.Cause(f.ctx)
		f.gone = f.gone || errcode.Of(err) != errcode.Unauthorized
		return err
	default:
		return nil
	}
}

// send writes a frame and flushes it through.
func (f *feed) send(frame *wire.Frame) error { return f.write(wire.AppendFrame(nil, frame)) }

// write writes frames and flushes them through.
func (f *feed) write(data []byte) error {
	f.rc.SetWriteDeadline(time.Now().Add(f.s.o.Limits.Request + transferTime(len(data)))) // not every writer has one
	_, err := f.out.Write(data)
	if err == nil && f.zip != nil {
		err = f.zip.Flush()
	}
	if err == nil {
		err = f.rc.Flush()
	}
	f.gone = f.gone || err != nil
	return err
}

// run sends until the connection ends, the server drains or the token is no longer
// valid.
func (f *feed) run() error {
	beat := time.NewTicker(f.s.o.Heartbeat)
	defer beat.Stop()
	var timeUp <-chan time.Time
	if f.wait != forever {
		t := time.NewTimer(f.wait)
		defer t.Stop()
		timeUp = t.C
	}
	for caughtUp := false; ; {
		head := f.sp.currentHead()
		for f.seq < head.seq {
			if data, seq := f.sp.news(f.seq, f.author); data != nil {
				if err := f.write(data); err != nil {
					return err
				}
				f.seq, caughtUp, f.sent = seq, true, true
				beat.Reset(f.s.o.Heartbeat)
				continue
			}
			entries, err := f.sp.entries(f.seq, head.seq, f.author, wire.MaxBody)
			if err != nil {
				return err
			}
			if err := f.send(&wire.Frame{Entries: entries}); err != nil {
				return err
			}
			f.seq = entries[len(entries)-1].Seq
			caughtUp, f.sent = false, true
			beat.Reset(f.s.o.Heartbeat)
			if err := f.stopped(); err != nil {
				return err
			}
		}
		if !caughtUp {
			d, err := f.sp.digestAt(f.seq)
			if errcode.Of(err) == errcode.NotFound && f.sp.currentHead().seq > f.seq {
				continue // already too old to be kept
			}
			if err != nil {
				return err
			}
			if err := f.send(&wire.Frame{CaughtUp: &wire.CaughtUp{Seq: f.seq, Digest: d.Digest}}); err != nil {
				return err
			}
			caughtUp = true
		}
		if f.wait == 0 || f.sent && f.wait != forever {
			return nil
		}
		select {
		case <-head.next: // at once where what was read went past head
		case <-beat.C:
			if err := f.send(&wire.Frame{Heartbeat: &wire.Heartbeat{Head: f.seq}}); err != nil {
				return err
			}
		case <-timeUp:
			return nil
		case <-f.s.drain:
			return errDrained
		case <-f.ctx.Done():
			return f.stopped()
		}
	}
}
