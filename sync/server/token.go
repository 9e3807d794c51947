package server

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"heddle/internal/errcode"
)

// Key makes and verifies tokens: JSON Web Tokens (RFC 7519) by HS256 with a
// shared secret, or by EdDSA (Ed25519) where the server may have the public key
// alone.
type Key struct {
	method jwt.SigningMethod
	sign   any // nil where the key can only verify
	verify any
}

// minSecret is the least length of a secret in bytes: that of HS256's hash.
const minSecret = 32

// ParseKey reads a key file: PEM with an Ed25519 key, private or public, or
// else a secret of at least 32 bytes, without white space at its ends.
func ParseKey(file []byte) (*Key, error) {
	const op = "server: read token key"
	if block, _ := pem.Decode(file); block != nil {
		if private, err := jwt.ParseEdPrivateKeyFromPEM(file); err == nil {
			return &Key{jwt.SigningMethodEdDSA, private, private.(ed25519.PrivateKey).Public()}, nil
		}
		public, err := jwt.ParseEdPublicKeyFromPEM(file)
		if err != nil {
			return nil, errcode.New(errcode.BadParam, op, "the PEM file holds no Ed25519 key")
		}
		return &Key{jwt.SigningMethodEdDSA, nil, public}, nil
	}
	secret := bytes.TrimSpace(file)
	if len(secret) < minSecret {
		return nil, errcode.New(errcode.BadParam, op, fmt.Sprintf("the secret has %d bytes; at least %d are needed", len(secret), minSecret))
	}
	return &Key{jwt.SigningMethodHS256, secret, secret}, nil
}

// Grant is what a token allows.
type Grant struct {
	Subject string
	Spaces  []string // names, or "*" for any
	Expires time.Time
}

type claims struct {
	Spaces []string `json:"spaces"`
	jwt.RegisteredClaims
}

// Mint makes a token that says g.
func (k *Key) Mint(g Grant) (string, error) {
	if k.sign == nil {
		return "", errcode.New(errcode.BadParam, "server: mint token", "a public key cannot sign")
	}
	c := claims{g.Spaces, jwt.RegisteredClaims{Subject: g.Subject, IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(g.Expires)}}
	token, err := jwt.NewWithClaims(k.method, c).SignedString(k.sign)
	return token, errcode.Wrap(err, errcode.Internal, "server: mint token")
}

// Verify returns what a token grants. It must be signed by k with k's own
// method and must expire.
func (k *Key) Verify(token string) (Grant, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.verify, nil },
		jwt.WithValidMethods([]string{k.method.Alg()}), jwt.WithExpirationRequired())
	if err != nil {
		why := "the token is not valid"
		switch {
		case errors.Is(err, jwt.ErrTokenExpired):
			why = "the token has expired"
		case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
			why = "the token is not valid yet"
		case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
			why = "the token has no expiry"
		}
		return Grant{}, errcode.New(errcode.Unauthorized, "server: verify token", why)
	}
	return Grant{c.Subject, c.Spaces, c.ExpiresAt.Time}, nil
}

func (g *Grant) allows(space string) bool {
	return slices.Contains(g.Spaces, space) || slices.Contains(g.Spaces, "*")
}
