package server

import (
	"net"
	"net/http"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server/auth"
)

// caller is the grant under which a request is made, and its space.
type caller struct {
	auth.Grant
	token string // "" in development mode
	by    string // counts against its limits: the subject, or what stands for it
	space string
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
	return &caller{grant, token, by, space}, nil
}
