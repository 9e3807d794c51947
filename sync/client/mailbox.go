package client

import (
	"context"
	"encoding/hex"
	"strconv"

	"heddle.dev/heddle/internal/errcode"
)

// Mailbox is where two devices that pair leave numbered messages for each other. What
// they say is sealed, and the server keeps it for some minutes.
type Mailbox interface {
	// Put leaves the message of a number. To leave it twice does no harm.
	Put(ctx context.Context, n int, message []byte) error
	// Get waits for the message of a number, until ctx ends.
	Get(ctx context.Context, n int) ([]byte, error)
}

type mailbox struct {
	c  *Client
	id [16]byte
}

// Mailbox returns one on the server. Who knows its id may read it and write to it.
func (c *Client) Mailbox(id [16]byte) Mailbox { return &mailbox{c, id} }

func (m *mailbox) resource(n int) string {
	return "pair?id=" + hex.EncodeToString(m.id[:]) + "&n=" + strconv.Itoa(n)
}

// Put implements Mailbox.
func (m *mailbox) Put(ctx context.Context, n int, message []byte) error {
	_, err := m.try(ctx, n, message)
	return err
}

// Get implements Mailbox.
func (m *mailbox) Get(ctx context.Context, n int) ([]byte, error) {
	for {
		message, err := m.try(ctx, n, []byte{})
		if err != nil || len(message) > 0 {
			return message, err
		}
	}
}

// try asks the server until it answers.
func (m *mailbox) try(ctx context.Context, n int, message []byte) ([]byte, error) {
	for tries := 0; ; tries++ {
		a, err := m.c.ask(ctx, "POST", m.resource(n), message)
		if err == nil {
			return a.whole(maxAnswer)
		}
		switch code := errcode.Of(err); code {
		case errcode.Network, errcode.Server, errcode.RateLimited:
			m.c.sleep(ctx, m.c.backoff(tries, code))
		default:
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: pair")
		}
	}
}
