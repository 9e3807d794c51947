package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// caller is the grant under which a request is made, and its space.
type caller struct {
	auth.Grant
	token string // "" in development mode
	by    string // counts against its limits: the subject, or what stands for it
	space string
	steps []Step // of its push, once that is over
}

// authorize returns the caller of a request, or an error if the request needs
// more than its token grants. Every request for a space passes through here.
func (s *Server) authorize(r *http.Request, space string, need auth.Access) (*caller, error) {
	if s.o.Dev {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		return &caller{by: host, space: space}, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "bearer") || token == "" {
		return nil, errcode.New(errcode.Unauthorized, "server", "a token is needed: Authorization: Bearer …")
	}
	grant, err := s.o.Tokens.Verify(r.Context(), token)
	if err != nil {
		return nil, err
	}
	if s.o.Revoked != nil && s.o.Revoked(&grant) {
		return nil, errRevoked
	}
	switch has := grant.Access(space); {
	case has == "":
		return nil, errcode.New(errcode.Forbidden, "server", "the token does not grant this space")
	case need == auth.ReadWrite && has != auth.ReadWrite:
		return nil, errcode.New(errcode.Forbidden, "server", "the token grants this space for reading only")
	}
	by := grant.Subject
	if by == "" { // a token without a subject has limits of its own
		by = token
	}
	return &caller{Grant: grant, token: token, by: by, space: space}, nil
}

// A client id belongs to the subject that first pushed under it: no member of a
// space writes as another, or reads what is kept for another's replica. Ids of
// data that is older than this rule have no owner until their next push. The id of
// the seed never has one: any device may send the seed, and the first one counts.

var errOwner = errcode.New(errcode.Forbidden, "server: check client",
	"this client id belongs to another subject: a database syncs for one user, open another one for each")

// owns reports whether c's subject may act under a client id, of which subject,
// if any, is the owner.
func (o *Options) owns(c *caller, id wire.ClientID, subject string, owned bool) bool {
	return o.Dev || id == wire.SeedClient || !owned || subject == c.Subject
}

// settled says whether a client id has all the owner that it ever gets.
func (o *Options) settled(c *logstore.Client) bool {
	return c.Owned || o.Dev || c.ID == wire.SeedClient
}

// claim makes a client id the subject's own.
func (t *turn) claim(c *caller, to *client) {
	if !t.o.Dev && to.ID != wire.SeedClient {
		to.Owned, to.Owner, to.claimed, to.changed = true, c.Subject, true, true
	}
}

// mayRead refuses a pull under a client id that belongs to another subject.
func (o *Options) mayRead(v logstore.View, c *caller, id wire.ClientID) error {
	if o.Dev || id == (wire.ClientID{}) {
		return nil
	}
	known, err := v.Clients([]wire.ClientID{id})
	if err == nil && !o.owns(c, id, known[0].Owner, known[0].Owned) {
		err = errOwner
	}
	return err
}

// cors lets pages of the allowed origins read the answer. In development mode,
// which needs no token, it refuses the requests of other pages.
func (s *Server) cors(h http.Header, r *http.Request) error {
	origin := r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	switch {
	case origin == "":
		return nil
	case slices.Contains(s.o.Origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(s.o.Origins, origin), s.o.Dev && localOrigin(origin):
		h.Set("Access-Control-Allow-Origin", origin)
	case sameOrigin(origin, r.Host, s.o.Dev):
		return nil
	default:
		if s.refused.first(origin) {
			s.log.Warn("a page of this origin may not call: name it with --origin if it should",
				"origin", origin, "path", r.URL.Path)
		}
		if s.o.Dev {
			return errcode.New(errcode.Forbidden, "server", fmt.Sprintf("pages of %q may not call: development mode answers "+
				"pages of this machine; name other origins with --origin", origin))
		}
		return nil
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After, "+challengeHeader)
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, "+deviceHeader)
		h.Set("Access-Control-Max-Age", "86400")
	}
	return nil
}

// localOrigin reports whether an origin is one of this machine.
func localOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	return auth.LocalHost(u.Hostname())
}

// sameOrigin reports whether a page comes from the server that it calls. With
// addresses only, names do not count: a name can be made to lead to another
// machine than the one that the page came from (DNS rebinding).
func sameOrigin(origin, host string, addresses bool) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, host) {
		return false
	}
	return !addresses || net.ParseIP(u.Hostname()) != nil || auth.LocalHost(u.Hostname())
}

// refusedOrigins are origins that were refused; each is logged once.
type refusedOrigins struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxRefusedOrigins = 100 // further ones are not logged: a client can make up any number

// first reports whether an origin is to be logged.
func (o *refusedOrigins) first(origin string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[origin] || len(o.seen) >= maxRefusedOrigins {
		return false
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[origin] = true
	return true
}
