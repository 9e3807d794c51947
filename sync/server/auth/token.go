// Package auth makes and verifies the tokens of a sync server: JSON Web Tokens that
// say which spaces a subject may read and write. docs/SECURITY.md has their claims.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"heddle.dev/heddle/internal/errcode"
)

// Verifier says what a token grants. A *Key is one, a *KeySet is one, and a
// program may have its own: an error with the code HEDDLE_UNAUTHORIZED refuses
// the token.
type Verifier interface {
	Verify(ctx context.Context, token string) (Grant, error)
}

// Access is what a token allows in a space.
type Access string

// The kinds of access.
const (
	Read      Access = "r"  // pulls and digests
	ReadWrite Access = "rw" // and pushes
)

// Grant is what a token allows, and whom.
type Grant struct {
	Subject string            // whom: the claim "sub"
	Spaces  map[string]Access // by name; "*" counts for all spaces that are not named
	ID      string            // the token's own name: the claim "jti"
	Issued  time.Time         // zero if the token does not say
	Expires time.Time
	Quota   Quota          // the claim "quota"
	Claims  map[string]any // all claims of the token, as encoding/json reads them
}

// Quota is what a token says that spaces may hold, and its subject do, in place of
// the server's own limits. Where a field is 0 the server's own counts; a negative one
// is no limit.
type Quota struct {
	Rows    int64   // of a space
	Bytes   int64   // of its rows; of a sealed space's log
	Devices int64   // that have written in the space
	Streams int64   // open ones of the subject
	Rate    float64 // requests a second of the subject
}

// fields has each field by its name in the claim.
func (q *Quota) fields() map[string]any {
	return map[string]any{"rows": &q.Rows, "bytes": &q.Bytes, "devices": &q.Devices, "streams": &q.Streams,
		"rate": &q.Rate}
}

// Set sets a field by its name: a number of more than 0, or "none" for no limit.
func (q *Quota) Set(name string, v any) error {
	field, there := q.fields()[name]
	number, is := v.(float64)
	switch {
	case !there:
		return claimError(fmt.Sprintf("a quota has no %q", name))
	case v == "none":
		number = -1
	case !is || number <= 0 || number > maxQuota || number != math.Trunc(number) && name != "rate":
		return claimError(fmt.Sprintf("the quota's %q is neither a number of more than 0 nor \"none\"", name))
	}
	switch field := field.(type) {
	case *int64:
		*field = int64(number)
	case *float64:
		*field = number
	}
	return nil
}

// maxQuota is what a number in JSON says exactly.
const maxQuota = 1 << 53

// claim is q as a token has it, nil for an empty one.
func (q *Quota) claim() (c map[string]any) {
	for name, field := range q.fields() {
		var number float64
		switch field := field.(type) {
		case *int64:
			number = float64(*field)
		case *float64:
			number = *field
		}
		if number == 0 {
			continue
		}
		if c == nil {
			c = map[string]any{}
		}
		if c[name] = number; number < 0 {
			c[name] = "none"
		}
	}
	return c
}

// Spaces returns what Grant.Spaces has for access to each of names.
func Spaces(access Access, names ...string) map[string]Access {
	all := make(map[string]Access, len(names))
	for _, name := range names {
		all[name] = access
	}
	return all
}

// Access returns what g allows in a space, "" for nothing.
func (g *Grant) Access(space string) Access {
	if a, ok := g.Spaces[space]; ok {
		return a
	}
	return g.Spaces["*"]
}

// claims are a token's, as encoding/json reads and writes them.
type claims struct {
	jwt.MapClaims
	spaces map[string]Access
	quota  Quota
}

// claimError says what is wrong with a claim, for people.
type claimError string

func (e claimError) Error() string { return string(e) }

// maxDate is the largest time that a claim may have, about the year 5000.
const maxDate = 1e11

// UnmarshalJSON reads the claims and refuses what only looks like them: a date as
// text, for one.
func (c *claims) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &c.MapClaims); err != nil {
		return err
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		v, there := c.MapClaims[name]
		date, ok := v.(float64)
		if there && (!ok || date < 0 || date > maxDate) {
			return claimError(fmt.Sprintf("the token's %q is not a number of seconds since 1970", name))
		}
	}
	for _, name := range []string{"sub", "jti"} {
		if _, ok := c.MapClaims[name].(string); !ok && c.MapClaims[name] != nil {
			return claimError(fmt.Sprintf("the token's %q is not text", name))
		}
	}
	if v, there := c.MapClaims["quota"]; there {
		fields, ok := v.(map[string]any)
		if !ok {
			return claimError(`the token's "quota" is not an object`)
		}
		for name, v := range fields {
			if err := c.quota.Set(name, v); err != nil {
				return err
			}
		}
	}
	const wrong = claimError(`the token's "spaces" is neither a list of names nor an object of names with "r" or "rw"`)
	c.spaces = map[string]Access{}
	switch v := c.MapClaims["spaces"].(type) {
	case nil:
	case []any:
		for _, name := range v {
			s, ok := name.(string)
			if !ok {
				return wrong
			}
			c.spaces[s] = ReadWrite
		}
	case map[string]any:
		for name, access := range v {
			if access != string(Read) && access != string(ReadWrite) {
				return wrong
			}
			c.spaces[name] = Access(access.(string))
		}
	default:
		return wrong
	}
	return nil
}

// Mint makes a token that says g. The claims of g.Claims stand beside those that
// Grant has fields for.
func (k *Key) Mint(g Grant) (string, error) {
	const op = "server: mint token"
	if k.sign == nil {
		return "", errcode.New(errcode.BadParam, op, "a public key cannot sign")
	}
	c := jwt.MapClaims{}
	maps.Copy(c, g.Claims)
	if g.Issued.IsZero() {
		g.Issued = time.Now()
	}
	c["iat"], c["exp"], c["spaces"] = g.Issued.Unix(), g.Expires.Unix(), g.Spaces
	if quota := g.Quota.claim(); quota != nil {
		c["quota"] = quota
	}
	for name, v := range map[string]string{"sub": g.Subject, "jti": g.ID} {
		if v != "" {
			c[name] = v
		}
	}
	if names := slices.Sorted(maps.Keys(g.Spaces)); !slices.Contains(slices.Collect(maps.Values(g.Spaces)), Read) {
		c["spaces"] = append([]string{}, names...) // the short form
	}
	t := jwt.NewWithClaims(k.method, c)
	if k.id != "" {
		t.Header["kid"] = k.id
	}
	token, err := t.SignedString(k.sign)
	return token, errcode.Wrap(err, errcode.Internal, op)
}

// Verify returns what a token grants. It must be signed by k with k's own
// algorithm and must expire.
func (k *Key) Verify(_ context.Context, token string) (Grant, error) {
	return verify(token, func(string) []*Key { return []*Key{k} })
}

const opVerify = "server: verify token"

// verify checks a token with the keys that find has for its key id.
func verify(token string, find func(id string) []*Key) (Grant, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		var set jwt.VerificationKeySet
		for _, k := range find(id) {
			if k.method == t.Method && k.mayHave(id) {
				set.Keys = append(set.Keys, k.verify)
			}
		}
		if len(set.Keys) == 0 {
			return nil, claimError("no key that the server has can have signed the token")
		}
		return set, nil
	}, jwt.WithExpirationRequired())
	if err != nil {
		return Grant{}, errcode.New(errcode.Unauthorized, opVerify, whyInvalid(err))
	}
	return c.grant(), nil
}

// grant returns what claims say that were checked.
func (c *claims) grant() Grant {
	g := Grant{Spaces: c.spaces, Quota: c.quota, Claims: c.MapClaims}
	g.Subject, _ = c.MapClaims["sub"].(string)
	g.ID, _ = c.MapClaims["jti"].(string)
	if t, _ := c.GetExpirationTime(); t != nil {
		g.Expires = t.Time
	}
	if t, _ := c.GetIssuedAt(); t != nil {
		g.Issued = t.Time
	}
	return g
}

func whyInvalid(err error) string {
	var own claimError
	switch {
	case errors.As(err, &own):
		return string(own)
	case errors.Is(err, jwt.ErrTokenExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "the token has no expiry"
	}
	return "the token is not valid"
}
