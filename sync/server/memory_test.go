package server_test

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"heddle.dev/heddle/sync/server"
)

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
