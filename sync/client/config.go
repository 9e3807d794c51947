package client

import (
	"context"
	"crypto/rand"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
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

// Merge gives columns their merge policy, by name: how what two replicas wrote
// joins. A write of a column with a policy other than "last" becomes what the
// policy makes of it when it is committed: after writing 3 to a "max" column
// that holds 10 it holds 10.
//
//   - "last": the later write in the log wins.
//   - "counter": differences add up. What is no number is written as by "last".
//   - "max", "min": the greatest, the smallest stays, in SQLite's order; NULL
//     loses to everything.
//   - "set": a JSON array as a set: elements are added and removed one by one.
type Merge map[string]string

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
		return errcode.New(errcode.BadParam, op, "sync.url must be an absolute http or https URL, got "+quoted(c.URL))
	}
	if !wire.ValidSpace(c.Space) {
		return errcode.New(errcode.BadParam, op, "sync.space has "+wire.SpaceRule+"; it is "+quoted(c.Space))
	}
	if c.HTTP == nil {
		return errcode.New(errcode.BadParam, op, "no Doer was given")
	}
	for _, table := range c.tables() {
		if strings.HasPrefix(strings.ToLower(table), "heddle_") || strings.HasPrefix(strings.ToLower(table), "sqlite_") {
			return errcode.New(errcode.BadParam, op, "table "+quoted(table)+" is not the app's: it cannot be synced")
		}
		for column, policy := range c.Tables[table] {
			if _, ok := merges[policy]; !ok {
				return errcode.New(errcode.BadParam, op, "table "+quoted(table)+": column "+quoted(column)+" cannot join by "+quoted(policy)+": there are last, counter, max, min and set")
			}
		}
	}
	return nil
}

// tables returns the synced tables' names, sorted.
func (c *Config) tables() []string {
	names := make([]string, 0, len(c.Tables))
	for name := range c.Tables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
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

// resolve finds the synced tables among those of the database.
func (c *Config) resolve(find func(name string) (*store.Table, bool)) (map[string]*table, error) {
	tables := map[string]*table{}
	for _, name := range c.tables() {
		info, ok := find(name)
		if !ok {
			return nil, schemaError(name, "it does not exist: create it in a migration")
		}
		if !info.Synced {
			return nil, errcode.New(errcode.BadParam, "sync: open", "the database was opened without table "+quoted(name)+" in store.Options.Synced")
		}
		t := newTable(info)
		if err := t.setMerges(c.Tables[name]); err != nil {
			return nil, err
		}
		tables[info.Name] = t
	}
	return tables, nil
}

// endpoint returns the URL of one of the space's resources.
func (c *Config) endpoint(resource string) string {
	return strings.TrimRight(c.URL, "/") + "/v1/spaces/" + url.PathEscape(c.Space) + "/" + resource
}

// quoted puts s in quotes for people, shortened where it is long.
func quoted(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return `"` + s + `"`
}
