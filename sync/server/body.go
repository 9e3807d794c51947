package server

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// setDeadlines bounds how long a request may hold its connection. A body has
// little time until readBody is called: nothing was verified yet. Not every
// ResponseWriter has deadlines; their errors are ignored.
func (s *Server) setDeadlines(w http.ResponseWriter, r *http.Request) {
	rc, now := http.NewResponseController(w), time.Now()
	rc.SetWriteDeadline(now.Add(s.o.Limits.Request))
	if r.ContentLength != 0 {
		rc.SetReadDeadline(now.Add(s.o.Limits.Refused))
		if r.ProtoMajor == 1 { // of HTTP/2 the stream ends alone
			w.Header().Set("Connection", "close")
		}
	}
}

// readBody reads a request's body, within the limits before and after
// decompression.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return s.readUpTo(w, r, wire.MaxRequest)
}

// readUpTo is readBody of a request that may be larger than others.
func (s *Server) readUpTo(w http.ResponseWriter, r *http.Request, most int64) (_ []byte, err error) {
	const op = "server: read request"
	unsupported := func(msg string) error {
		return &statusError{http.StatusUnsupportedMediaType, errcode.New(errcode.Protocol, op, msg)}
	}
	rc := http.NewResponseController(w)
	defer func() {
		if err != nil {
			rc.SetReadDeadline(time.Now().Add(s.o.Limits.Refused))
		}
	}()
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != wire.MediaType {
		return nil, unsupported("the Content-Type is not " + wire.MediaType)
	}
	var in io.Reader = http.MaxBytesReader(w, r.Body, most)
	in = &pacedReader{Reader: in, rc: rc, until: time.Now().Add(s.o.Limits.Request)}
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		if in, err = gzip.NewReader(in); err != nil {
			return nil, errcode.New(errcode.Protocol, op, "the body is not gzip")
		}
	default:
		return nil, unsupported("the Content-Encoding is not known")
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong), int64(len(data)) > most:
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

// pacedReader reads a body that must come at least as fast as on the slowest line:
// each byte that has come extends the deadline of the rest.
type pacedReader struct {
	io.Reader
	rc    *http.ResponseController
	until time.Time
}

func (p *pacedReader) Read(data []byte) (int, error) {
	p.rc.SetReadDeadline(p.until)
	n, err := p.Reader.Read(data)
	p.until = p.until.Add(transferTime(n))
	return n, err
}

// transferTime is what n bytes take on the slowest line that is served, of 32 KiB
// a second.
func transferTime(n int) time.Duration { return time.Duration(n) * time.Second / (32 << 10) }

func (s *Server) respond(w http.ResponseWriter, status int, body []byte) {
	until := time.Now().Add(s.o.Limits.Request + transferTime(len(body)))
	http.NewResponseController(w).SetWriteDeadline(until)
	w.Header().Set("Content-Type", wire.MediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
