package replica

import (
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
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
		"renamed column":      {`ALTER TABLE notes RENAME COLUMN title TO name`},
		"dropped column":      {`ALTER TABLE notes DROP COLUMN title`},
		"dropped table":       {`DROP TABLE notes`},
		"renamed table":       {`ALTER TABLE notes RENAME TO papers`},
		"UNIQUE":              {`CREATE UNIQUE INDEX one ON notes(title)`},
		"UNIQUE in a rebuild": {`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT UNIQUE, n INTEGER); ` + rebuild},
		"another key":         {`CREATE TABLE next(id TEXT, title TEXT, n INTEGER, PRIMARY KEY(id, n)); ` + rebuild},
		"no key":              {`CREATE TABLE next(id TEXT, title TEXT, n INTEGER); ` + rebuild},
		"collated key":        {`CREATE TABLE next(id TEXT PRIMARY KEY COLLATE NOCASE, title TEXT, n INTEGER); ` + rebuild},
		"generated column": {`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n AS (1));
			INSERT INTO next(id, title) SELECT id, title FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`},
		"trigger": {`CREATE TRIGGER g AFTER INSERT ON notes BEGIN UPDATE notes SET n = 1; END`},
		"default not constant": {`ALTER TABLE notes ADD COLUMN at TEXT`,
			`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n INTEGER, at TEXT DEFAULT (datetime()));
				INSERT INTO next SELECT * FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`},
		"late": {corrected, `CREATE TABLE other(x)`, `ALTER TABLE notes RENAME COLUMN title TO name`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			r := newReplica(t, []string{first}, "notes")
			r.must(`INSERT INTO notes VALUES('a', 'in the log', 1)`)
			r.push(l, 1, func() string { return "" })
			r.pull(l, 1)
			r.must(`INSERT INTO notes VALUES('b', 'pending', 2)`)
			id := r.c.View().Client
			same := func(columns ...string) {
				t.Helper()
				want := []string{"string:a string:in the log int64:1", "string:b string:pending int64:2"}
				if got := r.dump("notes", "id", []string{"title", "n"}); !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
				if v := r.c.View(); v.Client != id || r.pending() != 1 || v.Position.Seq != 1 {
					t.Errorf("got %+v and %d pending", v, r.pending())
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

// TestMigration_putBack has releases that change the rows of a synced table, in
// every way that SQLite has: the table holds what the log says afterwards.
func TestMigration_putBack(t *testing.T) {
	const first = `CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 0, any)`
	next := func(declaration, insert string) string {
		return `CREATE TABLE next(` + declaration + `); ` + insert + `; DROP TABLE notes; ALTER TABLE next RENAME TO notes`
	}
	const same = `id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 0, any`
	for name, c := range map[string]struct {
		migrations  []string
		quarantined int
	}{
		"coalesce": {[]string{next(same, `INSERT INTO next SELECT id, coalesce(title, ''), n, any FROM notes`)},
			0},
		"rows left out":     {[]string{next(same, `INSERT INTO next SELECT * FROM notes WHERE title IS NOT NULL`)}, 0},
		"all rows left out": {[]string{next(same, `SELECT 1`)}, 0},
		"rows invented": {[]string{next(same,
			`INSERT INTO next SELECT * FROM notes; INSERT INTO next(id) VALUES('new'), ('A')`)}, 0},
		"keys changed": {[]string{next(same, `INSERT INTO next SELECT upper(id), title, n, any FROM notes`)}, 0},
		"columns swapped": {[]string{`ALTER TABLE notes RENAME COLUMN title TO x;
			ALTER TABLE notes RENAME COLUMN any TO title; ALTER TABLE notes RENAME COLUMN x TO any`}, 1},
		"dropped and added": {[]string{`ALTER TABLE notes DROP COLUMN n; ALTER TABLE notes ADD COLUMN n INTEGER DEFAULT 0`},
			0},
		"in two migrations": {[]string{`ALTER TABLE notes DROP COLUMN n`,
			`ALTER TABLE notes ADD COLUMN n INTEGER DEFAULT 0`}, 0},
		"renamed to and fro": {[]string{`ALTER TABLE notes RENAME TO x; UPDATE x SET title = 'X';
			DELETE FROM x WHERE id = 'a'; ALTER TABLE x RENAME TO notes`}, 0},
		"two tables swapped": {[]string{`CREATE TABLE other(` + same +
			`); INSERT INTO other SELECT id, 'o', 1, 2 FROM notes`, `ALTER TABLE notes RENAME TO x;
				ALTER TABLE other RENAME TO notes; ALTER TABLE x RENAME TO other`}, 0},
		"STRICT": {[]string{`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 0, any ANY) STRICT,
			WITHOUT ROWID; INSERT INTO next SELECT id, title || '', 7, any FROM notes; DROP TABLE notes;
				ALTER TABLE next RENAME TO notes`}, 2},
		"another affinity": {[]string{next(`id TEXT PRIMARY KEY, title BLOB, n TEXT DEFAULT 0, any INTEGER`,
			`INSERT INTO next SELECT * FROM notes`)}, 2},
		"key of another type": {[]string{next(`id INTEGER PRIMARY KEY, title TEXT, n INTEGER DEFAULT 0, any`,
			`INSERT INTO next SELECT row_number() OVER (), title, n, any FROM notes`)}, 4},
		"NOT NULL": {[]string{next(`id TEXT PRIMARY KEY, title TEXT NOT NULL, n INTEGER DEFAULT 0, any`,
			`INSERT INTO next SELECT id, coalesce(title, ''), n, any FROM notes`)}, 2},
		"NOT NULL, plain": {[]string{next(`id TEXT PRIMARY KEY, title TEXT NOT NULL, n INTEGER DEFAULT 0, any`,
			`INSERT INTO next SELECT * FROM notes`)}, 2},
		"NOT NULL, REPLACE": {[]string{next(`id TEXT PRIMARY KEY, title TEXT NOT NULL, n INTEGER DEFAULT 0, any`,
			`/* all */ REPLACE INTO next SELECT * FROM notes`)}, 2},
		"NOT NULL, WITH": {[]string{next(`id TEXT PRIMARY KEY, title TEXT NOT NULL, n INTEGER DEFAULT 0, any`,
			`WITH w AS (SELECT * FROM notes) INSERT INTO next SELECT * FROM w`)}, 2},
		"SET NOT NULL":      {[]string{`ALTER TABLE notes ALTER COLUMN title SET NOT NULL`}, 2},
		"CHECK":             {[]string{`ALTER TABLE notes ADD CHECK (title <> 'b')`}, 0},
		"CHECK, rebuilt":    {[]string{next(same+`, CHECK (title <> 'b')`, `INSERT INTO next SELECT * FROM notes`)}, 0},
		"column with CHECK": {[]string{`ALTER TABLE notes ADD COLUMN more INTEGER DEFAULT 1 CHECK (title <> 'b')`}, 0},
		"STRICT, plain": {[]string{`CREATE TABLE next(id TEXT PRIMARY KEY, title TEXT, n INTEGER,
			any INTEGER) STRICT; INSERT INTO next SELECT * FROM notes; DROP TABLE notes; ALTER TABLE next RENAME TO notes`}, 2},
		"index on expression": {[]string{`CREATE INDEX by_json ON notes(json_extract(title, '$.a'))`}, 2},
		"generated, stored": {[]string{next(same+`, g AS (json_extract(title, '$.a')) STORED`,
			`INSERT INTO next SELECT * FROM notes`)}, 2},
		"another default": {[]string{next(`id TEXT PRIMARY KEY, title TEXT, n INTEGER DEFAULT 5, any`,
			`INSERT INTO next(id) SELECT id FROM notes`)}, 0},
		"new columns": {[]string{next(`more TEXT DEFAULT 'm', any, id TEXT PRIMARY KEY, title TEXT,
			n INTEGER DEFAULT 0`, `INSERT INTO next SELECT 'other', 1, id, title, n FROM notes`)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			r := newReplica(t, []string{first}, "notes")
			r.must(`INSERT INTO notes VALUES('a', NULL, 1, 1), ('b', 'b', 2.5, '1'), ('c', NULL, NULL, NULL), ('d', 'd', 'x',
				x'00')`)
			r.push(l, 1, func() string { return "" })
			r.pull(l, 1)
			columns := []string{"title", "n", "any"}
			before := l.dump("notes", columns)
			if got := r.dump("notes", "id", columns); !slices.Equal(got, before) {
				t.Fatalf("got %q, want %q", got, before)
			}
			r.close()
			r.opts.Migrations = append(r.opts.Migrations, c.migrations...)
			if err := r.tryOpen(); err != nil {
				t.Fatal(err)
			}
			refused, err := r.c.Quarantined(t.Context(), 100)
			if err != nil || len(refused) != c.quarantined {
				t.Errorf("quarantined: %d, %v", len(refused), err)
			}
			got := r.dump("notes", "id", columns)
			for _, q := range refused {
				line := show(q.Key.Key)
				for _, name := range columns {
					line += " " + show([]wire.Value{q.Cells[name]})
				}
				got = append(got, line)
			}
			slices.Sort(got)
			if !slices.Equal(got, before) {
				t.Errorf("got  %q\nwant %q", got, before)
			}
			if digest := recountDigest(t, r.c); digest != l.digest() {
				t.Error("the rows do not have the log's digest")
			}
			if n := left(t, r.db); n != 0 {
				t.Errorf("%d of Heddle's tables are left over", n)
			}
		})
	}
}

// recountDigest is the digest of what the tables hold.
func recountDigest(t *testing.T, c *Replica) (digest wire.Hash) {
	t.Helper()
	err := c.db.Apply(t.Context(), func(tx *store.Tx) error {
		a, err := c.begin(tx)
		if err != nil {
			return err
		}
		a.digest = &fold.Digest{}
		err = a.countRows()
		digest = a.digest.Sum()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func left(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	err := db.Query(t.Context(),
		`SELECT count(*) FROM sqlite_schema WHERE name LIKE 'heddle_kept%' OR name LIKE
			'heddle_aside%'`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			n = s.ColumnInt(0)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
