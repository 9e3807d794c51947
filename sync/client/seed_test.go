package client_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/server"
)

// newSeeded opens a device whose database begins with what sql inserts.
func newSeeded(t *testing.T, url string, sql string) *device {
	t.Helper()
	d := newDevice(t, url, notes+`; CREATE TABLE drafts(id INTEGER PRIMARY KEY, body TEXT)`)
	d.close()
	d.opts.Filename += "-seeded" // one that is made with a seed
	d.opts.Seed = true
	d.open()
	if err := d.seed(sql); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) seed(sql string) error {
	return d.c.Seed(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(sql, store.Params{})
		return err
	})
}

const seedOf = `INSERT INTO notes(id, body) VALUES('welcome', '%[1]s'), ('second', '%[1]s');
	INSERT INTO drafts(body) VALUES('%[1]s')`

// The first device's seed is the space's; another's is passed over, and what was
// written meanwhile is on top of it.
func TestSeed_firstWins(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newSeeded(t, hs.URL, fmt.Sprintf(seedOf, "of a"))
	b := newSeeded(t, hs.URL, fmt.Sprintf(seedOf, "of b"))
	a.want(`SELECT count(*) FROM notes`, "0") // not before the server was reached
	a.want(`SELECT body FROM drafts`, "of a") // but what does not sync is there
	a.exec(`INSERT INTO notes(id, body) VALUES('early', 'written before')`)
	a.reopen()
	a.now()
	b.now()
	for _, d := range []*device{a, b} {
		d.now()
		d.want(`SELECT id, body FROM notes ORDER BY id`, "early|written before", "second|of a", "welcome|of a")
	}
	same(t, hs.URL, a, b)
	b.exec(`DELETE FROM notes WHERE id = 'second'`)
	b.now()
	a.now()
	c := newSeeded(t, hs.URL, fmt.Sprintf(seedOf, "of c")) // long after
	for _, d := range []*device{a, b, c} {
		d.reopen()
		if err := d.seed(fmt.Sprintf(seedOf, "again")); err != nil {
			t.Fatal(err)
		}
		d.now()
		d.want(`SELECT id, body FROM notes ORDER BY id`, "early|written before", "welcome|of a")
	}
	a.want(`SELECT body FROM drafts`, "of a")
	same(t, hs.URL, a, b)
	same(t, hs.URL, a, c)
}

// Devices that are new at the same time agree on one seed.
func TestSeed_atOnce(t *testing.T) {
	for range 10 {
		hs := newServer(t, server.Options{})
		var devices []*device
		for i := range 4 {
			devices = append(devices, newSeeded(t, hs.URL, fmt.Sprintf(seedOf, fmt.Sprint("of ", i%3))))
		}
		var group sync.WaitGroup
		for _, d := range devices {
			group.Go(func() {
				if err := d.c.Now(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, d := range devices {
			d.want(`SELECT count(*), count(DISTINCT body) FROM notes`, "2|1")
			same(t, hs.URL, devices[0], d)
		}
	}
}

// A space that is not empty gets none, and a database that was not new neither.
func TestSeed_notNew(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newDevice(t, hs.URL)
	a.exec(`INSERT INTO notes(id, body) VALUES('old', 'there before')`)
	a.now()
	b := newSeeded(t, hs.URL, fmt.Sprintf(seedOf, "of b"))
	b.exec(`INSERT INTO notes(id, body) VALUES('mine', 'of b')`)
	b.now()
	b.want(`SELECT id FROM notes ORDER BY id`, "mine", "old")
	a.close()
	a.opts.Seed = true
	a.open()
	if err := a.seed(`INSERT INTO notes(id) VALUES('late')`); err != nil {
		t.Fatal(err)
	}
	a.now()
	a.want(`SELECT id FROM notes ORDER BY id`, "mine", "old")
	same(t, hs.URL, a, b)
}

// A seed that fails leaves nothing, and is owed still.
func TestSeed_fails(t *testing.T) {
	hs := newServer(t, server.Options{})
	d := newDevice(t, hs.URL)
	d.close()
	d.opts.Filename += "-seeded"
	d.opts.Seed = true
	d.open()
	if err := d.seed(`INSERT INTO notes(id) VALUES('a');
		INSERT INTO notes(id) VALUES('a')`); errcode.Of(err) != "SQLITE_CONSTRAINT_PRIMARYKEY" {
		t.Fatalf("got %v", err)
	}
	d.reopen()
	if err := d.seed(`INSERT INTO notes(id) VALUES('b')`); err != nil {
		t.Fatal(err)
	}
	d.now()
	d.want(`SELECT id FROM notes`, "b")
}
