package nethttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
)

// TestDoer_streams reads an answer whose end never comes, and ends it.
func TestDoer_streams(t *testing.T) {
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(418)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("X-Test"), body)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer hs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := nethttp.Doer{}.Do(ctx, &client.Request{Method: "POST", URL: hs.URL,
		Header: map[string]string{"X-Test": "yes"}, Body: []byte("body")})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, len("POST yes body"))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "POST yes body" || resp.Status != 418 ||
		resp.Header("Retry-After") != "3" {
		t.Errorf("got %q, status %d, %v", got, resp.Status, err)
	}
	cancel()
	if _, err := resp.Body.Read(got); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: got %v", err)
	}
}

func TestDoer_refusals(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{gone.URL, "no scheme", "http://[::1"} {
		if _, err := (nethttp.Doer{}).Do(t.Context(), &client.Request{Method: "GET", URL: url}); err == nil {
			t.Errorf("%s: got no error", url)
		}
	}
}
