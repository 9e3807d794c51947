package client

import (
	"context"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// pushProgress is what the server has acknowledged of this client's transactions.
type pushProgress struct {
	decided uint64 // the last decided counter
	staged  uint32 // parts that it holds of the next
	head    uint64 // of its log then
	life    int    // how often the progress was forgotten
}

// forgotten is the progress of a push that starts from nothing. Answers to earlier
// requests do not count for it: they have another life.
func (s pushProgress) forgotten() pushProgress { return pushProgress{life: s.life + 1} }

// pushing is a request and what it was made from.
type pushing struct {
	wire.PushRequest
	from  pushProgress
	first int64 // the id of its first transaction
	more  bool  // one request is not enough
}

// pushSize is how many bytes of parts go into one request, if there is more
// than one part.
const pushSize = wire.PartSize

// pushMax bounds the number of parts of one request.
const pushMax = 2000

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
			if total, err = c.replica.PendingBytes(ctx, req.first); err != nil {
				return err
			}
		}
		if err := c.pushRequest(ctx, req); err != nil {
			return c.refusedSeal(err)
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
	view, at := c.view, c.progress
	wait := view.Former != nil || view.Bootstrap != nil || c.restart ||
		c.seed != nil // the position is not one to push from
	c.mu.Unlock()
	if wait {
		return nil, nil
	}
	if c.cfg.Sealer != nil {
		return c.nextSealed(ctx, view, at)
	}
	after := max(view.Last, view.Offset+int64(at.decided))
	staged := int64(at.staged)
	if after != view.Offset+int64(at.decided) {
		staged = 0
	}
	req = &pushing{PushRequest: wire.PushRequest{Position: view.Position, Client: view.Client}, from: at}
	size := 0
	err = c.replica.Parts(ctx, after, staged, func(id int64, part wire.Part) bool {
		if n := len(req.Parts); n > 0 && (size+len(part.Bytes) > pushSize || n >= pushMax) {
			req.more = true
			return false
		}
		if len(req.Parts) == 0 {
			req.first = id
		}
		part.Counter = uint64(id - view.Offset)
		req.Parts = append(req.Parts, part)
		size += len(part.Bytes) + 64
		return true
	})
	if err != nil || len(req.Parts) == 0 {
		return nil, err
	}
	return req, nil
}

// sendPush sends one request and returns its answer, which is whole.
func (c *Client) sendPush(ctx context.Context, req *wire.PushRequest) (*wire.PushResponse, error) {
	a, err := c.ask(ctx, "POST", "push", req.Marshal())
	if err != nil {
		return nil, err
	}
	data, err := a.whole(maxAnswer)
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
		return replica.ErrEpoch
	}
	now := pushProgress{resp.Decided, resp.Staged, resp.Head, req.from.life}
	// Where two copies of a database share an id, the counters beyond this request
	// may be the other copy's: the server compares the bodies that it is sent.
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

// forgetProgress forgets what the server has acknowledged, if gone, which is called
// under c.mu, reports that the server's log is no longer the one of those answers:
// it was put back to an older state. Pending transactions are sent again; a server
// that has them ignores them.
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
