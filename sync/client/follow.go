package client

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// Polling says why the log is asked for again and again instead of followed by
// one answer that stays open.
type Polling string

// The reasons.
const (
	// PollingBuffered: something on the way to the server passes an answer on only
	// when it has ended. A poll ends with the first news, so that news still come
	// at once.
	PollingBuffered Polling = "buffered"
	// PollingConnections: the connections to the server that may stay open are taken
	// by other databases, see Config.Stream.
	PollingConnections Polling = "connections"
)

// How long a request for the log stays open.
const (
	untilHead time.Duration = 0  // it ends at the log's end
	forever   time.Duration = -1 // until the connection breaks
)

// pullResource names the log, for a request that stays open for wait: until then,
// or until there are news.
func pullResource(wait time.Duration) string {
	if wait == forever {
		return "pull"
	}
	return "pull?wait=" + strconv.Itoa(int(wait/time.Second))
}

// route is what is known of the way to the server. It is the pull loop's own.
type route struct {
	suspect bool          // the last stream brought nothing, or fell silent with the greeting
	held    time.Time     // before then answers that stay open are held back on the way
	period  time.Duration // how long that is believed next time
}

// follow brings the log: by a stream that stays open, until it breaks, or by one
// poll where streams do not work. The error is nil after a poll.
func (c *Client) follow(ctx context.Context, fine func()) error {
	live := func() { c.update(func(cond *condition) { cond.live = true }) }
	if c.route.suspect || time.Now().Before(c.route.held) {
		return c.pollHeld(ctx, fine, live)
	}
	if c.cfg.Stream != nil {
		release, ok := c.cfg.Stream(ctx, root(c.cfg.URL))
		if !ok {
			return c.pollInTurn(ctx, fine, live)
		}
		defer release()
	}
	c.update(func(cond *condition) { cond.polling = "" })
	err := c.pull(ctx, forever, fine, live)
	c.route.suspect = errors.Is(err, errHeld)
	return err
}

// pollHeld polls where a stream has brought nothing: if the answer comes, the
// network is there, and streams are held back.
func (c *Client) pollHeld(ctx context.Context, fine, live func()) error {
	b := &c.cfg.Bounds
	err := c.pull(ctx, b.Poll, fine, live)
	if err == nil && c.route.suspect {
		c.route.period = min(max(2*c.route.period, b.StreamFirst), b.StreamLast)
		c.route.held = time.Now().Add(c.route.period)
		c.update(func(cond *condition) { cond.polling = PollingBuffered })
	}
	c.route.suspect = false
	return err
}

// pollInTurn polls, and gives way to others for a moment.
func (c *Client) pollInTurn(ctx context.Context, fine, live func()) error {
	c.update(func(cond *condition) { cond.polling = PollingConnections })
	if err := c.pull(ctx, untilHead, fine, live); err != nil {
		return err
	}
	pace := c.cfg.Bounds.Pace
	c.sleep(ctx, pace/2+c.jitter(pace))
	return nil
}

// polled ends the pause between polls: the server has news of this replica's own.
func (c *Client) polled() {
	c.mu.Lock()
	polling := c.cond.polling
	c.mu.Unlock()
	if polling == PollingConnections {
		c.retryNow()
	}
}

// errHeld is the cause of the error of a stream that a proxy may have held back.
var errHeld = errors.New("an answer that stays open did not arrive: is there a proxy that buffers?")

// streamWatch watches a stream for a proxy that holds it back: the greeting has to come
// soon, and something has to come after the log's end, heartbeats at least.
type streamWatch struct {
	stop    context.CancelCauseFunc
	watch   *time.Timer
	current bool // the log's end was reached
	proved  bool // and something came after it
}

// watchStream returns a context that ends if no frame comes in time.
func (c *Client) watchStream(ctx context.Context, wait time.Duration) (context.Context, *streamWatch) {
	h := &streamWatch{}
	ctx, h.stop = context.WithCancelCause(ctx)
	if wait == forever {
		bound := c.cfg.Bounds.Greeting
		h.watch = time.AfterFunc(bound, func() {
			h.stop(&errcode.Error{Code: errcode.Network, Op: "sync: pull", Err: errHeld,
				Msg: "the server's greeting has not come within " + bound.String() + ": " + errHeld.Error()})
		})
	}
	return ctx, h
}

// frame notes that a frame has come.
func (h *streamWatch) frame() {
	if h.watch != nil {
		h.watch.Stop()
	}
	h.proved = h.proved || h.current
}

func (h *streamWatch) close() {
	if h.watch != nil {
		h.watch.Stop()
	}
	h.stop(nil)
}

// judge gives the error of a stream that was silent from the log's end on the
// cause that it may have.
func (h *streamWatch) judge(err error) error {
	if h.watch != nil && h.current && !h.proved && errors.Is(err, errSilence) {
		return &errcode.Error{Code: errcode.Network, Op: "sync: pull", Msg: err.Error(), Err: errHeld}
	}
	return err
}

// root is the part of a URL that names the server.
func root(target string) string {
	if u, err := url.Parse(target); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return target
}
