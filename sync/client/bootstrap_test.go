package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// bootstrapSchema has what a snapshot may meet: a counter, a composite key, blobs.
const bootSchema = `
CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, n INTEGER NOT NULL DEFAULT 0);
CREATE TABLE parts(a INTEGER, b TEXT, data BLOB, PRIMARY KEY(a, b)) WITHOUT ROWID;`

func newBootDevice(t testing.TB, url string, doer client.Doer) *device {
	t.Helper()
	d := newDevice(t, url, bootSchema)
	d.opts.Synced = []string{"notes", "parts"}
	d.cfg.Tables = map[string]client.Merge{"notes": {"n": "counter"}, "parts": nil}
	if doer != nil {
		d.cfg.HTTP = doer
	}
	d.close()
	d.open()
	return d
}

// fill makes a log that is larger than its state.
func (d *device) fill(rows int) {
	d.t.Helper()
	for range 2 {
		for from := 0; from < rows; from += 500 {
			err := d.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
				for i := from; i < min(rows, from+500); i++ {
					if _, err := tx.Exec(`INSERT INTO notes(id, body, n) VALUES(?1, hex(randomblob(200)),
						1) ON CONFLICT DO UPDATE SET body = excluded.body, n = n + 1`, store.Args(fmt.Sprint("k", i))); err != nil {
						return err
					}
				}
				_, err := tx.Exec(`INSERT OR REPLACE INTO parts VALUES(?, 'x', randomblob(20))`, store.Args(int64(from)))
				return err
			})
			if err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// phases counts the progress events by phase.
func (d *device) phases() func(phase string) int {
	var mu sync.Mutex
	n := map[string]int{}
	d.c.OnProgress(func(p client.Progress) {
		mu.Lock()
		defer mu.Unlock()
		n[p.Phase]++
	})
	return func(phase string) int {
		mu.Lock()
		defer mu.Unlock()
		return n[phase]
	}
}

func equalRows(t *testing.T, a, b *device) {
	t.Helper()
	for _, sql := range []string{`SELECT id, body, n, typeof(n) FROM notes ORDER BY id`,
		`SELECT a, b, hex(data) FROM parts ORDER BY a, b`} {
		if x, y := a.rows(sql), b.rows(sql); fmt.Sprint(x) != fmt.Sprint(y) {
			t.Errorf("%s: %d rows and %d rows differ", sql, len(x), len(y))
		}
	}
}

func TestBoot_newDevice(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newBootDevice(t, hs.URL, nil)
	a.fill(5000)
	a.now()
	for _, pending := range []bool{false, true} {
		b := newBootDevice(t, hs.URL, nil)
		phases := b.phases()
		if pending {
			b.exec(`INSERT INTO notes(id, body, n) VALUES('k7', 'mine', 5), ('own', 'mine', 1)`)
			b.exec(`UPDATE notes SET n = n + 1 WHERE id = 'k7'`)
		}
		b.now()
		if phases("snapshot") == 0 {
			t.Error("a new device has read the log, and not the state")
		}
		if pending {
			b.want(`SELECT body, n FROM notes WHERE id IN ('k7', 'own')`, "mine|8", "mine|1")
			a.now()
		}
		equalRows(t, a, b)
		same(t, hs.URL, a, b)
		b.exec(`UPDATE notes SET n = n + 1 WHERE id = 'k1'`)
		b.now()
		a.now()
		b.reopen()
		b.now()
		equalRows(t, a, b)
		same(t, hs.URL, a, b)
	}
}

// A device that has been away for longer than the log reaches back takes the
// state, keeps what it has written, and loses what others have deleted.
func TestBoot_behindTheHorizon(t *testing.T) {
	hs := newServer(t, server.Options{Limits: server.Limits{Log: 32 << 10}, Decide: refuseBad})
	a := newBootDevice(t, hs.URL, nil)
	l := &route{Doer: nethttp.Doer{}}
	b := newBootDevice(t, hs.URL, l)
	a.exec(`INSERT INTO notes(id, body, n) VALUES('kept', 'old', 10), ('gone', 'old', 1), ('edited', 'old', 1)`)
	a.exec(`INSERT INTO parts VALUES(1, 'a', x'01'), (2, 'b', x'02')`)
	a.now()
	b.now()
	// b sends these and never hears of their outcome.
	l.set(func(resource string) error {
		if strings.HasPrefix(resource, "pull") {
			return fmt.Errorf("the line is cut")
		}
		return nil
	})
	b.exec(`UPDATE notes SET n = n + 5 WHERE id = 'kept'`)
	b.exec(`UPDATE notes SET body = 'bad' WHERE id = 'edited'`)
	b.exec(`UPDATE notes SET n = n + 1, body = 'decided' WHERE id = 'kept'`)
	if err := b.c.Now(context.Background()); errcode.Of(err) != errcode.Network {
		t.Fatal(err)
	}
	l.set(func(string) error { return fmt.Errorf("the line is cut") })
	b.exec(`UPDATE notes SET n = n + 100 WHERE id = 'kept'`)
	b.exec(`UPDATE notes SET body = 'edit of a row that is gone' WHERE id = 'gone'`)
	b.exec(`INSERT INTO notes(id, body, n) VALUES('new', 'b', 3)`)
	a.now()
	a.exec(`DELETE FROM notes WHERE id = 'gone'`)
	a.exec(`DELETE FROM parts WHERE a = 1`)
	for i := range 300 {
		a.exec(`UPDATE notes SET body = ?, n = n + 1 WHERE id = 'edited'`, fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000)))
		if i%50 == 0 {
			a.now()
		}
	}
	a.now()
	var rejected []client.Rejected
	var conflicts []client.Conflict
	b.c.OnRejected(func(r client.Rejected) { rejected = append(rejected, r) })
	b.c.OnConflict(func(c client.Conflict) { conflicts = append(conflicts, c) })
	phases := b.phases()
	l.set(nil)
	b.now()
	a.now()
	if phases("snapshot") == 0 {
		t.Error("the log still reached back: nothing was tested")
	}
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, n FROM notes ORDER BY id`, "edited|301", "kept|116", "new|3")
		d.want(`SELECT body FROM notes WHERE id = 'kept'`, "decided")
		d.want(`SELECT a FROM parts`, "2")
	}
	equalRows(t, a, b)
	same(t, hs.URL, a, b)
	if len(rejected) != 1 || rejected[0].Code != "APP_NO" || rejected[0].Ops[0].Cells[0] != "bad" {
		t.Errorf("got %+v", rejected)
	}
	if len(conflicts) != 1 || conflicts[0].Reason != replica.ConflictMissing || conflicts[0].Keys[0].Key[0] != "gone" {
		t.Errorf("got %+v", conflicts)
	}
	for _, table := range []string{"heddle_row", "heddle_seen", "heddle_overflow"} {
		b.want(`SELECT count(*) FROM `+table, "0")
	}
}

func refuseBad(_ context.Context, d *server.Decision) error {
	body := d.Body
	for _, op := range body.Ops {
		for _, v := range op.Cells {
			if v == "bad" {
				return errcode.New("APP_NO", "decide", "not this")
			}
		}
	}
	return nil
}

// route is a network that fails as it is told.
type route struct {
	client.Doer
	mu   sync.Mutex
	fail func(resource string) error
	body func(io.ReadCloser) io.ReadCloser
}

func (l *route) set(fail func(string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

func (l *route) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	l.mu.Lock()
	fail, body := l.fail, l.body
	l.mu.Unlock()
	resource := r.URL[strings.LastIndex(r.URL, "/")+1:]
	if fail != nil {
		if err := fail(resource); err != nil {
			return nil, err
		}
	}
	resp, err := l.Doer.Do(ctx, r)
	if err == nil && body != nil && strings.HasPrefix(resource, "pull") {
		resp.Body = body(resp.Body)
	}
	return resp, err
}

// cutOff ends after some bytes.
type cutOff struct {
	io.ReadCloser
	left int
}

func (c *cutOff) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A snapshot that breaks again and again goes on where it was, also across a
// restart, while others write, delete and bring new columns.
func TestBoot_resumes(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newBootDevice(t, hs.URL, nil)
	a.fill(30_000)
	a.now()
	l := &route{Doer: nethttp.Doer{}}
	l.body = func(r io.ReadCloser) io.ReadCloser { return &cutOff{r, 3 << 20} }
	b := newBootDevice(t, hs.URL, l)
	breaks, most := 0, uint64(0)
	for {
		var first uint64
		off := b.c.OnProgress(func(p client.Progress) {
			if p.Phase != "snapshot" {
				return
			}
			if first == 0 {
				first = p.Rows
			}
			if p.Rows < most {
				t.Errorf("%d rows after %d: it began anew", p.Rows, most)
			}
			most = max(most, p.Rows)
		})
		err := b.c.Now(context.Background())
		off()
		if err == nil {
			break
		}
		if errcode.Of(err) != errcode.Network {
			t.Fatal(err)
		}
		if breaks++; breaks > 50 {
			t.Fatal("it does not get on")
		}
		if breaks < 4 { // rows that were sent, that were not, that are new
			a.exec(`UPDATE notes SET n = n + 1 WHERE id LIKE '%77'`)
			a.exec(`DELETE FROM notes WHERE id LIKE ?`, fmt.Sprintf("%%%d5", breaks))
			a.exec(`INSERT INTO notes(id, body) VALUES('a' || ?1, 'first'), ('z' || ?1, 'last')`, int64(breaks))
			a.now()
		}
		if breaks%2 == 1 {
			b.reopen()
		}
	}
	t.Logf("%d breaks", breaks)
	if breaks < 3 {
		t.Errorf("only %d breaks: nothing was tested", breaks)
	}
	equalRows(t, a, b)
	same(t, hs.URL, a, b)
}

// In the middle of a snapshot, cut off and opened again, a device takes writes as
// ever: they show at once, on top of rows that came before, come later, or never.
func TestBoot_writesGoOn(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		hs := newServer(t, server.Options{Limits: server.Limits{Log: 32 << 10}})
		a := newBootDevice(t, hs.URL, nil)
		a.exec(`INSERT INTO notes(id, body, n) VALUES('k1', 'old', 0), ('k6998', 'old', 0), ('gone', 'old', 0)`)
		a.exec(`INSERT INTO parts VALUES(0, 'x', x'01')`)
		a.now()
		l := &route{Doer: nethttp.Doer{}}
		b := newBootDevice(t, hs.URL, l)
		if !fresh { // it had data before, and the log does not reach back to it
			b.now()
		}
		a.exec(`DELETE FROM notes WHERE id = 'gone'`)
		a.fill(7000)
		a.now()
		l.body = func(r io.ReadCloser) io.ReadCloser { return &cutOff{r, 2_300_000} }
		if err := b.c.Now(context.Background()); errcode.Of(err) != errcode.Network {
			t.Fatal(err)
		}
		l.set(func(string) error { return fmt.Errorf("the line is cut") })
		b.want(`SELECT count(*) FROM heddle_meta WHERE name = 'boot'`, "1")
		if s := b.c.Status(); s.Incomplete != fresh {
			t.Errorf("fresh: %v: got %+v", fresh, s)
		}
		write := func() {
			b.exec(`UPDATE notes SET n = n + 100 WHERE id IN ('k1', 'k6998')`)
			b.exec(`INSERT INTO notes(id, body, n) VALUES('k1', 'mine', 5), ('k5', 'mine', 5), ('k6999', 'mine', 5), ('own',
				'mine', 5)
				ON CONFLICT DO UPDATE SET body = 'mine', n = n + 5`)
			b.exec(`DELETE FROM notes WHERE id = 'k20'`)
			b.exec(`INSERT INTO parts VALUES(0, 'x', x'02') ON CONFLICT DO UPDATE SET data = x'02'`)
		}
		write()
		b.want(`SELECT body FROM notes WHERE id IN ('k1', 'k5', 'k6999', 'own')`, "mine", "mine", "mine", "mine")
		if !fresh {
			b.want(`SELECT n FROM notes WHERE id = 'k6998'`, "100")
		}
		b.reopen()
		if s := b.c.Status(); s.Incomplete != fresh || s.Pending != 4 {
			t.Errorf("fresh: %v: opened again: got %+v", fresh, s)
		}
		write()
		b.want(`SELECT count(*) FROM notes WHERE body = 'mine'`, "4")
		l.set(nil)
		for tries := 0; ; tries++ {
			err := b.c.Now(context.Background())
			if err == nil {
				break
			}
			if errcode.Of(err) != errcode.Network || tries > 20 {
				t.Fatal(err)
			}
		}
		if s := b.c.Status(); s.Incomplete || s.Repairs > 0 || s.Pending != 0 {
			t.Errorf("fresh: %v: at last: got %+v", fresh, s)
		}
		a.now()
		b.want(`SELECT body FROM notes WHERE id IN ('k1', 'k5', 'k6999', 'own')`, "mine", "mine", "mine", "mine")
		b.want(`SELECT count(*) FROM notes WHERE id IN ('k20', 'gone')`, "0")
		for _, table := range []string{"heddle_row", "heddle_seen"} {
			b.want(`SELECT count(*) FROM `+table, "0")
		}
		equalRows(t, a, b)
		same(t, hs.URL, a, b)
	}
}

// Rows that do not come in the order of their keys are no snapshot.
func TestBoot_order(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newBootDevice(t, hs.URL, nil)
	a.fill(3000)
	a.now()
	l := &route{Doer: nethttp.Doer{}}
	l.body = func(r io.ReadCloser) io.ReadCloser {
		defer r.Close()
		var out []byte
		frames := wire.NewFrameReader(r)
		for {
			f, err := frames.Next()
			if err != nil {
				return io.NopCloser(bytes.NewReader(out))
			}
			if f.Snapshot != nil && len(f.Snapshot.Tables) > 0 {
				rows := f.Snapshot.Tables[0].Rows
				key, cells, rest, _ := wire.CutRow(rows)
				f.Snapshot.Tables[0].Rows = wire.AppendRow(slices.Clone(rest), key, cells)
			}
			out = wire.AppendFrame(out, f)
		}
	}
	b := newBootDevice(t, hs.URL, l)
	if err := b.c.Now(context.Background()); errcode.Of(err) != errcode.Protocol ||
		!strings.Contains(err.Error(), "order") {
		t.Errorf("got %v", err)
	}
}

// countedPulls counts how often the log or the state is asked for.
type countedPulls struct {
	nethttp.Doer
	n atomic.Int32
}

func (d *countedPulls) Do(ctx context.Context, r *client.Request) (*client.Response, error) {
	if strings.Contains(r.URL, "/pull") {
		d.n.Add(1)
	}
	return d.Doer.Do(ctx, r)
}

// Rows that the app's tables do not hold whole go beside them as they come, and
// into the tables once it has migrated.
func TestBoot_columnsThatDiffer(t *testing.T) {
	const later = `ALTER TABLE notes ADD COLUMN extra TEXT DEFAULT 'none';
		ALTER TABLE notes ADD COLUMN score REAL DEFAULT 0`
	hs := newServer(t, server.Options{})
	migrate := func(d *device) {
		d.close()
		d.opts.Migrations = append(d.opts.Migrations, later)
		d.open()
	}
	a := newBootDevice(t, hs.URL, nil)
	a.fill(3000)
	migrate(a)
	a.exec(`UPDATE notes SET extra = 'some', score = 2.5 WHERE id LIKE 'k%7'`)
	a.exec(`UPDATE notes SET body = NULL, score = 3 WHERE id LIKE 'k%8'`)
	a.now()
	const all = `SELECT id, body, n, extra, score, typeof(score) FROM notes ORDER BY id`
	for _, before := range []bool{true, false} { // it migrates before it starts, or after
		counted := &countedPulls{}
		b := newBootDevice(t, hs.URL, counted)
		if before {
			migrate(b)
		}
		phases := b.phases()
		b.now()
		if phases("snapshot") == 0 {
			t.Error("a new device has read the log, and not the state")
		}
		if n := counted.n.Load(); n != 1 { // one whose digest differs starts over
			t.Errorf("migrated before: %v: it asked %d times for the state", before, n)
		}
		same(t, hs.URL, a, b)
		if !before {
			b.want(`SELECT count(*) FROM heddle_overflow`, "600")
			migrate(b)
		}
		if x, y := a.rows(all), b.rows(all); fmt.Sprint(x) != fmt.Sprint(y) {
			t.Errorf("migrated before: %v: the rows differ", before)
		}
		b.now()
		same(t, hs.URL, a, b)
	}
}
