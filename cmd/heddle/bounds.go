package main

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/sync/server"
)

// bounds are the waits of the commands, beside those that flags set, and how many
// connections may wait. A field that is 0 has the value in the comment; tests set
// what a slow machine could reach higher, and what they wait for lower.
type bounds struct {
	header      time.Duration // for the head of a request; 10 s
	idle        time.Duration // how long a connection without a request stays open; 2 min
	request     time.Duration // server.Limits.Request, and for a piece of a file; 30 s
	refused     time.Duration // server.Limits.Refused: for an unread body; 2 s
	decision    time.Duration // server.Limits.Decision
	store       time.Duration // server.Limits.Store
	ready       time.Duration // for the store's answer to /readyz; 2 s
	connections int           // 20,000
}

func (b bounds) defaults() bounds {
	b.header = cmp.Or(b.header, 10*time.Second)
	b.idle = cmp.Or(b.idle, 2*time.Minute)
	b.request = cmp.Or(b.request, 30*time.Second)
	b.refused = cmp.Or(b.refused, 2*time.Second)
	b.ready = cmp.Or(b.ready, 2*time.Second)
	b.connections = cmp.Or(b.connections, 20_000)
	return b
}

// busy is how long a command waits for a file that a server has locked.
const busy = 5 * time.Second

// refreshEvery is how often files of keys and revocations are looked at.
const refreshEvery = 250 * time.Millisecond

// set settles what both have: a limit that is set counts for the connections as well.
func (b *bounds) set(l *server.Limits) {
	for _, one := range []struct{ limit, bound *time.Duration }{
		{&l.Request, &b.request}, {&l.Refused, &b.refused}, {&l.Decision, &b.decision}, {&l.Store, &b.store}} {
		*one.bound = cmp.Or(*one.limit, *one.bound)
		*one.limit = *one.bound
	}
}

// server returns what serves h within the bounds. Every request passes guard, also
// one that no route takes.
// A connection speaks HTTP/1.1, or HTTP/2: over TLS, and in clear for proxies.
func (b *bounds) server(h http.Handler, errors *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	http2 := &http.HTTP2Config{SendPingTimeout: b.request, PingTimeout: b.request, WriteByteTimeout: b.request}
	return &http.Server{
		Protocols:                    protocols,
		HTTP2:                        http2,
		Handler:                      b.guard(h),
		DisableGeneralOptionsHandler: true, // it would read the body of OPTIONS *
		ReadHeaderTimeout:            b.header,
		ReadTimeout:                  b.request,
		WriteTimeout:                 b.request,
		IdleTimeout:                  b.idle,
		MaxHeaderBytes:               64 << 10,
		ErrorLog:                     slog.NewLogLogger(errors.Handler(), slog.LevelWarn),
	}
}

// guard ends connections whose request has a body that is not read. A reader of one
// sets another deadline, as sync/server does.
func (b *bounds) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(b.refused))
			if r.ProtoMajor == 1 { // of HTTP/2 the stream ends alone
				w.Header().Set("Connection", "close")
			}
		}
		h.ServeHTTP(w, r)
	})
}

// slowWriter gives each piece of an answer its own time, so that a large file may
// take long, and one that is not read may not.
type slowWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	time time.Duration
}

func newSlowWriter(w http.ResponseWriter, time time.Duration) *slowWriter {
	return &slowWriter{w, http.NewResponseController(w), time}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.rc.SetWriteDeadline(time.Now().Add(w.time)) // not every writer can
	return w.ResponseWriter.Write(p)
}

// limited accepts no more than a number of connections at a time. Those beyond are
// closed at once: a client tries again, where one that waits would not know why.
type limited struct {
	net.Listener
	most int
	log  *slog.Logger

	refused atomic.Uint64 // how many were closed

	mu   sync.Mutex
	open int
	told time.Time
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.enter() {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(l.leave)}, nil
		}
		c.Close()
	}
}

// opened is how many connections are open.
func (l *limited) opened() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.open)
}

func (l *limited) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.most {
		l.open++
		return true
	}
	l.refused.Add(1)
	if time.Since(l.told) > time.Minute {
		l.told = time.Now()
		l.log.Warn("too many connections: new ones are closed", "most", l.most)
	}
	return false
}

func (l *limited) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
