package client

import (
	"slices"
	"testing"

	"heddle/internal/errcode"
	"heddle/sync/wire"
)

// TestMigration_refused has a release whose migrations sync refuses: it leaves
// nothing, so that the release before opens the database and a corrected one
// does.
func TestMigration_refused(t *testing.T) {
	const (
		first     = `CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 0)`
		corrected = `ALTER TABLE notes ADD COLUMN more TEXT DEFAULT 'm'`
		rebuild   = `INSERT INTO next SELECT id, title, n FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`
	)
	for name, refused := range map[string][]string{
		"renamed column":       {`ALTER TABLE notes RENAME COLUMN title TO name`},
		"dropped column":       {`ALTER TABLE notes DROP COLUMN title`},
		"dropped table":        {`DROP TABLE notes`},
		"renamed table":        {`ALTER TABLE notes RENAME TO papers`},
		"UNIQUE":               {`CREATE UNIQUE INDEX one ON notes(title)`},
		"UNIQUE in a rebuild":  {`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT UNIQUE, n INTEGER); ` + rebuild},
		"another key":          {`CREATE TABLE next(id TEXT, title TEXT, n INTEGER, PRIMARY KEY(id, n)); ` + rebuild},
		"no key":               {`CREATE TABLE next(id TEXT, title TEXT, n INTEGER); ` + rebuild},
		"collated key":         {`CREATE TABLE next(id TEXT PRIMARY KEY COLLATE NOCASE, title TEXT, n INTEGER); ` + rebuild},
		"generated column":     {`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n AS (1)); INSERT INTO next(id, title) SELECT id, title FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`},
		"trigger":              {`CREATE TRIGGER g AFTER INSERT ON notes BEGIN UPDATE notes SET n = 1; END`},
		"default not constant": {`ALTER TABLE notes ADD COLUMN at TEXT`, `CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n INTEGER, at TEXT DEFAULT (datetime())); INSERT INTO next SELECT * FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`},
		"late":                 {corrected, `CREATE TABLE other(x)`, `ALTER TABLE notes RENAME COLUMN title TO name`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			r := newReplica(t, []string{first}, "notes")
			r.must(`INSERT INTO notes VALUES('a', 'in the log', 1)`)
			r.push(l, 1, func() string { return "" })
			r.pull(l, 1)
			r.must(`INSERT INTO notes VALUES('b', 'pending', 2)`)
			id := r.c.ClientID()
			same := func(columns ...string) {
				t.Helper()
				want := []string{"string:a string:in the log int64:1", "string:b string:pending int64:2"}
				if got := r.dump("notes", "id", []string{"title", "n"}); !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
				if s := r.c.Status(); r.c.ClientID() != id || s.Pending != 1 || s.Seq != 1 {
					t.Errorf("got %+v", s)
				}
			}
			again := func(migrations []string) error {
				r.close()
				r.opts.Migrations = append([]string{first}, migrations...)
				return r.tryOpen()
			}
			for range 2 {
				if err := again(refused); errcode.Of(err) != errcode.SyncSchema {
					t.Fatalf("got %v", err)
				}
			}
			if err := again(nil); err != nil {
				t.Fatalf("the release before: %v", err)
			}
			same()
			if err := again(refused); errcode.Of(err) != errcode.SyncSchema {
				t.Fatalf("got %v", err)
			}
			if err := again([]string{corrected}); err != nil {
				t.Fatalf("a corrected release: %v", err)
			}
			same()
			r.push(l, 1, func() string { return "" })
			r.pull(l, 1)
			if _, digest, err := r.c.Digest(t.Context()); err != nil || digest != l.digest() || digest == (wire.Hash{}) {
				t.Errorf("got digest %x, %v", digest, err)
			}
		})
	}
}
