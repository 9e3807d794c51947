package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is a server's way to its database, which can be cut, stop carrying anything,
// and lose notifications.
type proxy struct {
	addr string

	lose atomic.Bool  // notifications
	lost atomic.Int64 // how many were

	mu     sync.Mutex
	target string
	isCut  bool
	flows  chan struct{} // closed; while it is stalled one that is not
	open   map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), target: target, flows: make(chan struct{}), open: map[net.Conn]bool{}}
	close(p.flows)
	t.Cleanup(func() {
		l.Close()
		p.cut()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

// keep notes a connection; it is false where that is to be closed.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isCut {
		p.open[c] = true
	}
	return !p.isCut
}

func (p *proxy) carry(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	database, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	if p.keep(client) && p.keep(database) {
		go func() {
			p.there(database, client)
			database.Close()
		}()
		p.back(client, database)
	}
	client.Close()
	database.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, client)
	delete(p.open, database)
}

// wait waits while the proxy is stalled.
func (p *proxy) wait() {
	p.mu.Lock()
	flows := p.flows
	p.mu.Unlock()
	<-flows
}

func (p *proxy) there(to io.Writer, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		p.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// back carries the database's messages, each of which has its kind and its length
// first: https://www.postgresql.org/docs/current/protocol-message-formats.html
func (p *proxy) back(to io.Writer, from io.Reader) error {
	r, w := bufio.NewReader(from), bufio.NewWriter(to)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint32(head[1:])) - 4
		p.wait()
		if head[0] == 'A' && p.lose.Load() {
			p.lost.Add(1)
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return err
			}
			continue
		}
		_, err := w.Write(head[:])
		_, err2 := io.CopyN(w, r, size)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// cut ends all connections, and each new one, until mend.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = true
	for c := range p.open {
		c.Close()
	}
	clear(p.open)
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = false
}

// retarget leads new connections, of which there are none yet, to another database.
func (p *proxy) retarget(target string) {
	p.cut()
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.mend()
}

// stall holds what comes, until flow: the connections stay open.
func (p *proxy) stall() (flow func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	flows := make(chan struct{})
	p.flows = flows
	return func() { close(flows) }
}
