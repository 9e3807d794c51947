package server

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// action is what can be asked for of a space.
type action struct {
	method string
	need   Access
	run    func(*Server, http.ResponseWriter, *http.Request, *asker) error
}

var actions = map[string]action{
	"push":   {http.MethodPost, ReadWrite, (*Server).push},
	"pull":   {http.MethodPost, Read, (*Server).pull},
	"digest": {http.MethodGet, Read, (*Server).digest},
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

// asker is who asks, and for which space.
type asker struct {
	Grant
	token string // "" in development mode
	space string
}

// ServeHTTP answers the requests of Routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.deadlines(w, r)
	if !s.enter() {
		s.refuse(w, r, errClosed)
		return
	}
	defer s.active.Done()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err := s.cors(h, r); err != nil {
		s.refuse(w, r, err)
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.URL.Path == "/healthz" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
		return
	}
	err := s.route(w, r)
	if err != nil {
		s.refuse(w, r, err)
	}
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.String("code", errcode.Of(err)), slog.Duration("took", time.Since(began)))
}

var errClosed = errcode.New(errcode.Closed, "server", "the server is shutting down")

// route runs the handler. An error is one to answer with: nothing has been
// written yet.
func (s *Server) route(w http.ResponseWriter, r *http.Request) (err error) {
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
		return errcode.New(errcode.NotFound, "server", "there is nothing at this address")
	}
	name := parts[3]
	act, ok := actions[parts[4]]
	if !ok {
		return errcode.New(errcode.NotFound, "server", "there is nothing at this address")
	}
	if r.Method != act.method {
		w.Header().Set("Allow", act.method+", OPTIONS")
		return &refusal{http.StatusMethodNotAllowed, errcode.New(errcode.Protocol, "server", "this address takes "+act.method)}
	}
	if !wire.ValidSpace(name) {
		return errcode.New(errcode.BadParam, "server", "this cannot be a space's name")
	}
	if len(baseName(name))+besides > maxFileName {
		return errcode.New(errcode.BadParam, "server", "the space's name is too long for the name of a file, in which capital letters count twice and marks three times")
	}
	who := &asker{space: name}
	if who.Grant, who.token, err = s.authorize(r, name, act.need); err != nil {
		return err
	}
	if wait := s.rate.take(who.by, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return errcode.New(errcode.RateLimited, "server", "too many requests")
	}
	return act.run(s, w, r, who)
}

// deadlines bounds how long a request may hold its connection, and gives what it
// sends after its head little time: nobody has been let in yet. Server.body gives
// it more. Not every writer has deadlines.
func (s *Server) deadlines(w http.ResponseWriter, r *http.Request) {
	rc, now := http.NewResponseController(w), time.Now()
	rc.SetWriteDeadline(now.Add(s.o.Limits.Request))
	if r.ContentLength != 0 {
		rc.SetReadDeadline(now.Add(s.o.Limits.Refused))
		w.Header().Set("Connection", "close")
	}
}

// body reads a request's body, within the limits before and after
// decompression.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (_ []byte, err error) {
	const op = "server: read request"
	rc := http.NewResponseController(w)
	defer func() {
		if err != nil {
			rc.SetReadDeadline(time.Now().Add(s.o.Limits.Refused))
		}
	}()
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != wire.MediaType {
		return nil, &refusal{http.StatusUnsupportedMediaType, errcode.New(errcode.Protocol, op, "the Content-Type is not "+wire.MediaType)}
	}
	var in io.Reader = http.MaxBytesReader(w, r.Body, wire.MaxRequest)
	in = &paced{Reader: in, rc: rc, until: time.Now().Add(s.o.Limits.Request)}
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, errcode.New(errcode.Protocol, op, "the body is not gzip")
		}
		in = z
	default:
		return nil, &refusal{http.StatusUnsupportedMediaType, errcode.New(errcode.Protocol, op, "the Content-Encoding is not known")}
	}
	data, err := io.ReadAll(io.LimitReader(in, wire.MaxRequest+1))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong), len(data) > wire.MaxRequest:
		return nil, errcode.New(errcode.TooBig, op, "the request is too large: send fewer parts at a time")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errcode.New(errcode.Protocol, op, "the body is cut short, or not gzip")
	case err != nil:
		return nil, errcode.New(errcode.Protocol, op, "the body could not be read")
	}
	rc.SetReadDeadline(time.Time{})
	w.Header().Del("Connection")
	return data, nil
}

// paced reads a body that comes at least as fast as on the slowest line: what has
// come so far is the time that the rest has.
type paced struct {
	io.Reader
	rc    *http.ResponseController
	until time.Time
}

func (p *paced) Read(data []byte) (int, error) {
	p.rc.SetReadDeadline(p.until) // not every writer can
	n, err := p.Reader.Read(data)
	p.until = p.until.Add(slowest(n))
	return n, err
}

// slowest is the time that n bytes take on the slowest line that is served, of
// 32 KiB a second.
func slowest(n int) time.Duration { return time.Duration(n) * time.Second / (32 << 10) }

func (s *Server) push(w http.ResponseWriter, r *http.Request, who *asker) error {
	back, ok := s.slots.take(slot{"push", who.by, who.space}, s.o.Limits.SubjectPushes)
	if !ok {
		return errPushes
	}
	defer back()
	data, err := s.body(w, r)
	if err != nil {
		return err
	}
	req, err := wire.UnmarshalPushRequest(data)
	if err != nil {
		return err
	}
	turn, ok := s.slots.take(slot{"push", "", who.space}, s.o.Limits.Pushes)
	if !ok {
		return errPushes
	}
	defer turn()
	sp, err := s.acquire(r.Context(), who.space, true)
	if err != nil {
		return err
	}
	defer s.release(sp)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.o.Limits.Decision)
	defer cancel()
	go func() { // a server that closes waits for those who wait, not for who has left
		select {
		case <-s.closing:
			select {
			case <-r.Context().Done():
				cancel()
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}()
	res, err := sp.push(r.Context(), ctx, &s.o, &who.Grant, req)
	if err != nil {
		return err
	}
	s.answer(w, http.StatusOK, res.Marshal())
	return nil
}

var errPushes = errcode.New(errcode.RateLimited, "server: push", "too many pushes at once; try again later")

func (s *Server) digest(w http.ResponseWriter, r *http.Request, who *asker) error {
	sp, err := s.acquire(r.Context(), who.space, false)
	if err != nil {
		return err
	}
	defer s.release(sp)
	seq := sp.now().seq
	if q := r.URL.Query().Get("seq"); q != "" {
		if seq, err = strconv.ParseUint(q, 10, 63); err != nil {
			return errcode.New(errcode.BadParam, "server: digest", "seq is not a number")
		}
	}
	var d *wire.DigestResponse
	if r.URL.Query().Get("buckets") == "1" {
		d, err = sp.located()
	} else {
		d, err = sp.digestAt(seq)
	}
	if err != nil {
		return err
	}
	s.answer(w, http.StatusOK, d.Marshal())
	return nil
}

func (s *Server) answer(w http.ResponseWriter, status int, body []byte) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.Limits.Request + slowest(len(body)))) // not every writer can
	w.Header().Set("Content-Type", wire.MediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// refusal is an error with a status of its own.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// public returns the status and message for err. What is not meant for clients
// becomes HEDDLE_SERVER and is logged.
func (s *Server) public(r *http.Request, err error) (int, *wire.Error) {
	var coded *errcode.Error
	if !errors.As(err, &coded) {
		switch {
		case errors.Is(err, ErrUndecided):
			return http.StatusServiceUnavailable, &wire.Error{Code: errcode.Server, Message: "the server cannot decide now"}
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, sqlite3.INTERRUPT):
			return http.StatusServiceUnavailable, &wire.Error{Code: errcode.Timeout, Message: "the server did not get to it in time"}
		}
		if isDamage(err) {
			return s.damaged(r, err)
		}
		s.log.Error("request failed", "path", r.URL.Path, "error", err)
		status := http.StatusInternalServerError
		if errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.IOERR) || errors.Is(err, sqlite3.CANTOPEN) {
			status = http.StatusServiceUnavailable
		}
		return status, &wire.Error{Code: errcode.Server, Message: "the server failed; its log says why"}
	}
	status := http.StatusInternalServerError
	var own *refusal
	switch {
	case errors.As(err, &own):
		status = own.status
	default:
		switch coded.Code {
		case errcode.Protocol, errcode.BadParam:
			status = http.StatusBadRequest
		case errcode.Unauthorized:
			status = http.StatusUnauthorized
		case errcode.Forbidden:
			status = http.StatusForbidden
		case errcode.NotFound:
			status = http.StatusNotFound
		case errcode.Diverged, errcode.ClientFork, errcode.Behind:
			status = http.StatusConflict
		case errcode.TooBig:
			status = http.StatusRequestEntityTooLarge
		case errcode.RateLimited:
			status = http.StatusTooManyRequests
		case errcode.Closed, errcode.Busy:
			status = http.StatusServiceUnavailable
		case errcode.Damaged:
			return s.damaged(r, err)
		default:
			s.log.Error("request failed", "path", r.URL.Path, "error", err)
		}
	}
	return status, &wire.Error{Code: coded.Code, Message: coded.Message()}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, e := s.public(r, err)
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	s.answer(w, status, e.Marshal())
}

// damaged answers a request that met damage in a space's file. Devices try
// again: the space goes on as soon as its file is repaired.
func (s *Server) damaged(r *http.Request, err error) (int, *wire.Error) {
	s.log.Error("a space's file is damaged: stop the server and run heddle repair", "path", r.URL.Path, "error", err)
	return http.StatusInternalServerError, &wire.Error{Code: errcode.Server, Message: "the space's file is damaged on the server; its operator can repair it"}
}
