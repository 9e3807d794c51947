package client_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/server"
)

const looseNotes = `CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT)`

// strictNotes are releases that make a column NOT NULL, in each way that there is.
var strictNotes = map[string]string{
	"coalesce": `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT NOT NULL);
		INSERT INTO next SELECT id, coalesce(title, '') FROM notes;
		DROP TABLE notes; ALTER TABLE next RENAME TO notes`,
	"plain": `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT NOT NULL); INSERT INTO next SELECT * FROM notes;
		DROP TABLE notes; ALTER TABLE next RENAME TO notes`,
	"some": `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT NOT NULL) STRICT;
		INSERT INTO next SELECT * FROM notes WHERE title <> ''; DROP TABLE notes; ALTER TABLE next RENAME TO notes`,
	"alter": `ALTER TABLE notes ALTER COLUMN title SET NOT NULL`,
}

func (d *device) release(migration ...string) {
	d.t.Helper()
	d.close()
	d.opts.Migrations = append(slices.Clone(d.opts.Migrations), migration...)
	d.open()
}

// quarantined is which rows, and why.
func (d *device) quarantined(want ...string) {
	d.t.Helper()
	rows, err := d.c.Quarantined(d.t.Context(), 100)
	if err != nil {
		d.t.Fatal(err)
	}
	got := []string{}
	for _, q := range rows {
		got = append(got, q.Key.Key[0].(string))
		if !strings.HasPrefix(q.Code, "SQLITE_CONSTRAINT_NOTNULL") || !strings.Contains(q.Constraint, "notes.title") {
			d.t.Errorf("got %+v", q)
		}
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("quarantined: %q, want %q", got, want)
	}
}

// TestRelease_notNull has a release that makes a column NOT NULL while the space
// holds a NULL, an old device that writes one more, and a new device.
func TestRelease_notNull(t *testing.T) {
	for name, migration := range strictNotes {
		t.Run(name, func(t *testing.T) {
			hs := newServer(t, server.Options{})
			a, b := newDevice(t, hs.URL, looseNotes), newDevice(t, hs.URL, looseNotes)
			a.exec(`INSERT INTO notes VALUES('1', 'one'), ('2', NULL), ('3', '')`)
			a.now()
			b.now()
			b.exec(`INSERT INTO notes VALUES('4', NULL), ('5', 'five')`) // and is not sent yet
			b.release(migration)
			b.want(`SELECT id, title FROM notes ORDER BY id`, "1|one", "3|", "5|five")
			b.quarantined("2", "4")
			a.exec(`UPDATE notes SET title = NULL WHERE id = '1'`)
			a.now()
			b.now()
			b.quarantined("1", "2", "4")
			same(t, hs.URL, b)

			c := newDevice(t, hs.URL, looseNotes, migration)
			c.now()
			a.now()
			for _, d := range []*device{b, c} {
				d.want(`SELECT id, title FROM notes ORDER BY id`, "3|", "5|five")
				d.quarantined("1", "2", "4")
			}
			same(t, hs.URL, a, b, c)

			a.exec(`UPDATE notes SET title = 'two' WHERE id = '2'`) // it fits again
			c.exec(`INSERT INTO notes VALUES('1', 'uno')`)          // and is replaced
			for range 2 {
				for _, d := range []*device{a, b, c} {
					d.now()
				}
			}
			for _, d := range []*device{b, c} {
				d.want(`SELECT id, title FROM notes ORDER BY id`, "1|uno", "2|two", "3|", "5|five")
				d.quarantined("4")
			}
			a.want(`SELECT id, title FROM notes ORDER BY id`, "1|uno", "2|two", "3|", "4|", "5|five")
			same(t, hs.URL, a, b, c)
			for _, d := range []*device{a, b, c} {
				if n := d.c.Status().Repairs; n > 0 {
					t.Errorf("%d repairs", n)
				}
			}
		})
	}
}

// TestRelease_unseen has migrations that change rows and run where sync does not
// see them: the rows come back from the server.
func TestRelease_unseen(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newDevice(t, hs.URL, looseNotes)
	a.exec(`INSERT INTO notes VALUES('1', 'one'), ('2', NULL), ('3', '')`)
	a.now()
	a.close()
	migrations := append(slices.Clone(a.opts.Migrations),
		`UPDATE notes SET title = coalesce(title, 'none'); DELETE FROM notes WHERE id = '1'`)
	db, err := store.Open(t.Context(), store.Options{Filename: a.opts.Filename, Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	a.opts.Migrations = migrations
	a.open()
	a.now()
	a.want(`SELECT id, coalesce(title, 'null') FROM notes ORDER BY id`, "1|one", "2|null", "3|")
	if n := a.c.Status().Repairs; n != 1 {
		t.Errorf("%d repairs", n)
	}
	same(t, hs.URL, a)
}

// TestRelease_import has a file of an older release imported by a newer one, whose
// migration changes rows.
func TestRelease_import(t *testing.T) {
	hs := newServer(t, server.Options{})
	a, b := newDevice(t, hs.URL, looseNotes), newDevice(t, hs.URL, looseNotes, strictNotes["coalesce"])
	a.exec(`INSERT INTO notes VALUES('1', 'one'), ('2', NULL), ('3', '')`)
	a.now()
	a.exec(`INSERT INTO notes VALUES('4', NULL), ('5', 'five')`)
	var file bytes.Buffer
	if err := a.db.Export(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Import(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	b.until("the import", func(s client.Status) bool { return s.Seq == 1 })
	b.want(`SELECT id, title FROM notes ORDER BY id`, "1|one", "3|", "5|five")
	b.quarantined("2", "4")
	b.now()
	a.now()
	b.now()
	same(t, hs.URL, a, b)
	if n := a.c.Status().Repairs + b.c.Status().Repairs; n > 0 {
		t.Errorf("%d repairs", n)
	}
}

// TestRelease_defaults has devices whose versions declare a new column with
// different defaults, before the log has heard of it: the first to write settles it.
func TestRelease_defaults(t *testing.T) {
	const added = `ALTER TABLE notes ADD COLUMN n INTEGER DEFAULT 1`
	const rebuilt = `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 2);
		INSERT INTO next SELECT * FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`
	for _, first := range []string{"old", "new"} {
		t.Run(first, func(t *testing.T) {
			hs := newServer(t, server.Options{})
			a, b, c := newDevice(t, hs.URL, looseNotes), newDevice(t, hs.URL, looseNotes), newDevice(t, hs.URL, looseNotes)
			a.exec(`INSERT INTO notes VALUES('1', 'one'), ('2', 'two')`)
			for _, d := range []*device{a, b, c} {
				d.now()
			}
			a.release(added)
			b.release(added, rebuilt)
			a.want(`SELECT id, n FROM notes`, "1|1", "2|1")
			b.want(`SELECT id, n FROM notes`, "1|2", "2|2")
			c.exec(`INSERT INTO notes VALUES('3', 'three')`)
			c.now()
			b.exec(`UPDATE notes SET title = 'zwei' WHERE id = '2'`)
			a.exec(`UPDATE notes SET title = 'deux' WHERE id = '2'`)
			order, want := []*device{a, b, c, a, b}, "1"
			if first == "new" {
				order, want = []*device{b, a, c, b, a}, "2"
			}
			for _, d := range order {
				d.now()
			}
			c.release(added, rebuilt)
			for _, d := range []*device{a, b, c} {
				d.want(`SELECT id, n FROM notes`, "1|"+want, "2|"+want, "3|"+want)
				if n := d.c.Status().Repairs; n > 0 {
					t.Errorf("%d repairs", n)
				}
			}
			c.now()
			same(t, hs.URL, a, b, c)
		})
	}
}

// TestRelease_madeUp has migrations that fill a new synced table under another
// name: on a new device it is empty all the same, and nothing is sent. An app that
// has local rows already, and syncs them from now on, keeps them.
func TestRelease_madeUp(t *testing.T) {
	hs := newServer(t, server.Options{})
	const filled = `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT); INSERT INTO next VALUES('seed', 'x');
		ALTER TABLE next RENAME TO notes`
	a := newDevice(t, hs.URL, `CREATE TABLE local(x); INSERT INTO local VALUES(1)`, filled)
	a.want(`SELECT count(*) FROM notes`, "0")
	a.want(`SELECT count(*) FROM local`, "1")
	if s := a.c.Status(); s.Pending != 0 {
		t.Errorf("got %+v", s)
	}

	b := newDevice(t, hs.URL)
	b.close()
	own := store.Options{Filename: b.opts.Filename + "-own",
		Migrations: []string{`CREATE TABLE papers(id TEXT PRIMARY KEY, title TEXT)`}}
	db, err := store.Open(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO papers VALUES('mine', 'x')`, store.Params{}); err != nil {
		t.Fatal(err)
	}
	db.Close()
	b.opts.Filename, b.opts.Migrations = own.Filename, append(own.Migrations, `ALTER TABLE papers RENAME TO notes`)
	b.open()
	b.now()
	b.want(`SELECT id FROM notes`, "mine")
	a.now()
	a.want(`SELECT id FROM notes`, "mine")
	same(t, hs.URL, a, b)
}
