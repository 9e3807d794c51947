package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

var secret = []byte("a secret of more than thirty-two bytes, for tests")

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

// routes are all addresses of a space. TestAccess walks through them.
var routes = []struct {
	method, action string
	body           []byte
	granted        int // the status of what is granted, in a plain space
}{
	{"POST", "push", (&wire.PushRequest{Client: wire.ClientID{1}}).Marshal(), 200},
	{"POST", "pull?wait=0", (&wire.PullRequest{Client: wire.ClientID{1}}).Marshal(), 200},
	{"GET", "digest", nil, 200},
	{"GET", "members", nil, 200},
	{"POST", "heads", (&seal.Head{Device: seal.ID{1}, N: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
		Signature: seal.Signature{2}}).Marshal(), 409},
	{"POST", "snapshot", (&seal.Manifest{Device: seal.ID{1}, Epoch: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
		Members: seal.Hash{1}, Nonce: seal.Nonce{1}, Box: make([]byte, 272), Signature: seal.Signature{2}}).Marshal(), 403},
	{"GET", "snapshots", nil, 403},
	{"POST", "missing", []byte{}, 403},
	{"POST", "chunks", []byte{1}, 403},
	{"GET", "chunk?id=" + strings.Repeat("0f", 32), nil, 403},
	{"POST", "pair?n=1&id=" + strings.Repeat("0f", 16), []byte{1}, 200},
}

// No route is forgotten above.
func TestRoutes_areAllTested(t *testing.T) {
	all := []string{"GET /healthz"}
	for _, r := range routes {
		action, _, _ := strings.Cut(r.action, "?")
		all = append(all, r.method+" /v1/spaces/{space}/"+action)
	}
	if slices.Sort(all); !slices.Equal(all, server.Routes()) {
		t.Errorf("tested are %v, of %v", all, server.Routes())
	}
}

func TestAccess(t *testing.T) {
	key := mustKey(t, secret)
	h := start(t, func(o *server.Options) { o.Dev, o.Tokens = false, key })
	for _, space := range []string{"ann", "bob"} { // both exist
		res := h.do("POST", "/v1/spaces/"+space+"/push", routes[0].body, "Authorization", "Bearer "+mint(t, key, "*"))
		if res.Body.Close(); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	soon, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	_, foreign, _ := ed25519.GenerateKey(nil)
	good := mint(t, key, "ann", "family")
	claim := func(name string, v any) string {
		all := jwt.MapClaims{"spaces": []string{"ann"}, "exp": soon}
		all[name] = v
		return "Bearer " + sign(jwt.SigningMethodHS256, secret, all)
	}
	tests := []struct {
		name, header string
		status       int
		code         string
	}{
		{"granted", "Bearer " + good, 200, ""},
		{"granted, another case", "bearer " + good, 200, ""},
		{"granted with all", "Bearer " + mint(t, key, "*"), 200, ""},
		{"no token", "", 401, errcode.Unauthorized},
		{"another scheme", "Basic " + good, 401, errcode.Unauthorized},
		{"no space", "Bearer " + mint(t, key), 403, errcode.Forbidden},
		{"another space", "Bearer " + mint(t, key, "bob"), 403, errcode.Forbidden},
		{"part of the name", "Bearer " + mint(t, key, "an", "ann2", "ANN", "ann/", "a*"), 403, errcode.Forbidden},
		{"another secret", "Bearer " + mint(t, mustKey(t, bytes.Repeat([]byte("x"), 40)), "ann"), 401, errcode.Unauthorized},
		{"altered", "Bearer " + good[:len(good)-2] + "xx", 401, errcode.Unauthorized},
		{"unsigned", "Bearer " + sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType,
			jwt.MapClaims{"spaces": []string{"ann"}, "exp": soon}), 401, errcode.Unauthorized},
		{"another method", "Bearer " +
			sign(jwt.SigningMethodHS512, secret, jwt.MapClaims{"spaces": []string{"ann"}, "exp": soon}), 401,
			errcode.Unauthorized},
		{"another kind of key", "Bearer " +
			sign(jwt.SigningMethodEdDSA, foreign, jwt.MapClaims{"spaces": []string{"ann"}, "exp": soon}), 401,
			errcode.Unauthorized},
		{"expired", "Bearer " + sign(jwt.SigningMethodHS256, secret,
			jwt.MapClaims{"spaces": []string{"ann"}, "exp": past}), 401, errcode.Unauthorized},
		{"not yet", "Bearer " + sign(jwt.SigningMethodHS256, secret,
			jwt.MapClaims{"spaces": []string{"ann"}, "exp": soon, "nbf": soon}), 401, errcode.Unauthorized},
		{"without expiry", "Bearer " + sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"spaces": []string{"ann"}}), 401,
			errcode.Unauthorized},
		{"spaces is text", claim("spaces", "ann"), 401, errcode.Unauthorized},
		{"spaces has numbers", claim("spaces", []any{1}), 401, errcode.Unauthorized},
		{"no such access", claim("spaces", map[string]any{"ann": "w"}), 401, errcode.Unauthorized},
		{"no spaces", claim("spaces", map[string]any{}), 403, errcode.Forbidden},
		{"granted by name", claim("spaces", map[string]any{"ann": "rw"}), 200, ""},
		{"granted all by name", claim("spaces", map[string]any{"*": "rw", "bob": "r"}), 200, ""},
		{"expiry as text", claim("exp", fmt.Sprint(soon)), 401, errcode.Unauthorized},
		{"expiry is no date", claim("exp", 1e300), 401, errcode.Unauthorized},
		{"expiry is a list", claim("exp", []any{soon}), 401, errcode.Unauthorized},
		{"expiry is nothing", claim("exp", nil), 401, errcode.Unauthorized},
		{"subject is a number", claim("sub", 7), 401, errcode.Unauthorized},
	}
	for _, route := range routes {
		for _, test := range tests {
			t.Run(route.action+"/"+test.name, func(t *testing.T) {
				h.t = t
				res := h.do(route.method, "/v1/spaces/ann/"+route.action, route.body, "Authorization", test.header)
				if test.status != 200 {
					h.refused(res, test.status, test.code)
					return
				}
				if res.Body.Close(); res.StatusCode != route.granted {
					t.Errorf("got %d", res.StatusCode)
				}
			})
		}
	}
}

// What happens in one space shows in no other.
func TestSpaces_areApart(t *testing.T) {
	h := start(t, nil)
	names := []string{"a", "A", "a.b", "a_b", "aA", "Aa", strings.Repeat("n", 128),
		strings.Repeat("N", 97) + strings.Repeat("n", 31)}
	for i, name := range names {
		c := newAuthor(h, name, 1) // one client id in all of them
		for range i + 1 {
			c.push(c.write(body(name, name))...)
		}
	}
	h.restart()
	seen := map[wire.Epoch]string{}
	for i, name := range names {
		c := newAuthor(h, name, 9)
		c.catchUp()
		d := h.digest(name, "")
		if len(c.log) != i+1 || len(c.rows) != 1 || d.Digest != c.digest.Sum() {
			t.Errorf("space %s: %d entries, %d rows", name, len(c.log), len(c.rows))
		}
		if other, ok := seen[d.Epoch]; ok {
			t.Errorf("spaces %s and %s have one epoch", name, other)
		}
		seen[d.Epoch] = name
	}
}

// More spaces than are kept open come and go without loss.
func TestSpaces_manyAreClosedWhenIdle(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Spaces = 2 })
	for round := range 3 {
		for i := range 6 {
			c := newAuthor(h, "s"+string(rune('0'+i)), byte(1+round))
			c.push(c.write(body("x", 1))...)
		}
	}
	for i := range 6 {
		if d := h.digest("s"+string(rune('0'+i)), ""); d.Seq != 3 {
			t.Errorf("space %d: got seq %d, want 3", i, d.Seq)
		}
	}
}

func TestRoutes_refuse(t *testing.T) {
	h := start(t, nil)
	push := (&wire.PushRequest{Client: wire.ClientID{1}}).Marshal()
	zip := func(data []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(data)
		z.Close()
		return b.Bytes()
	}
	tests := []struct {
		name, method, path string
		body               []byte
		header             []string
		status             int
		code               string
	}{
		{"no such address", "GET", "/", nil, nil, 404, errcode.NotFound},
		{"no such version", "POST", "/v2/spaces/s/push", push, nil, 404, errcode.NotFound},
		{"no such action", "POST", "/v1/spaces/s/drop", push, nil, 404, errcode.NotFound},
		{"too deep", "POST", "/v1/spaces/s/push/x", push, nil, 404, errcode.NotFound},
		{"push by GET", "GET", "/v1/spaces/s/push", nil, nil, 405, errcode.Protocol},
		{"digest by POST", "POST", "/v1/spaces/s/digest", nil, nil, 405, errcode.Protocol},
		{"not a space", "POST", "/v1/spaces/..%2fs/push", push, nil, 404, errcode.NotFound},
		{"not a space's name", "POST", "/v1/spaces/.s/push", push, nil, 400, errcode.BadParam},
		{"a long name", "POST", "/v1/spaces/" + strings.Repeat("s", 200) + "/push", push, nil, 400, errcode.BadParam},
		{"another media type", "POST", "/v1/spaces/s/push", push, []string{"Content-Type", "text/plain"}, 415,
			errcode.Protocol},
		{"another encoding", "POST", "/v1/spaces/s/push", push, []string{"Content-Encoding", "br"}, 415, errcode.Protocol},
		{"not gzip", "POST", "/v1/spaces/s/push", push, []string{"Content-Encoding", "gzip"}, 400, errcode.Protocol},
		{"cut gzip", "POST", "/v1/spaces/s/push", zip(push)[:15], []string{"Content-Encoding", "gzip"}, 400,
			errcode.Protocol},
		{"garbage", "POST", "/v1/spaces/s/push", []byte("garbage"), nil, 400, errcode.Protocol},
		{"no client", "POST", "/v1/spaces/s/push", (&wire.PushRequest{}).Marshal(), nil, 400, errcode.Protocol},
		{"garbage to pull", "POST", "/v1/spaces/s/pull", []byte("garbage"), nil, 400, errcode.Protocol},
		{"too large", "POST", "/v1/spaces/s/push", make([]byte, wire.MaxRequest+1), nil, 413, errcode.TooBig},
		{"too large when unpacked", "POST", "/v1/spaces/s/push", zip(make([]byte, wire.MaxRequest+1)),
			[]string{"Content-Encoding", "gzip"}, 413, errcode.TooBig},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h.t = t
			h.refused(h.do(test.method, test.path, test.body, test.header...), test.status, test.code)
		})
	}
	h.t = t
	res := h.post("s", "push", zip(push), "Content-Encoding", "gzip")
	if res.Body.Close(); res.StatusCode != 200 {
		t.Errorf("a request in gzip: got %d", res.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	key := mustKey(t, secret)
	preflight := func(h *harness, origin string) http.Header {
		res := h.do("OPTIONS", "/v1/spaces/s/push", nil, "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type")
		res.Body.Close()
		if res.StatusCode != 204 {
			t.Errorf("preflight: got %d", res.StatusCode)
		}
		return res.Header
	}
	strict := start(t, func(o *server.Options) {
		o.Dev, o.Tokens, o.Origins = false, key, []string{"https://app.example"}
	})
	dev := start(t, nil)
	open := start(t, func(o *server.Options) { o.Origins = []string{"*"} })
	for _, test := range []struct {
		h            *harness
		origin, want string
	}{
		{strict, "https://app.example", "https://app.example"},
		{strict, "https://evil.example", ""},
		{strict, "null", ""},
		{dev, "http://localhost:5173", "http://localhost:5173"},
		{dev, "http://app.localhost", "http://app.localhost"},
		{dev, "https://127.0.0.1:1", "https://127.0.0.1:1"},
		{dev, "http://[::1]:8080", "http://[::1]:8080"},
		{open, "https://evil.example", "*"},
	} {
		head := preflight(test.h, test.origin)
		if got := head.Get("Access-Control-Allow-Origin"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.origin, got, test.want)
		}
		if allowed := strings.ToLower(head.Get("Access-Control-Allow-Headers")); test.want != "" &&
			(!strings.Contains(allowed, "authorization") || !strings.Contains(allowed, "content-type") ||
				head.Get("Access-Control-Max-Age") == "") {
			t.Errorf("%s: got headers %v", test.origin, head)
		}
		res := test.h.do("GET", "/v1/spaces/s/digest", nil, "Origin", test.origin) // a refusal must be readable too
		res.Body.Close()
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != test.want {
			t.Errorf("%s: an answer has %q, want %q", test.origin, got, test.want)
		}
	}
}

// In development mode there is no token that a foreign page would lack: it is
// refused. In every mode the log says so, once for each origin.
func TestOrigins_refused(t *testing.T) {
	var log bytes.Buffer
	quiet := func(o *server.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	dev := start(t, quiet)
	for _, origin := range []string{"https://evil.example", "http://localhost.evil.example", "http://evil.example:127",
		"null", "::", "file://"} {
		for range 2 {
			log.Reset()
			for _, route := range routes {
				dev.refused(dev.do(route.method, "/v1/spaces/s/"+route.action, route.body, "Origin", origin), 403,
					errcode.Forbidden)
			}
			res := dev.do("OPTIONS", "/v1/spaces/s/push", nil, "Origin", origin)
			if res.Body.Close(); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("preflight of %s: got %d %v", origin, res.StatusCode, res.Header)
			}
		}
		if log.Len() > 0 {
			t.Errorf("%s: reported again: %s", origin, &log)
		}
	}
	// A page of the server's own address may call; one of a name that leads here may not.
	own := strings.TrimPrefix(dev.http.URL, "http://")
	if res := dev.post("s", "push", routes[0].body, "Origin", "http://"+own); res.StatusCode != 200 {
		t.Errorf("the server's own page: got %d", res.StatusCode)
	}
	key := mustKey(t, secret)
	strict := start(t, func(o *server.Options) { quiet(o); o.Dev, o.Tokens = false, key })
	log.Reset()
	res := strict.post("s", "push", routes[0].body, "Origin", "https://evil.example", "Authorization",
		"Bearer "+mint(t, key, "s"))
	if res.Body.Close(); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	if !strings.Contains(log.String(), "https://evil.example") || !strings.Contains(log.String(), "--origin") {
		t.Errorf("the log says %q", &log)
	}
}

func TestRate(t *testing.T) {
	key := mustKey(t, secret)
	h := start(t, func(o *server.Options) { o.Dev, o.Tokens, o.Limits.Rate = false, key, 0.01 })
	auth := []string{"Authorization", "Bearer " + mint(t, key, "s")}
	res := h.do("POST", "/v1/spaces/s/push", routes[0].body, auth...) // a hundred seconds' worth of burst is less than one
	if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	h.refused(res, 429, errcode.RateLimited)
}

// Tokens without a subject are counted each for itself.
func TestRate_withoutSubject(t *testing.T) { synctest.Test(t, testRateWithoutSubject) }

func testRateWithoutSubject(t *testing.T) {
	key := mustKey(t, secret)
	h := startInMemory(t, func(o *server.Options) { o.Dev, o.Tokens, o.Limits.Rate = false, key, 0.5 })
	token := func(space string) []string {
		token, err := key.Mint(auth.Grant{Spaces: auth.Spaces(auth.ReadWrite, space),
			Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return []string{"Authorization", "Bearer " + token}
	}
	one, other := token("s"), token("other")
	for range 2 { // the burst
		h.post("s", "push", routes[0].body, one...).Body.Close()
	}
	h.refused(h.post("s", "push", routes[0].body, one...), 429, errcode.RateLimited)
	res := h.post("other", "push", routes[0].body, other...)
	if res.Body.Close(); res.StatusCode != 200 {
		t.Errorf("another's token: got %d", res.StatusCode)
	}
}

func TestStreams_areLimited(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Streams = 1 })
	a := newAuthor(h, "s", 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	frames, res := a.pull(ctx, "")
	defer res.Body.Close()
	if _, err := frames.Next(); err != nil {
		t.Fatal(err)
	}
	h.refused(h.post("s", "pull", routes[1].body), 503, errcode.Busy)
}

func TestKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, _ := x509.MarshalPKCS8PrivateKey(private)
	publicDER, _ := x509.MarshalPKIXPublicKey(public)
	signer := mustKey(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}))
	verifier := mustKey(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}))
	token := mint(t, signer, "a", "b")
	for _, key := range []*auth.Key{signer, verifier} {
		grant, err := key.Verify(t.Context(), token)
		if err != nil || grant.Subject != "ann" || !maps.Equal(grant.Spaces, auth.Spaces(auth.ReadWrite, "a", "b")) ||
			grant.Expires.Before(time.Now()) {
			t.Errorf("got %+v, %v", grant, err)
		}
	}
	if token, err := verifier.Mint(auth.Grant{}); errcode.Of(err) != errcode.BadParam {
		t.Errorf("minted by a public key: %s, %v", token, err)
	}
	// The public key's bytes are no secret of HS256.
	confused, _ := jwt.NewWithClaims(jwt.SigningMethodHS256,
		jwt.MapClaims{"spaces": []string{"a"}, "exp": time.Now().Add(time.Hour).Unix()}).
		SignedString(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}))
	if _, err := verifier.Verify(t.Context(), confused); errcode.Of(err) != errcode.Unauthorized {
		t.Errorf("signed with the public key: got %v", err)
	}
	for name, file := range map[string][]byte{
		"short":     []byte("short"),
		"padded":    []byte(strings.Repeat(" ", 40) + "short\n"),
		"other PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
	} {
		if _, err := auth.ParseKey(file); errcode.Of(err) != errcode.BadParam {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.BadParam)
		}
	}
}

func TestHealth(t *testing.T) {
	h := start(t, nil)
	res := h.do("GET", "/healthz", nil)
	defer res.Body.Close()
	if data, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(data) != "ok\n" {
		t.Errorf("got %d %q", res.StatusCode, data)
	}
}

// Marks in a name mean the same percent-encoded and as they are, and each name
// is of a space of its own.
func TestRoutes_spaceNames(t *testing.T) {
	h := start(t, nil)
	names := []string{"user@example.com", "user=40example.com", "a+b", "aB", "a=b", "ab", "a:b", "@", "!$&'()+=:@"}
	for i, name := range names {
		a := newAuthor(h, url.PathEscape(name), byte(i+1))
		a.push(a.write(body("k", "text"))...)
	}
	encoded := func(name string) string {
		var b strings.Builder
		for i := range len(name) {
			fmt.Fprintf(&b, "%%%02X", name[i])
		}
		return b.String()
	}
	for _, name := range names {
		for _, path := range []string{name, url.PathEscape(name), encoded(name)} {
			if d := h.digest(path, ""); d.Seq != 1 {
				t.Errorf("%s as %s: seq %d, want 1", name, path, d.Seq)
			}
		}
	}
	infos, err := h.store.Spaces(t.Context(), "", 100)
	if err != nil || len(infos) != len(names) {
		t.Errorf("%d names have %d spaces, %v", len(names), len(infos), err)
	}
}
