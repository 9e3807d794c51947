package client_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/server"
)

// lostServer is a space with two devices in step whose server has lost its disk since.
// Both have something pending, and one row differs.
func lostServer(t *testing.T) (r *restorable, a, b *device) {
	r = newRestorable(t, server.Options{})
	a, b = newBootDevice(t, r.http.URL, nil), newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id, body, n) VALUES('k', 'old', 1), ('gone', 'old', 1), ('late', 'old', 1)`)
	a.exec(`INSERT INTO parts VALUES(1, 'a', x'01')`)
	a.now()
	b.now()
	b.exec(`UPDATE notes SET n = n + 10 WHERE id = 'k'`)
	b.exec(`DELETE FROM notes WHERE id = 'gone'`)
	b.now()
	a.now()
	b.exec(`UPDATE notes SET body = 'of b' WHERE id = 'late'`)
	b.now() // and a does not hear of it
	r.restore(t.TempDir())
	a.exec(`UPDATE notes SET n = n + 100 WHERE id = 'k'`)
	b.exec(`UPDATE notes SET n = n + 1000 WHERE id = 'k'`)
	b.exec(`INSERT INTO notes(id, body, n) VALUES('new', 'of b', 5)`)
	for _, d := range []*device{a, b} {
		if err := d.c.Now(context.Background()); errcode.Of(err) != errcode.Diverged ||
			!strings.Contains(err.Error(), "accept") {
			t.Fatalf("got %v", err)
		}
	}
	return r, a, b
}

// The devices bring a server that has lost its disk what they have: rows once, and
// what was pending on top.
func TestAccept(t *testing.T) {
	r, a, b := lostServer(t)
	// Meanwhile nothing local depends on sync.
	a.exec(`UPDATE notes SET body = 'meanwhile' WHERE id = 'k'`)
	if text, err := a.c.Export(t.Context()); err != nil || !strings.Contains(string(text), "meanwhile") {
		t.Errorf("export: got %s, %v", text, err)
	}
	if err := a.c.Accept(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	// What is accepted is that also after a restart, and writes go on.
	a.want(`SELECT id, body, n FROM notes ORDER BY id`, "k|meanwhile|111", "late|old|1")
	a.reopen()
	a.exec(`UPDATE notes SET n = n + 1 WHERE id = 'k'`)
	a.now()
	a.want(`SELECT id, body, n FROM notes ORDER BY id`, "k|meanwhile|112", "late|old|1")

	var conflicts []client.Conflict
	b.c.OnConflict(func(c client.Conflict) { conflicts = append(conflicts, c) })
	if err := b.c.Accept(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b.now()
	a.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, body, n FROM notes ORDER BY id`, "k|meanwhile|1112", "late|old|1", "new|of b|5")
		d.want(`SELECT a, b, hex(data) FROM parts`, "1|a|01")
		for _, table := range []string{"heddle_row", "heddle_seen", "heddle_overflow", "heddle_pending"} {
			d.want(`SELECT count(*) FROM `+table, "0")
		}
		if s := d.c.Status(); s.LastError != nil || s.Repairs > 0 || s.Incomplete {
			t.Errorf("got %+v", s)
		}
	}
	same(t, r.http.URL, a, b)
	// k differs as well: a has put 'meanwhile' and 101 on it.
	if len(conflicts) != 1 || conflicts[0].Reason != replica.ConflictReplaced ||
		fmt.Sprint(conflicts[0].Keys) != "[{notes [k]} {notes [late]}]" {
		t.Errorf("got %+v", conflicts)
	}
	// There is nothing more to accept.
	before := a.rows(`SELECT name, value FROM heddle_meta ORDER BY name`)
	if err := a.c.Accept(t.Context(), true); err != nil {
		t.Error(err)
	}
	if after := a.rows(`SELECT name, value FROM heddle_meta ORDER BY name`); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("got %v, want %v", after, before)
	}
}

// Both accept at once: each finds the new log empty.
func TestAccept_together(t *testing.T) {
	r, a, b := lostServer(t)
	for _, d := range []*device{a, b} {
		if err := d.c.Accept(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	l := &route{Doer: nethttp.Doer{}}
	l.set(func(resource string) error { // a takes the state and does not send
		if resource == "push" {
			return fmt.Errorf("the line is cut")
		}
		return nil
	})
	a.cfg.HTTP = l
	a.reopen()
	if err := a.c.Now(t.Context()); errcode.Of(err) != errcode.Network {
		t.Errorf("got %v", err)
	}
	l.set(nil)
	b.now()
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, n FROM notes ORDER BY id`, "k|111", "late|1", "new|5")
	}
	same(t, r.http.URL, a, b)
}

// Without upload the new log counts, and what this device has kept is sent again.
func TestAccept_withoutRows(t *testing.T) {
	r, _, b := lostServer(t)
	c := newBootDevice(t, r.http.URL, nil)
	c.exec(`INSERT INTO notes(id, body, n) VALUES('k', 'of c', 7)`)
	c.now()
	if err := b.c.Accept(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b.now()
	c.now()
	for _, d := range []*device{b, c} {
		// b added 10 and 1000; the rest that it wrote meets rows that are not there.
		d.want(`SELECT id, body, n FROM notes ORDER BY id`, "k|of c|1017", "new|of b|5")
		d.want(`SELECT count(*) FROM parts`, "0")
	}
	same(t, r.http.URL, b, c)
}

// A new log that was made of a backup has a part of this device's transactions: the
// others are sent again, on rows that it has; rows that it does not have come whole.
func TestAccept_ofABackup(t *testing.T) {
	r := newRestorable(t, server.Options{})
	a := newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id, body, n) VALUES('k', 'old', 1)`)
	a.now()
	old := r.backup()
	a.exec(`UPDATE notes SET n = n + 10 WHERE id = 'k'`)
	a.exec(`INSERT INTO notes(id, body, n) VALUES('later', 'a', 3)`)
	a.exec(`UPDATE notes SET n = n + 1 WHERE id IN ('k', 'later')`)
	a.now()
	r.restore(old)
	r.newEpoch()
	a.exec(`UPDATE notes SET n = n + 100 WHERE id IN ('k', 'later')`)
	if err := a.c.Now(t.Context()); errcode.Of(err) != errcode.Diverged {
		t.Fatal(err)
	}
	if err := a.c.Accept(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	a.now()
	b := newBootDevice(t, r.http.URL, nil)
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, n FROM notes ORDER BY id`, "k|112", "later|104")
	}
	same(t, r.http.URL, a, b)
}

// A new device whose server is lost before it has all rows, and one that has never
// met a server, have nothing to accept.
func TestAccept_nothing(t *testing.T) {
	r := newRestorable(t, server.Options{})
	a := newBootDevice(t, r.http.URL, nil)
	a.exec(`INSERT INTO notes(id) VALUES('k')`)
	if err := a.c.Accept(t.Context(), true); err != nil {
		t.Error(err)
	}
	a.now()
	r.down()
	if err := a.c.Accept(t.Context(), true); err == nil {
		t.Error("it has accepted what nobody has told of")
	}
	a.want(`SELECT id FROM notes`, "k")
}

// Rows that the app does not know whole are brought whole.
func TestAccept_unknownColumns(t *testing.T) {
	const later = `ALTER TABLE notes ADD COLUMN extra TEXT DEFAULT 'none'; CREATE TABLE more(id TEXT PRIMARY KEY, v)`
	r := newRestorable(t, server.Options{})
	a, b := newBootDevice(t, r.http.URL, nil), newBootDevice(t, r.http.URL, nil)
	migrate := func(d *device) {
		d.close()
		d.opts.Migrations = append(d.opts.Migrations, later)
		d.opts.Synced = append(d.opts.Synced, "more")
		d.cfg.Tables["more"] = nil
		d.open()
	}
	migrate(a)
	a.exec(`INSERT INTO notes(id, extra) VALUES('x', 'some'), ('y', 'none'), ('z', NULL)`)
	a.exec(`INSERT INTO more VALUES('m', 5)`)
	a.now()
	b.now()
	r.restore(t.TempDir())
	if err := b.c.Accept(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b.now()
	c := newBootDevice(t, r.http.URL, nil)
	migrate(c)
	c.now()
	c.want(`SELECT id, coalesce(extra, 'NULL') FROM notes ORDER BY id`, "x|some", "y|none", "z|NULL")
	c.want(`SELECT id, v FROM more`, "m|5")
	same(t, r.http.URL, b, c)
}

// A pause lasts as long as it is asked to, and belongs to the place of a database.
func TestPause_persist(t *testing.T) {
	hs := newServer(t, server.Options{})
	d := newBootDevice(t, hs.URL, nil)
	ctx := t.Context()
	state := func(want client.State) {
		t.Helper()
		d.run()
		d.until(string(want), func(s client.Status) bool { return s.State == want })
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(d.c.Pause(ctx, false))
	d.reopen()
	state(client.Live)
	do(d.c.Pause(ctx, true))
	do(d.c.Pause(ctx, false)) // as another tab may
	d.reopen()
	state(client.Paused)
	do(d.c.Resume(ctx))
	d.until("live", func(s client.Status) bool { return s.State == client.Live })
	d.reopen()
	state(client.Live)
}

// What a copy of this database has sent under the numbers of what is pending here
// decides nothing of it, also where the server does not know any more what that was.
func TestBoot_unknownOutcome(t *testing.T) {
	hs := newServer(t, server.Options{Limits: server.Limits{Log: 8 << 10}})
	a, b := newBootDevice(t, hs.URL, nil), newBootDevice(t, hs.URL, nil)
	a.exec(`INSERT INTO notes(id) VALUES('before')`)
	a.now()
	a.close()
	data, err := os.ReadFile(strings.TrimPrefix(a.opts.Filename, "file:"))
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	if err := os.WriteFile(strings.TrimPrefix(b.opts.Filename, "file:"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	a.open()
	b.open()
	a.exec(`INSERT INTO notes(id, n) VALUES('of a', 1)`)
	a.exec(`UPDATE notes SET n = n + 1 WHERE id = 'of a'`)
	for i := range 60 {
		b.exec(`INSERT INTO notes(id, body) VALUES('of b', ?1) ON CONFLICT DO UPDATE SET body = ?1`,
			fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000)))
		b.now() // so its outcomes are kept no longer
	}
	phases := a.phases()
	a.now()
	if phases("snapshot") == 0 {
		t.Error("the log still reached back: nothing was tested")
	}
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, n FROM notes ORDER BY id`, "before|0", "of a|2", "of b|0")
		if s := d.c.Status(); s.Pending != 0 {
			t.Errorf("got %+v", s)
		}
	}
	if a.c.ClientID() == b.c.ClientID() {
		t.Error("two still have one id")
	}
	same(t, hs.URL, a, b)
}

// A row that is pending takes the default that the snapshot tells of, also where this
// version of the app has another one: that is what the log makes of it.
func TestBoot_otherDefault(t *testing.T) {
	hs := newServer(t, server.Options{})
	with := func(value int) *device {
		d := newBootDevice(t, hs.URL, nil)
		d.close()
		d.opts.Filename += "2"
		d.opts.Migrations = []string{strings.Replace(bootSchema, "DEFAULT 0", fmt.Sprintf("DEFAULT %d", value), 1)}
		d.open()
		return d
	}
	a, b := with(5), with(7)
	a.fill(3000)
	a.now()
	phases := b.phases()
	b.exec(`INSERT INTO notes(id) VALUES('own')`)
	b.want(`SELECT n FROM notes WHERE id = 'own'`, "7")
	b.now()
	if phases("snapshot") == 0 {
		t.Error("it has read the log, and not the state")
	}
	a.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT n FROM notes WHERE id = 'own'`, "5")
	}
	equalRows(t, a, b)
	same(t, hs.URL, a, b)
}
