package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/server"
)

// restorable is a server whose directory can be put back.
type restorable struct {
	t    *testing.T
	dir  string
	kept *sqlitestore.Store
	o    server.Options
	now  atomic.Pointer[server.Server]
	http *httptest.Server
}

func newRestorable(t *testing.T, o server.Options) *restorable {
	r := &restorable{t: t, o: o}
	r.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if s := r.now.Load(); s != nil {
			s.ServeHTTP(w, q)
		}
	}))
	r.up(t.TempDir())
	t.Cleanup(func() {
		r.down()
		r.http.CloseClientConnections()
		r.http.Close()
	})
	return r
}

func (r *restorable) up(dir string) {
	r.t.Helper()
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: dir})
	if err != nil {
		r.t.Fatal(err)
	}
	r.dir, r.kept, r.o.Store, r.o.Dev = dir, kept, kept, true
	s, err := server.New(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.now.Store(s)
}

func (r *restorable) down() {
	r.t.Helper()
	if s := r.now.Swap(nil); s != nil {
		if err := errors.Join(s.Close(), r.kept.Close()); err != nil {
			r.t.Error(err)
		}
	}
}

// backup copies the directory of the server, which is down meanwhile.
func (r *restorable) backup() string {
	r.t.Helper()
	r.down()
	to := r.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(r.dir)); err != nil {
		r.t.Fatal(err)
	}
	r.up(r.dir)
	return to
}

func (r *restorable) restore(dir string) {
	r.t.Helper()
	r.down()
	r.up(dir)
}

// A server that was put back to an older state gets from each device what it
// has lost of that device's, whether it has grown past the device's position or
// not; and all end equal.
func TestRestore(t *testing.T) {
	for _, grown := range []bool{false, true} {
		t.Run(fmt.Sprintf("grown=%v", grown), func(t *testing.T) {
			t.Parallel()
			r := newRestorable(t, server.Options{Decide: refuseBad})
			a, b := newBootDevice(t, r.http.URL, nil), newBootDevice(t, r.http.URL, nil)
			a.exec(`INSERT INTO notes(id, body, n) VALUES('k', 'old', 10), ('away', 'old', 1)`)
			a.now()
			b.now()
			old := r.backup()
			a.exec(`UPDATE notes SET n = n + 1, body = 'a' WHERE id = 'k'`)
			a.exec(`UPDATE notes SET body = 'bad' WHERE id = 'k'`) // refused: its number has no effect to bring back
			a.exec(`INSERT INTO parts VALUES(1, 'a', x'01')`)      // what the old server has not heard of
			a.now()
			b.now()
			b.exec(`UPDATE notes SET n = n + 2 WHERE id = 'k'`)
			b.exec(`DELETE FROM notes WHERE id = 'away'`)
			b.exec(`INSERT INTO parts VALUES(2, 'b', x'02')`)
			b.now()
			a.now()
			seq := a.c.Status().Seq
			a.exec(`UPDATE notes SET n = n + 100 WHERE id = 'k'`) // pending when it happens
			r.restore(old)
			c := newBootDevice(t, r.http.URL, nil)
			c.now()
			if grown {
				for i := range int(seq) + 3 {
					c.exec(`INSERT INTO notes(id, n) VALUES(?, 1)`, fmt.Sprint("c", i))
				}
				c.now()
			}
			var conflicts []client.Conflict
			a.c.OnConflict(func(c client.Conflict) { conflicts = append(conflicts, c) })
			a.now()
			if grown { // once more, with nothing to bring back
				a.reopen()
			}
			for _, d := range []*device{b, a, c, b} {
				d.now()
			}
			for _, d := range []*device{a, b, c} {
				d.want(`SELECT body, n FROM notes WHERE id IN ('k', 'away')`, "a|113")
				d.want(`SELECT a, b, hex(data) FROM parts ORDER BY a`, "1|a|01", "2|b|02")
				if s := d.c.Status(); s.Pending != 0 || s.Repairs != 0 {
					t.Errorf("got %+v", s)
				}
				equalRows(t, a, d)
			}
			same(t, r.http.URL, a, b, c)
			if rejected, err := a.c.Rejected(t.Context()); err != nil || len(rejected) != 1 {
				t.Errorf("got %+v, %v", rejected, err)
			}
			for _, c := range conflicts {
				if c.Reason == replica.ConflictLost {
					t.Errorf("got %+v", c)
				}
			}
			a.exec(`UPDATE notes SET n = n + 1 WHERE id = 'k'`)
			a.now()
			b.now()
			same(t, r.http.URL, a, b)
		})
	}
}

// What is no longer kept is told to be lost, and the rest goes on.
func TestRestore_lost(t *testing.T) {
	r := newRestorable(t, server.Options{})
	a := newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id, n) VALUES('k', 1)`)
	a.now()
	old := r.backup()
	for range 4 {
		a.exec(`UPDATE notes SET n = n + 1 WHERE id = 'k'`)
	}
	a.now()
	a.raw(`DELETE FROM heddle_sent WHERE id <= 3`) // as time would
	var conflicts []client.Conflict
	a.c.OnConflict(func(c client.Conflict) { conflicts = append(conflicts, c) })
	r.restore(old)
	a.now()
	a.want(`SELECT n FROM notes`, "3")
	same(t, r.http.URL, a)
	if len(conflicts) != 1 || conflicts[0].Reason != replica.ConflictLost || conflicts[0].Counter != 2 {
		t.Errorf("got %+v", conflicts)
	}
}

// Another log altogether is not one to start over with: that would throw away
// what all devices have.
func TestRestore_otherServer(t *testing.T) {
	r := newRestorable(t, server.Options{})
	a := newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id, n) VALUES('k', 1)`)
	a.now()
	r.restore(t.TempDir())
	b := newBootDevice(t, r.http.URL, nil)
	b.exec(`INSERT INTO notes(id, n) VALUES('other', 1)`)
	b.now()
	if err := a.c.Now(context.Background()); errcode.Of(err) != errcode.Diverged {
		t.Errorf("got %v", err)
	}
	a.want(`SELECT id FROM notes`, "k")
}

// A replica whose rows were changed behind its back notices, fetches the state
// anew, and counts that.
func TestRepair(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newBootDevice(t, hs.URL, nil), newBootDevice(t, hs.URL, nil)
	a.exec(`INSERT INTO notes(id, body, n) VALUES('x', 'right', 1), ('y', 'right', 1), ('z', 'right', 1)`)
	a.now()
	b.now()
	b.raw(`UPDATE notes SET body = 'wrong' WHERE id = 'x'; DELETE FROM notes WHERE id = 'y';
		INSERT INTO notes(id, body) VALUES('w', 'wrong');
		UPDATE heddle_digest SET sum = zeroblob(length(sum))`) // and the account of it is wrong too
	b.exec(`UPDATE notes SET n = n + 5 WHERE id = 'z'`)
	b.now()
	b.want(`SELECT id, body, n FROM notes ORDER BY id`, "x|right|1", "y|right|1", "z|right|6")
	a.now()
	equalRows(t, a, b)
	same(t, hs.URL, a, b)
	if s := b.c.Status(); s.Repairs != 1 {
		t.Errorf("got %+v", s)
	}
	b.reopen()
	if s := b.c.Status(); s.Repairs != 1 {
		t.Errorf("after a restart: got %+v", s)
	}
	if !strings.Contains(fmt.Sprint(b.rows(`SELECT name FROM heddle_meta`)), "repairs") {
		t.Error("nothing counts the repairs")
	}
}

// Of a large table the rows come that differ and no others, and what entries
// have changed meanwhile; and an account that is wrong about right rows needs
// none.
func TestRepair_fetchesWhatDiffers(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newBootDevice(t, hs.URL, nil)
	l := &route{Doer: nethttp.Doer{}}
	b := newBootDevice(t, hs.URL, l)
	a.fill(3000)
	a.now()
	b.now()
	rows := func() uint64 {
		var most uint64
		defer b.c.OnProgress(func(p client.Progress) {
			if p.Phase == "snapshot" {
				most = max(most, p.Rows)
			}
		})()
		b.now()
		return most
	}
	b.raw(`UPDATE heddle_digest SET sum = zeroblob(length(sum)) WHERE bucket < 9`)
	if n := rows(); n != 0 {
		t.Errorf("%d rows came where the account alone was wrong", n)
	}
	same(t, hs.URL, a, b)
	b.raw(`UPDATE notes SET body = 'wrong' WHERE id = 'k77'; DELETE FROM notes WHERE id = 'k5';
		INSERT INTO notes(id) VALUES('extra');
		UPDATE heddle_digest SET sum = zeroblob(length(sum)) WHERE bucket = 9`)
	b.exec(`UPDATE notes SET n = n + 5 WHERE id = 'k77'`)
	asked := 0
	l.set(func(resource string) error {
		if strings.HasPrefix(resource, "digest") {
			asked++
			a.exec(`UPDATE notes SET body = 'meanwhile' WHERE id IN ('k9', 'k77', 'k2999')`)
			a.exec(`DELETE FROM notes WHERE id = 'k10'`)
			a.now()
		}
		return nil
	})
	if n := rows(); n == 0 || n > 200 {
		t.Errorf("%d rows of 3000 came", n)
	}
	b.want(`SELECT id, body, n FROM notes WHERE id IN ('k77', 'k10', 'extra')`, "k77|meanwhile|7")
	a.now()
	equalRows(t, a, b)
	same(t, hs.URL, a, b)
	if s := b.c.Status(); s.Repairs != 2 || asked != 1 {
		t.Errorf("got %+v, asked %d times", s, asked)
	}
	b.want(`SELECT count(*) FROM heddle_seen`, "0")
}

// raw changes the file behind everybody's back.
func (d *device) raw(sql string) {
	d.t.Helper()
	d.close()
	c, err := sqlite3.Open(d.opts.Filename)
	if err == nil {
		err = errors.Join(c.Exec(sql), c.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

// What is pending may touch tables that the restored server has not heard of,
// since it was another that had told of them.
func TestRestore_unknownTable(t *testing.T) {
	r := newRestorable(t, server.Options{})
	a, b := newBootDevice(t, r.http.URL, nil), newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id) VALUES('k')`)
	a.now()
	old := r.backup()
	b.exec(`INSERT INTO parts VALUES(1, 'b', x'01')`)
	b.now()
	a.now()
	a.exec(`INSERT INTO parts VALUES(2, 'a', x'02')`)
	r.restore(old)
	a.now()
	if rejected, err := a.c.Rejected(t.Context()); err != nil || len(rejected) != 0 {
		t.Errorf("got %+v, %v", rejected, err)
	}
	a.want(`SELECT count(*) FROM parts`, "1")
	b.now()
	a.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT count(*) FROM parts`, "2")
	}
	same(t, r.http.URL, a, b)
}

// newEpoch gives the server's log another epoch, as who makes a new one of it does.
func (r *restorable) newEpoch() {
	r.t.Helper()
	r.down()
	files, err := sqlitestore.Files(r.dir)
	if err != nil || len(files) != 1 {
		r.t.Fatal(files, err)
	}
	c, err := sqlite3.Open("file:" + files[0])
	if err == nil {
		err = errors.Join(c.Exec(`UPDATE space SET epoch = randomblob(16)`), c.Close())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.up(r.dir)
}
