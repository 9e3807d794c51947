package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// batch bounds what is applied in one transaction, in bytes of bodies; an
// entry is never cut.
const batch = 1 << 20

// pull follows the log from the prefix's end, for wait: forever is until ctx ends
// or the stream breaks, which is an error; a poll ends without one. opened is called
// when the server has answered, caughtUp when the prefix has reached the head.
func (c *Client) pull(ctx context.Context, wait time.Duration, opened, caughtUp func()) error {
	if c.cfg.Sealer != nil {
		return c.pullSealed(ctx, func(ownBodies bool) error {
			_, err := c.pullOnce(ctx, wait, ownBodies, opened, caughtUp)
			return err
		})
	}
	restarted, err := c.pullOnce(ctx, wait, false, opened, caughtUp)
	switch {
	case errcode.Of(err) != errcode.Diverged || errors.Is(err, replica.ErrEpoch):
		return err
	case restarted: // which a server refuses for its epoch alone
		return replica.ErrEpoch
	}
	return c.startOver(err)
}

// pullOnce also says whether the server was asked to have this replica start
// over, and refused that. ownBodies asks for the bodies of own entries too.
func (c *Client) pullOnce(
	ctx context.Context, wait time.Duration, ownBodies bool, opened, caughtUp func(),
) (refused bool, err error) {
	select { // another pull applies a snapshot: after it, there may be little left
	case c.bootstrapTurn <- struct{}{}:
		<-c.bootstrapTurn
	case <-ctx.Done():
		return false, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: pull")
	}
	req, generation := c.pullRequest()
	req.OwnBodies = ownBodies
	rctx, heard := c.watchStream(ctx, wait)
	defer heard.close()
	a, err := c.ask(rctx, "POST", pullResource(wait), req.Marshal())
	if err != nil {
		return req.Anew, err
	}
	defer a.close()
	p := puller{c: c, ctx: ctx, req: req, epoch: req.Position.Epoch, client: req.Client, from: req.Position.Seq,
		generation: generation}
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
		case len(f.Heads) > 0 && c.cfg.Sealer != nil:
			if err := c.hear(ctx, f.Heads); err != nil {
				return false, err
			}
		case f.Heartbeat != nil:
			// A late answer to a push may have named a longer log.
			c.forgetProgress(func() bool { return f.Heartbeat.Head < c.progress.head })
		case f.Wanted != nil && c.cfg.Sealer != nil:
			snapshots{c}.wanted(ctx, f.Wanted)
		case f.CaughtUp != nil:
			p.done = true
			if err := p.current(); err != nil {
				return false, err
			}
			if err := c.compare(ctx, f.CaughtUp); err != nil {
				return false, err
			}
			c.forgetProgress(func() bool { // decided before here, and not in the log
				return c.progress.head > 0 && f.CaughtUp.Seq >= c.progress.head &&
					c.view.Last < c.view.Offset+int64(c.progress.decided)
			})
			if err := c.sendSeed(ctx, f.CaughtUp.Seq); err != nil {
				return false, err
			}
			if err := c.reached(ctx); err != nil {
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

// pullRequest asks for what follows the prefix, or for a snapshot. generation is that
// of the answer.
func (c *Client) pullRequest() (req *wire.PullRequest, generation int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	req = &wire.PullRequest{Position: c.view.Position, Client: c.view.Client, Anew: c.restart}
	if c.restart {
		req.Only, c.onlyBuckets = c.onlyBuckets, nil // tried once
	}
	req.Snapshots = c.cfg.Sealer == nil
	req.Clients = slices.Clone(c.askedClients)
	if c.view.Former != nil {
		req.Clients = append(req.Clients, *c.view.Former)
	}
	if c.view.Bootstrap != nil && !c.restart {
		at := *c.view.Bootstrap
		if req.Anew = at.Table == "" && !at.Done; !req.Anew { // else nothing has come of it
			req.Resume = &at
		}
	}
	return req, c.generation
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
	case errcode.Diverged, errcode.ClientFork, errcode.Behind, errcode.Forbidden, errcode.Protocol, errcode.RateLimited,
		errcode.Removed:
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

	clients []wire.Decided // what a snapshot's frames have listed before the last
	own     []wire.Outcome

	req           *wire.PullRequest
	bootstrapping bool // a snapshot has begun to come, and this pull has the turn to apply it
	total         uint64
}

func (p *puller) hello(h *wire.Hello) error {
	zero := wire.Epoch{}
	if p.epoch != zero && h.Epoch != p.epoch || h.Epoch == zero {
		return replica.ErrEpoch
	}
	p.epoch, p.head, p.greets = h.Epoch, h.Head, true
	if p.head < p.from && !p.req.Anew && p.req.Resume == nil {
		return errcode.New(errcode.Diverged, "sync",
			fmt.Sprintf("the server's log ends at %d, and this replica has seen %d: the server has lost entries",
				p.head, p.from))
	}
	p.c.forgetProgress(func() bool { return h.Head < p.c.progress.head })
	return nil
}

// current refuses a stream that began before another stream replaced the state:
// after a restore, the entries of the new log have the numbers of the old ones, and
// other digests.
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
	known := len(entries)
	if s := p.c.cfg.Sealer; s != nil && !p.req.OwnBodies {
		known = s.Recall(p.c.applied(), entries)
	}
	for len(entries) > 0 {
		n, size := 0, 0
		for n < known && (n == 0 || size+len(entries[n].Body) <= batch) {
			size += len(entries[n].Body) + 100
			n++
		}
		if n == 0 {
			return errBodies
		}
		rows, err := p.c.apply(p.ctx, p.client, p.epoch, entries[:n])
		if err != nil {
			return err
		}
		p.rows += rows
		last := entries[n-1].Seq
		entries, known = entries[n:], known-n
		p.head = max(p.head, last)
		if p.head-p.from > 20 || p.rows > 5000 {
			p.c.events.put(Progress{Phase: "pull", Done: last, Total: p.head, Rows: p.rows})
			p.c.events.deliver()
		}
	}
	return nil
}

// snapshot applies a frame of a snapshot as it comes from the stream.
func (p *puller) snapshot(f *wire.Snapshot) error {
	if !p.greets {
		return errcode.New(errcode.Protocol, "sync: pull", "a snapshot came before the greeting")
	}
	first := !p.bootstrapping
	if first {
		select {
		case p.c.bootstrapTurn <- struct{}{}:
		default:
			return replica.ErrBootstrapping
		}
		p.bootstrapping, p.total = true, f.Total
	}
	p.clients, p.own = append(p.clients, f.Clients...), append(p.own, f.Own...)
	if f.End != nil {
		f.Clients, f.Own = p.clients, p.own
	}
	rows, err := p.c.replica.Snapshot(p.ctx, p.req, p.epoch, f, first)
	var ask *replica.AskError
	if errors.As(err, &ask) {
		p.c.mu.Lock()
		p.c.askedClients = append(p.c.askedClients, ask.Client)
		p.c.mu.Unlock()
	}
	if err != nil && !errors.Is(err, replica.ErrFork) {
		return err
	}
	if first {
		p.c.mu.Lock()
		p.c.restart = false
		p.c.generation++
		p.generation = p.c.generation
		p.c.mu.Unlock()
	}
	p.c.events.put(Progress{Phase: "snapshot", Done: rows, Total: max(p.total, rows), Rows: rows})
	p.c.events.deliver()
	if f.End != nil {
		p.bootstrapping = false
		<-p.c.bootstrapTurn
		p.from = f.Seq
		p.c.mu.Lock()
		p.c.restart, p.c.askedClients = false, nil
		p.c.progress = p.c.progress.forgotten() // earlier answers may be of another log
		p.c.mu.Unlock()
		p.c.wakePush() // what waited for the end
		p.c.retryNow()
	}
	return err
}

// apply folds entries of one stream, unless the prefix has them all.
func (c *Client) apply(
	ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []wire.Entry,
) (rows uint64, err error) {
	if entries[len(entries)-1].Seq <= c.applied() {
		return 0, nil
	}
	return c.replica.Apply(ctx, client, epoch, entries)
}

// applied is the number of the prefix's last entry.
func (c *Client) applied() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.Position.Seq
}

// compare holds the prefix's digest against the server's, where they are of the
// same entry.
func (c *Client) compare(ctx context.Context, up *wire.CaughtUp) error {
	v, err := c.replica.Verify(ctx, up)
	if err != nil {
		return err
	}
	if v.Settled {
		c.wakePush()
	}
	c.update(func(cond *condition) {
		cond.last = max(c.replica.Recorded(), cond.first)
		if v.Differs {
			cond.repairs = v.Repairs
		}
	})
	if !v.Differs {
		c.mu.Lock()
		c.restarts = 0
		c.mu.Unlock()
		return nil
	}
	differ, sound := c.replica.Locate(ctx, up, c.serverBuckets)
	if sound {
		return nil
	}
	if differ != nil {
		c.mu.Lock()
		c.onlyBuckets = differ
		c.mu.Unlock()
	}
	return errcode.New(errcode.Diverged, "sync", fmt.Sprintf(
		"the digest at entry %d is not the server's: this replica's tables differ", up.Seq))
}

func (c *Client) serverBuckets(ctx context.Context) ([]wire.Bucket, error) {
	a, err := c.ask(ctx, "GET", "digest?buckets=1", nil)
	if err != nil {
		return nil, err
	}
	data, err := a.whole(wire.MaxRequest)
	if err != nil {
		return nil, err
	}
	d, err := wire.UnmarshalDigestResponse(data)
	if err != nil {
		return nil, err
	}
	return d.Buckets, nil
}

// asksMore reports whether a snapshot's end is to be asked for again.
func asksMore(err error) bool {
	var ask *replica.AskError
	return errors.As(err, &ask)
}

// startOver makes the next pull ask for a snapshot, because of err. After maxStarts
// times in a row without success the error needs attention: a snapshot is asked for
// once in each of the later attempts, which come at long intervals.
func (c *Client) startOver(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.restarts++; c.restarts > maxStarts {
		c.restarts = maxStarts - 1
		c.restart = c.view.Bootstrap != nil // what has come of that snapshot is wrong
		return &errcode.Error{Code: errcode.Diverged, Op: "sync",
			Msg: errcode.From(err, "sync").Message() + "; starting over did not help, and is tried again every minute"}
	}
	c.restart = true
	return errRestart
}

// maxStarts is how often in a row a replica starts over at once.
const maxStarts = 3

// errRestart says that the next attempt begins with a snapshot.
var errRestart = errcode.New(errcode.Diverged, "sync: pull", "this replica starts over with a snapshot")
