package migrate_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"

	"github.com/ncruces/go-sqlite3"
)

func TestOpen_migrations(t *testing.T) {
	ctx := context.Background()
	file := storetest.File(t)
	try := func(migrations ...string) error {
		db, err := store.Open(ctx, store.Options{Filename: file, Migrations: migrations})
		if err == nil {
			err = db.Close()
		}
		return err
	}
	one := `CREATE TABLE a(x); INSERT INTO a VALUES(1)`
	two := `CREATE TABLE b(y)`
	storetest.WantCode(t, try(), "")
	storetest.WantCode(t, try(one), "")
	storetest.WantCode(t, try(one), "")
	storetest.WantCode(t, try("  "+one+"\n"), "") // white space around it is no change
	storetest.WantCode(t, try(one+" "+two), errcode.Migration)
	storetest.WantCode(t, try(one, `CREATE TABLE c(z); CREATE TABLE a(x)`), errcode.Migration)
	storetest.WantCode(t, try(one, `CREATE TABLE c(z); COMMIT; SELECT 1`), errcode.Migration)
	storetest.WantCode(t, try(one, `INSERT INTO a VALUES(?)`), errcode.Migration)
	storetest.WantCode(t, try(one, two), "")
	storetest.WantCode(t, try(one), errcode.Migration) // an older build
	storetest.WantCode(t, try(two, one), errcode.Migration)

	db := storetest.Open(t, store.Options{Filename: file, Migrations: []string{one, two}})
	storetest.Same(t, storetest.Query(t, db, `SELECT count(*) FROM a`), [][]store.Value{{int64(1)}})
	storetest.Same(t, storetest.Query(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table'
		AND name NOT LIKE 'heddle%' ORDER BY 1`),
		[][]store.Value{{"a"}, {"b"}})
	storetest.Same(t, storetest.Query(t, db, `SELECT number FROM heddle_migration`),
		[][]store.Value{{int64(1)}, {int64(2)}})
}

func TestOpen_syncedRowsInMigrations(t *testing.T) {
	ctx := context.Background()
	for _, sql := range []string{
		`CREATE TABLE s(id TEXT PRIMARY KEY); INSERT INTO s VALUES('seed')`,
		`CREATE TABLE s(id TEXT PRIMARY KEY); DELETE FROM s`,
		`CREATE TABLE s(id TEXT PRIMARY KEY, n); UPDATE S SET n = 1`,
		`CREATE TABLE s(id TEXT PRIMARY KEY); CREATE TABLE l(x); CREATE TRIGGER g AFTER INSERT ON l BEGIN INSERT INTO s
			VALUES(new.x); END; INSERT INTO l VALUES(1)`,
		`CREATE TABLE s(id TEXT PRIMARY KEY); CREATE VIEW v AS SELECT * FROM s; CREATE TRIGGER g INSTEAD OF INSERT ON v
			BEGIN INSERT INTO s VALUES(new.id); END; INSERT INTO v VALUES(1)`,
		`CREATE TABLE s(id TEXT PRIMARY KEY); WITH w AS (SELECT 1 AS x) INSERT INTO s SELECT x FROM w`,
		`CREATE TABLE s(id TEXT PRIMARY KEY); PRAGMA writable_schema = on`,
	} {
		o := store.Options{Filename: storetest.File(t), Migrations: []string{sql}, Synced: []string{"s"}}
		db, err := store.Open(ctx, o)
		if errcode.Of(err) != errcode.Migration {
			t.Errorf("%s: got %v", sql, err)
		}
		if err == nil {
			db.Close()
		}
	}
	// Rebuilding a table, as SQLite's documentation tells to, is not that.
	db := storetest.Open(t, store.Options{Synced: []string{"s"}, Migrations: []string{
		`CREATE TABLE s(id TEXT PRIMARY KEY, n INT)`,
		`CREATE TABLE child(s REFERENCES s(id) ON DELETE CASCADE)`,
		`CREATE TABLE new_s(id TEXT PRIMARY KEY, n TEXT, m REAL DEFAULT 1);
		 INSERT INTO new_s(id, n) SELECT id, n FROM s;
		 DROP TABLE s;
		 ALTER TABLE new_s RENAME TO s;`,
	}})
	tab, ok := db.Table("S")
	if !ok || !tab.Synced {
		t.Fatalf("got %+v, %v", tab, ok)
	}
	var got []int
	for _, c := range tab.Columns {
		got = append(got, c.Migration)
	}
	storetest.Same(t, got, []int{1, 1, 3})
}

func TestTables_describe(t *testing.T) {
	db := storetest.Open(t, store.Options{Migrations: []string{`
		CREATE TABLE a(id TEXT PRIMARY KEY COLLATE nocase, n INT NOT NULL DEFAULT 7, t TEXT DEFAULT 5, r REAL DEFAULT 2,
			i INTEGER DEFAULT '12', s DEFAULT ('it''s'), b BLOB DEFAULT x'00ff', e DEFAULT (1 + 1), c DEFAULT CURRENT_TIMESTAMP,
			neg INT DEFAULT -3, tr DEFAULT TRUE, nl DEFAULT NULL, q NUMERIC DEFAULT 3.0, g INT AS (n * 2) STORED, v AS (n)
			VIRTUAL);
		CREATE TABLE b(x INT, rowid TEXT, y TEXT, PRIMARY KEY(y, x)) WITHOUT ROWID, STRICT;
		CREATE TABLE c(id INTEGER PRIMARY KEY);
		CREATE TABLE d(id INTEGER PRIMARY KEY DESC);
		CREATE VIEW w AS SELECT * FROM a;`, `ALTER TABLE a ADD COLUMN late INT DEFAULT 1`}})
	a, _ := db.Table("a")
	storetest.Exec(t, db, `INSERT INTO a(id) VALUES('k')`)
	stored := storetest.Query(t, db, `SELECT id, n, t, r, i, s, b, e, c, neg, tr, nl, q, g, late FROM a`)[0]
	for i, c := range a.Columns {
		if c.Generated != (c.Name == "g") {
			t.Errorf("%s: generated %v", c.Name, c.Generated)
		}
		constant := map[string]bool{"id": false, "e": false, "c": false, "g": false}
		if _, not := constant[c.Name]; not != (c.Default == nil) {
			t.Errorf("%s: default %v", c.Name, c.Default)
		}
		if c.Default != nil {
			storetest.Same(t, *c.Default, stored[i])
		}
		if want := map[bool]int{true: 2, false: 1}[c.Name == "late"]; c.Migration != want {
			t.Errorf("%s: migration %d", c.Name, c.Migration)
		}
	}
	if a.ColumnIndex("v") >= 0 || a.Columns[0].Collation != "NOCASE" || a.Columns[1].Collation != "BINARY" ||
		!a.Columns[1].NotNull {
		t.Errorf("got %+v", a)
	}
	b, _ := db.Table("B")
	if !b.WithoutRowID || !b.Strict || len(b.Key) != 2 || b.Key[0] != 2 || b.Key[1] != 0 {
		t.Errorf("got %+v", b)
	}
	c, _ := db.Table("c")
	d, _ := db.Table("d")
	if !c.RowIDKey || d.RowIDKey || len(d.Key) != 1 {
		t.Errorf("got %+v and %+v", c, d)
	}
	if _, ok := db.Table("heddle_migration"); ok || len(db.Tables()) != 4 {
		t.Errorf("got %d tables", len(db.Tables()))
	}
}

// hook is a MigrationHook that notes what it is told.
type hook struct {
	c     *sqlite3.Conn
	fails error
	keeps bool
	done  [][]string

	touched, without []string
}

func (h *hook) Touch(table string) (bool, error) {
	h.touched = append(h.touched, table)
	return h.keeps, nil
}

func (h *hook) Without(table string, run func() error) error {
	h.without = append(h.without, table)
	if err := h.c.Exec(`DELETE FROM ` + table); err != nil {
		return err
	}
	return run()
}

func (h *hook) Done(tables []*store.Table) error {
	var names []string
	for _, t := range tables {
		names = append(names, t.Name)
	}
	h.done = append(h.done, names)
	if h.fails != nil {
		return h.fails
	}
	return h.c.Exec(`CREATE TABLE IF NOT EXISTS heddle_hook(x); INSERT INTO heddle_hook VALUES(heddle_applying())`)
}

// TestOpen_migrationHook looks that migrations and what follows them are one
// transaction, of a database and of a file that is imported.
func TestOpen_migrationHook(t *testing.T) {
	file, h := storetest.File(t), &hook{}
	var migrations []string
	open := func() (*store.DB, error) {
		return store.Open(t.Context(), store.Options{Filename: file, Migrations: migrations,
			MigrationHook: func(c *sqlite3.Conn) (store.MigrationHook, error) {
				h.c = c
				return h, nil
			}})
	}
	refused := errcode.New(errcode.SyncSchema, "test", "no")
	for _, step := range []struct {
		add   []string
		fails error
		want  string
		calls int
	}{
		{[]string{`CREATE TABLE a(x)`}, refused, errcode.SyncSchema, 1},
		{nil, nil, "", 2},
		{nil, nil, "", 2}, // nothing was due
		{[]string{`CREATE TABLE b(x)`, `CREATE TABLE c(x)`}, refused, errcode.SyncSchema, 3},
		{[]string{`CREATE TABLE a(x)`}, nil, errcode.Migration, 3},
	} {
		migrations, h.fails = append(migrations, step.add...), step.fails
		db, err := open()
		storetest.WantCode(t, err, step.want)
		if err == nil {
			db.Close()
		}
		if len(h.done) != step.calls {
			t.Fatalf("%v: %d calls", step, len(h.done))
		}
	}
	migrations = migrations[:3]
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.Same(t, h.done, [][]string{{"a"}, {"a"}, {"a", "b", "c"}, {"a", "b", "c"}})
	storetest.Same(t, storetest.Query(t, db, `SELECT x FROM heddle_hook`), [][]store.Value{{int64(1)}, {int64(1)}})

	older := storetest.Open(t, store.Options{Migrations: migrations[:1]})
	var copied bytes.Buffer
	if err := older.Export(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	h.fails = refused
	storetest.WantCode(t, db.Import(t.Context(), bytes.NewReader(copied.Bytes())), errcode.SyncSchema)
	storetest.Same(t, storetest.Query(t, db, `SELECT count(*) FROM heddle_hook`), [][]store.Value{{int64(2)}})
	h.fails = nil
	storetest.WantCode(t, db.Import(t.Context(), bytes.NewReader(copied.Bytes())), "")
	storetest.Same(t, storetest.Query(t, db, `SELECT count(*) FROM heddle_hook, c`), [][]store.Value{{int64(0)}})
	storetest.Same(t, storetest.Query(t, db, `SELECT x FROM heddle_hook`), [][]store.Value{{int64(1)}})
}

// TestOpen_touched looks which statements of a migration may change the rows of a
// table: not those that add a column.
func TestOpen_touched(t *testing.T) {
	for sql, want := range map[string]string{
		`ALTER TABLE s ADD COLUMN c`: "",
		`ALTER TABLE s ADD d TEXT NOT NULL DEFAULT 'x' CHECK (d <> ''); ALTER TABLE s ADD g AS (a)`:           "",
		`CREATE TABLE n(a); CREATE INDEX i ON s(a); CREATE VIEW v AS SELECT * FROM s; SELECT count(*) FROM s`: "",
		`CREATE TRIGGER g AFTER INSERT ON s BEGIN DELETE FROM l; END; DROP TRIGGER g; ANALYZE; REINDEX s`:     "",
		`CREATE TABLE n AS SELECT * FROM s`:                                                    "",
		`ALTER TABLE s DROP COLUMN b`:                                                          "s",
		`ALTER TABLE s RENAME COLUMN a TO z`:                                                   "s",
		`ALTER TABLE S RENAME TO z; ALTER TABLE z RENAME TO s`:                                 "s z",
		`ALTER TABLE s ALTER COLUMN a SET NOT NULL`:                                            "s",
		`DROP TABLE s; CREATE TABLE s(id TEXT PRIMARY KEY)`:                                    "s",
		`INSERT INTO l VALUES(1); UPDATE l SET x = 2; DELETE FROM l`:                           "l",
		`CREATE TEMP TABLE t(a); INSERT INTO t SELECT a FROM s`:                                "",
		`CREATE TRIGGER g AFTER INSERT ON l BEGIN DELETE FROM m; END; INSERT INTO l VALUES(1)`: "l m",
	} {
		h := &hook{}
		db, err := store.Open(t.Context(), store.Options{Filename: storetest.File(t), Synced: []string{"s"},
			Migrations:    []string{`CREATE TABLE s(id TEXT PRIMARY KEY, a, b); CREATE TABLE l(x); CREATE TABLE m(x)`, sql},
			MigrationHook: func(c *sqlite3.Conn) (store.MigrationHook, error) { h.c = c; return h, nil }})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		db.Close()
		if got := strings.Join(h.touched, " "); got != want {
			t.Errorf("%s: touched %q, want %q", sql, got, want)
		}
	}
}

// TestOpen_rowsRefused has statements that fail because of rows: they go on
// without them where the hook puts those back, and there alone.
func TestOpen_rowsRefused(t *testing.T) {
	const next = `CREATE TABLE n(id TEXT PRIMARY KEY, a NOT NULL); `
	const rename = `; DROP TABLE s; ALTER TABLE n RENAME TO s`
	for _, c := range []struct {
		sql   string
		keeps bool
		want  string
		rows  int64 // of s
	}{
		{next + `INSERT INTO n SELECT * FROM s` + rename, true, "", 1},
		{next + `INSERT OR ROLLBACK INTO n SELECT * FROM s` + rename, true, errcode.Migration, 0},
		{next + `/* c */ -- d` + "\n" + `INSERT OR FAIL INTO n SELECT * FROM s` + rename, true, "", 1},
		{next + `REPLACE INTO n SELECT * FROM s` + rename, true, "", 1},
		{next + `WITH w AS (SELECT * FROM s) INSERT INTO n SELECT * FROM w` + rename, true, "", 0},
		{next + `INSERT INTO n SELECT * FROM s` + rename, false, errcode.Migration, 0},
		{next + `INSERT INTO n SELECT * FROM s`, true, errcode.Migration, 0},               // a table of the app's own
		{next + `INSERT INTO n VALUES('x', NULL)` + rename, true, errcode.Migration, 0},    // rows of the app's own
		{next + `INSERT INTO n SELECT id, no FROM s` + rename, true, errcode.Migration, 0}, // no rows' fault
		{`ALTER TABLE s ALTER COLUMN a SET NOT NULL`, true, "", 0},
		{`ALTER TABLE s ALTER COLUMN a SET NOT NULL`, false, errcode.Migration, 0},
		{`CREATE INDEX i ON s(json(id))`, true, "", 0},
		{`CREATE INDEX i ON s(nothing)`, true, errcode.Migration, 0},
	} {
		file, h := storetest.File(t), &hook{keeps: c.keeps}
		o := store.Options{Filename: file, Synced: []string{"s"},
			Migrations: []string{`CREATE TABLE s(id TEXT PRIMARY KEY, a)`}}
		db := storetest.Open(t, o)
		storetest.Exec(t, db, `INSERT INTO s VALUES('x', NULL), ('y', 1)`)
		db.Close()
		o.Migrations = append(o.Migrations, c.sql)
		o.MigrationHook = func(conn *sqlite3.Conn) (store.MigrationHook, error) { h.c = conn; return h, nil }
		db, err := store.Open(t.Context(), o)
		if storetest.WantCode(t, err, c.want); err != nil {
			if c.want == "" {
				t.Errorf("%s: %v", c.sql, err)
			}
			continue
		}
		if n := storetest.Query(t, db, `SELECT count(*) FROM s`)[0][0]; n != c.rows {
			t.Errorf("%s: %v rows, want %v", c.sql, n, c.rows)
		}
		db.Close()
	}
}
