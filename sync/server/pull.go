package server

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"time"

	"heddle/internal/errcode"
	"heddle/sync/wire"
)

// gzipFrom is the backlog in bytes from which a stream is compressed. A
// compressor costs about a megabyte as long as its stream is open, so a replica
// that only waits for news has none.
const gzipFrom = 4 << 10

// pull streams the log after the asker's position: hello, entries, caught-up
// with the digest, then what comes, with heartbeats between. With ?wait=0 the
// stream ends when it has caught up.
func (s *Server) pull(w http.ResponseWriter, r *http.Request, name string, grant Grant) error {
	data, err := s.body(w, r)
	if err != nil {
		return err
	}
	req, err := wire.UnmarshalPullRequest(data)
	if err != nil {
		return err
	}
	sp, err := s.acquire(r.Context(), name, true)
	if err != nil {
		return err
	}
	defer s.release(sp)
	head := sp.now()
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
	if !s.openStream() {
		return errcode.New(errcode.Busy, "server: pull", "the server has too many open streams")
	}
	defer s.closeStream()
	f := &feed{s: s, sp: sp, rc: http.NewResponseController(w), out: w, seq: req.Position.Seq, wait: r.URL.Query().Get("wait") != "0"}
	if !req.OwnBodies {
		f.author = req.Client
	}
	h := w.Header()
	h.Set("Content-Type", wire.MediaType)
	h.Set("X-Accel-Buffering", "no") // proxies: pass each frame on at once
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		n, err := sp.backlog(f.seq)
		if err != nil {
			return err
		}
		if n >= gzipFrom || snapshot {
			h.Set("Content-Encoding", "gzip")
			f.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
			f.out = f.zip
		}
	}
	w.WriteHeader(http.StatusOK)
	var expires <-chan time.Time
	if !grant.Expires.IsZero() {
		t := time.NewTimer(time.Until(grant.Expires))
		defer t.Stop()
		expires = t.C
	}
	if err := f.send(&wire.Frame{Hello: &wire.Hello{Epoch: head.epoch, Head: head.seq}}); err != nil {
		return nil // the asker is gone
	}
	if snapshot {
		err = f.snapshot(req)
	}
	if err == nil {
		err = f.run(r.Context().Done(), expires)
	}
	if err != nil && !f.gone {
		_, e := s.public(r, err)
		f.send(&wire.Frame{Error: e})
	}
	if f.zip != nil && !f.gone {
		f.zip.Close()
	}
	return nil
}

// feed is one stream.
type feed struct {
	s      *Server
	sp     *space
	rc     *http.ResponseController
	out    io.Writer
	zip    *gzip.Writer // nil if not compressed
	author wire.ClientID
	seq    uint64 // sent so far
	wait   bool
	gone   bool // the asker
}

// send writes a frame and flushes it through.
func (f *feed) send(frame *wire.Frame) error { return f.write(wire.AppendFrame(nil, frame)) }

// write writes frames and flushes them through.
func (f *feed) write(data []byte) error {
	f.rc.SetWriteDeadline(time.Now().Add(f.s.o.Limits.Request + slowest(len(data)))) // not every writer can
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

// run sends until the asker goes, the server drains or the token expires.
func (f *feed) run(gone <-chan struct{}, expires <-chan time.Time) error {
	beat := time.NewTicker(f.s.o.Heartbeat)
	defer beat.Stop()
	for caughtUp := false; ; {
		head := f.sp.now()
		for f.seq < head.seq {
			if data, seq := f.sp.news(f.seq, f.author); data != nil {
				if err := f.write(data); err != nil {
					return err
				}
				f.seq, caughtUp = seq, true
				beat.Reset(f.s.o.Heartbeat)
				continue
			}
			entries, err := f.sp.entries(f.seq, head.seq, f.author)
			if err != nil {
				return err
			}
			if err := f.send(&wire.Frame{Entries: entries}); err != nil {
				return err
			}
			f.seq = entries[len(entries)-1].Seq
			caughtUp = false
			beat.Reset(f.s.o.Heartbeat)
			select {
			case <-f.s.drain:
				return nil
			default:
			}
		}
		if !caughtUp {
			d, err := f.sp.digestAt(f.seq)
			if errcode.Of(err) == errcode.NotFound && f.sp.now().seq > f.seq {
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
		if !f.wait {
			return nil
		}
		select {
		case <-head.next: // at once where what was read went past head
		case <-beat.C:
			if err := f.send(&wire.Frame{Heartbeat: &wire.Heartbeat{Head: f.seq}}); err != nil {
				return err
			}
		case <-expires:
			return errcode.New(errcode.Unauthorized, "server: pull", "the token has expired")
		case <-f.s.drain:
			return nil
		case <-gone:
			f.gone = true
			return nil
		}
	}
}

func (s *Server) openStream() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= s.o.Limits.Streams {
		return false
	}
	s.streams++
	return true
}

func (s *Server) closeStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}
