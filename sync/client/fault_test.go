package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/server"
)

// faulty is a network that fails as its plan says, request by request.
type faulty struct {
	mu   sync.Mutex
	plan func(r *client.Request) fault
	hits map[fault]int
}

type fault int

const (
	fine     fault = iota
	unsent         // the request does not reach the server
	lost           // the server acts, the answer is lost
	cut            // the answer breaks off in the middle
	ended          // the answer ends in the middle, as if it were whole
	tooEarly       // another server answers 503
)

func (f *faulty) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	f.mu.Lock()
	kind := fine
	if f.plan != nil {
		kind = f.plan(r)
	}
	if f.hits == nil {
		f.hits = map[fault]int{}
	}
	f.hits[kind]++
	f.mu.Unlock()
	switch kind {
	case unsent:
		return nil, errors.New("the network is down")
	case tooEarly:
		return &client.Response{Status: 503, Header: func(string) string { return "" },
			Body: io.NopCloser(strings.NewReader("busy"))}, nil
	}
	resp, err := nethttp.Doer{}.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	switch kind {
	case lost:
		io.Copy(io.Discard, io.LimitReader(resp.Body, 10))
		resp.Body.Close()
		return nil, errors.New("the network is down")
	case cut:
		resp.Body = &cutBody{resp.Body, 200}
	case ended:
		n := 0
		if strings.Contains(r.URL, "/pull") {
			n = 200
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, int64(n)), resp.Body}
	}
	return resp, nil
}

type cutBody struct {
	io.ReadCloser
	left int
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the connection was reset")
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (f *faulty) set(plan func(*client.Request) fault) {
	f.mu.Lock()
	f.plan = plan
	f.mu.Unlock()
}

func (d *device) reopen() {
	d.t.Helper()
	d.close()
	d.open()
}

// TestClient_faults lets requests and answers get lost and devices restart, at
// random. In the end each transaction is in the log exactly once, and all are
// equal.
func TestClient_faults(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			hs := newServer(t, server.Options{Limits: server.Limits{Body: 4 << 20}})
			net := &faulty{}
			var devices []*device
			for range 3 {
				d := newDevice(t, hs.URL)
				d.cfg.HTTP = net
				d.reopen()
				devices = append(devices, d)
			}
			net.set(func(*client.Request) fault {
				if rng.IntN(2) == 0 {
					return fine
				}
				return fault(1 + rng.IntN(5))
			})
			committed := 0
			for i := range 80 {
				d := devices[rng.IntN(3)]
				switch rng.IntN(10) {
				case 0, 1, 2:
					d.exec(`INSERT INTO notes(id, body) VALUES(?, ?)`, fmt.Sprint(i), strings.Repeat("x", rng.IntN(3000)))
					committed++
				case 3:
					d.exec(`INSERT INTO notes(id, body) VALUES(?, ?)`, fmt.Sprint(i), strings.Repeat("in parts ", 150_000))
					committed++
				case 4:
					before := d.rows(`SELECT count(*) FROM heddle_pending`)
					d.exec(`UPDATE notes SET done = done + 1 WHERE id % 3 = ?`, rng.IntN(3))
					if after := d.rows(`SELECT count(*) FROM heddle_pending`); after[0] != before[0] {
						committed++
					}
				case 5:
					d.reopen()
				default:
					if err := d.c.Now(await.Context(t)); errcode.Of(err) == errcode.Diverged {
						t.Fatal(err)
					}
				}
			}
			for kind := range tooEarly {
				if net.hits[kind] == 0 {
					t.Errorf("fault %d was never hit", kind)
				}
			}
			net.set(nil)
			for range 2 {
				for _, d := range devices {
					d.now()
				}
			}
			for _, d := range devices {
				if s := d.c.Status(); s.Seq != uint64(committed) || s.Pending != 0 {
					t.Errorf("got %d entries and %d pending, want the %d transactions, each once", s.Seq, s.Pending, committed)
				}
				all := `SELECT * FROM notes ORDER BY id`
				if fmt.Sprint(d.rows(all)) != fmt.Sprint(devices[0].rows(all)) {
					t.Error("the devices' rows differ")
				}
			}
			same(t, hs.URL, devices...)
		})
	}
}

func TestClient_rejected(t *testing.T) {
	hs := newServer(t, server.Options{Decide: func(_ context.Context, d *server.Decision) error {
		b := d.Body
		for _, op := range b.Ops {
			for _, v := range op.Cells {
				if v == "bad" {
					return errcode.New("APP_NO", "", "no such word")
				}
			}
		}
		return nil
	}})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id, body) VALUES('1', 'old'), ('2', 'old')`)
	a.now()
	b.now()
	var told []client.Rejected
	a.c.OnRejected(func(r client.Rejected) { told = append(told, r) })
	a.exec(`UPDATE notes SET body = 'good' WHERE id = '2'`)
	a.exec(`UPDATE notes SET body = 'bad', done = 1 WHERE id = '1'`)
	a.exec(`INSERT INTO notes(id, body) VALUES('3', 'bad')`)
	a.exec(`UPDATE notes SET done = 2`)
	b.exec(`UPDATE notes SET body = 'new' WHERE id = '1'`)
	b.now()
	a.want(`SELECT * FROM notes`, "1|bad|2", "2|good|2", "3|bad|2")
	a.now()
	// The update of row 3 was accepted and met no row: a conflict, not a row.
	for _, d := range []*device{a, b} {
		d.now()
		d.want(`SELECT * FROM notes`, "1|new|2", "2|good|2")
	}
	same(t, hs.URL, a, b)
	if len(told) != 2 || told[0].Code != "APP_NO" || told[0].Counter != 3 || len(told[1].Ops) != 1 ||
		told[1].Ops[0].Key[0] != "3" {
		t.Errorf("got %+v", told)
	}
	a.reopen()
	kept, err := a.c.Rejected(t.Context())
	if err != nil || len(kept) != 2 || kept[0].Code != "APP_NO" || kept[0].Ops[0].Cells[0] != "bad" {
		t.Errorf("got %+v, %v", kept, err)
	}
	if found, err := a.c.Discard(t.Context(), kept[0].ID); err != nil || !found {
		t.Fatal(err)
	}
	if kept, _ = a.c.Rejected(t.Context()); len(kept) != 1 {
		t.Errorf("got %d kept after Discard, want 1", len(kept))
	}
}

func TestClient_conflictMissing(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id) VALUES('1'), ('2')`)
	a.now()
	b.now()
	var got []client.Conflict
	b.c.OnConflict(func(c client.Conflict) { got = append(got, c) })
	a.exec(`DELETE FROM notes WHERE id = '1'`)
	a.now()
	b.exec(`UPDATE notes SET body = 'late'`)
	b.now()
	b.want(`SELECT id, body FROM notes`, "2|late")
	a.now()
	same(t, hs.URL, a, b)
	if len(got) != 1 || got[0].Reason != replica.ConflictMissing || fmt.Sprint(got[0].Keys) != "[{notes [1]}]" {
		t.Errorf("got %+v", got)
	}
}

func TestClient_dangling(t *testing.T) {
	schema := `
CREATE TABLE notes(id TEXT PRIMARY KEY);
CREATE TABLE parts(note TEXT REFERENCES notes(id) ON DELETE CASCADE, n INTEGER, of INTEGER, PRIMARY KEY(note, n),
	FOREIGN KEY(note, of) REFERENCES parts);
`
	hs := newServer(t, server.Options{})
	var devices []*device
	for range 2 {
		d := newDevice(t, hs.URL, schema)
		d.opts.Synced, d.cfg.Tables = []string{"notes", "parts"}, map[string]client.Merge{"notes": nil, "parts": nil}
		d.reopen()
		devices = append(devices, d)
	}
	a, b := devices[0], devices[1]
	var got []string
	for i, d := range devices {
		d.c.OnConflict(func(c client.Conflict) { got = append(got, fmt.Sprint(i, " ", c.Reason, " ", c.Keys)) })
	}
	a.exec(`INSERT INTO notes VALUES('1'), ('2')`)
	a.exec(`INSERT INTO parts VALUES('1', 1, NULL), ('1', 2, 1), ('2', 1, 1)`)
	a.now()
	b.now()
	a.exec(`DELETE FROM notes WHERE id = '1'`) // and its parts: cascades travel
	b.exec(`INSERT INTO parts VALUES('1', 3, NULL), ('2', 2, 1)`)
	a.now()
	b.now()
	a.now()
	for _, d := range devices {
		d.want(`SELECT note, n FROM parts ORDER BY 1, 2`, "1|3", "2|1", "2|2")
		keys, err := d.c.Dangling(t.Context(), 10)
		if err != nil || fmt.Sprint(keys) != "[{parts [1 3]}]" {
			t.Errorf("got %v, %v", keys, err)
		}
	}
	same(t, hs.URL, a, b)
	want := []string{"1 dangling [{parts [1 3]}]", "0 dangling [{parts [1 3]}]"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A COMMIT that fails after the transaction was recorded leaves nothing to send.
func TestClient_commitFails(t *testing.T) {
	hs := newServer(t, server.Options{})
	schema := notes + `; CREATE TABLE parts(id TEXT PRIMARY KEY, note TEXT REFERENCES notes DEFERRABLE INITIALLY DEFERRED)`
	a, b := newDevice(t, hs.URL, schema), newDevice(t, hs.URL, schema)
	a.now()
	err := a.db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO notes(id) VALUES('1'); INSERT INTO parts VALUES('1', 'none')`, store.Params{})
		return err
	})
	if code := errcode.Of(err); code != "SQLITE_CONSTRAINT_FOREIGNKEY" {
		t.Fatalf("got %v (%s)", err, code)
	}
	b.exec(`INSERT INTO notes(id) VALUES('2')`)
	b.now()
	a.now()
	if s := a.c.Status(); s.Pending != 0 {
		t.Errorf("got %+v, want nothing pending", s)
	}
	a.now()
}

// TestClient_interrupted ends syncing at every stage of a large pull and push.
func TestClient_interrupted(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL, placesSchema), newDevice(t, hs.URL, placesSchema)
	for _, d := range []*device{a, b} {
		err := d.db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			_, err := tx.Bulk(`INSERT INTO notes VALUES(?, ?, ?, ?, ?, ?, ?)`, places(8000))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ended := 0
	for _, d := range []*device{a, b, a} {
		for wait := 2 * time.Millisecond; ; wait += wait / 3 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			err := d.c.Now(ctx)
			cancel()
			if err == nil {
				break
			}
			if code := errcode.Of(err); code != errcode.Timeout && code != errcode.Aborted {
				t.Fatalf("after %v: %v (%s)", wait, err, code)
			}
			ended++
			// While a snapshot is being applied, this one waits in vain.
			ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
			err = d.db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE notes SET lat = lat + 1 WHERE rowid = 5`, store.Params{})
				return err
			})
			cancel()
			if code := errcode.Of(err); err != nil && code != errcode.Timeout && code != errcode.Aborted {
				t.Fatal(err)
			}
		}
	}
	b.now()
	a.now()
	if ended < 5 {
		t.Errorf("only %d calls were ended", ended)
	}
	same(t, hs.URL, a, b)
	all := `SELECT group_concat(id || lat) FROM (SELECT * FROM notes ORDER BY id)`
	if fmt.Sprint(a.rows(all)) != fmt.Sprint(b.rows(all)) {
		t.Error("the rows differ")
	}
}
