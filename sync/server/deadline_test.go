package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// The handler alone, in an http.Server that bounds nothing: no route keeps a
// connection whose body does not come, with a valid token or without.
func TestDeadlines_unreadBodies(t *testing.T) {
	key := mustKey(t, secret)
	h := start(t, func(o *server.Options) {
		o.Dev, o.Tokens = false, key
		o.Limits.Request, o.Limits.Refused, o.Limits.Rate = 300*time.Millisecond, 100*time.Millisecond, -1
		o.Limits.SubjectPushes = 1 // all others of the subject are refused
	})
	token := mint(t, key, "s")
	host := strings.TrimPrefix(h.http.URL, "http://")
	var wait sync.WaitGroup
	for _, route := range append(server.Routes(), "GET /", "GET /v1/spaces/{space}/none", "GET /v1/spaces/.x/pull") {
		_, path, _ := strings.Cut(route, " ")
		path = strings.ReplaceAll(path, "{space}", "s")
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			for _, auth := range []string{"", "Bearer x", "Bearer " + mint(t, key, "other"), "Bearer " + token} {
				for _, length := range []string{"Content-Length: 7", "Content-Length: 5000000", "Transfer-Encoding: chunked"} {
					for _, kind := range []string{wire.MediaType, "text/plain"} {
						request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: %s\r\n%s\r\n\r\n",
							method, path, kind, auth, length)
						wait.Go(func() {
							if err := await.Disconnect(t, host, request); err != nil {
								t.Errorf("%q: %v", request, err)
							}
						})
					}
				}
			}
		}
	}
	wait.Wait()
}

// A body that comes in small pieces, but comes, is read.
func TestDeadlines_slowBody(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Request, o.Limits.Refused = await.Long, time.Millisecond })
	push := (&wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(1, body("x", "1"))}).Marshal()
	c, err := net.Dial("tcp", strings.TrimPrefix(h.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // the connection is good for another one
		fmt.Fprintf(c, "POST /v1/spaces/s/push HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
			wire.MediaType, len(push))
		for i := range push {
			time.Sleep(time.Millisecond)
			c.Write(push[i : i+1])
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 || res.Close {
			t.Fatalf("got %+v, %v", res, err)
		}
		io.Copy(io.Discard, res.Body)
	}
}

// Streams are limited for each subject, and those beyond the limit of compressed
// ones are sent as they are.
func TestStreams_ofASubject(t *testing.T) {
	m := startMembers(t, func(o *server.Options) { o.Limits.SubjectStreams, o.Limits.SubjectZips = 3, 1 })
	m.status("push", m.push("ann", wire.ClientID{1}, wire.SplitBody(1, body("x", strings.Repeat("x", gzipFrom)))...), 200)
	open := func(subject, accept string) string {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		_, res := newAuthor(m.harness, "s", 0).pull(ctx, "", append(m.as(subject, auth.Read), "Accept-Encoding", accept)...)
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
		return res.Header.Get("Content-Encoding")
	}
	for i, test := range []struct{ subject, accept, want string }{
		{"ann", "gzip;q=0", ""},
		{"ann", "br, gzip", "gzip"},
		{"ann", "gzip", ""}, // one too many
		{"bob", "*", "gzip"},
	} {
		if got := open(test.subject, test.accept); got != test.want {
			t.Errorf("stream %d, of %s: got encoding %q, want %q", i, test.subject, got, test.want)
		}
	}
	m.refused(m.post("s", "pull", (&wire.PullRequest{}).Marshal(), m.as("ann", auth.Read)...), 429, errcode.RateLimited)
}

const gzipFrom = 8 << 10 // more than what streams are compressed from

// A compressed body that is cut short, or goes on, is refused and holds nothing.
func TestDeadlines_compressedBodies(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Limits.Request, o.Limits.Refused = 200*time.Millisecond, 100*time.Millisecond
	})
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(make([]byte, 1<<20))
	w.Close()
	for n := 0; n < z.Len(); n += 97 {
		request := fmt.Sprintf("POST /v1/spaces/s/push HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"+
			"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", wire.MediaType, z.Len()+1, z.Bytes()[:n])
		if err := await.Disconnect(t, strings.TrimPrefix(h.http.URL, "http://"), request); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
