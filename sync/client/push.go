package client

import (
	"context"
	"errors"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// pushProgress is how far the server said it has got with this client's transactions.
type pushProgress struct {
	decided uint64 // the last decided counter
	staged  uint32 // parts that it holds of the next
	head    uint64 // of its log then
	life    int    // how often all of this was forgotten
}

// forgotten is where pushing starts anew. An answer to a request of before says
// nothing of the life that begins.
func (s pushProgress) forgotten() pushProgress { return pushProgress{life: s.life + 1} }

// pushing is a request and what it was made from.
type pushing struct {
	wire.PushRequest
	from pushProgress
	more bool // one request is not enough
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
		req, err := c.nextPush(ctx)
		if err != nil || req == nil {
			return err
		}
		if req.more && total == 0 {
			if total, err = c.pendingBytes(ctx, req.Parts[0].Counter); err != nil {
				return err
			}
		}
		if err := c.pushRequest(ctx, req); err != nil {
			return err
		}
		now := c.pushed()
		if now.head = req.from.head; now == req.from {
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

func (c *Client) pushed() pushProgress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress
}

// nextPush makes the next request, nil if the server has everything.
func (c *Client) nextPush(ctx context.Context) (req *pushing, err error) {
	c.mu.Lock()
	id, at, pos := c.ident, c.progress, c.pos
	booting := c.bootstrap != nil || c.restart || c.seed != nil // the position is not one to push from
	c.mu.Unlock()
	if id.held || booting {
		return nil, nil
	}
	after := max(id.last, id.offset+int64(at.decided))
	staged := int64(at.staged)
	if after != id.offset+int64(at.decided) {
		staged = 0
	}
	req = &pushing{PushRequest: wire.PushRequest{Position: pos, Client: id.client}, from: at}
	size, highest := 0, after
	err = c.db.Query(ctx, `SELECT id, part, total, hash, bytes FROM heddle_pending
		WHERE id > ?1 + 1 OR id = ?1 + 1 AND part >= ?2 ORDER BY id, part`,
		store.Args(after, staged), nil, func(stmt *sqlite3.Stmt) error {
			bytes := stmt.ColumnBlob(4, nil)
			if n := len(req.Parts); n > 0 && (size+len(bytes) > pushSize || n >= pushMax) {
				req.more = true
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
		return nil, err
	}
	if len(req.Parts) == 0 {
		return nil, nil
	}
	return req, nil
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

// sendPush sends one request and returns its answer, which is whole.
func (c *Client) sendPush(ctx context.Context, req *wire.PushRequest) (*wire.PushResponse, error) {
	a, err := c.ask(ctx, "POST", "push", req.Marshal())
	if err != nil {
		return nil, err
	}
	data, err := a.whole()
	if err != nil {
		return nil, err
	}
	resp, err := wire.UnmarshalPushResponse(data)
	if err == nil && resp.Epoch == (wire.Epoch{}) { // an answer that was cut short decodes; every whole one has an epoch
		err = errcode.New(errcode.Network, "sync: push", "the answer was cut short")
	}
	return resp, err
}

// pushRequest sends one request and notes how far the server has got.
func (c *Client) pushRequest(ctx context.Context, req *pushing) error {
	resp, err := c.sendPush(ctx, &req.PushRequest)
	if err != nil {
		return err
	}
	if zero := (wire.Epoch{}); req.Position.Epoch != zero && resp.Epoch != req.Position.Epoch {
		return errEpoch
	}
	now := pushProgress{resp.Decided, resp.Staged, resp.Head, req.from.life}
	// Where two copies of a database share an id, what this request said nothing
	// of may be the other's: the server compares what it is sent.
	if n := len(req.Parts); n > 0 && resp.Decided > req.Parts[n-1].Counter {
		now.decided, now.staged = req.Parts[n-1].Counter, 0
	} else if !slices.ContainsFunc(req.Parts, func(p wire.Part) bool { return p.Counter == resp.Decided+1 }) {
		now.staged = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.progress.life == now.life {
		c.progress = now
	}
	return nil
}

// forgetProgress forgets how far the server said it had got, if gone says, under c.mu,
// that its log is not the one that it said that of: it was put back to an older
// one. What is pending is sent again; a server that has it after all passes it
// over.
func (c *Client) forgetProgress(gone func() bool) {
	c.mu.Lock()
	lost := gone()
	if lost {
		c.progress = c.progress.forgotten()
	}
	c.mu.Unlock()
	if lost {
		c.wakePush()
	}
}

// errEpoch says that the server's log is not the one that the prefix is of.
var errEpoch = diverged("the server's log is another one than this replica has followed: " +
	"the server was reset or restored, or the URL leads to another; it is looked at again every minute, " +
	"and nothing is synced until it is back, or Client.Accept (db.sync.accept()) goes on with the log that is there")

func diverged(msg string) error { return errcode.New(errcode.Diverged, "sync", msg) }
