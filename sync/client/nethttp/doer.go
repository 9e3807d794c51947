// Package nethttp is the Doer of native programs: sync/client over net/http.
package nethttp

import (
	"bytes"
	"context"
	"net/http"

	"heddle.dev/heddle/sync/client"
)

// Doer sends a client's requests through HTTP, or http.DefaultClient if that
// is nil. The HTTP client must have no Timeout: a pull stays open.
type Doer struct {
	HTTP *http.Client
}

// Do implements client.Doer.
func (d Doer) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	h := d.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	return &client.Response{Status: resp.StatusCode, Header: resp.Header.Get, Body: resp.Body}, nil
}
