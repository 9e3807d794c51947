package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server/auth"
)

var secret = []byte("a secret of more than thirty-two bytes, for tests")

// pair is a key of one kind, in the forms that files have.
type pair struct {
	alg             string
	private, public []byte // PEM
	jwk             map[string]string
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newPair(t testing.TB, alg string) *pair {
	t.Helper()
	var signer crypto.Signer
	p := &pair{alg: alg}
	switch alg {
	case "EdDSA":
		public, private, _ := ed25519.GenerateKey(nil)
		signer, p.jwk = private, map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}
	case "ES256":
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, _ := k.PublicKey.Bytes()
		signer, p.jwk = k, map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case "RS256":
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		signer, p.jwk = k, map[string]string{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	p.private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	p.public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return p
}

// named returns the pair's private key with a kid, in PEM.
func (p *pair) named(kid string) []byte {
	block, _ := pem.Decode(p.private)
	block.Headers = map[string]string{"kid": kid}
	return pem.EncodeToMemory(block)
}

func jwks(keys ...map[string]string) []byte {
	data, _ := json.Marshal(map[string]any{"keys": keys})
	return data
}

func with(m map[string]string, more ...string) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// Each kind of key takes its own algorithm and no other, in each form of file.
func mustKey(t testing.TB, file []byte) *auth.Key {
	t.Helper()
	key, err := auth.ParseKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mint(t testing.TB, key *auth.Key, spaces ...string) string {
	t.Helper()
	token, err := key.Mint(auth.Grant{Subject: "ann", Spaces: auth.Spaces(auth.ReadWrite, spaces...),
		Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestKey_kinds(t *testing.T) {
	kinds := map[string]*pair{}
	for _, alg := range []string{"EdDSA", "ES256", "RS256"} {
		kinds[alg] = newPair(t, alg)
	}
	for alg, p := range kinds {
		token := mint(t, mustKey(t, p.private), "a")
		if parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{}); err != nil ||
			parsed.Method.Alg() != alg {
			t.Fatalf("%s: got %v, %v", alg, parsed, err)
		}
		for form, file := range map[string][]byte{"private": p.private, "public": p.public,
			"JWKS": jwks(with(p.jwk, "use", "sig", "alg", alg))} {
			if g, err := mustKey(t, file).Verify(t.Context(), token); err != nil || g.Subject != "ann" {
				t.Errorf("%s in %s: %v", alg, form, err)
			}
			confused, err := jwt.NewWithClaims(jwt.SigningMethodHS256,
				jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}).SignedString(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mustKey(t, file).Verify(t.Context(), confused); errcode.Of(err) != errcode.Unauthorized {
				t.Errorf("%s in %s: the file's bytes are taken for a secret: %v", alg, form, err)
			}
		}
		for other, q := range kinds {
			if _, err := mustKey(t, q.public).Verify(t.Context(), token); (other == alg) != (err == nil) {
				t.Errorf("%s by a key for %s: %v", alg, other, err)
			}
		}
	}
	// The same RSA key by another algorithm.
	block, _ := pem.Decode(kinds["RS256"].private)
	private, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		token, err := jwt.NewWithClaims(method, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}).SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mustKey(t, kinds["RS256"].public).Verify(t.Context(), token); errcode.Of(err) != errcode.Unauthorized {
			t.Errorf("%s: got %v", method.Alg(), err)
		}
	}
}

// The example of RFC 7517, appendix A.1: its first key is for encryption.
const rfc7517 = `{"keys":[
{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
 "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSo` +
	`c_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_` +
	`FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4v` +
	`MQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",` +
	`"e":"AQAB","alg":"RS256","kid":"2011-04-29"}
]}`

func TestParseKeys(t *testing.T) {
	ed := newPair(t, "EdDSA")
	secretKey := map[string]string{"kty": "oct", "k": b64(secret), "kid": "s"}
	for _, test := range []struct {
		name string
		file []byte
		ids  string // of the keys, "!" for an error
	}{
		{"RFC 7517", []byte(rfc7517), "2011-04-29"},
		{"RFC 8037", []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`),
			""},
		{"two in PEM", append(ed.named("one"), ed.named("two")...), "one two"},
		{"a secret in JWKS", jwks(secretKey), "s"},
		{"others are passed over", jwks(map[string]string{"kty": "EC", "crv": "P-521"},
			map[string]string{"kty": "OKP", "crv": "X25519"}, with(ed.jwk, "use", "enc"), with(ed.jwk, "alg", "ES256"),
			with(ed.jwk, "kid", "k")), "k"},
		{"a short secret in JWKS", jwks(with(secretKey, "k", b64([]byte("short")))), "!"},
		{"no key", jwks(), "!"},
		{"no key to use", jwks(with(ed.jwk, "use", "enc")), "!"},
		{"no JSON", []byte(`{"keys":`), "!"},
		{"a short number", jwks(with(ed.jwk, "x", "AAAA")), "!"},
		{"not on the curve", jwks(map[string]string{"kty": "EC", "crv": "P-256", "x": b64(make([]byte, 32)),
			"y": b64(make([]byte, 32))}), "!"},
		{"a small RSA key", jwks(map[string]string{"kty": "RSA", "n": b64(bytes.Repeat([]byte{0xff}, 128)), "e": "AQAB"}),
			"!"},
		{"an RSA key with exponent 1",
			jwks(map[string]string{"kty": "RSA", "n": b64(bytes.Repeat([]byte{0xff}, 256)), "e": "AQ"}), "!"},
		{"text after PEM", append(bytes.Clone(ed.public), "more"...), "!"},
		{"PEM cut short", ed.public[:len(ed.public)-30], "!"},
		{"a name that no token can have", ed.named("k\xff"), "!"},
		{"nothing", nil, "!"},
	} {
		keys, err := auth.ParseKeys(test.file)
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID())
		}
		if got := strings.Join(ids, " "); err == nil && got != test.ids || (err != nil) != (test.ids == "!") {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.ids)
		}
		if err != nil && errcode.Of(err) != errcode.BadParam {
			t.Errorf("%s: got code %s", test.name, errcode.Of(err))
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(rfc7517))
	f.Add(newPair(f, "ES256").named("k"))
	f.Add(jwks(newPair(f, "EdDSA").jwk))
	f.Add(secret)
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, err := auth.ParseKeys(file)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("got %d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if !k.CanSign() {
				continue
			}
			token, err := k.Mint(auth.Grant{Subject: "ann", Expires: time.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Verify(context.Background(), token); err != nil {
				t.Errorf("its own token: %v", err)
			}
		}
	})
}

// provider is an identity provider that publishes its keys.
type provider struct {
	*httptest.Server
	doc     atomic.Pointer[[]byte]
	status  atomic.Int64
	fetches atomic.Int64
}

func newProvider(t *testing.T, doc []byte) *provider {
	p := &provider{}
	p.doc.Store(&doc)
	p.status.Store(200)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		w.WriteHeader(int(p.status.Load()))
		w.Write(*p.doc.Load())
	}))
	t.Cleanup(p.Close)
	return p
}

// A JWKS document is kept, and fetched again for a key that it does not have, but
// not for each token that names one.
func TestKeySet_url(t *testing.T) {
	old, next := newPair(t, "RS256"), newPair(t, "ES256")
	p := newProvider(t, jwks(with(old.jwk, "kid", "old"),
		map[string]string{"kty": "oct", "k": b64(secret), "kid": "open"}))
	now := time.Now()
	keys, err := auth.OpenKeys(t.Context(),
		auth.KeyOptions{URLs: []string{p.URL}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	oldToken, nextToken := mint(t, mustKey(t, old.named("old")), "a"), mint(t, mustKey(t, next.named("next")), "a")
	check := func(what, token string, fine bool, fetches int64) {
		t.Helper()
		if _, err := keys.Verify(t.Context(), token); (err == nil) != fine ||
			err != nil && errcode.Of(err) != errcode.Unauthorized {
			t.Errorf("%s: got %v", what, err)
		}
		if got := p.fetches.Load(); got != fetches {
			t.Errorf("%s: fetched %d times, want %d", what, got, fetches)
		}
	}
	check("a known key", oldToken, true, 1)
	check("an unknown key, too soon", nextToken, false, 1)
	check("what is published is no secret", mint(t, mustKey(t, secret), "a"), false, 1)
	now = now.Add(31 * time.Second)
	check("an unknown key", nextToken, false, 2)
	check("and again", nextToken, false, 2)
	rotated := jwks(with(next.jwk, "kid", "next"))
	p.doc.Store(&rotated)
	now = now.Add(31 * time.Second)
	check("its key has come", nextToken, true, 3)
	check("the old one is gone", oldToken, false, 3)
	// What cannot be read leaves the keys as they are.
	for _, bad := range [][]byte{[]byte("{"), []byte(`{"keys":[]}`), bytes.Repeat([]byte(" "), 2<<20)} {
		p.doc.Store(&bad)
		if err := keys.Refresh(t.Context(), true); err == nil {
			t.Error("no error")
		}
		check("after a bad document", nextToken, true, p.fetches.Load())
	}
	p.status.Store(503)
	if err := keys.Refresh(t.Context(), true); err == nil {
		t.Error("no error")
	}
	check("after an error", nextToken, true, p.fetches.Load())
	n := p.fetches.Load()
	keys.Refresh(t.Context(), false)
	check("not due", nextToken, true, n)
	now = now.Add(time.Minute)
	keys.Refresh(t.Context(), false)
	check("due again after a failure", nextToken, true, n+1)
}

func TestKeySet_refuses(t *testing.T) {
	away := httptest.NewServer(http.RedirectHandler("http://keys.example/jwks", http.StatusFound))
	defer away.Close()
	for name, o := range map[string]auth.KeyOptions{
		"nothing":                  {},
		"no file":                  {Files: []string{filepath.Join(t.TempDir(), "none")}},
		"a directory":              {Files: []string{t.TempDir()}},
		"http":                     {URLs: []string{"http://keys.example/jwks"}},
		"no URL":                   {URLs: []string{"keys.example"}},
		"redirected to plain http": {URLs: []string{away.URL}},
	} {
		if _, err := auth.OpenKeys(t.Context(), o); errcode.Of(err) != errcode.BadParam {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Tokens of one provider may be for others.
func TestKeySet_issuerAndAudience(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.OpenKeys(t.Context(),
		auth.KeyOptions{Files: []string{file}, Issuer: "https://id.example", Audience: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		iss, aud any
		fine     bool
	}{
		{"https://id.example", "notes", true},
		{"https://id.example", []string{"mail", "notes"}, true},
		{"https://id.example", "mail", false},
		{"https://id.example", []string{"mail"}, false},
		{"https://id.example", nil, false},
		{"https://id.example/", "notes", false},
		{nil, "notes", false},
	} {
		token, err := mustKey(t, secret).Mint(auth.Grant{Claims: map[string]any{"iss": test.iss, "aud": test.aud},
			Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Verify(t.Context(), token); (err == nil) != test.fine {
			t.Errorf("%v, %v: got %v", test.iss, test.aud, err)
		}
	}
}

func TestRevocations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "revoked")
	for text, fine := range map[string]bool{
		"":                                     true,
		"# a comment\n\n  \n":                  true,
		"jti a b\r\nsub  c \n":                 true,
		"before 2026-01-02T03:04:05Z ann lee":  true,
		"before 2026-01-02T03:04:05+02:00 ann": true,
		"before yesterday ann":                 false,
		"before 2026-01-02T03:04:05Z":          false,
		"jti":                                  false,
		"sub ":                                 false,
		"user ann":                             false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := auth.OpenRevocations(file, nil)
		if (err == nil) != fine || err != nil && errcode.Of(err) != errcode.BadParam {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if err := os.WriteFile(file,
		[]byte("sub ann\nbefore 2026-01-01T00:00:00Z ann\n"+
			"before 2026-01-01T00:00:00Z bob\nbefore 2026-02-01T00:00:00Z bob"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := auth.OpenRevocations(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		g    auth.Grant
		want bool
	}{
		{auth.Grant{Subject: "ann", Issued: time.Now()}, true},
		{auth.Grant{Subject: "bob", Issued: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}, true},
		{auth.Grant{Subject: "bob", Issued: time.Date(2026, 2, 15, 0, 0, 0, 0, time.UTC)}, false},
		{auth.Grant{Subject: "bob"}, true},
		{auth.Grant{}, false},
	} {
		if got := r.Revoked(&test.g); got != test.want {
			t.Errorf("%+v: got %v", test.g, got)
		}
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(); err == nil || !r.Revoked(&auth.Grant{Subject: "ann"}) {
		t.Errorf("what cannot be read takes the place of what could: %v", err)
	}
}

func FuzzRevocations(f *testing.F) {
	file := filepath.Join(f.TempDir(), "revoked")
	f.Add([]byte("jti a\nsub b\nbefore 2026-01-02T03:04:05Z c\n# d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := auth.OpenRevocations(file, nil)
		if err == nil && r.Revoked(&auth.Grant{}) {
			t.Error("a token of nobody is revoked")
		}
	})
}
