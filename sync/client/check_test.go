package client

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/store"
)

var update = flag.Bool("update", false, "write the golden files")

// TestOpen_refusals opens every kind of table that cannot be synced and
// compares what is said to the golden file: the reason and the way out are
// part of the contract.
func TestOpen_refusals(t *testing.T) {
	cases := []struct {
		name       string
		migrations []string
		ok         bool // to be taken
	}{
		{name: "plain", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v)`}, ok: true},
		{name: "integer key of two columns", migrations: []string{`CREATE TABLE t(a INTEGER, b TEXT, PRIMARY KEY(a, b))`}, ok: true},
		{name: "without rowid, strict", migrations: []string{`CREATE TABLE t(id BLOB PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID`}, ok: true},
		{name: "UTF-16", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`}},
		{name: "missing", migrations: []string{`CREATE TABLE other(id TEXT PRIMARY KEY)`}},
		{name: "view", migrations: []string{`CREATE VIEW t AS SELECT 1`}},
		{name: "no key", migrations: []string{`CREATE TABLE t(v)`}},
		{name: "rowid key", migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, v)`}},
		{name: "nocase key", migrations: []string{`CREATE TABLE t(id TEXT COLLATE NOCASE PRIMARY KEY, v)`}},
		{name: "real key", migrations: []string{`CREATE TABLE t(id REAL PRIMARY KEY, v)`}},
		{name: "untyped key", migrations: []string{`CREATE TABLE t(id PRIMARY KEY, v)`}},
		{name: "wide key", migrations: []string{`CREATE TABLE t(a TEXT, b TEXT, c TEXT, d TEXT, e TEXT, f TEXT, g TEXT, h TEXT,
			i TEXT, j TEXT, k TEXT, l TEXT, m TEXT, n TEXT, o TEXT, p TEXT, q TEXT, PRIMARY KEY(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q))`}},
		{name: "unique column", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, mail TEXT UNIQUE)`}},
		{name: "unique index", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, a, b)`, `CREATE UNIQUE INDEX i ON t(a, lower(b)) WHERE b > ''`}},
		{name: "plain index", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, a); CREATE INDEX i ON t(a)`}, ok: true},
		{name: "later column", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`, `ALTER TABLE t ADD COLUMN a TEXT NOT NULL DEFAULT 'x'; ALTER TABLE t ADD COLUMN b`}, ok: true},
		{name: "later column, expression", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`, `ALTER TABLE t ADD COLUMN a TEXT DEFAULT (uuid7())`}},
		{name: "later column, clock", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`, `ALTER TABLE t ADD COLUMN a TEXT DEFAULT CURRENT_TIMESTAMP`}},
		{name: "first column, expression", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY DEFAULT (uuid7()), a DEFAULT CURRENT_TIMESTAMP)`}, ok: true},
		{name: "trigger", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON u BEGIN SELECT 1; UPDATE OR IGNORE "T" SET id = 1; END`}},
		{name: "trigger, guarded", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON u WHEN NOT heddle_applying() AND new.x > 1 BEGIN UPDATE t SET id = 1; END`}, ok: true},
		{name: "trigger, guard undone", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON u WHEN NOT heddle_applying() OR new.x BEGIN DELETE FROM t; END`}},
		{name: "trigger on a view", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE VIEW w AS SELECT id FROM t;
			CREATE TRIGGER g INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES(new.id); END`}, ok: true},
		{name: "trigger through a view", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x); CREATE VIEW w AS SELECT id FROM t;
			CREATE TRIGGER g INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES(new.id); END;
			CREATE TRIGGER h AFTER INSERT ON u BEGIN INSERT INTO w VALUES(new.x); END`}},
		{name: "trigger on local tables", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v); CREATE TABLE idx(x);
			CREATE TRIGGER g AFTER UPDATE OF v ON t BEGIN DELETE FROM idx WHERE x = 'insert into t'; INSERT INTO idx SELECT v FROM t; END`}, ok: true},
	}
	utf16 := filepath.Join(t.TempDir(), "utf16.db")
	if raw, err := sqlite3.Open("file:" + utf16); err != nil {
		t.Fatal(err)
	} else if err := errors.Join(raw.Exec(`PRAGMA encoding = 'UTF-16le'; CREATE TABLE first(x)`), raw.Close()); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range cases {
		msg := "taken"
		opts := store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"), Migrations: c.migrations, Synced: []string{"t"}}
		if c.name == "UTF-16" {
			opts.Filename = "file:" + utf16
		}
		db, err := store.Open(context.Background(), opts)
		if err == nil {
			var cl *Client
			cl, err = Open(context.Background(), db, Config{URL: "http://heddle.test", Space: "s", Tables: map[string]Merge{"t": nil}, HTTP: noNetwork{}})
			if err == nil {
				cl.Close()
			} else if db.Update(t.Context(), store.Origin{Kind: store.Local}, func(*store.Tx) error { return nil }) != nil {
				t.Errorf("%s: the database is of no use any more", c.name)
			}
			db.Close()
		}
		if err != nil {
			msg = err.Error()
			if code := errcode.Of(err); code != errcode.SyncSchema {
				t.Errorf("%s: got code %s", c.name, code)
			}
		}
		if c.ok != (err == nil) {
			t.Errorf("%s: got %v", c.name, err)
		}
		got.WriteString(c.name + "\n\t" + msg + "\n")
	}
	golden(t, "refusals.txt", got.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (run with -update after looking):\n%s", path, got)
	}
}

func TestOpen_config(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"),
		Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`, `CREATE TABLE n(id INTEGER PRIMARY KEY, v)`}, Synced: []string{"t", "n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	good := Config{URL: "https://heddle.test/base/", Space: "family", Tables: map[string]Merge{"t": nil}, HTTP: noNetwork{}}
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
		"policy":         {func(c *Config) { c.Tables = map[string]Merge{"t": {"v": "newest"}} }, errcode.BadParam},
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

func TestReadTrigger(t *testing.T) {
	for sql, want := range map[string]triggerText{
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO a SELECT 'delete from b' FROM c; END`:                            {writes: []string{"a"}},
		"CREATE TRIGGER g UPDATE OF x ON t BEGIN -- update z\nREPLACE INTO [a b](x) VALUES(1); END":                            {writes: []string{"a b"}},
		`CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT OR IGNORE INTO "q""d" VALUES(1) ON CONFLICT DO UPDATE SET x=1; END`:   {writes: []string{`q"d`}},
		`CREATE TRIGGER g DELETE ON t BEGIN UPDATE OR REPLACE a SET x = 1 FROM b; DELETE FROM c WHERE x; /* ; UPDATE y */ END`: {writes: []string{"a", "c"}},
		`CREATE TRIGGER g INSTEAD OF INSERT ON v WHEN not Heddle_Applying ( ) BEGIN SELECT 1; END`:                             {guarded: true, instead: true},
		`CREATE TRIGGER g INSERT ON t WHEN (NOT heddle_applying()) BEGIN SELECT 1; END`:                                        {guarded: true},
		`CREATE TRIGGER g INSERT ON t WHEN NOT heddle_applying() AND (a OR b) BEGIN SELECT 1; END`:                             {guarded: true},
		`CREATE TRIGGER g INSERT ON t WHEN NOT heddle_applying() AND a OR b BEGIN SELECT 1; END`:                               {},
		`CREATE TRIGGER g INSERT ON t WHEN NOT heddle_applying() = 0 BEGIN SELECT 1; END`:                                      {},
		`CREATE TRIGGER g INSERT ON t WHEN (NOT heddle_applying()) OR (a) BEGIN SELECT 1; END`:                                 {},
		`CREATE TRIGGER g INSERT ON t WHEN 'NOT heddle_applying()' BEGIN SELECT 1; END`:                                        {},
	} {
		got := readTrigger(sql)
		if !slices.Equal(got.writes, want.writes) || got.guarded != want.guarded || got.instead != want.instead {
			t.Errorf("%s\ngot  %+v\nwant %+v", sql, got, want)
		}
	}
}
