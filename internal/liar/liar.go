// Package liar is a malicious server of a sealed space around an honest one, for the
// tests in Go and in browsers. It has no key: what it does, every server can.
package liar

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"heddle.dev/heddle/sync/wire"
)

// Server answers pulls itself, with the log as a lie changes it. All else reaches the honest server.
type Server struct {
	real http.Handler

	mu      sync.Mutex
	lie     Lie
	members []wire.Entry
}

// Lie changes a log. It may alter the entries.
type Lie func(log []wire.Entry) []wire.Entry

// New returns one that is honest so far.
func New(real http.Handler) *Server { return &Server{real: real} }

// Set has it lie; nil: it is honest.
func (l *Server) Set(lie Lie) {
	l.mu.Lock()
	l.lie = lie
	l.mu.Unlock()
}

// SetMembers has it say which entries change the members; nil: it says what is so.
func (l *Server) SetMembers(entries []wire.Entry) {
	l.mu.Lock()
	l.members = entries
	l.mu.Unlock()
}

func (l *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	lie, members := l.lie, l.members
	l.mu.Unlock()
	switch {
	case members != nil && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/members"):
		if _, _, ok := l.ask(w, r, nil); ok {
			write(w, wire.Frame{Entries: members}, wire.Frame{CaughtUp: &wire.CaughtUp{}})
		}
	case lie != nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pull"):
		l.pull(w, r, lie)
	default:
		l.real.ServeHTTP(w, r)
	}
}

func (l *Server) pull(w http.ResponseWriter, r *http.Request, lie Lie) {
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
	epoch, log, ok := l.ask(w, r, whole)
	if !ok {
		return
	}
	log = lie(log)
	head := uint64(len(log))
	frames := []wire.Frame{{Hello: &wire.Hello{Epoch: epoch, Head: head}}}
	if after := req.Position.Seq; after < head {
		frames = append(frames, wire.Frame{Entries: log[after:]})
	}
	write(w, append(frames, wire.Frame{CaughtUp: &wire.CaughtUp{Seq: head}})...)
}

// ask asks the honest server in the name of a request, and takes its headers. Where it refuses, so is the request.
func (l *Server) ask(
	w http.ResponseWriter, r *http.Request, body []byte,
) (epoch wire.Epoch, all []wire.Entry, ok bool) {
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
		return epoch, nil, false
	}
	for frames := wire.NewFrameReader(rec.Body); ; {
		f, err := frames.Next()
		if err != nil {
			return epoch, all, true
		}
		if f.Hello != nil {
			epoch = f.Hello.Epoch
		}
		all = append(all, f.Entries...)
	}
}

func write(w http.ResponseWriter, frames ...wire.Frame) {
	for i := range frames {
		if _, err := w.Write(wire.AppendFrame(nil, &frames[i])); err != nil {
			return // the connection is gone
		}
	}
}
