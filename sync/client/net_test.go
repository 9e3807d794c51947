package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

const notes = `CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, done INTEGER NOT NULL DEFAULT 0)`

// newServer starts a real server in development mode.
func newServer(t testing.TB, o server.Options) *httptest.Server {
	t.Helper()
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o.Store, o.Dev = kept, o.Tokens == nil
	o.Limits.Request, o.Limits.Decision, o.Limits.Store = await.Long, await.Long, await.Long
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Drain()
		hs.CloseClientConnections()
		hs.Close()
		if err := errors.Join(s.Close(), kept.Close()); err != nil {
			t.Error(err)
		}
	})
	return hs
}

// device is a native program with a synced database.
type device struct {
	t    testing.TB
	opts store.Options
	cfg  client.Config
	db   *store.DB
	c    *client.Client
	stop context.CancelFunc
	done chan struct{}
}

func newDevice(t testing.TB, url string, migrations ...string) *device {
	t.Helper()
	if migrations == nil {
		migrations = []string{notes}
	}
	d := &device{t: t}
	d.opts = store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"), Migrations: migrations,
		Synced: []string{"notes"},
		Bounds: store.Bounds{ReadAge: await.Long, Busy: await.Long}}
	d.cfg = client.Config{URL: url, Space: "family", Tables: map[string]client.Merge{"notes": nil}, HTTP: nethttp.Doer{},
		Bounds: client.Bounds{Silence: await.Long, Greeting: await.Long, Token: await.Long, BackoffLast: time.Second}}
	d.open()
	t.Cleanup(d.close)
	return d
}

func (d *device) open() {
	d.t.Helper()
	var err error
	d.opts.MigrationHook = client.MigrationHook(d.cfg)
	if d.db, err = store.Open(context.Background(), d.opts); err != nil {
		d.t.Fatal(err)
	}
	if d.c, err = client.Open(context.Background(), d.db, d.cfg); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) run() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.done = stop, make(chan struct{})
	c, done := d.c, d.done
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
}

func (d *device) halt() {
	if d.stop != nil {
		d.stop()
		<-d.done
		d.stop = nil
	}
}

func (d *device) close() {
	if d.db == nil {
		return
	}
	d.halt()
	if err := d.c.Close(); err != nil {
		d.t.Error(err)
	}
	if err := d.db.Close(); err != nil {
		d.t.Error(err)
	}
	d.db = nil
}

func (d *device) exec(sql string, args ...any) {
	d.t.Helper()
	err := d.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(sql, store.Args(args...))
		return err
	})
	if err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

func (d *device) now() {
	d.t.Helper()
	if err := d.c.Now(await.Context(d.t)); err != nil {
		d.t.Fatal(err)
	}
}

// rows returns a query's rows, one text each.
func (d *device) rows(sql string, args ...any) []string {
	d.t.Helper()
	var out []string
	err := d.db.Query(context.Background(), sql, store.Args(args...), nil, func(s *sqlite3.Stmt) error {
		line := ""
		for i := range s.ColumnCount() {
			if i > 0 {
				line += "|"
			}
			line += s.ColumnText(i)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *device) want(sql string, want ...string) {
	d.t.Helper()
	if got := d.rows(sql); fmt.Sprint(got) != fmt.Sprint(want) {
		d.t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// until waits for a status.
func (d *device) until(what string, ok func(client.Status) bool) client.Status {
	d.t.Helper()
	ch := make(chan client.Status, 10_000)
	defer d.c.OnStatus(func(s client.Status) {
		select {
		case ch <- s:
		default:
			d.t.Error("more statuses than are kept for a test")
		}
	})()
	s := d.c.Status()
	for !ok(s) {
		s = await.Event(d.t, ch, fmt.Sprintf("%s, after status %+v", what, s))
	}
	return s
}

func (d *device) digest() (uint64, wire.Hash) {
	d.t.Helper()
	seq, h, err := d.c.Digest(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return seq, h
}

// same checks that devices and server have one digest at one entry.
func same(t testing.TB, url string, devices ...*device) {
	t.Helper()
	resp, err := nethttp.Doer{}.Do(context.Background(),
		&client.Request{Method: "GET", URL: url + "/v1/spaces/family/digest"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data := make([]byte, 4096)
	n, _ := resp.Body.Read(data)
	want, err := wire.UnmarshalDigestResponse(data[:n])
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range devices {
		if seq, h := d.digest(); seq != want.Seq || h != want.Digest {
			t.Errorf("device %d: digest %x at %d, the server's is %x at %d", i, h[:4], seq, want.Digest[:4], want.Seq)
		}
	}
}

func TestClient_twoDevicesConverge(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id, body) VALUES('1', 'from a')`)
	a.now()
	b.now()
	b.want(`SELECT * FROM notes`, "1|from a|0")

	// Both write to the same row while they do not see each other.
	a.exec(`UPDATE notes SET body = 'a again' WHERE id = '1'`)
	b.exec(`UPDATE notes SET body = 'b again', done = 1 WHERE id = '1'`)
	b.now()
	a.want(`SELECT * FROM notes`, "1|a again|0")
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT * FROM notes`, "1|a again|1")
	}
	same(t, hs.URL, a, b)
}

func TestClient_live(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b, c := newDevice(t, hs.URL), newDevice(t, hs.URL), newDevice(t, hs.URL)
	all := []*device{a, b, c}
	for i, d := range all {
		d.exec(`INSERT INTO notes(id, body) VALUES(?, 'before')`, fmt.Sprint(i))
		d.run()
	}
	live := func(n uint64) {
		t.Helper()
		for _, d := range all {
			d.until("live", func(s client.Status) bool { return s.State == client.Live && s.Seq == n && s.Pending == 0 })
			d.want(`SELECT count(*) FROM notes`, fmt.Sprint(n))
		}
	}
	live(3)
	for i := range 10 {
		all[i%3].exec(`INSERT INTO notes(id, body) VALUES(uuid7(), 'live')`)
	}
	live(13)
	same(t, hs.URL, all...)
}
