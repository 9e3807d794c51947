package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// script is a server that answers as a test says. It notes when it was asked
// for what.
type script struct {
	mu     sync.Mutex
	began  time.Time
	log    []string
	answer func(ctx context.Context, r *client.Request) (*client.Response, error)
}

func (s *script) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	s.mu.Lock()
	what := r.URL[strings.LastIndex(r.URL, "/")+1:]
	if auth := r.Header["Authorization"]; auth != "" {
		what += " " + auth
	}
	s.log = append(s.log, fmt.Sprintf("%v %s", time.Since(s.began).Round(time.Millisecond), what))
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, r)
}

func (s *script) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}

func (s *script) will(answer func(ctx context.Context, r *client.Request) (*client.Response, error)) {
	s.mu.Lock()
	s.answer = answer
	s.mu.Unlock()
}

// status answers with a status, a body and headers.
func status(code int, body string, header ...string) func(context.Context, *client.Request) (*client.Response, error) {
	return func(context.Context, *client.Request) (*client.Response, error) {
		return &client.Response{Status: code, Body: io.NopCloser(strings.NewReader(body)), Header: func(name string) string {
			for i := 0; i < len(header); i += 2 {
				if header[i] == name {
					return header[i+1]
				}
			}
			return ""
		}}, nil
	}
}

func refused(
	code int, e wire.Error, header ...string,
) func(context.Context, *client.Request) (*client.Response, error) {
	return status(code, string(e.Marshal()), append(header, "Content-Type", wire.MediaType)...)
}

func down(context.Context, *client.Request) (*client.Response, error) {
	return nil, errors.New("connection refused")
}

// stream is a pull's body: frames, then silence until the request ends.
type stream struct {
	ctx  context.Context
	data *strings.Reader
}

func (s *stream) Read(p []byte) (int, error) {
	if s.data.Len() > 0 {
		return s.data.Read(p)
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s *stream) Close() error { return nil }

// empty is a server of an empty space: it greets, and is silent then.
func empty(frames ...*wire.Frame) func(context.Context, *client.Request) (*client.Response, error) {
	frames = append([]*wire.Frame{{Hello: &wire.Hello{Epoch: wire.Epoch{7}}}}, frames...)
	return func(ctx context.Context, r *client.Request) (*client.Response, error) {
		header := func(name string) string {
			if name == "Content-Type" {
				return wire.MediaType
			}
			return ""
		}
		if strings.HasSuffix(r.URL, "/push") {
			req, err := wire.UnmarshalPushRequest(r.Body)
			if err != nil {
				return nil, err
			}
			res := wire.PushResponse{Epoch: wire.Epoch{7}, Decided: req.Parts[len(req.Parts)-1].Counter}
			return &client.Response{Status: 200, Header: header,
				Body: io.NopCloser(strings.NewReader(string(res.Marshal())))}, nil
		}
		var data []byte
		for _, f := range frames {
			data = wire.AppendFrame(data, f)
		}
		return &client.Response{Status: 200, Header: header, Body: &stream{ctx, strings.NewReader(string(data))}}, nil
	}
}

func caughtUp() *wire.Frame {
	return &wire.Frame{CaughtUp: &wire.CaughtUp{Digest: new(fold.Digest).Sum()}}
}

// zeros is a source of randomness without surprises: there is no jitter.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// scripted runs f in a bubble of its own time, with a client of a scripted
// server. Statuses are collected.
func scripted(t *testing.T, f func(s *script, d *device, statuses func() []string)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &script{began: time.Now(), answer: down}
		d := &device{t: t}
		d.opts = store.Options{Filename: "file:" + filepath.Join(dir, "test.db"), Migrations: []string{notes},
			Synced: []string{"notes"}, Bounds: store.Bounds{ReadAge: -1}}
		d.cfg = client.Config{URL: "http://heddle.test", Space: "family", Tables: map[string]client.Merge{"notes": nil},
			HTTP: s, Rand: zeros{}}
		d.open()
		defer d.close()
		var mu sync.Mutex
		var seen []string
		d.c.OnStatus(func(st client.Status) {
			mu.Lock()
			defer mu.Unlock()
			line := string(st.State)
			if st.LastError != nil {
				line += " " + st.LastError.Code
			}
			if len(seen) == 0 || seen[len(seen)-1] != line {
				seen = append(seen, line)
			}
		})
		f(s, d, func() []string {
			mu.Lock()
			defer mu.Unlock()
			out := seen
			seen = nil
			return out
		})
	})
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

// TestClient_backoff looks at the pauses between a hundred attempts: each a
// random part of a bound that doubles up to 30 seconds.
func TestClient_backoff(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		d.close()
		d.cfg.Rand = rand.NewChaCha8([32]byte{1})
		d.open()
		var at []time.Duration
		s.will(func(ctx context.Context, r *client.Request) (*client.Response, error) {
			at = append(at, time.Since(s.began))
			return down(ctx, r)
		})
		d.run()
		time.Sleep(30 * time.Minute)
		d.halt()
		const least = 50 * time.Millisecond
		bound, longest, sum := 500*time.Millisecond, time.Duration(0), time.Duration(0)
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			if gap < least || gap > least+bound {
				t.Errorf("pause %d: %v, want at most %v", i, gap, bound)
			}
			longest, sum = max(longest, gap), sum+gap
			if bound *= 2; i >= 6 {
				bound = 30 * time.Second
			}
		}
		if mean := sum / time.Duration(len(at)); longest < 25*time.Second || mean < 10*time.Second || mean > 20*time.Second {
			t.Errorf("%d attempts: the longest pause is %v, the mean %v", len(at), longest, mean)
		}
	})
}

func TestClient_refusals(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(context.Context, *client.Request) (*client.Response, error)
		state  client.State
		code   string
		says   string
	}{
		"down": {down, client.Error, errcode.Network, "no answer from http://heddle.test"},
		"other server": {status(200, "<html>hello", "Content-Type", "text/html"), client.Error, errcode.Protocol,
			"does not answer as a Heddle server"},
		"no such page": {status(404, "<html>hello", "Content-Type", "text/html"), client.Error, errcode.Protocol,
			"check sync.url"},
		"not a POST": {status(501, "<html>"), client.Error, errcode.Protocol, "check sync.url"},
		"wrong path": {refused(404, wire.Error{Code: errcode.NotFound, Message: "nothing"}), client.Error,
			errcode.NotFound, "check sync.url"},
		"unauthorized": {refused(401, wire.Error{Code: errcode.Unauthorized, Message: "no"}), client.Error,
			errcode.Unauthorized, "no"},
		"bare 401": {status(401, ""), client.Error, errcode.Unauthorized, "status 401"},
		"forbidden": {refused(403, wire.Error{Code: errcode.Forbidden, Message: "not this space"}), client.Error,
			errcode.Forbidden, "not this space"},
		"bare 413":    {status(413, ""), client.Error, errcode.TooBig, "status 413"},
		"bare 429":    {status(429, ""), client.Connecting, errcode.RateLimited, "status 429"},
		"unavailable": {status(503, "busy"), client.Connecting, errcode.Server, "status 503"},
		"shutting down": {refused(503, wire.Error{Code: errcode.Closed, Message: "bye"}), client.Connecting, errcode.Server,
			"bye"},
		"diverged": {refused(409, wire.Error{Code: errcode.Diverged, Message: "another log"}), client.Error,
			errcode.Diverged, "log is another one"},
		"own 501": {refused(501, wire.Error{Code: errcode.Internal, Message: "no"}), client.Connecting, errcode.Server,
			"no"},
		"garbage frames": {status(200, "\x03abc", "Content-Type", wire.MediaType), client.Error, errcode.Protocol, ""},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(s *script, d *device, statuses func() []string) {
				d.exec(`INSERT INTO notes(id) VALUES('1')`)
				s.will(c.answer)
				d.run()
				time.Sleep(time.Second)
				synctest.Wait()
				st := d.c.Status()
				if st.State != c.state || st.LastError == nil || st.LastError.Code != c.code ||
					!strings.Contains(st.LastError.Message(), c.says) {
					t.Errorf("got %s, %v, want %s with %s and %q", st.State, st.LastError, c.state, c.code, c.says)
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if err := d.c.Now(ctx); errcode.Of(err) != c.code {
					t.Errorf("Now: got %v, want %s", err, c.code)
				}
				if st.Pending != 1 {
					t.Errorf("got %d pending, want 1", st.Pending)
				}
				// It mends by itself, or when somebody says that it has.
				s.will(empty(caughtUp()))
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if st := d.c.Status(); st.State != client.Live || st.LastError != nil {
					t.Errorf("afterwards: got %+v", st)
				}
			})
		})
	}
}

func TestClient_retryAfter(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		s.will(status(429, "", "Retry-After", "7"))
		d.run()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		equal(t, "requests", s.take(), "0s pull", "7s pull", "14s pull")
	})
}

func TestClient_freshToken(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		d.close()
		n := 0
		d.cfg.Token = func(context.Context) (string, error) {
			n++
			return fmt.Sprint("t", n), nil
		}
		d.open()
		s.will(func(ctx context.Context, r *client.Request) (*client.Response, error) {
			if r.Header["Authorization"] != "Bearer t2" {
				return refused(401, wire.Error{Code: errcode.Unauthorized, Message: "expired"})(ctx, r)
			}
			return empty(caughtUp())(ctx, r)
		})
		d.run()
		time.Sleep(time.Second)
		synctest.Wait()
		equal(t, "requests", s.take(), "0s pull Bearer t1", "0s pull Bearer t2")
		if st := d.c.Status(); st.State != client.Live {
			t.Errorf("got %+v", st)
		}
	})
}

func TestClient_noToken(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		d.close()
		hang := true
		d.cfg.Token = func(ctx context.Context) (string, error) {
			if hang {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "", errors.New("not signed in")
		}
		d.open()
		began := time.Now()
		if err := d.c.Now(context.Background()); errcode.Of(err) != errcode.Timeout || time.Since(began) != 40*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		hang = false
		if err := d.c.Now(context.Background()); errcode.Of(err) != errcode.Unauthorized ||
			!strings.Contains(err.Error(), "not signed in") {
			t.Errorf("got %v", err)
		}
		equal(t, "requests", s.take())
	})
}

func TestClient_silence(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		s.will(empty(caughtUp()))
		d.run()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		equal(t, "requests", s.take(), "0s pull", "40.05s pull?wait=20", "1m20.1s pull")
		equal(t, "statuses", statuses(), "connecting", "live", "offline HEDDLE_NETWORK", "connecting", "live",
			"offline HEDDLE_NETWORK", "connecting", "live")
	})
}

func TestClient_hangingServer(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		s.will(func(ctx context.Context, r *client.Request) (*client.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		d.run()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if st := d.c.Status(); st.State != client.Error || st.LastError.Code != errcode.Network {
			t.Errorf("got %+v", st)
		}
		began := time.Now()
		if err := d.c.Now(context.Background()); errcode.Of(err) != errcode.Network || time.Since(began) != 40*time.Second {
			t.Errorf("Now: got %v after %v", err, time.Since(began))
		}
	})
}

func TestClient_switches(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		s.will(empty(caughtUp()))
		d.run()
		synctest.Wait()
		equal(t, "start", statuses(), "connecting", "live")
		d.c.SetOnline(false)
		equal(t, "offline at once", statuses(), "offline")
		if err := d.c.Now(context.Background()); errcode.Of(err) != errcode.Network {
			t.Errorf("Now while offline: got %v", err)
		}
		time.Sleep(time.Hour)
		d.exec(`INSERT INTO notes(id) VALUES('1')`)
		synctest.Wait()
		if log := s.take(); len(log) != 1 {
			t.Errorf("requests while offline: %q", log[1:])
		}
		d.c.SetOnline(true)
		synctest.Wait()
		equal(t, "online", statuses(), "offline", "connecting", "live")
		if log := s.take(); len(log) != 2 {
			t.Errorf("got %q, want a push and a pull", log)
		}
		d.c.Pause(context.Background(), false)
		synctest.Wait()
		time.Sleep(time.Hour)
		equal(t, "paused", statuses(), "paused")
		if log := s.take(); len(log) != 0 {
			t.Errorf("requests while paused: %q", log)
		}
		d.c.Resume(context.Background())
		synctest.Wait()
		equal(t, "resumed", statuses(), "connecting", "live")
		d.halt()
		equal(t, "stopped", statuses(), "off")
	})
}

// TestClient_diverged lets the server tell what cannot be: the replica starts
// over some times, and where that does not help stops.
func TestClient_diverged(t *testing.T) {
	body := (&wire.Body{
		Schema: []wire.TableSchema{{Table: "notes", Key: []string{"id"},
			Columns: []wire.ColumnSchema{{Name: "body", Group: 1}}}},
		Shapes: []*wire.Shape{{Kind: wire.Insert, Table: "notes"}},
	})
	body.Ops = []wire.Op{{Shape: body.Shapes[0], Key: []wire.Value{"1"}}}
	data := body.Marshal()
	entry := wire.Entry{Seq: 1, Client: wire.ClientID{9}, Counter: 1, BodyHash: wire.HashBody(data), Body: data}
	entry.Chain = entry.ChainAfter(wire.Hash{})
	good := func() *wire.Frame {
		d := &fold.Digest{}
		s := &fold.Schema{}
		s.Apply(body.Schema)
		d.Add("notes", []wire.Value{"1"}, &fold.Row{}, s)
		return &wire.Frame{CaughtUp: &wire.CaughtUp{Seq: 1, Digest: d.Sum()}}
	}
	entries := func(change func(*wire.Entry)) *wire.Frame {
		e := entry
		change(&e)
		return &wire.Frame{Entries: []wire.Entry{e}}
	}
	for name, c := range map[string]struct {
		frames []*wire.Frame
		state  client.State
		rows   string
	}{
		"good": {[]*wire.Frame{entries(func(*wire.Entry) {}), good()}, client.Live, "1"},
		"digest": {[]*wire.Frame{entries(func(*wire.Entry) {}),
			{CaughtUp: &wire.CaughtUp{Seq: 1, Digest: wire.Hash{1}}}}, client.Error, "1"},
		"chain": {[]*wire.Frame{entries(func(e *wire.Entry) { e.Chain[0] ^= 1 }), good()}, client.Error, "0"},
		"other body": {[]*wire.Frame{entries(func(e *wire.Entry) { e.Body = (&wire.Body{}).Marshal() }), good()},
			client.Error, "0"},
		"other epoch": {[]*wire.Frame{{Hello: &wire.Hello{}}, entries(func(*wire.Entry) {}), good()}, client.Error, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(s *script, d *device, statuses func() []string) {
				s.will(empty(c.frames...))
				d.run()
				time.Sleep(time.Second)
				if name == "digest" { // it asks where it differs, and has no answer
					time.Sleep(10 * time.Minute)
				}
				synctest.Wait()
				st := d.c.Status()
				if st.State != c.state || (st.LastError != nil) != (c.state == client.Error) || st.LastError != nil &&
					st.LastError.Code != errcode.Diverged {
					t.Errorf("got %s, %v", st.State, st.LastError)
				}
				d.want(`SELECT count(*) FROM notes`, c.rows)
				s.take()
				if c.state != client.Error {
					return
				}
				// It looks again, about once a minute, and goes on where that has helped.
				time.Sleep(time.Hour)
				synctest.Wait()
				pulls := 0
				for _, line := range s.take() {
					if strings.HasSuffix(line, " pull") {
						pulls++
					}
				}
				if pulls < 50 || pulls > 130 {
					t.Errorf("it has asked %d times within an hour", pulls)
				}
				if st := d.c.Status(); st.State != client.Error || st.LastError == nil || st.LastError.Code != errcode.Diverged {
					t.Errorf("after an hour: got %s, %v", st.State, st.LastError)
				}
			})
		})
	}
}
