package client

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// answer is a response of the server.
type answer struct {
	*Response
	stop context.CancelFunc
}

// close ends the answer, read to its end or not.
func (a *answer) close() {
	a.stop()
	a.Body.Close()
}

// maxAnswer bounds answers that are not streams.
const maxAnswer = 64 << 10

// retryAfter is an error with the server's own idea of when to try again.
type retryAfter struct {
	error
	wait time.Duration
}

func (r *retryAfter) Unwrap() error { return r.error }

// ask sends a request and returns the server's answer once its head is there.
// A refused token is replaced once. Every error has a code, and its message
// names the URL.
func (c *Client) ask(ctx context.Context, method, resource string, body []byte) (*answer, error) {
	fresh := false
	action, _, _ := strings.Cut(resource, "?")
	for tries := 0; ; tries++ {
		token, err := c.bearer(ctx, fresh)
		if err != nil {
			return nil, err
		}
		proof, err := c.prove(ctx, action)
		if err != nil {
			return nil, err
		}
		a, err := c.send(ctx, method, c.cfg.endpoint(resource), token, proof, body)
		if errcode.Of(err) == errcode.Unauthorized && !fresh && c.cfg.Token != nil {
			fresh = true
			continue
		}
		if tries < 3 && provedActions[action] && c.provesAgain(err) {
			continue
		}
		if err == nil {
			c.rememberServer(ctx)
		}
		return a, err
	}
}

// bearer returns the token to send, "" for none.
func (c *Client) bearer(ctx context.Context, fresh bool) (string, error) {
	if c.cfg.Token == nil {
		return "", nil
	}
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	if token != "" && !fresh {
		return token, nil
	}
	tctx, stop := context.WithTimeout(ctx, c.cfg.Bounds.Token)
	defer stop()
	token, err := c.cfg.Token(tctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: token")
		}
		return "", errcode.Wrap(err, errcode.Unauthorized, "sync: token")
	}
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	return token, nil
}

// send sends one request. The head of the answer is awaited no longer than a
// silence may last.
func (c *Client) send(ctx context.Context, method, target, token, proof string, body []byte) (*answer, error) {
	const op = "sync: request"
	header := map[string]string{"Accept": wire.MediaType}
	if body != nil {
		header["Content-Type"] = wire.MediaType
	}
	if token != "" {
		header["Authorization"] = "Bearer " + token
	}
	if proof != "" {
		header[deviceHeader] = proof
	}
	rctx, stop := context.WithCancelCause(ctx)
	silence := c.cfg.Bounds.Silence
	watch := time.AfterFunc(silence, func() { stop(silent(silence)) })
	resp, err := c.cfg.HTTP.Do(rctx, &Request{Method: method, URL: target, Header: header, Body: body})
	watch.Stop()
	if err != nil {
		defer stop(nil)
		return nil, failure(ctx, rctx, err, op, target)
	}
	c.challenged(resp)
	a := &answer{Response: resp, stop: func() { stop(nil) }}
	a.Body = &watched{ReadCloser: resp.Body, ctx: ctx, rctx: rctx, stop: stop, silence: silence, target: target}
	speaks := strings.HasPrefix(resp.Header("Content-Type"), wire.MediaType)
	if resp.Status == 200 && speaks {
		return a, nil
	}
	defer a.close()
	return nil, refusal(a, target, speaks)
}

// silent is why a request is ended whose server has been silent for so long.
func silent(d time.Duration) error {
	return &errcode.Error{Code: errcode.Network, Op: "sync: read", Msg: "the server has been silent for " + d.String(),
		Err: errSilence}
}

var errSilence = errors.New("the server is silent")

// watched ends a request whose answer stays silent while it is being read.
type watched struct {
	io.ReadCloser
	ctx, rctx context.Context
	stop      context.CancelCauseFunc
	silence   time.Duration
	target    string
}

func (w *watched) Read(p []byte) (int, error) {
	watch := time.AfterFunc(w.silence, func() { w.stop(silent(w.silence)) })
	n, err := w.ReadCloser.Read(p)
	watch.Stop()
	if err != nil && err != io.EOF {
		err = failure(w.ctx, w.rctx, err, "sync: read", w.target)
	}
	return n, err
}

// failure says why no answer came, or no more of it: the caller's own context,
// the watch, or the network.
func failure(ctx, rctx context.Context, err error, op, target string) error {
	if ctx.Err() != nil {
		return errcode.Wrap(context.Cause(ctx), errcode.Aborted, op)
	}
	var silent *errcode.Error
	if errors.As(context.Cause(rctx), &silent) {
		return silent
	}
	return &errcode.Error{Code: errcode.Network, Op: op, Msg: "no answer from " + root(target) + ": " + err.Error(),
		Err: err}
}

// refusal reads an answer that is not what was asked for.
func refusal(a *answer, target string, speaks bool) error {
	const op = "sync: request"
	e := &errcode.Error{Op: op}
	if speaks {
		data, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
		if err == nil {
			if m, err := wire.UnmarshalError(data); err == nil {
				e.Code, e.Msg = m.Code, m.Message
			}
		}
	}
	switch s := a.Status; {
	case s == 408 || s >= 500 && (speaks || s != 501 && s != 505):
		e.Code = errcode.Server // whatever it is, it may be over soon
	case e.Code != "":
	case s == 401:
		e.Code = errcode.Unauthorized
	case s == 403:
		e.Code = errcode.Forbidden
	case s == 413:
		e.Code = errcode.TooBig
	case s == 429:
		e.Code = errcode.RateLimited
	default:
		e.Code = errcode.Protocol
	}
	switch {
	case e.Code == errcode.NotFound:
		e.Msg = "there is no Heddle server at " + target + ": check sync.url"
	case e.Msg != "":
	case a.Status == 200 || e.Code == errcode.Protocol:
		e.Msg = root(target) + " does not answer as a Heddle server (status " + strconv.Itoa(a.Status) + "): check sync.url"
	default:
		e.Msg = root(target) + " answers with status " + strconv.Itoa(a.Status)
	}
	if wait := parseRetryAfter(a.Header("Retry-After"), a.Header("Date")); wait > 0 {
		return &retryAfter{e, wait}
	}
	return e
}

// parseRetryAfter reads the header's seconds or date, 0 if it has neither. A date
// counts from the answer's own: the clock here may be years off. No more than an
// hour is believed.
func parseRetryAfter(v, date string) time.Duration {
	v = strings.TrimSpace(v)
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := time.Parse(time.RFC1123, v)
	from, err2 := time.Parse(time.RFC1123, strings.TrimSpace(date))
	if err != nil || err2 != nil {
		return 0
	}
	return min(max(at.Sub(from), 0), maxRetryAfter)
}

// whole reads an answer that is one message, of so many bytes at most.
func (a *answer) whole(most int64) ([]byte, error) {
	defer a.close()
	data, err := io.ReadAll(io.LimitReader(a.Body, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > most:
		return nil, errcode.New(errcode.Protocol, "sync: read", "an answer is too long")
	}
	return data, nil
}

// Headers of the proof that a request is a member's.
const (
	challengeHeader = "Heddle-Challenge"
	deviceHeader    = "Heddle-Device"
)

// provedActions need a proof that the request is a member's.
var provedActions = map[string]bool{"pull": true, "snapshots": true, "snapshot": true, "missing": true, "chunks": true,
	"chunk": true}

// prove returns the header that shows a server whose request it is, "" without a
// challenge of a server's.
func (c *Client) prove(ctx context.Context, action string) (string, error) {
	if c.cfg.Sealer == nil || !provedActions[action] {
		return "", nil
	}
	c.mu.Lock()
	challenge := c.challenge
	c.mu.Unlock()
	if challenge == "" {
		return "", nil
	}
	return c.cfg.Sealer.Prove(ctx, challenge, action)
}

// challenged takes the challenge of an answer, for the next request.
func (c *Client) challenged(r *Response) {
	if c.cfg.Sealer == nil {
		return
	}
	challenge := r.Header(challengeHeader)
	if challenge == "" {
		return
	}
	c.mu.Lock()
	c.challenge = challenge
	c.mu.Unlock()
}

// provesAgain reports whether a refused request is worth another try: with the challenge that
// came with the answer, or for another member.
func (c *Client) provesAgain(err error) bool {
	s := c.cfg.Sealer
	switch code := errcode.Of(err); {
	case s != nil && code == errcode.Unproved:
		return true
	case s != nil && code == errcode.NotMember:
		return s.ProveOtherwise()
	}
	return false
}
