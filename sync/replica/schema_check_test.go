package replica

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
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
		{name: "integer key of two columns", migrations: []string{`CREATE TABLE t(a INTEGER, b TEXT, PRIMARY KEY(a, b))`},
			ok: true},
		{name: "without rowid, strict",
			migrations: []string{`CREATE TABLE t(id BLOB PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID`}, ok: true},
		{name: "UTF-16", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`}},
		{name: "missing", migrations: []string{`CREATE TABLE other(id TEXT PRIMARY KEY)`}},
		{name: "view", migrations: []string{`CREATE VIEW t AS SELECT 1`}},
		{name: "no key", migrations: []string{`CREATE TABLE t(v)`}},
		{name: "rowid key", migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, v)`}},
		{name: "nocase key", migrations: []string{`CREATE TABLE t(id TEXT COLLATE NOCASE PRIMARY KEY, v)`}},
		{name: "real key", migrations: []string{`CREATE TABLE t(id REAL PRIMARY KEY, v)`}},
		{name: "untyped key", migrations: []string{`CREATE TABLE t(id PRIMARY KEY, v)`}},
		{name: "wide key", migrations: []string{`CREATE TABLE t(a TEXT, b TEXT, c TEXT, d TEXT, e TEXT, f TEXT, g TEXT,
			h TEXT,
			i TEXT, j TEXT, k TEXT, l TEXT, m TEXT, n TEXT, o TEXT, p TEXT, q TEXT, PRIMARY KEY(a, b, c, d, e, f, g, h, i, j,
				k, l, m, n, o, p, q))`}},
		{name: "unique column", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, mail TEXT UNIQUE)`}},
		{name: "unique index", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, a, b)`,
			`CREATE UNIQUE INDEX i ON t(a, lower(b)) WHERE b > ''`}},
		{name: "plain index", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, a); CREATE INDEX i ON t(a)`},
			ok: true},
		{name: "later column", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`,
			`ALTER TABLE t ADD COLUMN a TEXT NOT NULL DEFAULT 'x'; ALTER TABLE t ADD COLUMN b`}, ok: true},
		{name: "later column, expression", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`,
			`ALTER TABLE t ADD COLUMN a TEXT DEFAULT (uuid7())`}},
		{name: "later column, clock", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY)`,
			`ALTER TABLE t ADD COLUMN a TEXT DEFAULT CURRENT_TIMESTAMP`}},
		{name: "first column, expression",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY DEFAULT (uuid7()),
				a DEFAULT CURRENT_TIMESTAMP)`}, ok: true},
		{name: "trigger", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; UPDATE OR IGNORE "T" SET id = 1; END`}},
		{name: "trigger, guarded", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON t WHEN NOT heddle_applying() AND new.id > 1 BEGIN UPDATE t SET id = 1;
				END`}, ok: true},
		{name: "trigger, guard undone", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON t WHEN NOT heddle_applying() OR new.id BEGIN DELETE FROM t; END`}},
		{name: "trigger on a view",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE VIEW w AS SELECT id FROM t;
			CREATE TRIGGER g INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES(new.id); END`}, ok: true},
		{name: "trigger through a view",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x); CREATE VIEW w AS SELECT id FROM t;
			CREATE TRIGGER g INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES(new.id); END;
			CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO w VALUES(new.id); END`}},
		{name: "trigger of a local table", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY); CREATE TABLE u(x);
			CREATE TRIGGER g AFTER INSERT ON u BEGIN DELETE FROM t; END`}, ok: true},
		{name: "guard", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n);
			CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN new.n < 0 BEGIN SELECT RAISE(ABORT, 'out of stock'); END`}},
		{name: "guard of the author", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n);
			CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() AND new.n < 0 BEGIN SELECT RAISE(ABORT,
				'out of stock'); END`}, ok: true},
		{name: "trigger that may roll back",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n); CREATE TABLE l(n UNIQUE);
			CREATE TRIGGER g BEFORE UPDATE OF n ON t BEGIN INSERT OR ROLLBACK INTO l VALUES(new.n); END`}},
		{name: "conflict clause",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY ON CONFLICT REPLACE,
				n NOT NULL ON CONFLICT ROLLBACK)`}, ok: true},
		{name: "conflict clause beside a trigger",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY ON CONFLICT REPLACE, n); CREATE TABLE l(n);
			CREATE TRIGGER g BEFORE UPDATE OF n ON t BEGIN INSERT INTO l VALUES(new.n); END`}},
		{name: "trigger beside constraints",
			migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER NOT NULL CHECK(n > 0), body TEXT,
				g INTEGER AS (n * 2) STORED) STRICT;
			CREATE INDEX i ON t(json_extract(body, '$.a')); CREATE TABLE l(n UNIQUE, x NOT NULL);
			CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT OR REPLACE INTO l VALUES(new.n, new.body); END;
			CREATE TRIGGER b AFTER UPDATE ON t BEGIN UPDATE OR IGNORE l SET x = new.body WHERE n IN (SELECT n FROM t);
				END`}, ok: true},
		{name: "trigger of a table that is gone", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n);
			CREATE TRIGGER g BEFORE UPDATE OF n ON t BEGIN INSERT INTO l VALUES(new.n); END`}},
		{name: "trigger on local tables", migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v); CREATE TABLE idx(x);
			CREATE TRIGGER g AFTER UPDATE OF v ON t BEGIN DELETE FROM idx WHERE x = 'insert into t';
				INSERT INTO idx SELECT v FROM t; END`}, ok: true},
	}
	utf16 := filepath.Join(t.TempDir(), "utf16.db")
	if raw, err := sqlite3.Open("file:" + utf16); err != nil {
		t.Fatal(err)
	} else if err := errors.Join(raw.Exec(`PRAGMA encoding = 'UTF-16le';
		CREATE TABLE first(x)`), raw.Close()); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range cases {
		msg := "taken"
		opts := store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"), Migrations: c.migrations,
			Synced: []string{"t"}}
		if c.name == "UTF-16" {
			opts.Filename = "file:" + utf16
		}
		db, err := store.Open(context.Background(), opts)
		if err == nil {
			var cl *Replica
			cl, err = Open(context.Background(), db, testConfig(map[string]Merge{"t": nil}))
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

// What fires while entries are applied, and what a trigger may do then.
func TestCheckTriggers(t *testing.T) {
	const tables = `CREATE TABLE t(id TEXT PRIMARY KEY, n, body); CREATE TABLE u(id TEXT PRIMARY KEY, n);
		CREATE TABLE l(n PRIMARY KEY, x); CREATE VIEW w AS SELECT id FROM t;`
	for sql, want := range map[string]string{
		// Guards.
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN new.n < 0 BEGIN SELECT RAISE(ABORT, 'out of stock');
			END`: "RAISE",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() AND new.n < 0 BEGIN SELECT RAISE(ABORT,
			'out of stock'); END`: "",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN new.n < 0 AND NOT heddle_applying() BEGIN SELECT RAISE(ABORT,
			'out of stock'); END`: "",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN (NOT (Heddle_Applying())) BEGIN SELECT RAISE(FAIL, 'no');
			END`: "",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() AND (new.n OR new.body) BEGIN SELECT
			RAISE(ROLLBACK, 'no'); END`: "",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() AND new.n OR new.body BEGIN SELECT
			RAISE(ROLLBACK, 'no'); END`: "RAISE",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN heddle_applying() BEGIN SELECT RAISE(ABORT, 'no');
			END`: "RAISE",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN 'NOT heddle_applying()' BEGIN SELECT RAISE(ABORT, 'no');
			END`: "RAISE",
		`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() = 0 BEGIN SELECT RAISE(ABORT, 'no');
			END`: "RAISE",
		`CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT RAISE(IGNORE) WHERE old.n IN (SELECT n FROM l);
			END`: "RAISE",
		`CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT CASE WHEN heddle_applying() THEN 1 WHEN old.n THEN RAISE(FAIL,
			'no') END; END`: "",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 'RAISE(ABORT)', "body" FROM t;
			END`: "",
		`CREATE TRIGGER g AFTER UPDATE OF id ON t BEGIN SELECT RAISE(ABORT, 'keys stay');
			END`: "", // entries do not
		`CREATE TRIGGER g AFTER INSERT ON l BEGIN SELECT RAISE(ABORT, 'no');
			END`: "", // entries do not write it
		`CREATE TRIGGER g AFTER INSERT ON l BEGIN SELECT RAISE(ABORT, 'no'); END;
			CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO l(n) VALUES(1); END`: "RAISE",
		`CREATE TRIGGER g AFTER INSERT ON l BEGIN SELECT RAISE(ABORT, 'no'); END;
			CREATE TRIGGER h AFTER INSERT ON t WHEN NOT heddle_applying() BEGIN INSERT INTO l(n) VALUES(1); END`: "",
		// Statements.
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT OR ROLLBACK INTO l(n) VALUES(new.n);
			END`: "OR ROLLBACK",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT OR FAIL INTO l(n) VALUES(new.n);
			END`: "OR ROLLBACK",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO l(n) VALUES(new.n); INSERT OR REPLACE INTO l(n) VALUES(1);
			DELETE FROM l; END`: "",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO l VALUES(1, 2) ON CONFLICT DO UPDATE SET x = 1;
			END`: "",
		`CREATE TRIGGER g AFTER UPDATE OF n ON t BEGIN UPDATE u SET n = 1;
			END`: "writes it",
		`CREATE TRIGGER g AFTER UPDATE OF n ON t BEGIN DELETE FROM "U";
			END`: "writes it",
		`CREATE TRIGGER g AFTER UPDATE OF n ON t WHEN NOT heddle_applying() BEGIN DELETE FROM "U";
			END`: "",
		`CREATE TRIGGER g AFTER UPDATE OF n ON t BEGIN INSERT INTO l SELECT 'delete from u', n FROM u;
			END`: "",
		`CREATE TRIGGER g AFTER INSERT ON l BEGIN DELETE FROM u;
			END`: "",
		`CREATE TRIGGER g INSTEAD OF INSERT ON w BEGIN INSERT INTO u VALUES(new.id, 1); END;
			CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO w VALUES(new.id); END`: "writes it",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO l VALUES(1, 2); END;
			CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO l VALUES(3, 4); END;
			CREATE TRIGGER i AFTER INSERT ON l WHEN NOT heddle_applying() BEGIN UPDATE u SET n = 1; END`: "",
		`CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO absent VALUES(1); END`: "SQLite cannot write it",
	} {
		db, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"),
			Synced: []string{"t", "u"}, Migrations: []string{tables + sql}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), db, testConfig(map[string]Merge{"t": nil, "u": nil}))
		switch {
		case want == "" && err != nil, want != "" && (errcode.Of(err) != errcode.SyncSchema ||
			!strings.Contains(err.Error(), want)):
			t.Errorf("%s\ngot %v, want %q", sql, err, want)
		}
		if err == nil {
			c.Close()
		}
		db.Close()
	}
}
