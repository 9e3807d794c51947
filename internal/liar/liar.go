// Package liar is a malicious server of a sealed space around an honest one, for the
// tests in Go and in browsers. It has no key: what it does, every server can.
package liar

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/sync/wire"
)

// Server answers pulls itself, with the log as a lie changes it. All else reaches the honest server.
type Server struct {
	real http.Handler

	mu      sync.Mutex
	lie     Lie
	changed chan struct{} // closed with the next lie
	members []wire.Entry
	breaks  bool // the snapshots
}

// Lie changes a log. It may alter the entries.
type Lie func(log []wire.Entry) []wire.Entry

// New returns one that is honest so far.
func New(real http.Handler) *Server { return &Server{real: real, changed: make(chan struct{})} }

// Set has it lie; nil: it is honest.
func (l *Server) Set(lie Lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.lie, l.changed = lie, make(chan struct{})
}

// SetMembers has it say which entries change the members; nil: it says what is so.
func (l *Server) SetMembers(entries []wire.Entry) {
	l.mu.Lock()
	l.members = entries
	l.mu.Unlock()
}

// BreakSnapshots has it alter the last bit of all snapshots' signatures, or not any more.
func (l *Server) BreakSnapshots(breaks bool) {
	l.mu.Lock()
	l.breaks = breaks
	l.mu.Unlock()
}

func (l *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	lie, members, breaks, changed := l.lie, l.members, l.breaks, l.changed
	l.mu.Unlock()
	switch {
	case members != nil && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/members"):
		if _, ok := l.ask(w, r, nil); ok {
			write(w, wire.Frame{Entries: members}, wire.Frame{CaughtUp: &wire.CaughtUp{}})
		}
	case lie != nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pull"):
		l.pull(w, r, lie, changed)
	case breaks && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/snapshots"):
		l.breakLast(w, r)
	default:
		l.real.ServeHTTP(w, r)
	}
}

// breakLast alters the last bit of an answer.
func (l *Server) breakLast(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	l.real.ServeHTTP(rec, r)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	data := rec.Body.Bytes()
	if rec.Code == http.StatusOK && len(data) > 0 {
		data[len(data)-1] ^= 1
	}
	_, _ = w.Write(data)
}

// pull passes on what members tell each other of the log: a server that keeps that back as well is not found out by it.
func (l *Server) pull(w http.ResponseWriter, r *http.Request, lie Lie, changed <-chan struct{}) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection is gone
	}
	req, err := wire.UnmarshalPullRequest(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	whole := (&wire.PullRequest{Client: wire.ClientID{9}, OwnBodies: true}).Marshal()
	real, ok := l.ask(w, r, whole)
	if !ok {
		return
	}
	log := lie(real.log)
	head := uint64(len(log))
	frames := []wire.Frame{{Hello: &wire.Hello{Epoch: real.epoch, Head: head}}}
	if len(real.heads) > 0 {
		frames = append(frames, wire.Frame{Heads: real.heads})
	}
	if after := req.Position.Seq; after < head {
		frames = append(frames, wire.Frame{Entries: log[after:]})
	}
	write(w, append(frames, wire.Frame{CaughtUp: &wire.CaughtUp{Seq: head}})...)
	if r.URL.Query().Has("wait") {
		return
	}
	for beat := time.NewTicker(beatEvery); ; {
		select {
		case <-changed:
			return
		case <-r.Context().Done():
			return
		case <-beat.C:
			write(w, wire.Frame{Heartbeat: &wire.Heartbeat{Head: head}})
		}
	}
}

// beatEvery is the time between heartbeats of a stream that stays open.
const beatEvery = 10 * time.Second

// truth is what the honest server says.
type truth struct {
	epoch wire.Epoch
	log   []wire.Entry
	heads [][]byte
}

// ask asks the honest server in the name of a request, and takes its headers. Where it refuses, so is the request.
func (l *Server) ask(
	w http.ResponseWriter, r *http.Request, body []byte,
) (is truth, ok bool) {
	real := r.Clone(r.Context())
	real.Body, real.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	real.URL.RawQuery = "wait=0"
	real.Header.Del("Accept-Encoding")
	rec := httptest.NewRecorder()
	l.real.ServeHTTP(rec, real)
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	if rec.Code != http.StatusOK {
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		return is, false
	}
	for frames := wire.NewFrameReader(rec.Body); ; {
		f, err := frames.Next()
		if err != nil {
			return is, true
		}
		if f.Hello != nil {
			is.epoch = f.Hello.Epoch
		}
		is.log, is.heads = append(is.log, f.Entries...), append(is.heads, f.Heads...)
	}
}

func write(w http.ResponseWriter, frames ...wire.Frame) {
	for i := range frames {
		if _, err := w.Write(wire.AppendFrame(nil, &frames[i])); err != nil {
			return // the connection is gone
		}
	}
	_ = http.NewResponseController(w).Flush() // as above
}
