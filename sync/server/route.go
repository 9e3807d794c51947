package server

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// action is a request that a space answers.
type action struct {
	method string
	need   auth.Access
	run    func(*Server, http.ResponseWriter, *http.Request, *caller) error
	waits  bool // it lasts as long as there is something to wait for
}

var actions = map[string]action{
	"push":   {http.MethodPost, auth.ReadWrite, (*Server).push, false},
	"pull":   {http.MethodPost, auth.Read, (*Server).pull, true},
	"digest": {http.MethodGet, auth.Read, (*Server).digest, false},

	"members": {http.MethodGet, auth.Read, (*Server).members, false},
	"heads":   {http.MethodPost, auth.Read, (*Server).postHead, false},

	"snapshot":  {http.MethodPost, auth.ReadWrite, (*Server).postSnapshot, false},
	"snapshots": {http.MethodGet, auth.Read, (*Server).snapshots, false},
	"missing":   {http.MethodPost, auth.ReadWrite, (*Server).missingChunks, false},
	"chunks":    {http.MethodPost, auth.ReadWrite, (*Server).putChunk, false},
	"chunk":     {http.MethodGet, auth.Read, (*Server).getChunk, false},

	"pair": {http.MethodPost, auth.Read, (*Server).pair, true},
}

// Routes returns what the server answers, as http.ServeMux writes it.
func Routes() []string {
	all := []string{"GET /healthz"}
	for name, a := range actions {
		all = append(all, a.method+" /v1/spaces/{space}/"+name)
	}
	slices.Sort(all)
	return all
}

// ServeHTTP answers the requests of Routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.setDeadlines(w, r)
	if !s.beginRequest() {
		s.respondError(w, r, errClosed)
		return
	}
	defer s.active.Done()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err := s.cors(h, r); err != nil {
		s.respondError(w, r, err)
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.URL.Path == "/healthz" {
		s.health(w)
		return
	}
	c, action, err := s.route(w, r)
	if err != nil {
		s.respondError(w, r, err)
	}
	s.answered(r, c, action, began, err)
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method),
		slog.String("path", r.URL.Path), slog.String("code", errcode.Of(err)), slog.Duration("took", time.Since(began)))
}

// health says whether a proxy should send requests here.
func (s *Server) health(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.leaving.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "the server is shutting down\n")
		return
	}
	io.WriteString(w, "ok\n")
}

// beginRequest counts a request, so that Close waits for it. It is false once the
// server is closed.
func (s *Server) beginRequest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.active.Add(1)
	return true
}

// route runs the action that the path names. If it returns an error, no answer
// has been written yet.
func (s *Server) route(w http.ResponseWriter, r *http.Request) (c *caller, action string, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("panic", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			err = errcode.New(errcode.Internal, "server", "a fault of the server")
		}
	}()
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "v1" || parts[2] != "spaces" {
		return nil, "", errNoRoute
	}
	space := parts[3]
	act, ok := actions[parts[4]]
	if !ok {
		return nil, "", errNoRoute
	}
	action = parts[4]
	if r.Method != act.method {
		w.Header().Set("Allow", act.method+", OPTIONS")
		return nil, action, &statusError{http.StatusMethodNotAllowed,
			errcode.New(errcode.Protocol, "server", "this address takes "+act.method)}
	}
	if !wire.ValidSpace(space) {
		return nil, action, errcode.New(errcode.BadParam, "server", "this cannot be a space's name")
	}
	c, err = s.authorize(r, space, act.need)
	if err != nil {
		return nil, action, err
	}
	if wait := s.rate.take(c.by, cmp.Or(c.Quota.Rate, s.o.Limits.Rate), time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return c, action, errcode.New(errcode.RateLimited, "server", "too many requests")
	}
	return c, action, act.run(s, w, r, c)
}

func (s *Server) push(w http.ResponseWriter, r *http.Request, c *caller) error {
	release, ok := s.slots.take(slot{"push", c.by, c.space}, s.o.Limits.SubjectPushes)
	if !ok {
		return errPushes
	}
	defer release()
	data, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	req, err := wire.UnmarshalPushRequest(data)
	if err != nil {
		return err
	}
	releaseShared, ok := s.slots.take(slot{"push", "", c.space}, s.o.Limits.Pushes)
	if !ok {
		return errPushes
	}
	defer releaseShared()
	sp := s.acquire(c.space)
	defer s.release(sp)
	ctx, cancel := s.decisionContext(r.Context())
	defer cancel()
	res, err := sp.push(r.Context(), ctx, c, req)
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, res.Marshal())
	return nil
}

// decisionContext bounds a decision, which goes on when its request is gone: a
// large transaction might be begun again and again otherwise. When the server
// closes, it waits for decisions whose requests are still there, and ends others.
func (s *Server) decisionContext(request context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(request), s.o.Limits.Decision)
	go func() {
		select {
		case <-s.closing:
			select {
			case <-request.Done():
				cancel()
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (s *Server) digest(w http.ResponseWriter, r *http.Request, c *caller) (err error) {
	sp := s.acquire(c.space)
	defer s.release(sp)
	seq, q := uint64(0), r.URL.Query()
	if at := q.Get("seq"); at != "" {
		if seq, err = strconv.ParseUint(at, 10, 63); err != nil {
			return errcode.New(errcode.BadParam, "server: digest", "seq is not a number")
		}
	}
	var d *wire.DigestResponse
	if q.Get("buckets") == "1" {
		d, err = sp.digestBuckets(r.Context())
	} else {
		d, err = sp.digestAt(r.Context(), seq, q.Get("seq") == "")
	}
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, d.Marshal())
	return nil
}
