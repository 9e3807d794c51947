package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

// wire between clients and a server's handler, without sockets: in a bubble of
// testing/synctest it has the bubble's time.
type cable struct {
	handler  http.Handler
	buffers  atomic.Bool // an answer is passed on when it has ended
	streams  atomic.Int64
	most     atomic.Int64 // of streams at one time
	requests atomic.Int64
}

// Do implements client.Doer.
func (c *cable) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		cancel()
		return nil, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	c.requests.Add(1)
	if strings.HasSuffix(r.URL, "/pull") {
		c.most.Store(max(c.most.Load(), c.streams.Add(1)))
		context.AfterFunc(ctx, func() { c.streams.Add(-1) })
	}
	pr, pw := io.Pipe()
	context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	w := &answering{header: http.Header{}, begun: make(chan struct{}), out: pw}
	ended := make(chan struct{})
	if c.buffers.Load() {
		w.kept = &bytes.Buffer{}
	}
	go func() {
		defer close(ended)
		c.handler.ServeHTTP(w, req)
		w.WriteHeader(200)
		pw.Close()
	}()
	wait := w.begun
	if w.kept != nil {
		wait = ended
	}
	select {
	case <-wait:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	body := io.Reader(pr)
	if w.kept != nil {
		body = w.kept
	}
	return &client.Response{Status: w.status, Header: w.header.Get, Body: closing{body, cancel}}, nil
}

type closing struct {
	io.Reader
	cancel context.CancelFunc
}

func (c closing) Close() error {
	c.cancel()
	return nil
}

// answering is the server's side of an answer.
type answering struct {
	header http.Header
	status int
	once   sync.Once
	begun  chan struct{}
	out    *io.PipeWriter
	kept   *bytes.Buffer // nil: it is passed on as it comes
}

func (w *answering) Header() http.Header { return w.header }

func (w *answering) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}

func (w *answering) Write(p []byte) (int, error) {
	w.WriteHeader(200)
	if w.kept != nil {
		return w.kept.Write(p)
	}
	return w.out.Write(p)
}

func (w *answering) Flush() {}

// cabled runs f in a bubble with a server and devices, each with a cable of its
// own.
func cabled(t *testing.T, devices int, change func(i int, cfg *client.Config), f func(d []*device, cables []*cable)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		kept, err := sqlitestore.Open(sqlitestore.Options{Dir: filepath.Join(dir, "server")})
		if err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		srv, err := server.New(server.Options{Store: kept, Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		var all []*device
		var cables []*cable
		for i := range devices {
			cables = append(cables, &cable{handler: srv})
			d := &device{t: t}
			d.opts = store.Options{Filename: "file:" + filepath.Join(dir, fmt.Sprintf("%d.db", i)), Migrations: []string{notes},
				Synced: []string{"notes"}, Bounds: store.Bounds{ReadAge: -1}}
			d.cfg = client.Config{URL: "http://heddle.test", Space: "family", Tables: map[string]client.Merge{"notes": nil},
				HTTP: cables[i]}
			if change != nil {
				change(i, &d.cfg)
			}
			d.open()
			defer d.close()
			all = append(all, d)
		}
		f(all, cables)
	})
}

// Behind a proxy that passes an answer on only when it has ended, news still
// come at once, the status says how, and a stream is used again when it works.
func TestFollow_buffered(t *testing.T) {
	cabled(t, 2, nil, func(d []*device, cables []*cable) {
		a, b := d[0], d[1]
		cables[1].buffers.Store(true)
		a.run()
		b.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := b.c.Status(); st.State != client.Live || st.Polling != client.PollingBuffered || st.LastError != nil {
			t.Errorf("behind the proxy: %+v", st)
		}
		if st := a.c.Status(); st.State != client.Live || st.Polling != "" {
			t.Errorf("without one: %+v", st)
		}
		for i := range 10 {
			a.exec(`INSERT INTO notes(id) VALUES (?)`, fmt.Sprint(i))
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(b.rows(`SELECT id FROM notes`)); n != i+1 {
				t.Errorf("a second after write %d there are %d rows", i, n)
			}
		}
		asked := cables[1].requests.Load()
		time.Sleep(5 * time.Minute)
		if n := cables[1].requests.Load() - asked; n > 20 {
			t.Errorf("%d requests in five minutes without news", n)
		}
		cables[1].buffers.Store(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if st := b.c.Status(); st.State != client.Live || st.Polling != "" {
			t.Errorf("without the proxy: %+v", st)
		}
	})
}

// A network that was away is no proxy: the stream comes back.
func TestFollow_networkBack(t *testing.T) {
	cabled(t, 1, nil, func(d []*device, cables []*cable) {
		handler := cables[0].handler
		d[0].run()
		time.Sleep(20 * time.Second)
		cables[0].handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		d[0].c.SetOnline(false)
		synctest.Wait()
		d[0].c.SetOnline(true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := d[0].c.Status(); st.State != client.Offline || st.Polling != "" {
			t.Errorf("while nothing answers: %+v", st)
		}
		cables[0].handler = handler
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := d[0].c.Status(); st.State != client.Live {
			t.Errorf("afterwards: %+v", st)
		}
	})
}

// Six databases of one browser share three connections that stay open: the
// others ask now and then, and all of them have all rows within seconds. Who
// waits for a connection gets the one that is given back.
func TestFollow_fewConnections(t *testing.T) {
	const databases, connections = 6, 3
	var mu sync.Mutex
	free := connections
	stream := func(_ context.Context, server string) (func(), bool) {
		mu.Lock()
		defer mu.Unlock()
		if server != "http://heddle.test" {
			t.Errorf("asked for %q", server)
		}
		if free == 0 {
			return nil, false
		}
		free--
		return func() {
			mu.Lock()
			free++
			mu.Unlock()
		}, true
	}
	cabled(t, databases, func(_ int, cfg *client.Config) { cfg.Stream = stream }, func(d []*device, cables []*cable) {
		shared := &cable{handler: cables[0].handler}
		for _, one := range d {
			one.close()
			one.cfg.HTTP = shared
			one.open()
			one.run()
		}
		time.Sleep(10 * time.Second)
		for i, one := range d {
			one.exec(`INSERT INTO notes(id) VALUES (?)`, fmt.Sprint(i))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		polling := 0
		for i, one := range d {
			st := one.c.Status()
			if st.State != client.Live || st.Pending != 0 {
				t.Errorf("database %d: %+v", i, st)
			}
			if st.Polling == client.PollingConnections {
				polling++
			}
			if n := len(one.rows(`SELECT id FROM notes`)); n != databases {
				t.Errorf("database %d has %d rows", i, n)
			}
		}
		if polling != databases-connections || shared.most.Load() != connections {
			t.Errorf("%d poll, there were %d streams at a time", polling, shared.most.Load())
		}
		d[0].close()
		d[1].close()
		d[2].close()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, one := range d[3:] {
			if st := one.c.Status(); st.Polling != "" {
				t.Errorf("database %d: %+v", i+3, st)
			}
		}
	})
}

// TestClient_stopped: content that cannot be synced stops sync: nothing is
// asked for until Resume, which goes on once the content is right again.
func TestClient_stopped(t *testing.T) {
	scripted(t, func(s *script, d *device, statuses func() []string) {
		s.will(empty(caughtUp()))
		d.run()
		synctest.Wait()
		equal(t, "start", statuses(), "connecting", "live")
		schema := func(sql string) { // the space's schema, as the replica keeps it
			err := d.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
				return tx.Inside(func(c *sqlite3.Conn) error { return c.Exec(sql) })
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		var file bytes.Buffer
		schema(`CREATE TABLE heddle_right AS SELECT * FROM heddle_meta WHERE name = 'schema';
			INSERT OR REPLACE INTO heddle_meta VALUES('schema', x'ffff')`)
		if err := d.db.Export(context.Background(), &file); err != nil {
			t.Fatal(err)
		}
		if err := d.db.Import(context.Background(), &file); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := statuses(); len(got) != 1 || !strings.HasPrefix(got[0], "stopped ") {
			t.Errorf("got %q", got)
		}
		s.take()
		time.Sleep(time.Hour)
		synctest.Wait()
		if log := s.take(); len(log) != 0 {
			t.Errorf("requests while stopped: %q", log)
		}
		if err := d.c.Now(context.Background()); err == nil {
			t.Error("Now while stopped: no error")
		}
		d.c.Resume(context.Background())
		synctest.Wait()
		if st := d.c.Status(); st.State != client.Stopped || st.LastError == nil {
			t.Errorf("resumed with the same content: got %+v", st)
		}
		schema(`DELETE FROM heddle_meta WHERE name = 'schema'; INSERT INTO heddle_meta SELECT * FROM heddle_right`)
		statuses()
		d.c.Resume(context.Background())
		synctest.Wait()
		equal(t, "resumed", statuses(), "connecting", "live")
		if len(s.take()) == 0 {
			t.Error("no request after Resume")
		}
	})
}
