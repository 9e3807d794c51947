// Package natshints carries hints between servers by core NATS: https://docs.nats.io.
// It keeps nothing and acknowledges nothing, as hints need no more.
//
// A hint carries the commit itself where that is small, so that a server which follows
// the space reads nothing: the chain hash proves that it comes next. Who may publish on
// the subject can make devices see a commit that did not happen, until they learn of it
// by the chain: the subject is for servers alone.
package natshints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// Options say how Hints work.
type Options struct {
	// URL names the NATS server: nats://user:password@host:4222, or tls:// in its place.
	// Several, each with its user, have commas between; the path is the subject, which
	// is "heddle" without one; and parameters name files: creds (of a user), ca (who
	// signs for the server), cert and key (of this client).
	URL    string
	Logger *slog.Logger // nil logs nothing
}

const (
	defaultSubject = "heddle"
	// waiting is how many hints wait to be sent. What comes beyond them is lost.
	waiting = 1024
	// connectWait is for the first connection; a server begins without it.
	connectWait = 2 * time.Second
	// againWait is between tries to connect.
	againWait = time.Second
	// endWait is for what a peer that is gone never answers.
	endWait = 5 * time.Second
)

// Hints are those of one server. They are logstore.Hints.
type Hints struct {
	conn    *nats.Conn
	subject string
	log     *slog.Logger
	queue   chan []byte
	closed  chan struct{}
	closing sync.Once
	sending sync.WaitGroup

	mu       sync.Mutex
	watchers map[*watcher]bool
}

type watcher struct{ f func(logstore.Hint) }

var _ logstore.Hints = (*Hints)(nil)

// IsURL reports whether a name is one of a NATS server.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "nats://") || strings.HasPrefix(name, "tls://")
}

// Open connects to NATS. Where nobody answers it goes on trying: until then hints are
// lost. The caller closes the Hints.
func Open(o Options) (*Hints, error) {
	const op = "natshints: open"
	servers, subject, options, err := parse(o.URL)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadParam, op)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hints{subject: subject, log: o.Logger, queue: make(chan []byte, waiting), closed: make(chan struct{}),
		watchers: map[*watcher]bool{}}
	options = append(options, nats.Name("heddle"), nats.NoEcho(), nats.Timeout(connectWait), nats.FlusherTimeout(endWait),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(againWait), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // old hints are of no use
		nats.ConnectHandler(h.missed), nats.ReconnectHandler(h.missed),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { h.log.Warn("hints are lost: no NATS", "error", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			h.log.Warn("hints are lost", "error", err)
			h.tell(logstore.Hint{})
		}))
	if h.conn, err = nats.Connect(strings.Join(servers, ","), options...); err != nil {
		return nil, errcode.Wrap(err, errcode.BadParam, op)
	}
	if !h.conn.IsConnected() {
		h.log.Warn("NATS does not answer: until it does, news of other servers comes late", "error", h.conn.LastError())
	}
	h.sending.Go(h.send)
	return h, nil
}

// parse takes a URL apart.
func parse(name string) (servers []string, subject string, options []nats.Option, err error) {
	if !IsURL(name) {
		return nil, "", nil, errors.New("the URL of hints begins with nats:// or tls://")
	}
	scheme, rest, _ := strings.Cut(name, "://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, subject, _ := strings.Cut(rest, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		server := scheme + "://" + host
		if u, err := url.Parse(server); err != nil || u.Host == "" {
			return nil, "", nil, errors.New("a server of hints is no host with a port") // may hold a password
		}
		servers = append(servers, server)
	}
	if subject == "" {
		subject = defaultSubject
	}
	if strings.ContainsAny(subject, " \t*>/") {
		return nil, "", nil, fmt.Errorf("%q is no subject to send to", subject)
	}
	set, err := url.ParseQuery(query)
	if err != nil {
		return nil, "", nil, err
	}
	for key := range set {
		switch file := set.Get(key); key {
		case "creds":
			options = append(options, nats.UserCredentials(file))
		case "ca":
			options = append(options, nats.RootCAs(file))
		case "cert":
			options = append(options, nats.ClientCert(file, set.Get("key")))
		case "key":
		default:
			return nil, "", nil, fmt.Errorf("hints have no parameter %q", key)
		}
	}
	if set.Has("cert") != set.Has("key") {
		return nil, "", nil, errors.New("cert and key go together")
	}
	return servers, subject, options, nil
}

// Send implements logstore.Hints, as do the others of that interface.
func (h *Hints) Send(hint logstore.Hint) {
	select {
	case h.queue <- marshal(&hint):
	default:
		h.log.Debug("a hint is lost: too many wait")
	}
}

// send sends hints until they are closed, and what waits then.
func (h *Hints) send() {
	for {
		select {
		case m := <-h.queue:
			h.publish(m)
		case <-h.closed:
			for {
				select {
				case m := <-h.queue:
					h.publish(m)
				default:
					return
				}
			}
		}
	}
}

func (h *Hints) publish(m []byte) {
	if err := h.conn.Publish(h.subject, m); err != nil {
		h.log.Debug("a hint is lost", "error", err)
	}
}

func (h *Hints) Watch(ctx context.Context, f func(logstore.Hint)) error {
	w := &watcher{f}
	sub, err := h.conn.Subscribe(h.subject, func(m *nats.Msg) {
		if hint, ok := unmarshal(m.Data); ok {
			f(hint)
		}
	})
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", logstore.ErrUnavailable, err)
	}
	h.mu.Lock()
	h.watchers[w] = true
	h.mu.Unlock()
	defer func() {
		sub.Unsubscribe()
		h.mu.Lock()
		delete(h.watchers, w)
		h.mu.Unlock()
	}()
	flush(ctx, h.conn) // so that NATS knows of it; where it does not, missed is called
	f(logstore.Hint{})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-h.closed:
		return nil
	}
}

// flush waits until NATS has taken what was sent, if it is there.
func flush(ctx context.Context, c *nats.Conn) {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	if c.IsConnected() {
		c.FlushWithContext(ctx)
	}
}

// missed has the watchers look at everything, once NATS sends them hints again.
func (h *Hints) missed(c *nats.Conn) {
	h.log.Info("hints go by NATS", "server", c.ConnectedUrlRedacted())
	flush(context.Background(), c)
	h.tell(logstore.Hint{})
}

func (h *Hints) tell(hint logstore.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.f(hint)
	}
}

func (h *Hints) Close() error {
	h.closing.Do(func() {
		close(h.closed)
		h.sending.Wait()
		flush(context.Background(), h.conn)
		h.conn.Close()
	})
	h.sending.Wait()
	return nil
}
