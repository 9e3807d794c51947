package pgstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// Hints go by NOTIFY on one channel, after the commit and outside of its transaction:
// a transaction with a NOTIFY takes a lock that all of them queue for, flush included.
// What comes together goes together.

const (
	channel     = "heddle"
	hintEvery   = 2 * time.Millisecond
	hintWait    = 10 * time.Second // to send some
	payloadSize = 7900             // PostgreSQL takes fewer than 8,000 bytes
	// quiet is how long after the last word of the database the one that listens asks
	// whether it is still there.
	quiet = 20 * time.Second
	// probe begins a payload by which the one that listens finds out whether it is told
	// anything. It is no hint.
	probe     = "probe "
	probeWait = 10 * time.Second
)

// errDeaf says that the database's notifications do not come.
var errDeaf = fmt.Errorf("%w: no NOTIFY comes to who listens: is there a pooler in transaction mode? "+
	"Then hints need an address of the database itself", logstore.ErrUnavailable)

// OpenHints opens hints by LISTEN and NOTIFY that have connections of their own, two,
// for a store whose connections are a pooler's in transaction mode: that cannot listen.
func OpenHints(name string, log *slog.Logger) (logstore.Hints, error) {
	const op = "pgstore: open hints"
	config, err := configOf(name)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadParam, op)
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &ownNotifications{notify(config.ConnConfig.Copy(), pool, log)}, nil
}

// ownNotifications are notifications whose pool nobody else has.
type ownNotifications struct{ *notifications }

func (s *ownNotifications) Close() error {
	err := s.notifications.Close()
	s.pool.Close()
	return err
}

// notifications are hints by NOTIFY.
type notifications struct {
	config  *pgx.ConnConfig // of the connection that listens
	pool    *pgxpool.Pool   // of those that notify
	log     *slog.Logger
	outbox  outbox
	closed  chan struct{}
	closing sync.Once
	sending sync.WaitGroup
}

func notify(config *pgx.ConnConfig, pool *pgxpool.Pool, log *slog.Logger) *notifications {
	s := &notifications{config: config, pool: pool, log: log, outbox: newOutbox(), closed: make(chan struct{})}
	s.sending.Go(s.send)
	return s
}

// Send implements logstore.Hints, as do the others of that interface.
func (s *notifications) Send(h logstore.Hint) { s.outbox.add(h) }

func (s *notifications) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.sending.Wait()
	return nil
}

// outbox are hints that wait to be sent.
type outbox struct {
	mu    sync.Mutex
	seqs  map[string]uint64
	ready chan struct{} // holds a token where there are some
}

func newOutbox() outbox { return outbox{seqs: map[string]uint64{}, ready: make(chan struct{}, 1)} }

func (o *outbox) add(h logstore.Hint) {
	o.mu.Lock()
	if seq, ok := o.seqs[h.Space]; ok && (seq == 0 || h.Seq == 0) {
		h.Seq = 0
	} else {
		h.Seq = max(h.Seq, seq)
	}
	o.seqs[h.Space] = h.Seq
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take takes what waits as payloads: lines of a seq and a space.
func (o *outbox) take() (payloads []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for space, seq := range o.seqs {
		line := fmt.Sprintf("%d %s\n", seq, space)
		if b.Len() > 0 && b.Len()+len(line) > payloadSize {
			payloads = append(payloads, b.String())
			b.Reset()
		}
		b.WriteString(line)
	}
	clear(o.seqs)
	if b.Len() > 0 {
		payloads = append(payloads, b.String())
	}
	return payloads
}

// send sends hints until they are closed, and what waits then. The first one after a
// while goes at once.
func (s *notifications) send() {
	var last time.Time
	for open := true; open; {
		select {
		case <-s.outbox.ready:
		case <-s.closed:
			open = false
		}
		select { // what comes together goes together
		case <-time.After(hintEvery - time.Since(last)):
		case <-s.closed:
			open = false
		}
		last = time.Now()
		payloads := s.outbox.take()
		if len(payloads) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), hintWait)
		if _, err := s.pool.Exec(ctx, `SELECT pg_notify($1, hint) FROM unnest($2::text[]) AS hint`, channel,
			payloads); err != nil {
			s.log.Debug("hints are lost", "error", err)
		}
		cancel()
	}
}

func (s *notifications) Watch(ctx context.Context, f func(logstore.Hint)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.closed:
			cancel(errClosed)
		case <-ctx.Done():
		}
	}()
	err := s.listen(ctx, f)
	switch cause := context.Cause(ctx); {
	case cause == errClosed:
		return nil
	case cause != nil:
		return cause
	}
	return translate(ctx, err)
}

var errClosed = errors.New("pgstore: the hints are closed")

func (s *notifications) listen(ctx context.Context, f func(logstore.Hint)) error {
	c, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
		defer cancel()
		c.Close(end)
	}()
	if _, err := c.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	if err := s.hears(ctx, c, f); err != nil {
		return err
	}
	f(logstore.Hint{}) // what was before is not heard of
	for {
		wait, cancel := context.WithTimeout(ctx, quiet)
		n, err := c.WaitForNotification(wait)
		cancel()
		if err == nil {
			deliver(n.Payload, f)
			continue
		}
		if ctx.Err() != nil || wait.Err() == nil {
			return err
		}
		ask, cancel := context.WithTimeout(ctx, endWait)
		err = c.Ping(ask)
		cancel()
		if err != nil {
			return err
		}
	}
}

// hears finds out whether the connection is told what another one sends: one of a
// pooler in transaction mode is not.
func (s *notifications) hears(ctx context.Context, c *pgx.Conn, f func(logstore.Hint)) error {
	wait, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	payload := probe + rand.Text()
	if _, err := s.pool.Exec(wait, `SELECT pg_notify($1, $2)`, channel, payload); err != nil {
		return err
	}
	for {
		n, err := c.WaitForNotification(wait)
		switch {
		case err != nil && ctx.Err() == nil && wait.Err() != nil:
			return errDeaf
		case err != nil:
			return err
		case n.Payload == payload:
			return nil
		}
		deliver(n.Payload, f)
	}
}

// deliver calls f with the hints of a payload. What makes no sense is left out.
func deliver(payload string, f func(logstore.Hint)) {
	for line := range strings.Lines(payload) {
		seq, space, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		if ok && err == nil && space != "" {
			f(logstore.Hint{Space: space, Seq: n})
		}
	}
}
