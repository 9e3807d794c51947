package client

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
)

// Run syncs until ctx ends: it pushes what is recorded and follows the log,
// and tries again after errors. It returns ctx's error as HEDDLE_ABORTED, or at
// once if it runs already.
func (c *Client) Run(ctx context.Context) error {
	running := false
	c.update(func(cond *condition) {
		running = cond.running
		cond.running = true
		cond.live, cond.push, cond.pull = false, nil, nil
	})
	if running {
		return errcode.New(errcode.Internal, "sync: run", "sync runs already")
	}
	defer c.update(func(cond *condition) { cond.running, cond.live = false, false })
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.loop(ctx, c.pushLoop, func(cond *condition, err *errcode.Error) { cond.push = err })
	}()
	told := make(chan struct{})
	if c.cfg.Sealer != nil {
		go func() {
			defer close(told)
			c.tellLoop(ctx)
		}()
	} else {
		close(told)
	}
	c.loop(ctx, c.pullLoop, func(cond *condition, err *errcode.Error) {
		cond.pull = err
		cond.live = false
	})
	<-done
	<-told
	return errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: run")
}

// loop runs f again and again while sync is wanted, with a growing pause after
// each error. f calls its argument when the server has done what it was asked.
func (c *Client) loop(ctx context.Context, f func(ctx context.Context, fine func()) error,
	note func(*condition, *errcode.Error)) {
	tries := 0
	for ctx.Err() == nil {
		fctx, stop, ok := c.waitActive(ctx)
		if !ok {
			return
		}
		err := f(fctx, func() {
			tries = 0
			c.update(func(cond *condition) { note(cond, nil) })
		})
		interrupted := fctx.Err() != nil
		stop()
		if ctx.Err() != nil {
			return
		}
		if interrupted {
			tries = 0
			c.update(func(cond *condition) { note(cond, nil) })
			continue
		}
		e := errcode.From(err, "sync")
		c.update(func(cond *condition) { note(cond, e) })
		wait := c.backoff(tries, e.Code)
		var after *retryAfter
		switch {
		case errors.As(err, &after):
			wait = after.wait + c.jitter(after.wait/10)
		case e.Code == errcode.Diverged, e.Code == errcode.Tampered:
			wait = c.cfg.Bounds.LookAgain + c.jitter(c.cfg.Bounds.LookAgain/10)
		}
		tries++
		c.sleep(ctx, wait)
	}
}

// waitActive waits until sync is neither paused nor offline nor stopped for good,
// and returns a context that ends when it is, or when the database's content is
// another.
func (c *Client) waitActive(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	var life int
	for {
		c.mu.Lock()
		want, changed := c.cond.active(), c.changed
		life = c.cond.life
		c.mu.Unlock()
		if want {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, false
		}
	}
	fctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			c.mu.Lock()
			want, changed := c.cond.active() && c.cond.life == life, c.changed
			c.mu.Unlock()
			if !want {
				cancel()
				return
			}
			select {
			case <-changed:
			case <-fctx.Done():
				return
			}
		}
	}()
	return fctx, func() { cancel(); <-stopped }, true
}

func (c *condition) active() bool { return !c.paused && c.online && c.fatal == nil }

// backoff is the pause after an error: full jitter under a bound that doubles.
// Errors that need attention are retried seldom.
func (c *Client) backoff(tries int, code string) time.Duration {
	b := &c.cfg.Bounds
	bound := b.BackoffLast
	if tries < 6 && !needsAttention(&errcode.Error{Code: code}, true) {
		bound = min(bound, b.BackoffFirst<<tries)
	}
	return b.BackoffLeast + c.jitter(bound)
}

// jitter returns a random part of d.
func (c *Client) jitter(d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(c.cfg.Rand, b[:]); err != nil || d <= 0 {
		return d
	}
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(d))
}

// sleep waits for d, for ctx, or until something makes it worth trying again.
func (c *Client) sleep(ctx context.Context, d time.Duration) {
	c.mu.Lock()
	retry := c.retry
	c.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-retry:
	case <-ctx.Done():
	}
}

// RetryNow tries again at once what waits after an error.
func (c *Client) RetryNow() { c.retryNow() }

// retryNow ends pauses after errors.
func (c *Client) retryNow() {
	c.mu.Lock()
	c.retry.send()
	c.mu.Unlock()
}

// pushLoop pushes whenever something was recorded.
func (c *Client) pushLoop(ctx context.Context, fine func()) error {
	// Answers of an earlier server need not hold for this one.
	c.mu.Lock()
	c.progress = c.progress.forgotten()
	c.mu.Unlock()
	for {
		if err := c.push(ctx); errcode.Of(err) == errcode.Diverged {
			// The pull finds out how to go on, or that sync stops.
			return &errcode.Error{Code: errcode.Behind, Op: "sync: push", Err: err}
		} else if err != nil {
			return err
		}
		fine()
		c.polled()
		select {
		case <-c.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pullLoop follows the log.
func (c *Client) pullLoop(ctx context.Context, fine func()) error {
	for {
		err := c.follow(ctx, fine)
		switch {
		case err == nil: // a poll
		case errors.Is(err, replica.ErrFork):
			c.retryNow() // there is a new id; what is pending is to be sent under it
		case errors.Is(err, errRestart), errors.Is(err, replica.ErrBootstrapping), errors.Is(err, errSeeded), asksMore(err):
		case errors.Is(err, errExpired) && c.cfg.Token != nil:
		default:
			return err
		}
	}
}

// Pause stops syncing until Resume. Transactions are still recorded. With persist
// a database that is opened again is still paused; a later Pause without does not
// undo that.
func (c *Client) Pause(ctx context.Context, persist bool) error {
	c.update(func(cond *condition) { cond.paused = true })
	if !persist {
		return nil
	}
	return c.replica.KeepPause(ctx, true)
}

// Resume undoes Pause, and tries again at once what waits or has stopped after
// an error.
func (c *Client) Resume(ctx context.Context) error {
	stopped := false
	c.update(func(cond *condition) {
		stopped = cond.fatal != nil
		cond.paused = false
	})
	err := c.replica.KeepPause(ctx, false)
	if stopped {
		c.replica.Reload()
	} else {
		c.retryNow()
	}
	return err
}

// SetOnline says whether there is a network, as far as the platform knows.
// Without one nothing is tried; with one, what waits is tried at once.
func (c *Client) SetOnline(online bool) {
	c.update(func(cond *condition) { cond.online = online })
	if online {
		c.retryNow()
	}
}

// Now sends everything that is pending and follows the log to its head, and
// returns when both are done: every transaction committed before the call is
// decided, and its outcome shows. It works beside Run and without it, and
// while sync is paused. Other than Run, it does not try again.
func (c *Client) Now(ctx context.Context) error {
	const op = "sync: now"
	c.mu.Lock()
	fatal, online, last, generation := c.cond.fatal, c.cond.online, c.cond.last, c.generation
	c.mu.Unlock()
	switch {
	case fatal != nil:
		return errcode.Wrap(fatal, errcode.Diverged, op)
	case !online:
		return errcode.New(errcode.Network, op, "there is no network")
	}
	select {
	case c.pullMu <- struct{}{}:
		defer func() { <-c.pullMu }()
	case <-ctx.Done():
		return errcode.Wrap(context.Cause(ctx), errcode.Aborted, op)
	}
	for tries, forks := 0, 0; ; tries++ {
		err := c.push(ctx)
		// Where the server has seen one id twice, or its log is another one or no
		// longer complete, the answer to a pull says how to go on.
		push := err
		switch code := errcode.Of(err); code {
		case "", errcode.ClientFork, errcode.Diverged, errcode.Behind:
			err = c.pull(ctx, untilHead, func() {}, func() {})
			if err == nil && code == errcode.ClientFork {
				err = push
			}
		}
		switch {
		case errors.Is(err, errRestart):
			last = math.MaxInt64 // what the server has lost is pending again, under new numbers
			continue
		case errors.Is(err, replica.ErrBootstrapping), errors.Is(err, errSeeded), asksMore(err):
			continue
		case errors.Is(err, replica.ErrFork) && forks < 3:
			forks++
			continue // with a new id
		case err != nil && ctx.Err() != nil:
			return errcode.Wrap(ctx.Err(), errcode.Aborted, op)
		case err != nil:
			return errcode.Wrap(err, errcode.Network, op)
		}
		c.mu.Lock()
		if c.generation != generation { // what is pending may have new numbers
			last = math.MaxInt64
		}
		decided := c.cond.first >= min(last, c.cond.last)
		c.mu.Unlock()
		if decided {
			c.retryNow()
			if c.cfg.Sealer != nil && c.tellDue() <= 0 {
				_ = c.tell(ctx) // what is asked for is done
			}
			return nil
		}
		if err := ctx.Err(); err != nil {
			return errcode.Wrap(err, errcode.Aborted, op)
		}
		if tries >= 10 {
			return errcode.New(errcode.Server, op, "the server takes transactions and does not decide them")
		}
	}
}

// rememberServer notes that the URL has answered as a server of this space.
func (c *Client) rememberServer(ctx context.Context) {
	c.mu.Lock()
	met := c.cond.serverKnown
	c.mu.Unlock()
	if met {
		return
	}
	c.update(func(cond *condition) { cond.serverKnown = true })
	// Only a hint for the status of the next session: a failure costs nothing.
	_ = c.replica.KeepServer(ctx, c.cfg.URL)
}
