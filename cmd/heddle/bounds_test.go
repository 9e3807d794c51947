package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/server"
)

// short are bounds that a test can wait for.
var short = bounds{header: 300 * time.Millisecond, idle: 300 * time.Millisecond, request: 300 * time.Millisecond,
	refused: 100 * time.Millisecond, connections: 2000}

// paths returns an address below each route of a server, as it is mounted and as
// the sync server says, and some that are refused before any route.
func paths(t *testing.T, site string) (all []string) {
	t.Helper()
	routes, files, err := (&serveFlags{static: site}).routes(nil, &short)
	if err != nil {
		t.Fatal(err)
	}
	files.Close()
	for _, r := range routes {
		all = append(all, r.pattern)
	}
	for _, r := range server.Routes() {
		_, path, _ := strings.Cut(r, " ")
		all = append(all, strings.ReplaceAll(path, "{space}", "s"))
	}
	all = append(all, "*", "/v1/spaces/s/none", "/v1/spaces/"+strings.Repeat("x", 300)+"/pull", "/none", "/sub", "/../x",
		"//x", "/large.bin")
	slices.Sort(all)
	return slices.Compact(all)
}

// webFiles makes a directory to serve, with a file that fits into no buffer.
func webFiles(t *testing.T) string {
	t.Helper()
	site := t.TempDir()
	if err := os.Mkdir(filepath.Join(site, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"index.html": 10, "large.bin": 64 << 20} {
		if err := os.WriteFile(filepath.Join(site, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return site
}

// No request holds its connection by a body that does not come, whatever is
// asked for and whoever asks; nor by a head, or by none.
func TestServe_unfinishedRequests(t *testing.T) {
	site, keyFile := webFiles(t), filepath.Join(t.TempDir(), "key")
	works(t, "token", "--token-key", keyFile, "--new-key")
	token := strings.TrimSpace(works(t, "token", "--token-key", keyFile, "--space", "s"))
	for _, mode := range [][]string{{"--dev"}, {"--token-key", keyFile}} {
		t.Run(mode[0], func(t *testing.T) {
			url, _ := servingWithin(t, short, func(string) {},
				append(mode, "--data", t.TempDir(), "--static", site, "--log", "error")...)
			host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
			var requests []string
			for _, path := range paths(t, site) {
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
					for _, who := range []string{"", "Authorization: Bearer x.y.z\r\n", "Authorization: Bearer " + token + "\r\n",
						"Origin: https://evil.example\r\n"} {
						head := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/vnd.heddle.v1\r\n" +
							who
						requests = append(requests, head+"Content-Length: 10\r\n\r\n")
						if who == "" {
							requests = append(requests, head, head+"Content-Length: 3000000\r\n\r\n",
								head+"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
								head+"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
								head+"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\x1f\x8b")
						}
					}
				}
			}
			requests = append(requests, "", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n", "PRI * HTTP/2.0\r\n\r\n")
			t.Logf("%d requests", len(requests))
			var wait sync.WaitGroup
			slots := make(chan bool, 300)
			for _, request := range requests {
				slots <- true
				wait.Go(func() {
					defer func() { <-slots }()
					if err := await.Disconnect(t, host, request); err != nil {
						t.Errorf("%q: %v", request, err)
					}
				})
			}
			wait.Wait()
		})
	}
}

// A client that takes nothing of a large file does not keep its connection: with
// one that may be open, another client gets in.
func TestServe_fileThatNobodyTakes(t *testing.T) { synctest.Test(t, testFileThatNobodyTakes) }

func testFileThatNobodyTakes(t *testing.T) {
	l := servingInMemory(t, bounds{}, webFiles(t), 1)
	c, err := l.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := bufio.NewReaderSize(c, 16).Peek(4); string(b) != "HTTP" {
		t.Fatalf("got %q, %v", b, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial}}
	for deadline := time.Now().Add(time.Minute); ; {
		res, err := client.Get("http://heddle.test/")
		if err == nil {
			res.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no other client gets in: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A client that is slow, but takes each piece in time, gets the whole of a file.
func TestServe_slowClientGetsTheFile(t *testing.T) { synctest.Test(t, testSlowClient) }

func testSlowClient(t *testing.T) {
	l := servingInMemory(t, bounds{}, webFiles(t), 10)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial}}
	res, err := client.Get("http://heddle.test/large.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	began, n := time.Now(), int64(0)
	for err == nil {
		var m int64
		m, err = io.CopyN(io.Discard, res.Body, 2<<20)
		n += m
		time.Sleep(20 * time.Second) // 30 are the limit
	}
	if err != io.EOF || n != 64<<20 {
		t.Errorf("got %d bytes in %v, then %v", n, time.Since(began), err)
	}
}

// Connections are limited: one more is closed, and let in when another has gone.
func TestServe_connectionsAreLimited(t *testing.T) {
	warned := make(chan bool, 1)
	url, _ := servingWithin(t, unhurried, func(line string) {
		if strings.Contains(line, "too many connections") {
			select {
			case warned <- true:
			default:
			}
		}
	}, "--dev", "--data", t.TempDir(), "--max-connections", "2")
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	open := func() (net.Conn, error) {
		c, err := net.Dial("tcp", host)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = bufio.NewReader(c).Peek(1)
		return c, err
	}
	first, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil {
		t.Fatal("a third connection is let in")
	}
	<-warned
	first.Close()
	await.Poll(t, "a connection that is let in after one has gone", func() bool {
		_, err := open()
		return err == nil
	})
}
