package client

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
)

func TestOpen_config(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"),
		Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`,
			`CREATE TABLE n(id INTEGER PRIMARY KEY, v)`}, Synced: []string{"t", "n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	good := Config{URL: "https://heddle.test/base/", Space: "family", Tables: map[string]Merge{"t": nil},
		HTTP: noNetwork{}}
	for name, c := range map[string]struct {
		change func(*Config)
		code   string
	}{
		"good":           {func(*Config) {}, ""},
		"relative URL":   {func(c *Config) { c.URL = "/sync" }, errcode.BadParam},
		"other scheme":   {func(c *Config) { c.URL = "ftp://x" }, errcode.BadParam},
		"no space":       {func(c *Config) { c.Space = "" }, errcode.BadParam},
		"bad space":      {func(c *Config) { c.Space = "a/b" }, errcode.BadParam},
		"other space":    {func(c *Config) { c.Space = "friends" }, errcode.BadParam},
		"no doer":        {func(c *Config) { c.HTTP = nil }, errcode.BadParam},
		"Heddle's table": {func(c *Config) { c.Tables = map[string]Merge{"heddle_meta": nil} }, errcode.BadParam},
		"merge":          {func(c *Config) { c.Tables = map[string]Merge{"t": {"v": "newest"}} }, errcode.BadParam},
		"no column":      {func(c *Config) { c.Tables = map[string]Merge{"t": {"likes": "counter"}} }, errcode.SyncSchema},
		"key column":     {func(c *Config) { c.Tables = map[string]Merge{"t": {"id": "max"}} }, errcode.SyncSchema},
		"integer key":    {func(c *Config) { c.Tables = map[string]Merge{"n": nil}; c.IntegerKey = true }, ""},
	} {
		cfg := good
		c.change(&cfg)
		if name == "other space" {
			first, err := Open(t.Context(), db, good)
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
		}
		cl, err := Open(t.Context(), db, cfg)
		if errcode.Of(err) != c.code {
			t.Errorf("%s: got %v, want code %q", name, err, c.code)
		}
		if err == nil {
			cl.Close()
		}
	}
	if got, want := good.endpoint("push"), "https://heddle.test/base/v1/spaces/family/push"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

type noNetwork struct{}

func (noNetwork) Do(context.Context, *Request) (*Response, error) {
	return nil, errors.New("there is no network in this test")
}

// A pull that ends while a transaction is recorded and not yet committed must
// not hide the commit from the push.
func TestClient_commitWakesThePush(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"),
		Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`}, Synced: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := Open(t.Context(), db, Config{URL: "http://heddle.test", Space: "s", Tables: map[string]Merge{"t": nil},
		HTTP: noNetwork{}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	awake := func() bool {
		select {
		case <-c.wake:
			return true
		default:
			return false
		}
	}
	for range 2 {
		err := db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO t VALUES(uuid7())`, store.Params{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !awake() {
			t.Error("the push sleeps on")
		}
		(*observer)(c).Changed(c.replica.View()) // sees what is recorded, as if it were not committed yet
		(*observer)(c).Committed()
		if !awake() {
			t.Error("the push sleeps on after a pull has seen the transaction first")
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "0": 0, " 7 ": 7 * time.Second, "99999999": time.Hour, "99999999999999": 0,
		// Whatever the time is here.
		"Mon, 02 Jan 2006 15:04:05 GMT": 0,
		"Mon, 02 Jan 2006 15:05:45 GMT": 40 * time.Second,
		"Mon, 02 Jan 2906 15:04:05 GMT": time.Hour,
	} {
		if got := parseRetryAfter(v, "Mon, 02 Jan 2006 15:05:05 GMT"); got != want {
			t.Errorf("%q: got %v, want %v", v, got, want)
		}
	}
	if got := parseRetryAfter("Mon, 02 Jan 2906 15:04:05 GMT", ""); got != 0 {
		t.Errorf("a date beside no date: got %v, want 0", got)
	}
}

func TestListeners_order(t *testing.T) {
	var l listeners
	var got bytes.Buffer
	remove := on(&l, func(s string) {
		got.WriteString(s)
		if s == "a" {
			l.put("b")
			l.deliver()
			l.put(1)
		}
	})
	l.put("a")
	l.put("c")
	l.deliver()
	remove()
	l.put("d")
	l.deliver()
	if got.String() != "acb" {
		t.Errorf("got %q, want %q", got.String(), "acb")
	}
}
