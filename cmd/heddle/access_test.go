//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/wire"
)

// Neither data nor keys may lie where everybody fetches files, whatever links
// lead there.
func TestServe_secretsAmongWebFiles(t *testing.T) {
	dir := t.TempDir()
	site, key := filepath.Join(dir, "site"), filepath.Join(dir, "key")
	works(t, "token", "--token-key", key, "--new-key")
	for _, d := range []string{"site/sub", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	works(t, "token", "--token-key", filepath.Join(site, "sub", "key"), "--new-key")
	for link, to := range map[string]string{
		"tosite": "site", "tosub": filepath.Join(site, "sub"), "tokey": filepath.Join(site, "sub", "key"),
		"tonew": "site/sub/new", "site/toout": "../outside",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ data, key, static, which string }{
		{"site", "key", "site", "--data"},
		{"site/data", "key", "site", "--data"},
		{"site/sub/../data/deep", "key", "site", "--data"},
		{"site/sub", "key", "tosite", "--data"},
		{"tosite/data", "key", "site", "--data"},
		{"tosub", "key", "site", "--data"},
		{"tonew/data", "key", "site", "--data"},
		{"outside/data", "site/sub/key", "site", "--token-key"},
		{"outside/data", "tokey", "site", "--token-key"},
		{"site/toout/data", "key", "outside", "--data"},
	} {
		code, _, problems := heddle(t, "serve", "--data", filepath.Join(dir, test.data), "--token-key",
			filepath.Join(dir, test.key), "--static", filepath.Join(dir, test.static))
		if code != exitUsage || !strings.Contains(problems, test.which+" ") || !strings.Contains(problems, "lies inside") {
			t.Errorf("%+v: exit %d, %s", test, code, problems)
		}
	}
	code, _, problems := heddle(t, "serve", "--data", filepath.Join(dir, "outside"), "--token-key", key, "--revoked",
		filepath.Join(site, "sub", "key"), "--static", site)
	if code != exitUsage || !strings.Contains(problems, "--revoked") {
		t.Errorf("--revoked: exit %d, %s", code, problems)
	}
	for _, name := range []string{"site/data", "site/sub/new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
	// it leads out
	_, stop := serving(t, "--token-key", key, "--data", filepath.Join(site, "toout", "data"), "--static", site)
	if code := stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// What is no regular file is not opened: a pipe would wait for who writes to it.
func TestStatic_pipe(t *testing.T) {
	site := t.TempDir()
	for _, name := range []string{"pipe", "app.js.br"} {
		if err := syscall.Mkfifo(filepath.Join(site, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(site, "app.js"), []byte("js"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := serving(t, "--dev", "--data", t.TempDir(), "--static", site)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableCompression: true}}
	for path, want := range map[string]int{"pipe": 404, "pipe/": 404, "app.js": 200} {
		req, _ := http.NewRequest("GET", url+path, nil)
		req.Header.Set("Accept-Encoding", "br")
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, res.StatusCode, want)
		}
	}
}

// push asks the server how far it is, with a token, and returns the status.
func push(t *testing.T, url, token string) int {
	t.Helper()
	req, err := http.NewRequest("POST", url+"v1/spaces/s/push",
		strings.NewReader(string((&wire.PushRequest{Client: wire.ClientID{1}}).Marshal())))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaType)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode == http.StatusTooManyRequests { // who polls asks often
		time.Sleep(100 * time.Millisecond)
		return push(t, url, token)
	}
	return res.StatusCode
}

// becomes waits until f returns want.
func becomes(t *testing.T, what string, want int, f func() int) {
	t.Helper()
	await.Poll(t, fmt.Sprintf("%s: %d", what, want), func() bool { return f() == want })
}

// Keys come and go, and tokens are revoked, without a restart.
func TestServe_keysAndRevocations(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	minted := func(key string, more ...string) string {
		return strings.TrimSpace(works(t, append([]string{"token", "--token-key", at(key), "--space", "s"}, more...)...))
	}
	for _, key := range []string{"old", "new", "other"} {
		works(t, "token", "--token-key", at(key), "--new-key")
	}
	replace := func(name, with string) {
		t.Helper()
		data, err := os.ReadFile(at(with))
		if err == nil {
			err = os.WriteFile(at("part"), data, 0o600)
		}
		if err == nil {
			err = os.Rename(at("part"), at(name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace("second", "other")
	if err := os.WriteFile(at("revoked"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old, fresh, named := minted("old"), minted("new"), minted("new", "--id", "phone")
	url, _ := serving(t, "--data", at("data"), "--token-key", at("old"), "--token-key", at("second"), "--revoked",
		at("revoked"))
	if a, b := push(t, url, old), push(t, url, fresh); a != 200 || b != 401 {
		t.Errorf("before: got %d and %d", a, b)
	}
	replace("second", "new")
	becomes(t, "the new key", 200, func() int { return push(t, url, fresh) })
	if got := push(t, url, old); got != 200 {
		t.Errorf("the old key beside it: got %d", got)
	}
	replace("old", "other")
	becomes(t, "the old key gone", 401, func() int { return push(t, url, old) })
	if err := os.WriteFile(at("revoked"), []byte("jti phone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	becomes(t, "a revoked token", 401, func() int { return push(t, url, named) })
	if got := push(t, url, fresh); got != 200 {
		t.Errorf("another of the subject: got %d", got)
	}
	reader := strings.TrimSpace(works(t, "token", "--token-key", at("new"), "--read", "s"))
	if got := push(t, url, reader); got != 403 {
		t.Errorf("a push with a token for reading: got %d", got)
	}
}

// SIGHUP fetches the published keys again.
func TestServe_jwks(t *testing.T) {
	var fetches atomic.Int64
	doc, err := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": "one",
		"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		w.Write(doc)
	}))
	defer provider.Close()
	// The private key of RFC 8037, appendix A.1.
	key := filepath.Join(t.TempDir(), "key")
	private := `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
		"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	if err := os.WriteFile(key, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(works(t, "token", "--token-key", key, "--space", "s"))
	url, _ := serving(t, "--data", t.TempDir(), "--jwks", provider.URL)
	if got := push(t, url, token); got != 200 {
		t.Errorf("got %d", got)
	}
	n := fetches.Load()
	becomes(t, "fetched again", 1, func() int {
		syscall.Kill(os.Getpid(), syscall.SIGHUP)
		return int(min(fetches.Load()-n, 1))
	})
	url, _ = serving(t, "--data", t.TempDir(), "--jwks", provider.URL, "--token-audience", "notes")
	if got := push(t, url, token); got != 401 {
		t.Errorf("for no audience: got %d", got)
	}
	token = strings.TrimSpace(works(t, "token", "--token-key", key, "--space", "s", "--audience", "notes", "--issuer",
		"us"))
	if got := push(t, url, token); got != 200 {
		t.Errorf("for its audience: got %d", got)
	}
	if code, _, problems := heddle(t, "serve", "--data", t.TempDir(), "--jwks",
		"http://keys.example/"); code != exitFailed || !strings.Contains(problems, "https://") {
		t.Errorf("by http: exit %d, %s", code, problems)
	}
	provider.Close()
	if code, _, problems := heddle(t, "serve", "--data", t.TempDir(), "--jwks", provider.URL); code != exitFailed ||
		problems == "" {
		t.Errorf("without the provider: exit %d, %s", code, problems)
	}
}

// A page elsewhere gets nothing from a server in development mode unless its
// origin is named.
func TestServe_devOrigins(t *testing.T) {
	url, _ := serving(t, "--dev", "--data", t.TempDir(), "--origin", "https://app.example")
	for origin, want := range map[string]int{"": 404, "http://localhost:5173": 404, "https://app.example": 404,
		"https://evil.example": 403} {
		req, _ := http.NewRequest("GET", url+"v1/spaces/s/digest", nil)
		req.Header.Set("Origin", origin)
		if origin == "" {
			req.Header.Del("Origin")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", origin, res.StatusCode, want)
		}
	}
}
