package server

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/accept"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
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
	sp := s.acquire(c.space)
	defer s.release(sp)
	leave := sp.follow() // before the read: what comes after it is told
	defer leave()
	start, err := sp.start(r.Context(), &s.o, c, req)
	if err != nil {
		return err
	}
	f := &feed{s: s, sp: sp, rc: http.NewResponseController(w), out: w, caller: c, at: start.at, wait: wait}
	f.head, f.digest, f.kicks = start.head, start.digest, start.kicks
	if start.sealed {
		if f.device, err = s.proved(w, r, sp, "pull"); err != nil {
			return err
		}
	}
	if !req.OwnBodies {
		f.author = req.Client
	}
	closeStream, err := s.openStream(r.Context(), f)
	if err != nil {
		return err
	}
	defer closeStream()
	defer sp.asksNoMore(f)
	defer f.compress(w, r, start)()
	h := w.Header()
	h.Set("Content-Type", wire.MediaType)
	h.Set("X-Accel-Buffering", "no") // proxies: pass each frame on at once
	if origin := h.Get("Access-Control-Allow-Origin"); origin != "" {
		h.Set("Timing-Allow-Origin", origin) // a page learns whether it speaks HTTP/2, which spares connections
	}
	h.Add("Vary", "Accept-Encoding")
	w.WriteHeader(http.StatusOK)
	if err := f.send(&wire.Frame{Hello: &wire.Hello{Epoch: start.head.Epoch, Head: start.head.Seq}}); err != nil {
		return nil // the connection is gone
	}
	if start.snapshot {
		f.sent = true
		err = f.snapshot(req)
	}
	if err == nil {
		err = f.run()
	}
	if err == errDrained && wait != forever {
		err = nil // an end of a poll as any other
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

// start is where a pull begins.
type start struct {
	at, head wire.Position
	digest   wire.Hash // at head
	kicks    uint64
	snapshot bool
	sealed   bool  // the space is
	backlog  int64 // roughly how many bytes are sent at once
}

// start checks a pull against the space, and chooses between the log and a
// snapshot.
func (sp *space) start(ctx context.Context, o *Options, c *caller, req *wire.PullRequest) (s start, err error) {
	err = sp.readOrMake(ctx, func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		if err := o.mayRead(v, c, req.Client); err != nil {
			return err
		}
		sealed, err := isSealed(v, &m)
		if err != nil {
			return err
		}
		if sealed && req.Snapshots {
			return errSealed
		}
		if sealed && req.Position.Seq < m.Horizon {
			return errBehind
		}
		s = start{sealed: sealed, at: req.Position, head: m.Head, digest: digestOf(&m), kicks: m.Kicks,
			snapshot: wantsSnapshot(&m, req)}
		s.at.Epoch = m.Head.Epoch
		if s.snapshot {
			if req.Resume == nil && req.Position.Epoch != (wire.Epoch{}) && req.Position.Epoch != m.Head.Epoch {
				return errEpoch
			}
		} else if err := checkPosition(v, &m, req.Position); err != nil {
			return err
		}
		sizes, err := v.Sizes(req.Position.Seq, 200)
		for i := range sizes {
			s.backlog += sizes[i].Bytes + 128
		}
		return err
	})
	return s, err
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
	device seal.Member        // of a sealed space: who reads
	told   uint64             // up to which count the heads of devices were sent
	heads  map[seal.ID]uint64 // their numbers
	at     wire.Position      // sent so far
	head   wire.Position      // the log's end as last read
	digest wire.Hash          // at head
	kicks  uint64             // of the space when it began
	wait   time.Duration      // how long to wait for the first news; forever without a bound
	sent   bool               // entries or a snapshot
	gone   bool               // the connection
}

// compress compresses the stream if the client accepts gzip, there is much to
// send, and not too many streams are compressed already.
func (f *feed) compress(w http.ResponseWriter, r *http.Request, at start) (release func()) {
	nothing := func() {}
	if !accept.Encoding(r.Header.Get("Accept-Encoding"), "gzip") || at.backlog < gzipFrom && !at.snapshot {
		return nothing
	}
	l := &f.s.o.Limits
	release, ok := f.s.slots.takeBoth("zip", f.caller.by, f.caller.space, l.SubjectZips, l.Zips)
	if !ok {
		return nothing
	}
	w.Header().Set("Content-Encoding", "gzip")
	f.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
	f.out = f.zip
	return release
}

// stopped returns why the stream is to end, nil while it goes on.
func (f *feed) stopped() error {
	select {
	case <-f.s.drain:
		return errDrained
	case <-f.ctx.Done():
		err := context.Cause(f.ctx)
		f.gone = f.gone || errors.Is(err, context.Canceled)
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
	f.s.tally.sent.Add(uint64(len(data)))
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
	for caughtUp, follows := false, false; ; {
		head := f.sp.currentHead()
		gone := f.sp.removedAt(f.device.ID)
		switch {
		case head.err != nil:
			return head.err
		case gone > 0 && f.at.Seq >= gone:
			return errRemoved
		case head.kicks > f.kicks:
			return errKicked
		case f.device.ID != seal.ID{} && head.told != f.told: // before the entries that they may tell something of
			if err := f.tellHeads(head.told); err != nil {
				return err
			}
			continue
		case f.at != head.Position || !caughtUp && f.at != f.head:
			var err error
			if caughtUp, err = f.next(); err == nil {
				err = f.stopped()
			}
			if err != nil {
				return err
			}
			if follows && f.at == head.Position && f.s.o.Observer != nil {
				f.s.o.Observer.Streamed(time.Since(head.at))
			}
			beat.Reset(f.s.o.Heartbeat)
			continue
		case !caughtUp:
			if err := f.send(&wire.Frame{CaughtUp: &wire.CaughtUp{Seq: f.at.Seq, Digest: f.digest}}); err != nil {
				return err
			}
			caughtUp = true
		}
		follows = true
		if ask := f.sp.asks(f); ask != nil {
			if err := f.send(&wire.Frame{Wanted: ask}); err != nil {
				return err
			}
		}
		if f.wait == 0 || f.sent && f.wait != forever {
			return nil
		}
		select {
		case <-head.next: // at once where what was read went past head
		case <-beat.C:
			if err := f.send(&wire.Frame{Heartbeat: &wire.Heartbeat{Head: f.at.Seq}}); err != nil {
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

// next sends what comes next in the log, from memory where it is there, and says
// whether the stream has been told then that it has caught up.
func (f *feed) next() (caughtUp bool, err error) {
	if data, at := f.sp.news(f.at, f.author, f.device.ID); data != nil {
		if err := f.write(data); err != nil {
			return false, err
		}
		f.at, f.sent = at, true
		return true, nil
	}
	b, err := f.sp.after(f.ctx, f.at, f.author)
	if err != nil {
		return false, err
	}
	f.head, f.digest = b.head, b.digest
	if len(b.entries) == 0 {
		return false, nil
	}
	f.sp.mu.Lock()
	f.sp.noteRemoved(b.entries) // by another server, perhaps
	f.sp.mu.Unlock()
	if gone := f.sp.removedAt(f.device.ID); gone > f.at.Seq {
		b.entries = b.entries[:min(uint64(len(b.entries)), gone-f.at.Seq)]
	}
	for i := range b.entries { // the same log all the way
		e := &b.entries[i]
		if e.ChainAfter(f.at.Chain) != e.Chain {
			return false, errcode.New(errcode.Damaged, "server: pull",
				fmt.Sprintf("the log's chain is broken at entry %d", e.Seq))
		}
		f.at.Seq, f.at.Chain = e.Seq, e.Chain
	}
	f.sent = true
	return false, f.send(&wire.Frame{Entries: b.entries})
}
