//go:build unix

package deploy

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/wire"
)

// heddle is the command, as the image has it: without cgo.
var heddle = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "heddle-deploy-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "heddle")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "../cmd/heddle")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := heddle(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

func built(t *testing.T) string {
	t.Helper()
	file, err := heddle()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// program finds one that Debian has in a package, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, file := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(file); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: ./build.sh test installs it", name)
	}
	t.Skipf("there is no %s here", name)
	return ""
}

// run starts a program that ends with the test.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // so that it ends its own
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		if cmd.Wait(); t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s: %s", cmd.Path, text)
		}
	})
}

// serving starts a server and returns its address.
func serving(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	run(t, cmd)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, rest, ok := strings.Cut(lines.Text(), "serving http://"); ok {
			addr, _, _ := strings.Cut(rest, "/")
			return addr
		}
	}
	t.Fatal("the server did not begin")
	return ""
}

// configuration writes a file of this folder with some texts replaced, each of which
// it has to have.
func configuration(t *testing.T, name, to string, replace ...string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s has no %q", name, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// certify writes a certificate for this machine, and returns a client that trusts it.
func certify(t *testing.T, cert, key string) *http.Client {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for file, data := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// freePort finds a port for a program that cannot choose one.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// site makes a folder of web files, with a compressed form.
func site(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"app.js": "plain", "app.js.gz": "zipped"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		os.Chmod(at, 0o755) // the workers of nginx are another user
	}
	return dir
}

const streams = 100

// proxied demands of a proxy what devices need: many streams held open, each of
// which has what comes at once, large requests, and the web files compressed.
func proxied(t *testing.T, client *http.Client, url string) {
	t.Helper()
	await.Poll(t, "the proxy", func() bool {
		res, err := client.Get(url + "/app.js")
		if err != nil {
			return false
		}
		res.Body.Close()
		return true
	})
	var all []*wire.FrameReader
	for i := range streams {
		res := post(t, client, url+"/v1/spaces/s/pull", (&wire.PullRequest{}).Marshal())
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != 200 || res.ProtoMajor != 2 {
			t.Fatalf("stream %d: got %s by %s", i, res.Status, res.Proto)
		}
		all = append(all, wire.NewFrameReader(res.Body))
		until(t, all[i], func(f *wire.Frame) bool { return f.CaughtUp != nil })
	}
	for counter, size := range []int{1: 10, 2: 3 << 20, 3: 10} {
		if size == 0 {
			continue
		}
		res := post(t, client, url+"/v1/spaces/s/push", transaction(uint64(counter), size))
		if res.Body.Close(); res.StatusCode != 200 {
			t.Fatalf("a push of %d bytes: got %s", size, res.Status)
		}
		for _, frames := range all { // while they stay open
			until(t, frames, func(f *wire.Frame) bool { return len(f.Entries) == 1 && f.Entries[0].Counter == uint64(counter) })
		}
	}
	req, _ := http.NewRequest("GET", url+"/app.js", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.Header.Get("Content-Encoding") != "gzip" ||
		!strings.Contains(res.Header.Get("Content-Security-Policy"), "wasm-unsafe-eval") {
		t.Errorf("a web file has %v", res.Header)
	}
	if res := post(t, client, url+"/metrics", nil); res.StatusCode == 200 {
		t.Error("the metrics are for everybody")
	}
}

func post(t *testing.T, client *http.Client, url string, body []byte) *http.Response {
	t.Helper()
	res, err := client.Post(url, wire.MediaType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func until(t *testing.T, frames *wire.FrameReader, ok func(*wire.Frame) bool) {
	t.Helper()
	for {
		f, err := frames.Next()
		if err != nil || f.Error != nil {
			t.Fatalf("a stream ends with %+v, %v", f, err)
		}
		if ok(f) {
			return
		}
	}
}

// transaction is a push of a row of so many bytes.
func transaction(counter uint64, size int) []byte {
	shape := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinLast}}
	b := &wire.Body{Schema: []wire.TableSchema{{Table: "t", Key: []string{"k"},
		Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}, Shapes: []*wire.Shape{shape},
		Ops: []wire.Op{{Shape: shape, Key: []wire.Value{int64(counter)}, Cells: []wire.Value{make([]byte, size)}}}}
	return (&wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(counter, b.Marshal())}).Marshal()
}

func TestNginx(t *testing.T) {
	nginx := program(t, "nginx")
	dir, port := t.TempDir(), freePort(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	client := certify(t, cert, key)
	addr := serving(t, exec.Command(built(t), "serve", "--dev", "--addr", "127.0.0.1:0", "--data", t.TempDir()))
	configuration(t, "nginx.conf", filepath.Join(dir, "heddle.conf"), "listen 443",
		fmt.Sprintf("listen 127.0.0.1:%d", port), "127.0.0.1:8787", addr,
		"/etc/ssl/app.example.pem", cert, "/etc/ssl/app.example.key", key, "/srv/app", site(t),
		"app.example", "localhost")
	main := "daemon off; worker_processes 1; error_log stderr; pid nginx.pid;\nevents { worker_connections 1024; }\n" +
		"http { access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n" +
		"uwsgi_temp_path uwsgi; scgi_temp_path scgi; include heddle.conf; }\n"
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(nginx, "-p", dir, "-c", "nginx.conf"))
	proxied(t, client, fmt.Sprintf("https://localhost:%d", port))
}

func TestCaddy(t *testing.T) {
	caddy := program(t, "caddy")
	dir, port := t.TempDir(), freePort(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	client := certify(t, cert, key)
	addr := serving(t, exec.Command(built(t), "serve", "--dev", "--addr", "127.0.0.1:0", "--data", t.TempDir()))
	file := filepath.Join(dir, "Caddyfile")
	configuration(t, "Caddyfile", file, "app.example {", fmt.Sprintf("{\n\tadmin off\n\tauto_https disable_redirects\n}\n"+
		"https://localhost:%d {\n\ttls %s %s", port, cert, key), "127.0.0.1:8787", addr, "/srv/app", site(t))
	cmd := exec.Command(caddy, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	run(t, cmd)
	proxied(t, client, fmt.Sprintf("https://localhost:%d", port))
}

// The unit is one that systemd takes, and what it may do is little.
func TestUnit(t *testing.T) {
	analyze := program(t, "systemd-analyze")
	file := filepath.Join(t.TempDir(), "heddle.service")
	configuration(t, "heddle.service", file, "/usr/local/bin/heddle", built(t))
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	// 0 is nothing, 100 is all.
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", file).CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze is too old")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
