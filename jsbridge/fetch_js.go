package jsbridge

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/hack-pad/safejs"
)

// Request is one HTTP request. Body may be nil.
type Request struct {
	Method string
	URL    string
	Header map[string]string
	Body   []byte
}

// Response is its answer, as soon as the headers are there.
type Response struct {
	Status  int
	Body    io.ReadCloser // streams; the caller closes it
	headers safejs.Value
}

// Header returns the value of a header, "" if it is missing or CORS hides it.
func (r *Response) Header(name string) string {
	v, err := r.headers.Call("get", name)
	if err != nil {
		return ""
	}
	return text(v)
}

// Fetch sends r. ctx bounds the headers and the whole body: when it ends the
// request is aborted. Credentials and caches are left out: a token travels in a
// header. https://fetch.spec.whatwg.org/#fetch-method
func Fetch(ctx context.Context, r *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	controller, err := construct("AbortController")
	if err != nil {
		return nil, err
	}
	signal, err := controller.Get("signal")
	if err != nil {
		return nil, thrown(err)
	}
	headers := map[string]any{}
	for name, value := range r.Header {
		headers[name] = value
	}
	init := map[string]any{
		"method": r.Method, "headers": headers, "mode": "cors", "credentials": "omit",
		"cache": "no-store", "redirect": "follow", "referrerPolicy": "no-referrer",
	}
	options, err := safejs.ValueOf(init)
	if err != nil {
		return nil, thrown(err)
	}
	if err := options.Set("signal", signal); err != nil {
		return nil, thrown(err)
	}
	if r.Body != nil {
		body, err := uint8Array(r.Body)
		if err != nil {
			return nil, err
		}
		if err := options.Set("body", body); err != nil {
			return nil, thrown(err)
		}
	}
	abort := func() { _, _ = controller.Call("abort") }
	unlink := context.AfterFunc(ctx, abort)
	promise, err := safejs.Global().Call("fetch", r.URL, options)
	if err != nil {
		unlink()
		return nil, thrown(err)
	}
	response, err := Await(ctx, promise)
	if err != nil {
		unlink()
		return nil, unreachable(err, r.URL)
	}
	body, err := newBody(ctx, response, func() { unlink(); abort() })
	if err != nil {
		unlink()
		abort()
		return nil, err
	}
	status, err := response.Get("status")
	if err != nil {
		return nil, thrown(err)
	}
	code, _ := status.Int()
	h, err := response.Get("headers")
	return &Response{Status: code, Body: body, headers: h}, thrown(err)
}

// unreachable adds to a failure that the browser does not explain what it may be
// beside a server that is down: it does not tell a page that CORS is in the way.
func unreachable(err error, url string) error {
	e, ok := err.(*Error)
	if !ok || e.Name != "TypeError" {
		return err
	}
	location, _ := safejs.Global().Get("location")
	if location.IsUndefined() {
		return err
	}
	v, _ := location.Get("origin")
	origin := text(v)
	if origin == "" || strings.HasPrefix(url, origin+"/") {
		return err
	}
	return &foreign{err, origin}
}

// foreign is a failure to reach a server of another origin.
type foreign struct {
	err    error
	origin string
}

func (f *foreign) Error() string {
	return f.err.Error() + " (the server is down, or does not let pages of " + f.origin + " call: heddle serve --origin " +
		f.origin + ")"
}

func (f *foreign) Unwrap() error { return f.err }

// body reads a ReadableStream as an io.ReadCloser for one goroutine.
type body struct {
	ctx    context.Context
	reader safejs.Value // undefined: the response has no body
	rest   []byte
	err    error
	end    func()
	once   sync.Once
}

func newBody(ctx context.Context, response safejs.Value, end func()) (*body, error) {
	b := &body{ctx: ctx, reader: safejs.Undefined(), end: end}
	stream, err := response.Get("body")
	if err != nil {
		return nil, thrown(err)
	}
	if stream.IsNull() || stream.IsUndefined() {
		b.err = io.EOF
		return b, nil
	}
	b.reader, err = stream.Call("getReader")
	return b, thrown(err)
}

// Read waits for the stream's next piece; it ends with the context's error when
// that ends.
func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.next()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) next() error {
	promise, err := b.reader.Call("read")
	if err != nil {
		return thrown(err)
	}
	result, err := Await(b.ctx, promise)
	if err != nil {
		return err
	}
	done, err := result.Get("done")
	if err != nil {
		return thrown(err)
	}
	if last, _ := done.Bool(); last {
		return io.EOF
	}
	value, err := result.Get("value")
	if err != nil {
		return thrown(err)
	}
	b.rest, err = bytesOf(value)
	return err
}

// Close ends the request if it still runs. It may be called more than once.
func (b *body) Close() error {
	b.once.Do(func() {
		if b.err == nil {
			b.err = io.ErrClosedPipe
		}
		b.end()
	})
	return nil
}
