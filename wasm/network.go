package main

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/jsbridge"
	"heddle.dev/heddle/sync/client"
)

// network is the browser's fetch as the sync client wants it.
type network struct{ host *jsbridge.Host }

var _ client.Doer = network{}

// Do implements client.Doer. What follows an answer is in the second part of the
// program: to fetch that while the worker waits would hold up every query.
func (n network) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	if err := n.host.AwaitRest(ctx); err != nil {
		return nil, errcode.Wrap(err, errcode.Network, "fetch")
	}
	response, err := jsbridge.Fetch(ctx, &jsbridge.Request{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body})
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Network, "fetch")
	}
	return &client.Response{Status: response.Status, Header: response.Header, Body: response.Body}, nil
}
