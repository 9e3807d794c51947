package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
)

// unhurried are bounds that a test does not run into.
var unhurried = bounds{header: await.Long, idle: await.Long, request: await.Long, refused: await.Long,
	decision: await.Long, store: await.Long, ready: await.Long}

// heddle runs a command line to its end.
func heddle(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = run(&env{ctx: t.Context(), stdout: &out, stderr: &problems, bounds: unhurried}, args)
	return code, out.String(), problems.String()
}

// works runs a command line that must succeed.
func works(t *testing.T, args ...string) string {
	t.Helper()
	code, out, problems := heddle(t, args...)
	if code != exitOK {
		t.Fatalf("heddle %s: exit %d\n%s", strings.Join(args, " "), code, problems)
	}
	return out
}

// lines is a writer that hands over each line.
type lines struct {
	mu   sync.Mutex
	buf  []byte
	each func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	for {
		line, rest, ok := bytes.Cut(l.buf, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.each(string(line))
		l.buf = rest
	}
}

// serving starts a server and returns its URL and what stops it, which returns
// the exit code.
func serving(t *testing.T, args ...string) (url string, stop func() int) {
	t.Helper()
	return servingWithin(t, unhurried, func(string) {}, args...)
}

// servingWithin is serving with bounds, and with what each line of the log is for.
func servingWithin(t *testing.T, b bounds, logged func(string), args ...string) (url string, stop func() int) {
	t.Helper()
	url, _, stop = starting(t, &env{bounds: b}, logged, args...)
	return url, stop
}

// starting starts a server in e, and returns the address of its --admin listener as
// well.
func starting(t *testing.T, e *env, logged func(string), args ...string) (url, admin string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	urls, ended := make(chan string, 1), make(chan int, 1)
	e.ctx = ctx
	e.stdout = &lines{each: func(s string) {
		if _, rest, ok := strings.Cut(s, "admin at "); ok {
			admin = rest
		}
		if _, rest, ok := strings.Cut(s, "serving "); ok {
			url, _, _ := strings.Cut(rest, " ")
			urls <- url
		}
	}}
	e.stderr = &lines{each: func(s string) { t.Log(s); logged(s) }}
	go func() {
		ended <- run(e,
			append([]string{"serve", "--addr", "127.0.0.1:0", "--log", "warn"}, args...))
	}()
	stop = sync.OnceValue(func() int { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	select {
	case url = <-urls:
	case code := <-ended:
		ended <- code
		t.Fatalf("the server ended with %d", code)
	}
	return url, admin, stop
}

// device is a native replica that has written some rows.
func device(t *testing.T, url, space, file string, write bool, token string) (digest string) {
	t.Helper()
	ctx := await.Context(t)
	db, err := store.Open(ctx, store.Options{Filename: "file:" + file,
		Migrations: []string{`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT)`},
		Synced:     []string{"notes"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cfg := client.Config{URL: url, Space: space, Tables: map[string]client.Merge{"notes": nil}, HTTP: nethttp.Doer{},
		Bounds: client.Bounds{Silence: await.Long}}
	if token != "" {
		cfg.Token = func(context.Context) (string, error) { return token, nil }
	}
	c, err := client.Open(ctx, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if write {
		if err := db.Update(ctx, store.Origin{}, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO notes(body) VALUES ('milk'), ('bread'), ('salt')`, store.Params{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	err = c.Now(ctx)
	if errcode.Of(err) == errcode.Network { // an answer of before a standby took over came after it
		err = c.Now(ctx)
	}
	stop()
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	_, sum, err := c.Digest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum)
}

func TestServeDigestInspect(t *testing.T) {
	dir := t.TempDir()
	data, one, two := filepath.Join(dir, "data"), filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db")
	url, stop := serving(t, "--dev", "--data", data)
	want := device(t, url, "family", one, true, "")
	if got := device(t, url, "family", two, false, ""); got != want {
		t.Errorf("the second device has digest %s, the first %s", got, want)
	}
	out := works(t, "digest", "--server", url, "--space", "family")
	for _, part := range []string{"seq     1\n", "rows    3\n", "digest  " + want} {
		if !strings.Contains(out, part) {
			t.Errorf("digest: got\n%s want %q", out, part)
		}
	}
	var answer struct {
		Seq, Rows uint64
		Digest    string
	}
	if err := json.Unmarshal([]byte(works(t, "digest", "--server", url, "--space", "family", "--seq", "1", "--json")),
		&answer); err != nil || answer.Digest != want || answer.Rows != 3 {
		t.Errorf("digest --json: got %+v, %v", answer, err)
	}
	if code, _, problems := heddle(t, "digest", "--server", url, "--space", "family", "--seq", "7"); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_NOT_FOUND") {
		t.Errorf("digest of the future: exit %d, %q", code, problems)
	}
	if code, _, problems := heddle(t, "digest", "--server", url, "--space", "nobody"); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_NOT_FOUND") {
		t.Errorf("digest of no space: exit %d, %q", code, problems)
	}
	// A replica's file and a space's, while the server has it open.
	for file, parts := range map[string][]string{
		one: {"notes ", "3 rows", "space          family", "client id ",
			"cursor         1\n", "pending        0 transactions", "digest         " + want, "integrity  ok"},
		fileOf(t, data, "family"): {"space          family", "log            1 entries, 0 of them void",
			"clients        1", "chain          whole", "digest         " + want, "integrity  ok"},
	} {
		out := works(t, "inspect", file)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("inspect %s: got\n%s want %q", filepath.Base(file), out, part)
			}
		}
	}
	if code, _, problems := heddle(t, "serve", "--dev", "--addr", "127.0.0.1:0", "--data", data); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_BLOCKED") {
		t.Errorf("a second server: exit %d, %q", code, problems)
	}
	if code := stop(); code != exitOK {
		t.Errorf("the server ended with %d", code)
	}
	if code, _, problems := heddle(t, "digest", "--server", url, "--space", "family"); code != exitFailed ||
		!strings.Contains(problems, "HEDDLE_NETWORK") {
		t.Errorf("digest of no server: exit %d, %q", code, problems)
	}
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	works(t, "token", "--new-key", "--token-key", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: got %v, %v", info, err)
	}
	if code, _, _ := heddle(t, "token", "--new-key", "--token-key", key); code != exitFailed {
		t.Errorf("a key over a key: exit %d", code)
	}
	url, _ := serving(t, "--token-key", key, "--data", filepath.Join(dir, "data"))
	mine := strings.TrimSpace(works(t, "token", "--token-key", key, "--space", "family,other", "--subject", "ann"))
	want := device(t, url, "family", filepath.Join(dir, "one.db"), true, mine)
	if out := works(t, "digest", "--server", url, "--space", "family", "--token", mine); !strings.Contains(out, want) {
		t.Errorf("got\n%s want %s", out, want)
	}
	t.Setenv("HEDDLE_TOKEN", mine)
	works(t, "digest", "--server", url, "--space", "family")
	for code, args := range map[string][]string{
		"HEDDLE_UNAUTHORIZED": {"--space", "family", "--token", "nonsense"},
		"HEDDLE_FORBIDDEN":    {"--space", "third"},
	} {
		if exit, _, problems := heddle(t, append([]string{"digest", "--server", url}, args...)...); exit != exitFailed ||
			!strings.Contains(problems, code) {
			t.Errorf("%v: exit %d, %q, want %s", args, exit, problems, code)
		}
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"", exitUsage, "Commands:"},
		{"help", exitOK, "Commands:"},
		{"--help", exitOK, "inspect"},
		{"help serve", exitOK, "--token-key file"},
		{"serve --help", exitOK, "(default 127.0.0.1:8787)"},
		{"help nothing", exitUsage, `no command "nothing"`},
		{"version", exitOK, "heddle "},
		{"nothing", exitUsage, `no command "nothing"`},
		{"serve", exitUsage, "--data or --store is needed"},
		{"serve --data x", exitUsage, "either --dev or --token-key"},
		{"serve --data x --dev --token-key y", exitUsage, "either --dev or --token-key"},
		{"serve --data x --dev --tls-cert x", exitUsage, "go together"},
		{"serve --data " + dir + "/d --dev --addr 127.0.0.1:0 --tls-cert " + text + " --tls-key " + text, exitFailed,
			"--tls-cert"},
		{"serve --data x --dev --drain -1s", exitUsage, "must not be negative"},
		{"serve --data x --dev --log loud", exitUsage, "no such level"},
		{"serve --data x --dev rest", exitUsage, `unexpected argument "rest"`},
		{"serve --datta x", exitUsage, "datta"},
		{"serve --data " + dir + "/d --token-key " + dir + "/none", exitFailed, "no such file"},
		{"serve --data " + dir + "/d --dev --static " + dir + "/none", exitFailed, "--static"},
		{"serve --data " + dir + "/d --dev --addr nonsense", exitFailed, "nonsense"},
		{"serve --data " + text + " --dev", exitFailed, "not a directory"},
		{"digest", exitUsage, "--server is needed"},
		{"digest --server ftp://x --space s", exitUsage, "not an http or https URL"},
		{"digest --server http://x --space ../s", exitUsage, "cannot be a space's name"},
		{"digest --server http://x --space s --seq -1", exitUsage, "not a number"},
		{"inspect", exitUsage, "FILE is missing"},
		{"evidence", exitUsage, "FILE is missing"},
		{"evidence " + text, exitFailed, "seal: decode evidence"},
		{"inspect a b", exitUsage, `unexpected argument "b"`},
		{"inspect " + dir + "/none", exitFailed, "no such file"},
		{"inspect " + dir, exitFailed, "is a directory"},
		{"inspect " + text, exitFailed, "not an SQLite database"},
		{"token", exitUsage, "--token-key is needed"},
		{"token --token-key k", exitUsage, "--space or --read is needed"},
		{"token --token-key k --space s --quota rows", exitUsage, "not of the form"},
		{"token --token-key k --space s --quota rows=0", exitUsage, "more than 0"},
		{"token --token-key k --space s --quota apples=7", exitUsage, "apples"},
		{"token --token-key k --space ../x", exitUsage, "cannot be a space's name"},
		{"token --token-key " + dir + "/none --space s", exitFailed, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, out, problems := heddle(t, strings.Fields(test.args)...)
			if code != test.code || !strings.Contains(out+problems, test.want) {
				t.Errorf("exit %d, want %d; got\n%s%s want %q", code, test.code, out, problems, test.want)
			}
			if code == exitOK && problems != "" || code != exitOK && out != "" {
				t.Errorf("on the wrong stream: stdout %q, stderr %q", out, problems)
			}
		})
	}
}

func TestStatic(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site")
	if err := os.MkdirAll(filepath.Join(site, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"site/index.html": "<p>home", "site/app.js": "js", "site/app.js.br": "js in brotli", "site/app.js.gz": "js in gzip",
		"site/engine.wasm": "\x00asm", "site/.secret": "no", "site/sub/index.html": "<p>sub", "site/data": "raw",
		"secret": "outside",
	}
	for _, name := range slices.Sorted(maps.Keys(files)) { // what is compressed comes after, or it would be stale
		text := files[name]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(site, "link")); err != nil {
		t.Fatal(err)
	}
	url, _ := serving(t, "--dev", "--data", filepath.Join(dir, "data"), "--static", site)
	tests := []struct {
		path, accept          string
		status                int
		kind, encoding, holds string
	}{
		{"", "", 200, "text/html; charset=utf-8", "", "<p>home"},
		{"index.html", "", 200, "text/html; charset=utf-8", "", "<p>home"},
		{"app.js", "identity", 200, "text/javascript; charset=utf-8", "", "js"},
		{"app.js", "gzip", 200, "text/javascript; charset=utf-8", "gzip", "js in gzip"},
		{"app.js", "gzip, deflate, br", 200, "text/javascript; charset=utf-8", "br", "js in brotli"},
		{"app.js", "br;q=0, gzip", 200, "text/javascript; charset=utf-8", "gzip", "js in gzip"},
		{"engine.wasm", "br", 200, "application/wasm", "", "\x00asm"},
		{"data", "", 200, "application/octet-stream", "", "raw"},
		{"sub/", "", 200, "text/html; charset=utf-8", "", "<p>sub"},
		{"sub", "", 301, "", "", ""},
		{"none", "", 404, "", "", ""},
		{".secret", "", 404, "", "", ""},
		{"..%2fsecret", "", 404, "", "", ""},
		{"link", "", 404, "", "", ""},
		{"healthz", "", 200, "text/plain; charset=utf-8", "", "ok\n"},
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	for _, test := range tests {
		t.Run(test.path+" "+test.accept, func(t *testing.T) {
			req, _ := http.NewRequest("GET", url+test.path, nil)
			req.Header.Set("Accept-Encoding", test.accept)
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			data, _ := io.ReadAll(res.Body)
			if res.StatusCode != test.status {
				t.Fatalf("got %d, want %d", res.StatusCode, test.status)
			}
			if test.status != 200 {
				return
			}
			if got := res.Header.Get("Content-Type"); got != test.kind {
				t.Errorf("got type %q, want %q", got, test.kind)
			}
			if got := res.Header.Get("Content-Encoding"); got != test.encoding || string(data) != test.holds {
				t.Errorf("got encoding %q, %q, want %q, %q", got, data, test.encoding, test.holds)
			}
			for _, name := range []string{"Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"} {
				if got := res.Header.Get(name); got != "" {
					t.Errorf("got %s: %s, which nothing needs", name, got)
				}
			}
			if csp := res.Header.Get("Content-Security-Policy"); test.path != "healthz" &&
				!strings.Contains(csp, "script-src 'self' 'wasm-unsafe-eval';") {
				t.Errorf("got Content-Security-Policy %q", csp)
			}
		})
	}
	// A file that has not changed is not sent again.
	res, err := http.Get(url + "engine.wasm")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	req, _ := http.NewRequest("GET", url+"engine.wasm", nil)
	req.Header.Set("If-None-Match", res.Header.Get("ETag"))
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: got %d", res.StatusCode)
	}
}

// A damaged file says so, by its exit code too.
func TestInspect_damage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	url, _ := serving(t, "--dev", "--data", filepath.Join(t.TempDir(), "data"))
	device(t, url, "s", file, true, "")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3 * 4096; i < len(data); i += 64 {
		data[i] ^= 0x55
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, problems := heddle(t, "inspect", file); code != exitFailed || problems == "" {
		t.Errorf("exit %d\n%s%s", code, out, problems)
	}
}

// An open stream does not keep the server from ending.
func TestServe_endsWithStreamsOpen(t *testing.T) {
	url, stop := serving(t, "--dev", "--data", t.TempDir())
	frames := stream(t, t.Context(), url, "s")
	if code := stop(); code != exitOK {
		t.Errorf("the server ended with %d", code)
	}
	ends(t, frames, errcode.Closed)
}
