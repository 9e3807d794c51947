package client_test

import (
	"context"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/server"
)

// Rows of a snapshot that a new device's table cannot hold are quarantined in
// the middle of those that are written many in a call.
func TestBoot_quarantined(t *testing.T) {
	hs := newServer(t, server.Options{})
	a := newBootDevice(t, hs.URL, nil)
	a.fill(3000)
	a.exec(`UPDATE notes SET body = NULL WHERE id LIKE 'k%7'`)
	a.now()
	b := newDevice(t, hs.URL, strings.Replace(bootSchema, "body TEXT", "body TEXT NOT NULL", 1))
	b.opts.Synced = []string{"notes", "parts"}
	b.cfg.Tables = map[string]client.Merge{"notes": {"n": "counter"}, "parts": nil}
	b.close()
	b.open()
	phases := b.phases()
	b.now()
	if phases("snapshot") == 0 {
		t.Error("a new device has read the log, and not the state")
	}
	same(t, hs.URL, a, b)
	b.want(`SELECT count(*) FROM notes`, "2700")
	held, err := b.c.Quarantined(context.Background(), 1000)
	if err != nil || len(held) != 300 || held[0].Code != "SQLITE_CONSTRAINT_NOTNULL" || held[0].Cells["n"] != int64(2) {
		t.Fatalf("%d rows are quarantined: %v", len(held), err)
	}
	a.exec(`UPDATE notes SET body = 'some' WHERE id LIKE 'k%7'`)
	a.now()
	b.now()
	same(t, hs.URL, a, b)
	equalRows(t, a, b)
}
