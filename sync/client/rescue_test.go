package client_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/server"
)

// wreckOf copies a device's file as it is, log and all.
func (d *device) wreckOf(change func(file []byte)) string {
	d.t.Helper()
	path := strings.TrimPrefix(d.opts.Filename, "file:")
	to := d.t.TempDir() + "/wreck.db"
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil && suffix == "" {
			d.t.Fatal(err)
		}
		if suffix == "" && change != nil {
			change(data)
		}
		if err := os.WriteFile(to+suffix, data, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	return to
}

func (d *device) rescue(path string) client.Rescued {
	d.t.Helper()
	from, err := sqlite3.Open("file:" + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer from.Close()
	got, err := d.c.Rescue(context.Background(), from)
	if err != nil {
		d.t.Fatal(err)
	}
	return got
}

func counting(t *testing.T, url string) *device {
	d := newDevice(t, url)
	d.close()
	d.cfg.Tables = map[string]client.Merge{"notes": {"done": "counter"}}
	d.open()
	return d
}

// TestClient_rescue takes the pending transactions out of a file that is gone.
// Some of them had reached the server, which nobody there knew: each counts once.
func TestClient_rescue(t *testing.T) {
	for sent := range 4 {
		t.Run(fmt.Sprint(sent, " sent"), func(t *testing.T) {
			hs := newServer(t, server.Options{})
			a := counting(t, hs.URL)
			a.exec(`INSERT INTO notes(id, body) VALUES('1', 'here and there')`)
			a.now()
			var wreck string
			for i := range 3 {
				a.exec(`UPDATE notes SET done = done + 1 WHERE id = '1'`)
				a.exec(`INSERT INTO notes(id, body) VALUES(?, 'mine')`, fmt.Sprint("n", i))
				if i == 2 {
					wreck = a.wreckOf(nil)
				}
			}
			// It sends on after the copy, as if the replies had been lost.
			if sent > 0 {
				a.now()
			}
			a.close()
			b := counting(t, hs.URL)
			if got := b.rescue(wreck); got != (client.Rescued{Pending: 6}) {
				t.Fatalf("got %+v", got)
			}
			b.want(`SELECT id FROM notes WHERE body = 'mine' ORDER BY id`, "n0", "n1", "n2")
			b.exec(`INSERT INTO notes(id) VALUES('after')`)
			if sent == 2 {
				b.reopen()
			}
			b.now()
			b.want(`SELECT id, body, done FROM notes ORDER BY id`, "1|here and there|3", "after||0", "n0|mine|0", "n1|mine|0",
				"n2|mine|0")
			if s := b.c.Status(); s.Seq != 8 || s.Pending != 0 {
				t.Errorf("got %+v, want 8 entries", s)
			}
			c := counting(t, hs.URL)
			c.now()
			same(t, hs.URL, b, c)
		})
	}
}

// TestClient_rescue_broken loses one pending transaction after the other to
// flipped bits. Those before it are sent, those after it kept; nothing comes
// out that was not written.
func TestClient_rescue_broken(t *testing.T) {
	partly, none := 0, 0
	for i := range 8 {
		hs := newServer(t, server.Options{})
		a := newDevice(t, hs.URL)
		a.exec(`INSERT INTO notes(id) VALUES('there')`)
		a.now()
		for n := range 8 {
			a.exec(`INSERT INTO notes(id, body) VALUES(?, ?)`, fmt.Sprint("n", n),
				strings.Repeat(fmt.Sprint("body of ", n, " "), 700))
		}
		a.reopen() // the log is in the file
		path := a.wreckOf(func(file []byte) {
			// In heddle_pending, in heddle_row's base and in the table itself.
			for at, what := 0, []byte(fmt.Sprint("body of ", i, " ")); ; at++ {
				next := bytes.Index(file[at:], what)
				if next < 0 {
					return
				}
				at += next
				file[at] ^= 0x20
			}
		})
		a.close()
		b := newDevice(t, hs.URL)
		got := b.rescue(path)
		if !got.Lost || got.Pending+got.Rejected >= 8 || got.Pending > i {
			t.Errorf("transaction %d is broken, and what came out is %+v", i, got)
		}
		kept, err := b.c.Rejected(t.Context())
		if err != nil || len(kept) != got.Rejected {
			t.Fatal(err, len(kept), got)
		}
		if got.Pending > 0 && got.Rejected > 0 {
			partly++
		}
		if got.Pending+got.Rejected == 0 {
			none++
		}
		for _, r := range kept {
			if r.Code != errcode.Damaged || len(r.Ops) != 1 {
				t.Errorf("kept %+v", r)
			}
		}
		b.now()
		for _, r := range kept {
			if ok, err := b.c.Retry(t.Context(), r.ID); err != nil || !ok {
				t.Errorf("retry: %v, %v", ok, err)
			}
		}
		b.exec(`INSERT INTO notes(id) VALUES('new')`)
		b.now()
		rows := b.rows(`SELECT id, body FROM notes`)
		if want := got.Pending + got.Rejected + 2; len(rows) != want {
			t.Errorf("transaction %d: %d rows, want %d", i, len(rows), want)
		}
		for _, row := range rows {
			id, body, _ := strings.Cut(row, "|")
			if id != "new" && id != "there" && body != strings.Repeat("body of "+strings.TrimPrefix(id, "n")+" ", 700) {
				t.Errorf("row %s holds what nobody wrote", id)
			}
		}
		b.close()
	}
	if partly == 0 || none == 8 {
		t.Errorf("partly rescued %d times, not at all %d times", partly, none)
	}
}
