package client

import (
	"context"
	"time"
)

// What this device hears and tells of heads: see Heads. All of it is for sealed spaces alone.

// telling is what a client knows of its own heads, and of those that it has heard.
type telling struct {
	wake  chan struct{} // the log's end was reached
	at    time.Time     // when a head was told last
	ahead Withheld      // what was noticed first, of what has not come since
	timer *time.Timer   // until ahead is a warning
	again bool          // this client has started over because of a digest
}

// hear takes heads, and compares what can be compared.
func (c *Client) hear(ctx context.Context, heads [][]byte) error {
	s := c.cfg.Sealer
	err := s.Hear(ctx, heads)
	c.noteAhead()
	snapshots{c}.note()
	if err != nil || !s.Comparable() {
		return err
	}
	seq, digest, err := c.replica.Digest(ctx)
	if err != nil {
		return err
	}
	return c.mend(ctx, seq, s.Differs(seq, digest))
}

// mend looks what is wrong where a member has other rows. The kept digest may be wrong, then the rows: they are
// folded anew, once. Else it is said: one of the two has a fault, and nobody can tell which.
func (c *Client) mend(ctx context.Context, seq uint64, device string) error {
	differs := Withheld{}
	if device != "" {
		differs = Withheld{device, seq}
		counted, err := c.replica.CountAgain(ctx)
		if err != nil {
			return err
		}
		c.mu.Lock()
		again := counted && !c.telling.again
		c.telling.again = c.telling.again || again
		c.mu.Unlock()
		if again {
			if err := c.replica.StartOver(ctx, c.cfg.Sealer.Again()); err != nil {
				return err
			}
			c.otherLog()
			return errSeeded
		}
	}
	c.update(func(cond *condition) { cond.differs, cond.snapshot = differs, c.cfg.Sealer.Snapshot() })
	return nil
}

// noteAhead notices what members have told of and has not come. It becomes a warning after a while.
func (c *Client) noteAhead() {
	ahead, lost := c.cfg.Sealer.Ahead()
	c.mu.Lock()
	t := &c.telling
	passed := ahead.Device == "" || t.ahead.Seq > 0 && c.view.Position.Seq >= t.ahead.Seq
	if passed && t.timer != nil {
		t.timer.Stop()
		t.timer, t.ahead = nil, Withheld{}
	}
	if ahead.Device != "" && t.timer == nil && !c.closed {
		t.ahead = ahead
		t.timer = time.AfterFunc(c.cfg.Bounds.Withheld, c.warnAhead)
	}
	passed = passed && c.cond.withheld != lost
	c.mu.Unlock()
	if passed {
		c.update(func(cond *condition) { cond.withheld = lost })
	}
}

// warnAhead warns of what has not come, where the server sends what it has.
func (c *Client) warnAhead() {
	ahead, _ := c.cfg.Sealer.Ahead()
	c.update(func(cond *condition) {
		if cond.live && ahead.Device != "" {
			cond.withheld = ahead
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cond.live && c.telling.timer != nil && !c.closed {
		c.telling.timer.Reset(c.cfg.Bounds.Withheld)
	}
}

// tellSoon has this device tell its head, unless it has just done so.
func (c *Client) tellSoon() {
	select {
	case c.telling.wake <- struct{}{}:
	default:
	}
}

// tellLoop tells this device's heads: where the log's end was reached, once in a while.
func (c *Client) tellLoop(ctx context.Context) {
	for {
		select {
		case <-c.telling.wake:
		case <-ctx.Done():
			return
		}
		fctx, stop, ok := c.waitActive(ctx)
		if !ok {
			return
		}
		if wait := c.tellDue(); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-fctx.Done(): // it was paused: the log's end is reached again
			}
			t.Stop()
			c.tellSoon()
		} else {
			_ = c.tell(fctx) // the next one comes with the next news
		}
		stop()
	}
}

// tellDue says how long it is until this device tells its next head. Where it is 0, this is the one.
func (c *Client) tellDue() (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.telling.at.IsZero() {
		wait = c.cfg.Bounds.Tell - time.Since(c.telling.at)
	}
	if wait <= 0 {
		c.telling.at = time.Now()
	}
	return wait
}

// tell tells this device's head, where there is anything new.
func (c *Client) tell(ctx context.Context) error {
	s := c.cfg.Sealer
	seq, digest, err := c.replica.Digest(ctx)
	if err != nil {
		return err
	}
	head, err := s.Tell(ctx, seq, digest, c.cfg.Now())
	if err != nil || head == nil {
		return err
	}
	if err := c.replica.Inside(ctx, s.SaveHeads); err != nil {
		return err
	}
	a, err := c.ask(ctx, "POST", "heads", head)
	if err != nil {
		return err
	}
	a.close()
	s.Told(head)
	return nil
}
