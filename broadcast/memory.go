package broadcast

import (
	"bytes"
	"sync"

	"heddle.dev/heddle/internal/errcode"
)

// Memory is a broadcast medium inside one process, for tests and for programs
// without tabs. Post calls the receivers before it returns.
type Memory struct {
	mu  sync.Mutex
	all []*memoryChannel
}

// NewMemory makes a medium that nobody has joined.
func NewMemory() *Memory { return &Memory{} }

// Join adds a channel: it receives what the others post.
func (m *Memory) Join() Channel {
	c := &memoryChannel{m: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, c)
	return c
}

type memoryChannel struct {
	m      *Memory
	closed bool
	subs   map[int]func([]byte)
	next   int
}

func (c *memoryChannel) Post(p []byte) error {
	c.m.mu.Lock()
	if c.closed {
		c.m.mu.Unlock()
		return errcode.New(errcode.Closed, "broadcast: post", "the channel is closed")
	}
	var receivers []func([]byte)
	for _, other := range c.m.all {
		if other != c {
			for i := range other.next {
				if f := other.subs[i]; f != nil {
					receivers = append(receivers, f)
				}
			}
		}
	}
	c.m.mu.Unlock()
	for _, f := range receivers {
		f(bytes.Clone(p))
	}
	return nil
}

func (c *memoryChannel) Receive(f func([]byte)) (stop func()) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.subs == nil {
		c.subs = map[int]func([]byte){}
	}
	id := c.next
	c.next++
	c.subs[id] = f
	return func() {
		c.m.mu.Lock()
		defer c.m.mu.Unlock()
		delete(c.subs, id)
	}
}

func (c *memoryChannel) Close() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.closed = true
	c.subs = nil
	for i, other := range c.m.all {
		if other == c {
			c.m.all = append(c.m.all[:i:i], c.m.all[i+1:]...)
			break
		}
	}
	return nil
}
