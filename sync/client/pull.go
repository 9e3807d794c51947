package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"

	"github.com/ncruces/go-sqlite3"
)

// batch bounds what is applied in one transaction, in bytes of bodies; an
// entry is never cut.
const batch = 1 << 20

// pull follows the log from the prefix's end, for wait: forever is until ctx ends
// or the stream breaks, which is an error; a poll ends without one. opened is called when the server has answered, caughtUp when the
// prefix has reached the head.
func (c *Client) pull(ctx context.Context, wait time.Duration, opened, caughtUp func()) error {
	anew, err := c.pullOnce(ctx, wait, opened, caughtUp)
	switch {
	case errcode.Of(err) != errcode.Diverged || errors.Is(err, errEpoch):
		return err
	case anew: // which a server refuses for its epoch alone
		return errEpoch
	}
	return c.startOver(err)
}

// pullOnce also says whether the server was asked to have this replica start
// over, and refused that.
func (c *Client) pullOnce(ctx context.Context, wait time.Duration, opened, caughtUp func()) (refused bool, err error) {
	select { // another pull applies a snapshot: after it, there may be little left
	case c.bootstrapTurn <- struct{}{}:
		<-c.bootstrapTurn
	case <-ctx.Done():
		return false, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: pull")
	}
	c.mu.Lock()
	req := wire.PullRequest{Position: c.pos, Client: c.ident.client, Snapshots: true, Anew: c.restart}
	if c.restart {
		req.Only, c.onlyBuckets = c.onlyBuckets, nil // tried once
	}
	req.Clients = slices.Clone(c.askedClients)
	if c.ident.held {
		req.Clients = append(req.Clients, c.ident.former)
	}
	if c.bootstrap != nil && !c.restart {
		at := *c.bootstrap
		if req.Anew = at.Table == "" && !at.Done; !req.Anew { // else nothing has come of it
			req.Resume = &at
		}
	}
	replaced := c.generation
	c.mu.Unlock()
	rctx, heard := c.watchStream(ctx, wait)
	defer heard.close()
	a, err := c.ask(rctx, "POST", pullResource(wait), req.Marshal())
	if err != nil {
		return req.Anew, err
	}
	defer a.close()
	p := puller{c: c, ctx: ctx, req: &req, epoch: req.Position.Epoch, client: req.Client, from: req.Position.Seq, generation: replaced}
	defer func() {
		if p.bootstrapping {
			<-c.bootstrapTurn
		}
	}()
	frames := wire.NewFrameReader(a.Body)
	for {
		f, err := frames.Next()
		if err == io.EOF {
			if wait != forever && p.done {
				return false, nil
			}
			return false, errcode.New(errcode.Network, "sync: pull", "the server has closed the stream")
		}
		if err != nil {
			return false, heard.judge(errcode.Wrap(err, errcode.Network, "sync: pull"))
		}
		heard.frame()
		switch {
		case f.Hello != nil:
			if err := p.hello(f.Hello); err != nil {
				return false, err
			}
			opened()
		case f.Error != nil:
			return false, c.ended(f.Error)
		case f.Snapshot != nil:
			if err := p.snapshot(f.Snapshot); err != nil {
				return false, err
			}
		case len(f.Entries) > 0:
			if err := p.entries(f.Entries); err != nil {
				return false, err
			}
		case f.Heartbeat != nil:
			// An answer to a push that was long on its way told of more than there is.
			c.forgetProgress(func() bool { return f.Heartbeat.Head < c.progress.head })
		case f.CaughtUp != nil:
			p.done = true
			if err := p.current(); err != nil {
				return false, err
			}
			if err := c.compare(ctx, f.CaughtUp); err != nil {
				return false, err
			}
			c.forgetProgress(func() bool { // decided before here, and not in the log
				return c.progress.head > 0 && f.CaughtUp.Seq >= c.progress.head && c.ident.last < c.ident.offset+int64(c.progress.decided)
			})
			if err := c.sendSeed(ctx, f.CaughtUp.Seq); err != nil {
				return false, err
			}
			heard.current = true
			caughtUp()
			if wait == untilHead {
				return false, nil
			}
		}
	}
}

// errExpired ends a stream whose token's time is over.
var errExpired = errcode.New(errcode.Unauthorized, "sync: pull", "the token has expired")

// ended says why the server ends a stream.
func (c *Client) ended(e *wire.Error) error {
	switch e.Code {
	case errcode.Unauthorized:
		c.mu.Lock()
		c.token = ""
		c.mu.Unlock()
		return errExpired
	case errcode.Diverged, errcode.ClientFork, errcode.Behind, errcode.Forbidden, errcode.Protocol, errcode.RateLimited:
		return errcode.New(e.Code, "sync: pull", e.Message)
	}
	return errcode.New(errcode.Server, "sync: pull", e.Message)
}

// puller is one pull stream.
type puller struct {
	c      *Client
	ctx    context.Context
	epoch  wire.Epoch
	client wire.ClientID
	greets bool
	done   bool
	head   uint64
	from   uint64 // the prefix when the transfer began
	rows   uint64
	// The client's at the time of the request, or of the snapshot that this stream brought.
	generation int

	clients []wire.Decided // what a snapshot has told before its end
	own     []wire.Outcome

	req           *wire.PullRequest
	bootstrapping bool // a snapshot has begun to come, and this pull has the turn to apply it
	total         uint64
}

func (p *puller) hello(h *wire.Hello) error {
	zero := wire.Epoch{}
	if p.epoch != zero && h.Epoch != p.epoch || h.Epoch == zero {
		return errEpoch
	}
	p.epoch, p.head, p.greets = h.Epoch, h.Head, true
	if p.head < p.from && !p.req.Anew && p.req.Resume == nil {
		return diverged(fmt.Sprintf("the server's log ends at %d, and this replica has seen %d: the server has lost entries", p.head, p.from))
	}
	p.c.forgetProgress(func() bool { return h.Head < p.c.progress.head })
	return nil
}

// current refuses a stream that began before another one brought the state anew:
// after a restore entries have the numbers of others, and digests of their own.
func (p *puller) current() error {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.generation != p.c.generation {
		return errcode.New(errcode.Network, "sync: pull", "the stream is of a log that was replaced meanwhile")
	}
	return nil
}

// entries applies a frame's entries, several transactions in one where they
// are small.
func (p *puller) entries(entries []wire.Entry) error {
	if !p.greets {
		return errcode.New(errcode.Protocol, "sync: pull", "entries came before the greeting")
	}
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+len(entries[n].Body) <= batch) {
			size += len(entries[n].Body) + 100
			n++
		}
		rows, err := p.c.apply(p.ctx, p.client, p.epoch, entries[:n])
		if err != nil {
			return err
		}
		p.rows += rows
		last := entries[n-1].Seq
		entries = entries[n:]
		p.head = max(p.head, last)
		if p.head-p.from > 20 || p.rows > 5000 {
			p.c.events.put(Progress{Phase: "pull", Done: last, Total: p.head, Rows: p.rows})
			p.c.events.deliver()
		}
	}
	return nil
}

// compare holds the prefix's digest against the server's, where they speak of
// the same entry.
func (c *Client) compare(ctx context.Context, up *wire.CaughtUp) error {
	bad := false
	repairs := c.Status().Repairs
	var settled *state
	var invalidation int64
	err := c.db.Apply(ctx, func(tx *store.Tx) error {
		return tx.Inside(func(*sqlite3.Conn) error {
			r := c.rowsOn(tx)
			s, err := c.current(&r)
			if err != nil {
				return err
			}
			if err := c.recount(&r, s); err != nil {
				return err
			}
			bad = s.pos.Seq == up.Seq && s.digest.Sum() != up.Digest
			if bad {
				repairs++
				return setMeta(r.conn, metaRepairs, int64(repairs))
			}
			if s.former == nil && s.complete || s.pos.Seq < up.Seq {
				return nil
			}
			invalidation = c.invalidate()
			copied := *s
			settled = &copied
			c.state = settled
			if err := settled.completed(r.conn); err != nil || s.former == nil {
				return err
			}
			return settled.settle(r.conn)
		})
	})
	if err == nil && settled != nil {
		c.validate(invalidation)
		c.share(settled)
		c.wakePush()
	}
	if err == nil {
		c.update(func(cond *condition) {
			cond.last = max(c.recorded.Load(), cond.first)
			cond.repairs = repairs
		})
	}
	if err == nil && !bad {
		c.mu.Lock()
		c.restarts = 0
		c.mu.Unlock()
	}
	if err == nil && bad && !c.locate(ctx, up) {
		err = diverged(fmt.Sprintf("the digest at entry %d is not the server's: this replica's tables differ", up.Seq))
	}
	return err
}
