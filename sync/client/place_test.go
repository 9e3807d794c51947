package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/server"
)

// TestClient_copiedFile runs two devices on copies of one file, pending
// transactions included: the server sees one client twice.
func TestClient_copiedFile(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id) VALUES('before')`)
	a.now()
	a.exec(`INSERT INTO notes(id) VALUES('pending')`)
	a.close()
	b := newDevice(t, hs.URL)
	b.close()
	data, err := os.ReadFile(strings.TrimPrefix(a.opts.Filename, "file:"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(b.opts.Filename, "file:"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	a.open()
	b.open()
	a.exec(`INSERT INTO notes(id) VALUES('of a')`)
	b.exec(`INSERT INTO notes(id) VALUES('of b')`)
	b.exec(`UPDATE notes SET done = done + 1`)
	a.now()
	b.now()
	a.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, done FROM notes ORDER BY id`, "before|1", "of a|0", "of b|1", "pending|1")
		if s := d.c.Status(); s.Seq != 5 || s.Pending != 0 {
			t.Errorf("got %+v, want 5 entries", s)
		}
	}
	if a.c.ClientID() == b.c.ClientID() {
		t.Error("both still have one id")
	}
	same(t, hs.URL, a, b)

	// The same while both follow the log.
	a.run()
	b.run()
	for i := range 3 {
		a.exec(`INSERT INTO notes(id) VALUES(?)`, fmt.Sprint("a", i))
		b.exec(`INSERT INTO notes(id) VALUES(?)`, fmt.Sprint("b", i))
	}
	for _, d := range []*device{a, b} {
		d.until("all", func(s client.Status) bool { return s.Seq == 11 && s.Pending == 0 })
	}
	same(t, hs.URL, a, b)
}

// What the server has decided under a copied id may be the other copy's: no
// transaction counts as sent because of it.
func TestClient_copiedFile_isAhead(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id, body) VALUES('pending', ?)`, strings.Repeat("x", 2<<20)) // fills requests of its own
	a.close()
	b.close()
	data, err := os.ReadFile(strings.TrimPrefix(a.opts.Filename, "file:"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(b.opts.Filename, "file:"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	a.open()
	b.open()
	b.exec(`INSERT INTO notes(id) VALUES('of b')`)
	a.exec(`INSERT INTO notes(id) VALUES('of a')`)
	a.exec(`INSERT INTO notes(id) VALUES('of a too')`)
	b.now()
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id FROM notes ORDER BY id`, "of a", "of a too", "of b", "pending")
		if s := d.c.Status(); s.Seq != 4 || s.Pending != 0 {
			t.Errorf("got %+v, want 4 entries: some transaction was decided twice, or not", s)
		}
	}
	same(t, hs.URL, a, b)
}

// The parts that the server holds of a transaction to come may be the other
// copy's: none of one's own counts as sent because of them.
func TestClient_copiedFile_holdsParts(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id) VALUES('both')`)
	a.close()
	b.close()
	data, err := os.ReadFile(strings.TrimPrefix(a.opts.Filename, "file:"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(b.opts.Filename, "file:"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	net, pushes := &faulty{}, 0
	net.set(func(r *client.Request) fault {
		if pushes++; pushes > 2 {
			return unsent
		}
		return fine
	})
	a.cfg.HTTP = net
	a.open()
	b.open()
	a.exec(`INSERT INTO notes(id, body) VALUES('a1', ?)`, strings.Repeat("in parts ", 150_000))
	if err := a.c.Now(t.Context()); errcode.Of(err) != errcode.Network || pushes != 3 {
		t.Fatalf("got %v after %d pushes", err, pushes)
	}
	b.now() // the answer to its push tells of the part that is a's
	for i := range 3 {
		b.exec(`INSERT INTO notes(id) VALUES(?)`, fmt.Sprint("b", i))
	}
	b.now()
	net.set(nil)
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id FROM notes ORDER BY id`, "a1", "b0", "b1", "b2", "both")
		if s := d.c.Status(); s.Seq != 5 || s.Pending != 0 {
			t.Errorf("got %+v, want 5 entries", s)
		}
	}
	same(t, hs.URL, a, b)
}

// Two copies that have the same pending each have to take another id, since a
// third has used theirs: each transaction is decided once all the same, and those
// that only one of them has as well. So it is where the second copy comes when the
// log is cut behind what the first one sent.
func TestClient_copiedFile_twice(t *testing.T) {
	for name, cut := range map[string]bool{"log": false, "snapshot": true} {
		t.Run(name, func(t *testing.T) { copiedTwice(t, cut) })
	}
}

func copiedTwice(t *testing.T, cut bool) {
	hs := newServer(t, server.Options{Limits: server.Limits{Log: 32 << 10}})
	a, b, c := newDevice(t, hs.URL), newDevice(t, hs.URL), newDevice(t, hs.URL)
	all := []*device{a, b, c}
	copyOf := func() []byte {
		t.Helper()
		data, err := os.ReadFile(strings.TrimPrefix(a.opts.Filename, "file:"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put := func(d *device, data []byte) {
		t.Helper()
		d.close()
		if err := os.WriteFile(strings.TrimPrefix(d.opts.Filename, "file:"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		d.open()
	}
	a.exec(`INSERT INTO notes(id) VALUES('before')`)
	a.now()
	a.close()
	before := copyOf()
	a.open()
	a.exec(`INSERT INTO notes(id) VALUES('counted')`)
	a.exec(`UPDATE notes SET done = done + 1 WHERE id = 'counted'`)
	a.close()
	pending := copyOf()
	a.open()
	put(b, pending)
	put(c, before)
	c.exec(`INSERT INTO notes(id) VALUES('of c')`)
	c.now()
	for i := range 3 {
		a.exec(`INSERT INTO notes(id) VALUES(?)`, fmt.Sprint("a", i))
		b.exec(`INSERT INTO notes(id) VALUES(?)`, fmt.Sprint("b", i))
	}
	a.now()
	entries := uint64(10)
	if cut {
		const n = 40
		for i := range n {
			c.exec(`UPDATE notes SET body = ? WHERE id = 'of c'`, fmt.Sprint(i, strings.Repeat("x", 2000)))
			c.now()
		}
		entries += n
	}
	phases := b.phases()
	for range 2 {
		for _, d := range all {
			d.now()
		}
	}
	if cut != (phases("snapshot") > 0) {
		t.Errorf("%d snapshots for the second copy", phases("snapshot"))
	}
	for _, d := range all {
		d.want(`SELECT id, done FROM notes ORDER BY id`, "a0|0", "a1|0", "a2|0", "b0|0", "b1|0", "b2|0", "before|0",
			"counted|1", "of c|0")
		if s := d.c.Status(); s.Seq != entries || s.Pending != 0 {
			t.Errorf("got %+v, want %d entries: what two of them had is there twice, or not", s, entries)
		}
	}
	if a.c.ClientID() == b.c.ClientID() {
		t.Error("two still have one id")
	}
	same(t, hs.URL, all...)
}

// TestClient_adopts opens a database for sync that was used without.
func TestClient_adopts(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	b.exec(`INSERT INTO notes(id, body) VALUES('2', 'of b')`)
	b.now()
	a.close()
	opts := a.opts
	opts.Synced, opts.MigrationHook = nil, nil
	opts.Filename += "2"
	a.opts.Filename += "2"
	db, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO notes(id, body) VALUES('1', 'local'), ('2', 'local too')`, store.Params{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	a.open()
	if s := a.c.Status(); s.Pending != 1 {
		t.Errorf("got %d pending, want 1", s.Pending)
	}
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, body FROM notes ORDER BY id`, "1|local", "2|local too")
	}
	same(t, hs.URL, a, b)

	// Not synced any more: the rows stay for the app, the log's are kept.
	a.close()
	a.opts.Synced, a.opts.Migrations = []string{"other"}, append(a.opts.Migrations,
		`CREATE TABLE other(id TEXT PRIMARY KEY)`)
	tables := a.cfg.Tables
	a.cfg.Tables = map[string]client.Merge{"other": nil}
	a.open()
	a.exec(`DELETE FROM notes WHERE id = '1'`)
	a.exec(`INSERT INTO notes(id) VALUES('3')`)
	b.exec(`UPDATE notes SET body = 'unseen' WHERE id = '2'`)
	b.now()
	a.now()
	a.want(`SELECT id, body FROM notes`, "2|local too", "3|")
	same(t, hs.URL, a, b)

	// And synced again.
	a.close()
	a.opts.Synced, a.cfg.Tables = []string{"notes"}, tables
	a.open()
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id, body FROM notes ORDER BY id`, "1|local", "2|unseen", "3|")
	}
	same(t, hs.URL, a, b)
}

// TestClient_import takes a backup with pending transactions in, of which the
// device it is from has sent some since: each is in the log once.
func TestClient_import(t *testing.T) {
	for _, sentToo := range []bool{false, true} {
		hs := newServer(t, server.Options{})
		a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
		a.exec(`INSERT INTO notes(id) VALUES('1')`)
		a.now()
		a.exec(`UPDATE notes SET done = done + 1`)
		a.exec(`INSERT INTO notes(id) VALUES('2')`)
		var file bytes.Buffer
		if err := a.db.Export(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		want := 4
		if sentToo {
			a.now()
		} else {
			want = 4
		}
		a.exec(`INSERT INTO notes(id) VALUES('of a')`)
		id := b.c.ClientID()
		b.exec(`INSERT INTO notes(id) VALUES('lost by the import')`)
		if err := b.db.Import(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		if b.c.ClientID() == id || b.c.ClientID() == a.c.ClientID() {
			t.Error("the import did not mint a new id")
		}
		b.want(`SELECT id, done FROM notes ORDER BY id`, "1|1", "2|0")
		b.exec(`INSERT INTO notes(id) VALUES('of b')`)
		if sentToo {
			want++
		} else {
			// a is lost: what only the backup has is sent by b.
			a.close()
			a = newDevice(t, hs.URL)
		}
		b.reopen()
		b.now()
		a.now()
		b.now()
		if s := b.c.Status(); s.Seq != uint64(want) || s.Pending != 0 {
			t.Errorf("got %+v, want %d entries", s, want)
		}
		all := []string{"1|1", "2|0", "of a|0", "of b|0"}
		if !sentToo {
			all = []string{"1|1", "2|0", "of b|0"}
		}
		a.want(`SELECT id, done FROM notes ORDER BY id`, all...)
		b.want(`SELECT id, done FROM notes ORDER BY id`, all...)
		same(t, hs.URL, a, b)
	}
}

// TestClient_importPlain takes a file in that has never been synced.
func TestClient_importPlain(t *testing.T) {
	hs := newServer(t, server.Options{})
	plain, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "plain.db"),
		Migrations: []string{notes}})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	err = plain.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO notes(id) VALUES('old')`, store.Params{})
		return err
	})
	var file bytes.Buffer
	if err = errors.Join(err, plain.Export(t.Context(), &file)); err != nil {
		t.Fatal(err)
	}
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	b.exec(`INSERT INTO notes(id) VALUES('theirs')`)
	b.now()
	a.run()
	a.until("live", func(s client.Status) bool { return s.Seq == 1 && s.State == client.Live })
	if err := a.db.Import(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	a.until("all again", func(s client.Status) bool { return s.Seq == 2 && s.Pending == 0 && s.State == client.Live })
	b.now()
	for _, d := range []*device{a, b} {
		d.want(`SELECT id FROM notes ORDER BY id`, "old", "theirs")
	}
	same(t, hs.URL, a, b)
}

// TestClient_otherKey meets a space that knows one of an app's tables with another
// key: whoever described it first, the other tables sync on.
func TestClient_otherKey(t *testing.T) {
	hs := newServer(t, server.Options{})
	both := func(key string) *device {
		d := newDevice(t, hs.URL,
			`CREATE TABLE notes(a TEXT, b TEXT, body TEXT, PRIMARY KEY(`+key+`)); CREATE TABLE tags(id TEXT PRIMARY KEY)`)
		d.close()
		d.opts.Synced, d.cfg.Tables = []string{"notes", "tags"}, map[string]client.Merge{"notes": nil, "tags": nil}
		d.opts.Filename += "2"
		d.open()
		return d
	}
	a, b := both("a"), both("a, b")
	var conflicts []client.Conflict
	var rejected []client.Rejected
	b.c.OnConflict(func(c client.Conflict) { conflicts = append(conflicts, c) })
	b.c.OnRejected(func(r client.Rejected) { rejected = append(rejected, r) })
	a.exec(`INSERT INTO notes(a, b) VALUES('1', 'of a')`)
	a.now()
	b.exec(`INSERT INTO notes VALUES('x', 'y', 'local')`)
	b.exec(`INSERT INTO tags VALUES('of b')`)
	b.now()
	if len(conflicts) != 1 || conflicts[0].Reason != replica.ConflictKey || conflicts[0].Keys[0].Table != "notes" ||
		!strings.Contains(conflicts[0].Constraint, "(a, b) here") {
		t.Errorf("got conflicts %+v", conflicts)
	}
	if len(rejected) != 1 || rejected[0].Code != errcode.BadBody {
		t.Errorf("got rejected %+v", rejected)
	}
	a.exec(`UPDATE notes SET body = 'more' WHERE a = '1'`)
	a.exec(`INSERT INTO tags VALUES('of a')`)
	a.now()
	b.now()
	for range 2 { // as it is, and opened again
		b.want(`SELECT * FROM notes`, "x|y|local")
		b.exec(`UPDATE notes SET body = 'local'`)
		b.now()
		b.want(`SELECT id FROM tags ORDER BY id`, "of a", "of b")
		a.now()
		a.want(`SELECT a, b, body FROM notes`, "1|of a|more")
		same(t, hs.URL, a, b)
		if s := b.c.Status(); s.Repairs != 0 || s.Pending != 0 {
			t.Errorf("got %+v", s)
		}
		b.reopen()
	}
	fresh := both("a, b")
	fresh.now()
	fresh.want(`SELECT id FROM tags ORDER BY id`, "of a", "of b")
	same(t, hs.URL, a, fresh)
}

// TestClient_longOffline sends thousands of small transactions.
func TestClient_longOffline(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL), newDevice(t, hs.URL)
	for i := range n {
		a.exec(`INSERT INTO notes(id, body) VALUES(?, 'one of many') ON CONFLICT DO UPDATE SET done = done + 1`,
			fmt.Sprint(i%1000))
		if i == n/2 {
			a.now()
			b.exec(`DELETE FROM notes`)
		}
	}
	b.now()
	a.now()
	b.now()
	if s := b.c.Status(); s.Seq < uint64(n) {
		t.Errorf("got %+v", s)
	}
	same(t, hs.URL, a, b)
	all := `SELECT * FROM notes ORDER BY id`
	if fmt.Sprint(a.rows(all)) != fmt.Sprint(b.rows(all)) {
		t.Error("the rows differ")
	}
}
