package client

import (
	"context"
	"crypto/rand"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
)

// Config says what a client syncs and with whom.
type Config struct {
	URL   string // the server's root: http or https, absolute
	Space string // the space's name, see wire.ValidSpace

	// Tables names the synced tables. Columns that a Merge does not name
	// follow the default policy: the later write wins.
	Tables map[string]Merge

	// IntegerKey allows INTEGER PRIMARY KEY on synced tables. Two devices that
	// are offline make the same integers: allow it only where the app gives
	// out keys in another way.
	IntegerKey bool

	// Token returns a bearer token for the space. It is called before the
	// first request and again when the server refuses the token it gave, and
	// has 40 seconds. Nil sends none.
	Token func(ctx context.Context) (string, error)

	// Sealer is this device's part in the space, where that is sealed. Nil is a plain
	// space.
	Sealer Sealer

	HTTP Doer // required

	// Stream asks whether one more connection to a server, named by scheme and
	// host, may stay open: a browser has six to each server over HTTP/1.1, for all
	// its tabs together. If it may, release gives it back; if not, the log is asked
	// for now and then. Nil is always yes.
	Stream func(ctx context.Context, server string) (release func(), ok bool)

	Rand io.Reader // for the client's id and the jitter; crypto/rand if nil

	// Now is the wall clock, time.Now if nil. It says when a transaction was made,
	// for people; nothing else depends on it.
	Now func() time.Time

	Bounds Bounds // for tests
}

// Doer sends a request and returns the answer as soon as its head is there:
// the body streams. It follows redirects as the platform does. An error means
// that no answer came; ctx ends the request at any time, the body's reading
// included.
type Doer interface {
	Do(ctx context.Context, r *Request) (*Response, error)
}

// Request is a request for a Doer.
type Request struct {
	Method string
	URL    string
	Header map[string]string
	Body   []byte
}

// Response is an answer. The caller closes Body.
type Response struct {
	Status int
	Header func(name string) string // "" if absent or not shown
	Body   io.ReadCloser
}

// check refuses a configuration that cannot work whatever the network does.
func (c *Config) check() error {
	const op = "sync: open"
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errcode.New(errcode.BadParam, op, "sync.url must be an absolute http or https URL, got "+strconv.Quote(c.URL))
	}
	if c.HTTP == nil {
		return errcode.New(errcode.BadParam, op, "no Doer was given")
	}
	return c.local().Check()
}

// local is the part of c that concerns the database.
func (c *Config) local() *replica.Config {
	r := &replica.Config{Space: c.Space, Tables: c.Tables, IntegerKey: c.IntegerKey, Rand: c.Rand, Now: c.Now}
	if c.Sealer != nil {
		r.Sealing = c.Sealer
	}
	return r
}

// complete fills in what was left out.
func (c *Config) complete() {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Bounds.defaults()
}

// endpoint returns the URL of one of the space's resources.
func (c *Config) endpoint(resource string) string {
	return strings.TrimRight(c.URL, "/") + "/v1/spaces/" + url.PathEscape(c.Space) + "/" + resource
}
