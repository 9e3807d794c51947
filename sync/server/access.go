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
)

// authorize says who asks, and refuses who may not. Every route of a space comes
// through here.
func (s *Server) authorize(r *http.Request, space string, need Access) (Grant, string, error) {
	if s.o.Dev {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		return Grant{Spaces: Spaces(ReadWrite, "*"), by: host}, "", nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "bearer") || token == "" {
		return Grant{}, "", errcode.New(errcode.Unauthorized, "server", "a token is needed: Authorization: Bearer …")
	}
	grant, err := s.o.Tokens.Verify(r.Context(), token)
	if err != nil {
		return Grant{}, "", err
	}
	if s.o.Revoked != nil && s.o.Revoked(&grant) {
		return Grant{}, "", errRevoked
	}
	switch has := grant.access(space); {
	case has == "":
		return Grant{}, "", errcode.New(errcode.Forbidden, "server", "the token does not grant this space")
	case need == ReadWrite && has != ReadWrite:
		return Grant{}, "", errcode.New(errcode.Forbidden, "server", "the token grants this space for reading only")
	}
	if grant.by = grant.Subject; grant.by == "" { // nobody in particular, but no one else
		grant.by = token
	}
	return grant, token, nil
}

var errRevoked = errcode.New(errcode.Unauthorized, "server: check token", "the token was revoked")

// cors lets pages of origins that may call read the answer. An error refuses the
// request: in development mode there is no token that a foreign page would lack.
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
		s.strangers.report(func() {
			s.log.Warn("a page of this origin may not call: name it with --origin if it should", "origin", origin, "path", r.URL.Path)
		}, origin)
		if s.o.Dev {
			return errcode.New(errcode.Forbidden, "server", fmt.Sprintf("pages of %q may not call: development mode answers "+
				"pages of this machine; name other origins with --origin", origin))
		}
		return nil
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding")
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
	return localHost(u.Hostname())
}

func localHost(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// sameOrigin reports whether a page comes from the server that it calls. With
// addresses only, names do not count: a name can be made to lead to another
// machine than the one that the page came from (DNS rebinding).
func sameOrigin(origin, host string, addresses bool) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, host) {
		return false
	}
	return !addresses || net.ParseIP(u.Hostname()) != nil || localHost(u.Hostname())
}

// strangers are origins that were refused; each is reported once.
type strangers struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxStrangers = 100 // those after these are not reported: anybody can make some up

func (s *strangers) report(warn func(), origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[origin] || len(s.seen) >= maxStrangers {
		return
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[origin] = true
	warn()
}
