package jsbridge

import (
	"sync"

	"github.com/hack-pad/safejs"
)

// Channel is a BroadcastChannel that carries bytes: what Post sends reaches
// every other context of the origin that opened the same name, never this
// Channel itself. https://html.spec.whatwg.org/#broadcasting-to-other-browsing-contexts
type Channel struct {
	channel safejs.Value
	mu      sync.Mutex
	stops   map[int]func()
	next    int
	closed  bool
}

// NewChannel opens the channel of that name.
func NewChannel(name string) (*Channel, error) {
	c, err := construct("BroadcastChannel", name)
	if err != nil {
		return nil, err
	}
	return &Channel{channel: c, stops: map[int]func(){}}, nil
}

// Post sends a copy of p and returns at once.
func (c *Channel) Post(p []byte) error {
	u8, err := uint8Array(p)
	if err != nil {
		return err
	}
	_, err = c.channel.Call("postMessage", u8)
	return thrown(err)
}

// Receive calls fn with each message, which is fn's own, until stop is called.
// fn must not block. Messages that are not bytes are ignored.
func (c *Channel) Receive(fn func([]byte)) (stop func()) {
	remove, err := listen(c.channel, "message", func(event safejs.Value) {
		data, err := event.Get("data")
		if err != nil || data.Type() != safejs.TypeObject {
			return
		}
		if p, err := bytesOf(data); err == nil {
			fn(p)
		}
	})
	if err != nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.stops[id] = remove
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if remove, ok := c.stops[id]; ok {
			delete(c.stops, id)
			remove()
		}
	}
}

// Close ends the channel and every Receive. It may be called more than once.
func (c *Channel) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	for id, remove := range c.stops {
		delete(c.stops, id)
		remove()
	}
	_, err := c.channel.Call("close")
	return thrown(err)
}
