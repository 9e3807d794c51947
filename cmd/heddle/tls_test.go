//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/wire"
)

// certify makes a certificate for this machine that signs itself, as two PEM texts.
func certify(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// A new certificate counts for new connections, while a stream of before goes on; one
// whose key does not fit leaves that of before.
func TestServe_certificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certify(t, "first")
	write(certFile, cert)
	write(keyFile, key)
	refused := make(chan bool, 100)
	url, admin, _ := starting(t, &env{bounds: unhurried}, func(line string) {
		if strings.Contains(line, "certificate cannot be read") {
			refused <- true
		}
	}, "--dev", "--data", t.TempDir(), "--tls-cert", certFile, "--tls-key", keyFile, "--admin", "127.0.0.1:0")
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("got %s", url)
	}
	host := strings.Trim(strings.TrimPrefix(url, "https:"), "/")
	served := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("got %s", got)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)
	frames := pullBy(t, client, url, 2)
	cert, key = certify(t, "second")
	write(certFile, cert) // and the key comes later
	await.Event(t, refused, "a line of the log")
	if got := served(); got != "first" {
		t.Errorf("with half a certificate: got %s", got)
	}
	write(keyFile, key)
	await.Poll(t, "the second certificate", func() bool { return served() == "second" })
	if got := pushBy(t, client, url); got != 200 {
		t.Errorf("a push of the connection before: got %d", got)
	}
	if f, err := frames.Next(); err != nil || len(f.Entries) != 1 {
		t.Errorf("the stream of before has %+v, %v", f, err)
	}
	if _, text := get(t, admin+"metrics"); !strings.Contains(text, "heddle_certificate_expiry_timestamp_seconds ") {
		t.Error("the metrics do not say when it expires")
	}
}

// pullBy opens a stream by a version of HTTP, up to the log's end.
func pullBy(t *testing.T, client *http.Client, url string, major int) *wire.FrameReader {
	t.Helper()
	res, err := client.Post(url+"v1/spaces/s/pull", wire.MediaType, bytes.NewReader((&wire.PullRequest{}).Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.ProtoMajor != major {
		t.Errorf("got %s, want HTTP/%d", res.Proto, major)
	}
	frames := wire.NewFrameReader(res.Body)
	for {
		f, err := frames.Next()
		if err != nil || f.Error != nil {
			t.Fatalf("got %+v, %v", f, err)
		}
		if f.CaughtUp != nil {
			return frames
		}
	}
}

// pushBy pushes a transaction of nothing and returns the status.
func pushBy(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	req := &wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(1, (&wire.Body{}).Marshal())}
	res, err := client.Post(url+"v1/spaces/s/push", wire.MediaType, bytes.NewReader(req.Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// HTTP/2 in clear, as proxies speak it: many streams and a push on one connection. A
// request that is refused, or whose body does not come, takes neither them nor the
// connection with it.
func TestServe_cleartextHTTP2(t *testing.T) {
	b := unhurried
	b.refused = 100 * time.Millisecond
	url, _ := servingWithin(t, b, func(string) {}, "--dev", "--data", t.TempDir())
	protocols, dials := new(http.Protocols), 0
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, network, addr string) (
		net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	client := &http.Client{Transport: transport}
	t.Cleanup(client.CloseIdleConnections)
	var streams []*wire.FrameReader
	for range 100 {
		streams = append(streams, pullBy(t, client, url, 2))
	}
	body, hold := io.Pipe()
	defer hold.Close()
	res, err := client.Post(url+"v1/spaces/s/none", wire.MediaType, body) // refused, while its body does not come
	if err == nil {
		io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != 404 {
			t.Errorf("got %s", res.Status)
		}
	}
	if got := pushBy(t, client, url); got != 200 {
		t.Errorf("a push: got %d", got)
	}
	for _, frames := range streams {
		if f, err := frames.Next(); err != nil || len(f.Entries) != 1 {
			t.Fatalf("a stream has %+v, %v", f, err)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections, want 1", dials)
	}
}
