package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/wire"
)

// line is a device's way to the server. It implements client.Doer.
type line struct {
	s  *sim
	id int // of the device

	mu      sync.Mutex
	count   map[string]int
	out, in bool // partitioned: nothing gets to the server, nothing gets back
}

func (l *line) cut(out, in bool) {
	l.mu.Lock()
	l.out, l.in = out, in
	l.mu.Unlock()
}

// cutFor cuts the line for a while.
func (l *line) cutFor(d time.Duration) {
	l.cut(true, true)
	l.s.later(d, func() { l.cut(false, false) })
}

func (l *line) isCut() (out, in bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out, l.in
}

var (
	errReset   = errors.New("the connection was reset")
	errRefused = errors.New("the connection was refused")
)

// Do implements client.Doer. What goes wrong with a request depends on its kind
// and number alone, and two that were begun together do not end together: so
// those that run side by side do not swap their fates.
func (l *line) Do(ctx context.Context, r *client.Request) (_ *client.Response, err error) {
	kind := r.URL[strings.LastIndex(r.URL, "/")+1:]
	l.mu.Lock()
	l.count[kind]++
	n := l.count[kind]
	l.mu.Unlock()
	rng := l.s.rng("request", uint64(l.id), fnv64(kind), uint64(n))
	fault := l.s.fault(rng)
	lag := time.Duration(1 + rng.IntN(int(time.Millisecond)))
	defer func() {
		if ctx.Err() != nil {
			time.Sleep(lag)
		}
		if kind == "heads" && err == nil {
			l.s.tally("heads told", 1)
		}
		l.s.event("device %d: %s %d answered %v", l.id, kind, n, err)
	}()
	l.s.event("device %d: %s %d %s %s", l.id, kind, n, fault, parts(r))
	if err := sleep(ctx, l.s.delay(rng)); err != nil {
		return nil, err
	}
	if out, _ := l.isCut(); out {
		l.s.hit("partition out")
		fault = "blackhole"
	}
	switch fault {
	case "blackhole":
		l.s.hit(fault)
		<-ctx.Done()
		return nil, ctx.Err()
	case "refused":
		l.s.hit(fault)
		return nil, errRefused
	case "busy proxy":
		l.s.hit(fault)
		return answer(503, "text/html", "try later", "Retry-After", strconv.Itoa(1+rng.IntN(20))), nil
	case "portal":
		l.s.hit(fault)
		return answer(200, "text/html", "<html>please sign in</html>"), nil
	}
	x := l.s.srv.serve(l, r, rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())))
	if x == nil {
		l.s.hit("server down")
		return nil, errRefused
	}
	if fault == "repeated" {
		l.s.hit(fault)
		l.s.later(l.s.delay(rng)*time.Duration(1+rng.IntN(40)), func() {
			if again := l.s.srv.serve(nil, r, rand.New(rand.NewPCG(l.s.seed, uint64(n)))); again != nil {
				again.abandonAfter(l.s, time.Second)
			}
		})
	}
	select {
	case <-x.began:
	case <-ctx.Done():
		x.abandon()
		return nil, ctx.Err()
	}
	if err := sleep(ctx, l.s.delay(rng)); err != nil {
		x.abandon()
		return nil, err
	}
	switch fault {
	case "reply lost":
		l.s.hit(fault)
		x.abandon()
		return nil, errReset
	case "reply never comes":
		l.s.hit(fault)
		x.abandon()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if x.isReset() {
		return nil, errReset
	}
	body := io.ReadCloser(&reader{x: x, ctx: ctx, lag: lag})
	if fault == "cut short" || fault == "cut with an end" {
		l.s.hit(fault)
		body = &cutReader{body, rng.IntN(1 + rng.IntN(4000)), fault == "cut with an end"}
	}
	status, header := x.head()
	return &client.Response{Status: status, Header: header.Get, Body: body}, nil
}

func answer(status int, contentType, body string, header ...string) *client.Response {
	return &client.Response{Status: status, Body: io.NopCloser(strings.NewReader(body)), Header: func(name string) string {
		if name == "Content-Type" {
			return contentType
		}
		if len(header) > 0 && header[0] == name {
			return header[1]
		}
		return ""
	}}
}

// cutReader ends a body early, with an error or as if it were whole.
type cutReader struct {
	io.ReadCloser
	left int
	end  bool
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		if c.end {
			return 0, io.EOF
		}
		return 0, errReset
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// sleep waits for d, or ends with ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchange is a request at the server, and its answer on the way back.
type exchange struct {
	s      *sim
	line   *line // nil where the answer is not read
	cancel context.CancelFunc
	began  chan struct{} // closed when the answer's head is there
	done   chan struct{} // closed when the handler has returned

	mu      sync.Mutex
	rng     *rand.Rand
	header  http.Header
	status  int
	chunks  []chunk
	last    time.Time
	settle  time.Duration // how long the end of it takes to be seen
	end     time.Time     // when the end, after the handler has returned, is seen
	broken  time.Time     // when it is seen that the server has gone
	reset   bool          // the client has left
	stalled bool          // what follows was lost
	more    chan struct{}
}

type chunk struct {
	at   time.Time
	data []byte
}

func newExchange(s *sim, l *line, rng *rand.Rand, cancel context.CancelFunc) *exchange {
	return &exchange{s: s, line: l, rng: rng, settle: s.delay(rng), cancel: cancel, header: http.Header{},
		began: make(chan struct{}), done: make(chan struct{}), more: make(chan struct{})}
}

func (x *exchange) run(h http.Handler, ctx context.Context, r *client.Request) {
	defer close(x.done)
	req, _ := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	req.RemoteAddr = "10.0.0.1:1"
	h.ServeHTTP(x, req)
	x.WriteHeader(http.StatusOK)
	x.mu.Lock()
	if x.end = time.Now().Add(x.settle); x.end.Before(x.last) {
		x.end = x.last
	}
	x.wake()
	x.mu.Unlock()
}

// breakOff is what the end of the server looks like from here.
func (x *exchange) breakOff() {
	x.mu.Lock()
	if x.broken.IsZero() {
		x.broken = time.Now().Add(x.settle)
	}
	x.wake()
	x.mu.Unlock()
	x.cancel()
}

func (x *exchange) wake() {
	close(x.more)
	x.more = make(chan struct{})
}

// Header implements http.ResponseWriter, as do the next two.
func (x *exchange) Header() http.Header { return x.header }

func (x *exchange) WriteHeader(status int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.status == 0 {
		x.status = status
		close(x.began)
	}
}

func (x *exchange) Write(p []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reset || !x.broken.IsZero() {
		return 0, errReset
	}
	if x.line != nil && !x.stalled {
		if _, in := x.line.isCut(); in {
			x.s.hit("partition in")
			x.stalled = true
		}
	}
	if x.stalled {
		return len(p), nil
	}
	if isSnapshot(p) {
		x.s.tally("frames of snapshots", 1)
		if x.line != nil && x.rng.IntN(3) == 0 && !x.s.isCalm() {
			x.s.hit("cut in a snapshot")
			x.stalled = true
			x.s.later(2*x.settle+time.Minute/10, x.breakOff)
			x.line.cutFor(time.Duration(x.rng.IntN(int(time.Minute))))
			return len(p), nil
		}
	}
	at := time.Now().Add(x.s.delay(x.rng))
	if at.Before(x.last) {
		at = x.last
	}
	x.last = at
	x.chunks = append(x.chunks, chunk{at, bytes.Clone(p)})
	x.wake()
	return len(p), nil
}

// isSnapshot reports whether what is written is a frame of a snapshot.
func isSnapshot(p []byte) bool {
	_, n := binary.Uvarint(p)
	return n > 0 && n < len(p) && p[n] == 6<<3|2
}

// FlushError makes http.ResponseController's Flush work.
func (x *exchange) FlushError() error { return nil }

func (x *exchange) head() (int, http.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status, x.header
}

func (x *exchange) isReset() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.reset || !x.broken.IsZero()
}

// abandon tells the server that its client has left.
func (x *exchange) abandon() {
	x.mu.Lock()
	x.reset = true
	x.wake()
	x.mu.Unlock()
	x.cancel()
}

func (x *exchange) abandonAfter(s *sim, d time.Duration) { s.later(d, x.abandon) }

// reader is an answer's body as the device reads it.
type reader struct {
	x   *exchange
	ctx context.Context
	lag time.Duration
}

func (r *reader) Read(p []byte) (n int, err error) {
	defer func() {
		if r.ctx.Err() != nil {
			time.Sleep(r.lag)
		}
		if r.x.line != nil {
			r.x.s.event("device %d reads %d %v", r.x.line.id, n, err)
		}
	}()
	x := r.x
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		x.mu.Lock()
		more := x.more
		wait := time.Duration(-1)
		switch {
		case x.reset:
			x.mu.Unlock()
			return 0, errReset
		case len(x.chunks) > 0:
			if wait = time.Until(x.chunks[0].at); wait <= 0 {
				c := &x.chunks[0]
				n := copy(p, c.data)
				if c.data = c.data[n:]; len(c.data) == 0 {
					x.chunks = x.chunks[1:]
				}
				x.mu.Unlock()
				return n, nil
			}
		case !x.broken.IsZero():
			if wait = time.Until(x.broken); wait <= 0 {
				x.mu.Unlock()
				return 0, errReset
			}
		case !x.end.IsZero() && !x.stalled:
			if wait = time.Until(x.end); wait <= 0 {
				x.mu.Unlock()
				return 0, io.EOF
			}
		}
		x.mu.Unlock()
		if wait > 0 {
			if err := r.until(wait, more); err != nil {
				return 0, err
			}
			continue
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

func (r *reader) until(d time.Duration, more chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-more:
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	return nil
}

func (r *reader) Close() error {
	r.x.abandon()
	return nil
}

var _ client.Doer = &line{}
var _ = wire.MediaType

// parts says what a push has, for the trace.
func parts(r *client.Request) string {
	req, err := wire.UnmarshalPushRequest(r.Body)
	if err != nil || !strings.HasSuffix(r.URL, "/push") {
		return ""
	}
	out := fmt.Sprintf("%x at %d:", req.Client[:2], req.Position.Seq)
	for _, p := range req.Parts {
		out += fmt.Sprintf(" %d.%d/%d", p.Counter, p.Index, p.Total)
	}
	return out
}
