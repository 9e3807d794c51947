package jsbridge

import "github.com/hack-pad/safejs"

// Channel is a BroadcastChannel for bytes: what Post sends reaches every other
// context of the origin that opened the same name.
// https://html.spec.whatwg.org/#broadcasting-to-other-browsing-contexts
type Channel struct{ channel safejs.Value }

// NewChannel opens the channel of that name.
func NewChannel(name string) (*Channel, error) {
	c, err := construct("BroadcastChannel", name)
	if err != nil {
		return nil, err
	}
	return &Channel{c}, nil
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

// Close ends the channel. It may be called more than once.
func (c *Channel) Close() error {
	_, err := c.channel.Call("close")
	return thrown(err)
}
