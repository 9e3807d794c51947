package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"heddle.dev/heddle/internal/errcode"
)

// Key makes and verifies tokens. Its kind decides the one algorithm (RFC 7518)
// that it takes: HS256 for a secret, EdDSA for Ed25519, ES256 for P-256, RS256
// for RSA. A server needs the public key alone.
type Key struct {
	id     string // "kid" in the tokens' header; a key without is tried for any
	method jwt.SigningMethod
	sign   any // nil where the key can only verify
	verify any
}

const (
	minSecret  = 32   // the least bytes of a secret: HS256's hash
	minRSA     = 2048 // the least bits of an RSA key, see RFC 7518
	maxRSA     = 8192 // and the most: verifying costs the square of them
	maxKeys    = 100  // the most keys of one file or one JWKS document
	maxKeyFile = 1 << 20
)

const opKey = "server: read token key"

// ParseKeys reads a key file: PEM blocks with private or public keys, a JWKS
// document (RFC 7517), or else one secret of at least 32 bytes, without the
// white space at its ends.
func ParseKeys(file []byte) ([]*Key, error) {
	file = bytes.TrimSpace(file)
	switch {
	case len(file) > maxKeyFile:
		return nil, errcode.New(errcode.BadParam, opKey, "the file is larger than 1 MiB")
	case bytes.HasPrefix(file, []byte("{")):
		return parseJWKS(file, true)
	case bytes.HasPrefix(file, []byte("-----BEGIN ")):
		return parsePEM(file)
	}
	key, err := newKey("", []byte(bytes.Clone(file)))
	if err != nil {
		return nil, err
	}
	return []*Key{key}, nil
}

// ParseKey reads a file with one key, see ParseKeys.
func ParseKey(file []byte) (*Key, error) {
	keys, err := ParseKeys(file)
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, errcode.New(errcode.BadParam, opKey, fmt.Sprintf("the file has %d keys, not one", len(keys)))
	}
	return keys[0], nil
}

func parsePEM(file []byte) (keys []*Key, err error) {
	for {
		block, rest := pem.Decode(file)
		if block == nil {
			break
		}
		file = rest
		parsed, err := parseDER(block.Bytes)
		if err != nil {
			return nil, errcode.New(errcode.BadParam, opKey, "the PEM file holds no key of Ed25519, P-256 or RSA")
		}
		key, err := newKey(block.Headers["kid"], parsed)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(bytes.TrimSpace(file)) > 0 || len(keys) == 0 {
		return nil, errcode.New(errcode.BadParam, opKey, "the PEM file is cut short, or something else follows it")
	}
	return keys, nil
}

// parseDER reads the encodings that tools write keys in.
func parseDER(der []byte) (key any, err error) {
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		x509.ParsePKIXPublicKey,
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParsePKCS1PublicKey(b) },
	} {
		if key, err = parse(der); err == nil {
			return key, nil
		}
	}
	return nil, err
}

// newKey makes a Key of what crypto's packages call one, or of a secret.
func newKey(id string, from any) (*Key, error) {
	refuse := func(why string) (*Key, error) { return nil, errcode.New(errcode.BadParam, opKey, why) }
	if !utf8.ValidString(id) {
		return refuse("a key's kid is not UTF-8: no token can name it")
	}
	k := &Key{id: id, verify: from}
	if private, ok := from.(crypto.Signer); ok {
		k.sign, k.verify = from, private.Public()
	}
	switch verify := k.verify.(type) {
	case []byte:
		if len(verify) < minSecret {
			return refuse(fmt.Sprintf("the secret has %d bytes; at least %d are needed", len(verify), minSecret))
		}
		k.method, k.sign = jwt.SigningMethodHS256, verify
	case ed25519.PublicKey:
		k.method = jwt.SigningMethodEdDSA
	case *ecdsa.PublicKey:
		if verify.Curve != elliptic.P256() {
			return refuse("the curve " + verify.Curve.Params().Name + " is not supported; P-256 is")
		}
		k.method = jwt.SigningMethodES256
	case *rsa.PublicKey:
		if bits := verify.N.BitLen(); bits < minRSA || bits > maxRSA {
			return refuse(fmt.Sprintf("the RSA key has %d bits; %d to %d are supported", bits, minRSA, maxRSA))
		}
		k.method = jwt.SigningMethodRS256
	default:
		return refuse(fmt.Sprintf("a key of type %T is not supported; Ed25519, P-256, RSA and secrets are", from))
	}
	return k, nil
}

// CanSign reports whether the key can mint tokens, as secrets and private keys
// can.
func (k *Key) CanSign() bool { return k.sign != nil }

// ID returns the key's "kid", "" where it has none.
func (k *Key) ID() string { return k.id }

// mayHave reports whether a token with a key id may be signed by the key.
func (k *Key) mayHave(id string) bool { return id == "" || k.id == "" || k.id == id }
