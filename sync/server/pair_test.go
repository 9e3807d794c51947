package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
)

// A mailbox gives each message to whoever knows its id, and takes no second one of a
// number. What comes first does not matter.
func TestPair(t *testing.T) {
	h := start(t, nil)
	id := strings.Repeat("0f", 16)
	left := func(space, id string, n int, message []byte) *http.Response {
		return h.post(space, fmt.Sprintf("pair?id=%s&n=%d", id, n), message)
	}
	read := func(res *http.Response) string {
		t.Helper()
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("got %d, %v", res.StatusCode, err)
		}
		return string(data)
	}
	waited := make(chan string)
	go func() { waited <- read(left("a", id, 1, []byte{})) }()
	read(left("a", id, 1, []byte("hello")))
	read(left("a", id, 1, []byte("hello"))) // sent again
	if got := <-waited; got != "hello" {
		t.Errorf("got %q", got)
	}
	h.refused(left("a", id, 1, []byte("another")), 403, errcode.Forbidden)
	h.refused(left("a", id, 0, []byte("x")), 400, errcode.BadParam)
	h.refused(left("a", id, 9, []byte("x")), 400, errcode.BadParam)
	h.refused(left("a", id[2:], 1, []byte("x")), 400, errcode.BadParam)
	h.refused(left("a", id, 2, bytes.Repeat([]byte("x"), 4097)), 413, errcode.TooBig)
	// Another space has mailboxes of its own.
	read(left("b", id, 1, []byte("of b")))
	if got := read(left("b", id, 1, []byte{})); got != "of b" {
		t.Errorf("got %q", got)
	}
}
