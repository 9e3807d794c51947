package server_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// harness is a server over HTTP and a directory that outlives it.
type harness struct {
	t     testing.TB
	o     server.Options
	dir   string
	store *sqlitestore.Store
	srv   *server.Server
	http  *httptest.Server // nil without sockets

	url    string
	client *http.Client
}

func start(t testing.TB, change func(*server.Options)) *harness {
	t.Helper()
	h := &harness{t: t, o: options(t, change), dir: t.TempDir(), client: http.DefaultClient}
	h.o.Limits.Request = cmp.Or(h.o.Limits.Request, await.Long)
	h.o.Limits.Store = cmp.Or(h.o.Limits.Store, await.Long)
	h.o.Limits.Decision = cmp.Or(h.o.Limits.Decision, await.Long)
	h.up()
	t.Cleanup(h.down)
	return h
}

func options(t testing.TB, change func(*server.Options)) server.Options {
	log := slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})
	o := server.Options{Dev: true, Logger: slog.New(log)}
	if change != nil {
		change(&o)
	}
	return o
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (h *harness) up() {
	h.t.Helper()
	h.open()
	srv, err := server.New(h.o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.srv, h.http = srv, httptest.NewServer(srv)
	h.url = h.http.URL
}

// open opens the store, of one file.
func (h *harness) open() {
	h.t.Helper()
	store, err := sqlitestore.Open(sqlitestore.Options{Dir: h.dir, Files: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	h.store, h.o.Store = store, store
}

// file is where the spaces are.
func (h *harness) file() string { return filepath.Join(h.dir, "spaces-1-of-1.db") }

func (h *harness) down() {
	if h.srv == nil {
		return
	}
	h.srv.Drain()
	h.http.Close()
	if err := errors.Join(h.srv.Close(), h.store.Close()); err != nil {
		h.t.Error(err)
	}
	h.srv = nil
}

func (h *harness) restart() {
	h.t.Helper()
	h.down()
	h.up()
}

// post sends a message and returns the answer, whose body the caller closes.
func (h *harness) post(space, action string, body []byte, header ...string) *http.Response {
	h.t.Helper()
	return h.do("POST", "/v1/spaces/"+space+"/"+action, body, header...)
}

func (h *harness) do(method, path string, body []byte, header ...string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

// refused demands an error answer.
func (h *harness) refused(res *http.Response, status int, code string) {
	h.t.Helper()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	e, err := wire.UnmarshalError(data)
	if err != nil || res.StatusCode != status || e.Code != code || e.Message == "" {
		h.t.Errorf("got %d %+v %v, want %d %s", res.StatusCode, e, err, status, code)
	}
}

func ok[T any](h *harness, res *http.Response, read func([]byte) (*T, error)) *T {
	h.t.Helper()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if res.StatusCode != 200 {
		e, _ := wire.UnmarshalError(data)
		h.t.Fatalf("got %d %+v", res.StatusCode, e)
	}
	if ct := res.Header.Get("Content-Type"); ct != wire.MediaType {
		h.t.Errorf("got Content-Type %q", ct)
	}
	m, err := read(data)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *harness) digest(space, query string) *wire.DigestResponse {
	h.t.Helper()
	return ok(h, h.do("GET", "/v1/spaces/"+space+"/digest"+query, nil), wire.UnmarshalDigestResponse)
}

// author is a client as far as the wire goes: it numbers transactions, and folds
// what it pulls.
type author struct {
	h       *harness
	space   string
	id      wire.ClientID
	counter uint64
	at      wire.Position
	sent    map[uint64][]byte
	schema  fold.Schema
	rows    map[string]*fold.Row
	digest  fold.Digest
	log     []wire.Entry
}

func newAuthor(h *harness, space string, id byte) *author {
	return &author{h: h, space: space, id: wire.ClientID{id}, sent: map[uint64][]byte{}, rows: map[string]*fold.Row{}}
}

var notes = []wire.TableSchema{{Table: "notes", Key: []string{"id"},
	Columns: []wire.ColumnSchema{{Name: "body", Group: 1}, {Name: "n", Group: 1, Default: int64(0)}}}}

// body makes a transaction on notes: each edit is a key and its text, or a
// number to add, or nil to delete.
func body(edits ...any) []byte {
	b := &wire.Body{Schema: notes}
	shapes := map[string]*wire.Shape{
		"text":   {Kind: wire.Insert, Table: "notes", Columns: []string{"body"}, Joins: []wire.Join{0}},
		"add":    {Kind: wire.Update, Table: "notes", Columns: []string{"n"}, Joins: []wire.Join{wire.JoinAdd}},
		"delete": {Kind: wire.Delete, Table: "notes"},
	}
	used := map[string]bool{}
	for i := 0; i < len(edits); i += 2 {
		kind, cells := "text", []wire.Value{edits[i+1]}
		switch v := edits[i+1].(type) {
		case nil:
			kind, cells = "delete", nil
		case int:
			kind, cells = "add", []wire.Value{int64(v)}
		}
		if !used[kind] {
			used[kind] = true
			b.Shapes = append(b.Shapes, shapes[kind])
		}
		b.Ops = append(b.Ops, wire.Op{Shape: shapes[kind], Key: []wire.Value{edits[i]}, Cells: cells})
	}
	return b.Marshal()
}

// write numbers a transaction and returns its parts.
func (a *author) write(body []byte) []wire.Part {
	a.counter++
	a.sent[a.counter] = body
	return wire.SplitBody(a.counter, body)
}

func (a *author) push(parts ...wire.Part) *wire.PushResponse {
	a.h.t.Helper()
	return ok(a.h, a.try(parts...), wire.UnmarshalPushResponse)
}

func (a *author) try(parts ...wire.Part) *http.Response {
	a.h.t.Helper()
	return a.h.post(a.space, "push", (&wire.PushRequest{Position: a.at, Client: a.id, Parts: parts}).Marshal())
}

// pull opens a stream; the caller closes it.
func (a *author) pull(ctx context.Context, query string, header ...string) (*wire.FrameReader, *http.Response) {
	a.h.t.Helper()
	req, _ := http.NewRequestWithContext(ctx, "POST", a.h.url+"/v1/spaces/"+a.space+"/pull"+query,
		bytes.NewReader((&wire.PullRequest{Position: a.at, Client: a.id}).Marshal()))
	req.Header.Set("Content-Type", wire.MediaType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := a.h.client.Do(req)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return wire.NewFrameReader(res.Body), res
}

// take folds a frame and checks everything that a client can check.
func (a *author) take(f *wire.Frame) {
	a.h.t.Helper()
	if f.Error != nil {
		a.h.t.Fatalf("the stream ended with %+v", f.Error)
	}
	if f.Hello != nil {
		a.at.Epoch = f.Hello.Epoch
	}
	for i := range f.Entries {
		e := &f.Entries[i]
		if e.Seq != a.at.Seq+1 || e.Chain != e.ChainAfter(a.at.Chain) {
			a.h.t.Fatalf("entry %d after %d breaks the chain", e.Seq, a.at.Seq)
		}
		a.at.Seq, a.at.Chain = e.Seq, e.Chain
		a.log = append(a.log, *e)
		data := e.Body
		if own := a.sent[e.Counter]; e.Client == a.id && own != nil {
			if len(e.Body) > 0 {
				a.h.t.Errorf("entry %d brings its author a body", e.Seq)
			}
			data = own
		}
		if e.Outcome != "" {
			if len(e.Body) > 0 {
				a.h.t.Errorf("void entry %d has a body", e.Seq)
			}
			continue
		}
		if wire.HashBody(data) != e.BodyHash {
			a.h.t.Fatalf("entry %d has another body", e.Seq)
		}
		b, err := wire.UnmarshalBody(data)
		if err != nil {
			a.h.t.Fatal(err)
		}
		a.schema.Apply(b.Schema)
		for _, op := range b.Ops {
			id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
			next := fold.Apply(op, a.rows[id], &a.schema)
			a.digest.Remove(op.Shape.Table, op.Key, a.rows[id], &a.schema)
			a.digest.Add(op.Shape.Table, op.Key, next, &a.schema)
			a.rows[id] = next
		}
	}
	if c := f.CaughtUp; c != nil && (c.Seq != a.at.Seq || c.Digest != a.digest.Sum()) {
		a.h.t.Errorf("caught up at %d with digest %x, here %d and %x", c.Seq, c.Digest, a.at.Seq, a.digest.Sum())
	}
}

// catchUp pulls to the head.
func (a *author) catchUp() {
	a.h.t.Helper()
	frames, res := a.pull(context.Background(), "?wait=0")
	defer res.Body.Close()
	for first := true; ; first = false {
		f, err := frames.Next()
		if err == io.EOF && !first {
			return
		}
		if err != nil {
			a.h.t.Fatal(err)
		}
		if first != (f.Hello != nil) {
			a.h.t.Fatalf("got frame %+v, first: %v", f, first)
		}
		a.take(f)
	}
}

// startInMemory starts a server without sockets, which runs in a bubble of
// testing/synctest: time passes there only when every goroutine waits. A
// request ends when its answer is read to the end or closed.
func startInMemory(t testing.TB, change func(*server.Options)) *harness {
	t.Helper()
	h := &harness{t: t, o: options(t, change), dir: t.TempDir()}
	h.open()
	srv, err := server.New(h.o)
	if err != nil {
		t.Fatal(err)
	}
	h.srv, h.url, h.client = srv, "http://heddle.test", &http.Client{Transport: memory{srv}}
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(), h.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// memory is a Transport that hands requests to a handler.
type memory struct{ http.Handler }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	read, write := io.Pipe()
	w := &answer{PipeWriter: write, header: http.Header{}, begun: make(chan int, 1)}
	go func() {
		m.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		write.Close()
	}()
	return &http.Response{StatusCode: <-w.begun, Header: w.header, Body: read, Request: r}, nil
}

// answer is the ResponseWriter of memory.
type answer struct {
	*io.PipeWriter
	header http.Header
	once   sync.Once
	begun  chan int
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) { w.once.Do(func() { w.begun <- status }) }

func (w *answer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.PipeWriter.Write(p)
}

func (w *answer) FlushError() error { return nil }
