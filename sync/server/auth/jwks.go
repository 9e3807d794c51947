package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// jwk is one key of a JWKS document, see RFC 7517, RFC 7518 section 6 and RFC
// 8037.
type jwk struct {
	Kty, Kid, Use, Alg, Crv string
	X, Y, N, E, D, K        string
}

// parseJWKS reads a JWKS document. Keys of other kinds and for other uses are
// passed over: providers list keys for encryption beside those for signatures.
// Secrets are read from files alone: what is published is none.
func parseJWKS(data []byte, secrets bool) (keys []*Key, err error) {
	var doc struct{ Keys []jwk }
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, errcode.New(errcode.BadParam, opKey, "this is no JWKS document")
	}
	if len(doc.Keys) > maxKeys {
		return nil, errcode.New(errcode.BadParam, opKey, fmt.Sprintf("the JWKS document has more than %d keys", maxKeys))
	}
	for i := range doc.Keys {
		j := &doc.Keys[i]
		from, err := j.key()
		if err != nil {
			return nil, errcode.New(errcode.BadParam, opKey,
				fmt.Sprintf("key %d of the JWKS document (%q): %v", i+1, j.Kid, err))
		}
		if _, secret := from.([]byte); from == nil || secret && !secrets {
			continue
		}
		key, err := newKey(j.Kid, from)
		if err != nil {
			return nil, err
		}
		if j.Alg == "" || j.Alg == key.method.Alg() {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errcode.New(errcode.BadParam, opKey, "the JWKS document has no key for RS256, ES256 or EdDSA")
	}
	return keys, nil
}

// key returns the key in the form of crypto's packages, nil for one to pass over.
func (j *jwk) key() (any, error) {
	if j.Use != "" && j.Use != "sig" {
		return nil, nil
	}
	switch j.Kty + " " + j.Crv {
	case "oct ":
		return decode(j.K, 0)
	case "OKP Ed25519":
		if j.D != "" {
			seed, err := decode(j.D, ed25519.SeedSize)
			if err != nil {
				return nil, err
			}
			return ed25519.NewKeyFromSeed(seed), nil
		}
		x, err := decode(j.X, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case "EC P-256":
		x, err := decode(j.X, 32)
		if err != nil {
			return nil, err
		}
		y, err := decode(j.Y, 32)
		if err != nil {
			return nil, err
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	case "RSA ":
		n, err := decode(j.N, 0)
		if err != nil {
			return nil, err
		}
		e, err := decode(j.E, 0)
		if err != nil || len(e) == 0 || len(e) > 4 {
			return nil, fmt.Errorf("its exponent is not supported")
		}
		exponent := new(big.Int).SetBytes(e).Int64()
		if exponent < 3 || exponent > 1<<31-1 || exponent%2 == 0 {
			return nil, fmt.Errorf("its exponent is not supported")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}, nil
	}
	return nil, nil
}

// decode reads base64url, with or without padding, of size bytes if size > 0.
func decode(s string, size int) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || size > 0 && len(b) != size {
		return nil, fmt.Errorf("a number of it cannot be read")
	}
	return b, nil
}
