package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

var (
	errClosed  = errcode.New(errcode.Closed, "server", "the server is shutting down")
	errNoRoute = errcode.New(errcode.NotFound, "server", "there is nothing at this address")
	errRevoked = errcode.New(errcode.Unauthorized, "server: check token", "the token was revoked")
	errPushes  = errcode.New(errcode.RateLimited, "server: push", "too many pushes at once; try again later")
)

// statuses are the HTTP statuses of the codes that a client may get. Any other
// code is a failure of the server's.
var statuses = map[string]int{
	errcode.Protocol:     http.StatusBadRequest,
	errcode.BadParam:     http.StatusBadRequest,
	errcode.Unauthorized: http.StatusUnauthorized,
	errcode.Forbidden:    http.StatusForbidden,
	errcode.NotFound:     http.StatusNotFound,
	errcode.Gone:         http.StatusGone,
	errcode.Diverged:     http.StatusConflict,
	errcode.ClientFork:   http.StatusConflict,
	errcode.Behind:       http.StatusConflict,
	errcode.Sealed:       http.StatusConflict,
	errcode.Stale:        http.StatusConflict,
	errcode.OldEpoch:     http.StatusConflict,
	errcode.MembersMoved: http.StatusConflict,
	errcode.NotMember:    http.StatusForbidden,
	errcode.NotAllowed:   http.StatusForbidden,
	errcode.Unproved:     http.StatusForbidden,
	errcode.Removed:      http.StatusForbidden,
	errcode.Quota:        http.StatusForbidden,
	errcode.TooBig:       http.StatusRequestEntityTooLarge,
	errcode.RateLimited:  http.StatusTooManyRequests,
	errcode.Closed:       http.StatusServiceUnavailable,
	errcode.Busy:         http.StatusServiceUnavailable,
}

// Codes returns those that a request may be refused with. A program's own
// auth.Verifier may have others.
func Codes() []string {
	return slices.AppendSeq([]string{errcode.Server, errcode.Internal, errcode.Damaged, errcode.Timeout},
		maps.Keys(statuses))
}

// statusError is an error with a status other than its code's.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// publicError returns the status and message that a client gets for err. An error
// that is not meant for clients becomes HEDDLE_SERVER and is logged.
func (s *Server) publicError(r *http.Request, err error) (int, *wire.Error) {
	var coded *errcode.Error
	var own *statusError
	switch {
	case !errors.As(err, &coded):
		return s.uncodedError(r, err)
	case errors.As(err, &own):
		return own.status, &wire.Error{Code: coded.Code, Message: coded.Message()}
	case coded.Code == errcode.Damaged:
		return s.damagedFile(r, err)
	}
	status, ok := statuses[coded.Code]
	if !ok {
		s.log.Error("request failed", "path", r.URL.Path, "error", err)
		status = http.StatusInternalServerError
	}
	return status, &wire.Error{Code: coded.Code, Message: coded.Message()}
}

func (s *Server) uncodedError(r *http.Request, err error) (int, *wire.Error) {
	switch {
	case errors.Is(err, ErrUndecided):
		return http.StatusServiceUnavailable, &wire.Error{Code: errcode.Server, Message: "the server cannot decide now"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable,
			&wire.Error{Code: errcode.Timeout, Message: "the server did not get to it in time"}
	}
	s.log.Error("request failed", "path", r.URL.Path, "error", err)
	status := http.StatusInternalServerError
	if errors.Is(err, logstore.ErrUnavailable) {
		status = http.StatusServiceUnavailable
	}
	return status, &wire.Error{Code: errcode.Server, Message: "the server failed; its log says why"}
}

// damagedFile answers a request that met damage in the store. Devices try again: the
// space goes on as soon as its file is repaired.
func (s *Server) damagedFile(r *http.Request, err error) (int, *wire.Error) {
	s.log.Error("a space's file is damaged: stop the server and run heddle repair", "path", r.URL.Path, "error", err)
	return http.StatusInternalServerError,
		&wire.Error{Code: errcode.Server, Message: "the space's file is damaged on the server; its operator can repair it"}
}

func (s *Server) respondError(w http.ResponseWriter, r *http.Request, err error) {
	status, e := s.publicError(r, err)
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	s.respond(w, status, e.Marshal())
}
