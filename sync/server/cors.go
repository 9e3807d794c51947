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
	"heddle.dev/heddle/sync/server/auth"
)

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
