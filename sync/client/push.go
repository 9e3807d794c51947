package client

import (
	"context"
	"errors"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/store"
	"heddle/sync/wire"
)

// sent is how far the server said it has got with this client's transactions.
type sent struct {
	decided uint64 // the last decided counter
	staged  uint32 // parts that it holds of the next
}

// pushSize is how many bytes of parts go into one request, if there is more
// than one part.
const pushSize = wire.PartSize

// pushMax bounds the number of parts of one request.
const pushMax = 2000

// errEnough ends a query early.
var errEnough = errors.New("enough")

// push sends pending transactions until the server has them all. One push
// runs at a time.
func (c *Client) push(ctx context.Context) error {
	select {
	case c.pushMu <- struct{}{}:
		defer func() { <-c.pushMu }()
	case <-ctx.Done():
		return errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: push")
	}
	var done, total uint64
	for {
		req, more, err := c.nextPush(ctx)
		if err != nil || req == nil {
			return err
		}
		if more && total == 0 {
			if total, err = c.pendingBytes(ctx, req.Parts[0].Counter); err != nil {
				return err
			}
		}
		before := c.sentSoFar()
		if err := c.pushRequest(ctx, req); err != nil {
			return err
		}
		if c.sentSoFar() == before {
			return errcode.New(errcode.Server, "sync: push", "the server takes no more parts of a transaction")
		}
		if total > 0 {
			for i := range req.Parts {
				done += uint64(len(req.Parts[i].Bytes))
			}
			c.events.put(Progress{Phase: "push", Done: done, Total: max(total, done)})
			c.events.deliver()
		}
	}
}

func (c *Client) sentSoFar() sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// nextPush makes the next request, nil if the server has everything. more says
// that one request is not enough.
func (c *Client) nextPush(ctx context.Context) (req *wire.PushRequest, more bool, err error) {
	c.mu.Lock()
	id, at, pos := c.ident, c.sent, c.pos
	booting := c.boot != nil || c.anew // the position is not one to push from
	c.mu.Unlock()
	if id.held || booting {
		return nil, false, nil
	}
	after := max(id.last, id.offset+int64(at.decided))
	staged := int64(at.staged)
	if after != id.offset+int64(at.decided) {
		staged = 0
	}
	req = &wire.PushRequest{Position: pos, Client: id.client}
	size, highest := 0, after
	err = c.db.Query(ctx, `SELECT id, part, total, hash, bytes FROM heddle_pending
		WHERE id > ?1 + 1 OR id = ?1 + 1 AND part >= ?2 ORDER BY id, part`,
		store.Args(after, staged), nil, func(stmt *sqlite3.Stmt) error {
			bytes := stmt.ColumnBlob(4, nil)
			if n := len(req.Parts); n > 0 && (size+len(bytes) > pushSize || n >= pushMax) {
				more = true
				return errEnough
			}
			highest = stmt.ColumnInt64(0)
			part := wire.Part{
				Counter: uint64(highest - id.offset),
				Index:   uint32(stmt.ColumnInt64(1)),
				Total:   uint32(stmt.ColumnInt64(2)),
				Bytes:   bytes,
			}
			copy(part.BodyHash[:], stmt.ColumnRawBlob(3))
			req.Parts = append(req.Parts, part)
			size += len(bytes) + 64
			return nil
		})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, err
	}
	if len(req.Parts) == 0 {
		return nil, false, nil
	}
	return req, more, nil
}

// pendingBytes is the size of what is to be sent from a transaction on.
func (c *Client) pendingBytes(ctx context.Context, counter uint64) (n uint64, err error) {
	c.mu.Lock()
	id := c.ident.offset + int64(counter)
	c.mu.Unlock()
	err = c.db.Query(ctx, `SELECT coalesce(sum(length(bytes)), 0) FROM heddle_pending WHERE id >= ?`, store.Args(id), nil, func(stmt *sqlite3.Stmt) error {
		n = uint64(stmt.ColumnInt64(0))
		return nil
	})
	return n, err
}

// pushRequest sends one request and notes how far the server has got.
func (c *Client) pushRequest(ctx context.Context, req *wire.PushRequest) error {
	a, err := c.ask(ctx, "POST", "push", req.Marshal())
	if err != nil {
		return err
	}
	data, err := a.whole()
	if err != nil {
		return err
	}
	resp, err := wire.UnmarshalPushResponse(data)
	if err != nil {
		return err
	}
	switch zero := (wire.Epoch{}); {
	case resp.Epoch == zero: // an answer that was cut short decodes; every whole one has an epoch
		return errcode.New(errcode.Network, "sync: push", "the answer was cut short")
	case req.Position.Epoch != zero && resp.Epoch != req.Position.Epoch:
		return errEpoch
	}
	now := sent{resp.Decided, resp.Staged}
	// Where two copies of a database share an id, what this request said nothing
	// of may be the other's: the server compares what it is sent.
	if n := len(req.Parts); n > 0 && resp.Decided > req.Parts[n-1].Counter {
		now = sent{decided: req.Parts[n-1].Counter}
	} else if !slices.ContainsFunc(req.Parts, func(p wire.Part) bool { return p.Counter == resp.Decided+1 }) {
		now.staged = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ident.client == req.Client {
		c.sent = now
	}
	return nil
}

// errEpoch says that the server's log is not the one that the prefix is of.
var errEpoch = diverged("the server's log is another one than this replica has followed: the server was reset or restored, or the URL leads to another; nothing is synced until it is back, or the app opens a database of another name")

func diverged(msg string) error { return errcode.New(errcode.Diverged, "sync", msg) }
