package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore/natshints/natstest"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

// Spaces move from a directory into a database and back; devices go on where they are,
// at either of two servers over it, and the commands on spaces work on it.
func TestStore_database(t *testing.T) {
	dir, back, devices := t.TempDir(), t.TempDir(), t.TempDir()
	db := pgtest.Database(t)
	url, stop := serving(t, "--dev", "--data", dir)
	addr := strings.Trim(strings.TrimPrefix(url, "http:"), "/")
	write := func(url, space string, n int) {
		device(t, url, space, filepath.Join(devices, fmt.Sprint(space, n)), true, "")
	}
	write(url, "s", 0)
	write(url, "s", 1)
	write(url, "other", 0)
	digest := func(url string) string { return works(t, "digest", "--server", url, "--space", "s") }
	want := digest(url)
	stop()
	if out := works(t, "copy", "--from", dir, "--to", db); out != "other at 1, 3 rows\ns at 2, 6 rows\n" {
		t.Errorf("got %s", out)
	}
	if code, _, _ := heddle(t, "copy", "--from", dir, "--to", db); code != exitFailed {
		t.Errorf("again: exit %d", code)
	}
	if out := works(t, "spaces", "--store", db); !strings.Contains(out, "s at 2, 6 rows") ||
		!strings.HasSuffix(out, "2 spaces\n") {
		t.Errorf("got %s", out)
	}
	url, stop = serving(t, "--dev", "--store", db, "--addr", addr) // the same, as far as the devices know
	second, stopSecond := serving(t, "--dev", "--store", db)
	if got := digest(url); got != want || digest(second) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	write(url, "s", 0)
	write(second, "s", 1)
	write(second, "s", 2)
	if want = digest(second); digest(url) != want {
		t.Error("the digests of two servers over one database differ")
	}
	works(t, "kick", "--store", db, "--space", "s")
	if out := works(t, "cut", "--store", db, "--space", "s"); out != "s: the log begins after 5 and ends at 5\n" {
		t.Errorf("got %s", out)
	}
	if out := works(t, "show", "--store", db, "--space", "s"); !strings.Contains(out, "tables  notes") {
		t.Errorf("got %s", out)
	}
	write(url, "s", 3) // takes the rows in place of the log
	want = digest(url)
	works(t, "delete", "--store", db, "--space", "other")
	if out := works(t, "spaces", "--store", db); !strings.Contains(out, "other deleted") {
		t.Errorf("got %s", out)
	}
	stop()
	stopSecond()
	if out := works(t, "copy", "--from", db, "--to", back); out != "s at 6, 18 rows\n" {
		t.Errorf("got %s", out)
	}
	works(t, "inspect", fileOf(t, back, "s"))
	url, stop = serving(t, "--dev", "--data", back, "--addr", addr)
	defer stop()
	if got := digest(url); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for n := range 5 {
		write(url, "s", n)
	}
}

// Servers over one database that hear of each other by NATS: a stream at one has what is
// written at the other, without its server reading it.
func TestStore_hintsByNATS(t *testing.T) {
	hints, db := natstest.New(t, "", "").URL()+"/cluster", pgtest.Database(t)
	args := []string{"--dev", "--store", db, "--hints", hints}
	one, _, _ := starting(t, &env{bounds: unhurried}, func(string) {}, args...)
	other, admin, _ := starting(t, &env{bounds: unhurried}, func(string) {}, append(args, "--admin", "127.0.0.1:0")...)
	f := newFleet(t, await.Context(t), []string{one, other})
	end := make(chan wire.Position, 1)
	f.write("s", 1)
	f.follow("s", 2, end)
	await.Poll(t, "a commit that comes whole", func() bool {
		f.until(10)
		_, text := get(t, admin+"metrics")
		_, news, found := strings.Cut(text, "\nheddle_hints_news_total ")
		return found && !strings.HasPrefix(news, "0\n")
	})
	f.finish(map[string][]chan wire.Position{"s": {end}})
}

func TestStore_flags(t *testing.T) {
	for _, args := range [][]string{
		{"spaces"}, {"spaces", "--store", "postgres://x", "--data", "y"}, {"spaces", "--store", "mysql://x"},
		{"serve", "--dev", "--store", "postgres://x", "--files", "2"},
		{"serve", "--dev", "--store", "postgres://x", "--page-checksums=false"},
		{"serve", "--dev", "--data", "x", "--hints", "nats://x"},
		{"serve", "--dev", "--store", "postgres://x", "--hints", "x"},
	} {
		if code, _, problems := heddle(t, args...); code != exitUsage {
			t.Errorf("%q: exit %d, %s", args, code, problems)
		}
	}
	const secret = "postgres://who:secret@127.0.0.1:1/none?sslmode=disable"
	if code, _, problems := heddle(t, "spaces", "--store", secret); code != exitFailed ||
		strings.Contains(problems, "secret") {
		t.Errorf("exit %d, %s", code, problems)
	}
}
