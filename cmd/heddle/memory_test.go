package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
)

// pipes is a listener without sockets, for servers in a bubble of
// testing/synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// servingInMemory serves the files of a directory, and nothing else.
func servingInMemory(t *testing.T, b bounds, site string, most int) *pipes {
	t.Helper()
	b = b.defaults()
	routes, files, err := (&serveFlags{static: site}).routes(nil, &b)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.pattern, r.handler)
	}
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	log := slog.New(slog.DiscardHandler)
	hs := b.server(mux, log)
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(&limited{Listener: l, most: most, log: log}) }()
	t.Cleanup(func() {
		hs.Close()
		<-ended
		files.Close()
	})
	return l
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.close(); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
