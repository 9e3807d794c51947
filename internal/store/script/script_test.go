package script_test

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/script"
	"heddle.dev/heddle/internal/store/storetest"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/rtree"
)

func init() { sqlite3.AutoExtension(rtree.Register) }

// dump is what sqlite3 3.40.1's .dump wrote of a database with a foreign key, a
// generated column, WITHOUT ROWID, AUTOINCREMENT, triggers, a view, FTS5, R-Tree
// and statistics, and with texts that look like SQL.
//
//go:embed testdata/dump.sql
var dump string

func TestImport_script(t *testing.T) {
	ctx := context.Background()
	for name, read := range map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
	} {
		path := filepath.Join(t.TempDir(), "ours.db")
		db := storetest.Open(t, store.Options{Filename: "file:" + path,
			Migrations: []string{`CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, body TEXT)`}})
		storetest.Exec(t, db, `INSERT INTO notes(body) VALUES('before')`)
		var commits []store.Commit
		db.OnCommit(func(c store.Commit) { commits = append(commits, c) })
		if err := db.Import(ctx, read(strings.NewReader(dump))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, test := range []struct {
			sql  string
			want store.Value
		}{
			{`SELECT count(*) FROM notes`, int64(0)},
			{`SELECT count(*) FROM books`, int64(54)},
			{`SELECT title FROM books WHERE id = 1`, "Notes\non the engine"},
			{`SELECT hex(cover) FROM books WHERE id = 1`, "00FF0027"},
			{`SELECT loud FROM books WHERE id = 2`, `THE THIRD "POLICEMAN"`},
			{`SELECT title FROM books WHERE id = 3`, `Ünïcödé 😀 ; END`},
			{`SELECT price = 1e300 AND length(cover) = 3000 FROM books WHERE id = 3`, int64(1)},
			{`SELECT group_concat(name, '|') FROM authors`, `Ada; Countess|O'Brien -- not a comment`},
			{`SELECT seq FROM sqlite_sequence WHERE name = 'authors'`, int64(3)},
			{`SELECT group_concat(tag) FROM tags WHERE book = 1`, "machine,old"},
			{`SELECT count(*) FROM cheap`, int64(53)},
			{`SELECT count(*) FROM search WHERE search MATCH 'volume'`, int64(51)},
			{`SELECT id FROM places WHERE x0 > 2`, int64(2)},
			{`SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'books'`, int64(1)},
			{`PRAGMA integrity_check`, "ok"},
			{`PRAGMA foreign_keys`, int64(1)},
			{`PRAGMA writable_schema`, int64(0)},
			{`PRAGMA journal_mode`, "wal"},
		} {
			if got := storetest.Query(t, db, test.sql); len(got) != 1 || got[0][0] != test.want {
				t.Errorf("%s: %s: got %v, want %v", name, test.sql, got, test.want)
			}
		}
		// The triggers work, and the index with them.
		storetest.Exec(t, db, `INSERT INTO books(id, title) VALUES(100, 'heddles')`)
		storetest.Same(t, storetest.Query(t, db, `SELECT what FROM log WHERE what LIKE '%heddles'`),
			[][]store.Value{{"new; heddles"}})
		storetest.Same(t, storetest.Query(t, db, `SELECT rowid FROM search WHERE search MATCH 'heddles'`),
			[][]store.Value{{int64(100)}})
		storetest.Exec(t, db, `INSERT INTO notes(body) SELECT hex(randomblob(400)) FROM `+storetest.Series(300))
		storetest.Checksums(t, db, path)
		if len(commits) == 0 || !commits[0].Schema {
			t.Errorf("got commits %v", commits)
		}
	}
}

// TestImport_scriptOfOurs: what .dump writes of an export comes back, migrations
// and all.
func TestImport_scriptOfOurs(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: storetest.Notes})
	var script strings.Builder
	script.WriteString("\ufeff-- of ours\nBEGIN;\n")
	storetest.Exec(t, db, `INSERT INTO notes(id, body) VALUES('a', 'b;')`)
	for _, row := range storetest.Query(t, db, `
		SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE
		'sqlite_%'
		UNION ALL SELECT format('INSERT INTO heddle_migration VALUES(%d, X''%s'');', number, hex(hash)) FROM heddle_migration
		UNION ALL SELECT format('INSERT INTO heddle_column VALUES(%Q, %Q, %d);', "table", "column", migration) FROM
		heddle_column
		UNION ALL SELECT format('INSERT INTO notes VALUES(%Q, %Q, %d, %d);', id, body, done, likes) FROM notes`) {
		script.WriteString(row[0].(string) + "\r\n")
	}
	script.WriteString("COMMIT")
	to := storetest.Open(t, store.Options{Migrations: storetest.Notes})
	if err := to.Import(ctx, strings.NewReader(script.String())); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, storetest.Query(t, to, `SELECT * FROM notes`), storetest.Query(t, db, `SELECT * FROM notes`))
	older := storetest.Open(t, store.Options{Migrations: storetest.Notes[:1]})
	storetest.WantCode(t, older.Import(ctx, strings.NewReader(script.String())), errcode.Migration)
}

// TestImport_scriptFails: a text that cannot be run whole leaves the database as it
// was, and the error says where and why.
func TestImport_scriptFails(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: []string{`CREATE TABLE mine(a)`}})
	storetest.Exec(t, db, `INSERT INTO mine VALUES(1)`)
	for _, test := range []struct{ what, text, code, says string }{
		{"a wrong statement", "CREATE TABLE t(a);\nINSERT INTO t VALUES(1,2);\nINSERT INTO t VALUES(3);", "SQLITE_ERROR",
			"has 1 columns but 2 values"},
		{"a constraint", "CREATE TABLE t(a UNIQUE);INSERT INTO t VALUES(1);INSERT INTO t VALUES(1);",
			"SQLITE_CONSTRAINT_UNIQUE", "UNIQUE"},
		{"no SQL", "Dear reader,\nthis is a letter.\n", "SQLITE_ERROR", "syntax error"},
		{"a cut text", dump[:len(dump)/2], "SQLITE_ERROR", ""},
		{"a text cut between statements", dump[:strings.Index(dump, "CREATE TRIGGER")], errcode.BadParam, "breaks off"},
		{"a rollback", "BEGIN; CREATE TABLE t(a); ROLLBACK; -- due to errors\n", "SQLITE_CORRUPT",
			"rolls its transaction back"},
		{"ATTACH", "ATTACH 'x' AS y;", errcode.Unsupported, "ATTACH"},
		{"a command of the shell", ".open x.db\n", "SQLITE_ERROR", "syntax error"},
		{"a table of the migrations", "CREATE TABLE mine(b);", errcode.Migration, "already exists"},
		{"a NUL", "CREATE TABLE t(a);" + strings.Repeat(" ", 5000) + "\x00 CREATE TABLE u(a);", errcode.BadParam, "NUL"},
		{"another encoding", "CREATE TABLE t(a);" + strings.Repeat(" ", 300_000) + "INSERT INTO t VALUES('\xe9\xe8')",
			errcode.BadParam, "UTF-8"},
		{"a damaged schema", "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES('table','x','x',77,'CREATE " +
			"TABLE x(a)');", "SQLITE_CORRUPT", ""},
		{"a statement without an end", "INSERT INTO t VALUES('" + strings.Repeat("x", script.MaxSQL+1<<20), "SQLITE_TOOBIG",
			""},
	} {
		err := db.Import(ctx, strings.NewReader(test.text))
		if errcode.Of(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: got %.300v (%s)", test.what, err, errcode.Of(err))
		}
		storetest.Same(t, storetest.Query(t, db, `
			SELECT a, (SELECT count(*) FROM sqlite_schema WHERE name IN ('t', 'u', 'x', 'books')) FROM mine`),
			[][]store.Value{{int64(1), int64(0)}})
	}
	storetest.WantCode(t, db.Import(ctx, bytes.NewReader([]byte("\x1f\x8b\x08 no text"))), "SQLITE_NOTADB")
	storetest.WantCode(t, db.Import(ctx, bytes.NewReader(nil)), "SQLITE_NOTADB")
	storetest.Exec(t, db, `INSERT INTO mine VALUES(2)`)
}

// TestImport_scriptOfSize: large statements and many of them.
func TestImport_scriptOfSize(t *testing.T) {
	db := storetest.Open(t, store.Options{})
	var b strings.Builder
	b.WriteString("PRAGMA journal_mode = WAL; CREATE TABLE t(a, b);\n")
	for i := range 50_000 {
		fmt.Fprintf(&b, "INSERT INTO t VALUES(%d,'row; %d');\n", i, i)
	}
	fmt.Fprintf(&b, "INSERT INTO t VALUES(-1, X'%s');VACUUM;\n/* %s */", strings.Repeat("ab", 5<<20),
		strings.Repeat("c;", 100_000))
	if err := db.Import(context.Background(), strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, storetest.Query(t, db, `SELECT count(*), sum(a), max(length(b)) FROM t`),
		[][]store.Value{{int64(50_001), int64(50_000*49_999/2 - 1), int64(5 << 20)}})
}

// TestImport_scriptAtRandom: wherever a text is cut into pieces, it does what it
// does as a whole. (A fuzzer is of no use here: with SQLite in it, it makes some
// ten executions a minute.)
func TestImport_scriptAtRandom(t *testing.T) {
	piece, part := script.Piece, script.Part
	t.Cleanup(func() { script.Piece, script.Part = piece, part })
	ctx := context.Background()
	statements := []string{
		`INSERT INTO t VALUES('a;b')`, `INSERT INTO t VALUES('it''s -- not /* a')`, "INSERT INTO t VALUES(';\n;')",
		`INSERT INTO t /* ; ' */ VALUES(1) -- ; "` + "\n", `INSERT INTO "t" VALUES(X'3B3b')`, `INSERT INTO [t] VALUES(2)`,
		`INSERT INTO t SELECT CASE WHEN 1 THEN ';' END`, `UPDATE t SET a = a || ';' WHERE rowid % 3 = 0`, `DELETE FROM t
			WHERE rowid % 7 = 0`,
		`CREATE TRIGGER IF NOT EXISTS r AFTER INSERT ON t BEGIN UPDATE t SET a = 'r;' WHERE rowid = new.rowid - 1; SELECT
			1; END`,
		`DROP TRIGGER IF EXISTS r`, `;`, ` /* nothing; */ `, `INSERT INTO t VALUES('Ünïcödé 😀 ' || ?1)`, `SAVEPOINT s;
			INSERT INTO t VALUES(3); ROLLBACK TO s; RELEASE s`,
		`INSERT INTO t VALUES(4) RETURNING a`, `SELECT ';'`, `INSERT INTO t VALUES(` + strings.Repeat("1+",
			60) + `1)`, `PRAGMA cache_size = 7`,
	}
	model := storetest.Open(t, store.Options{Migrations: []string{`CREATE TABLE t(a)`}})
	db := storetest.Open(t, store.Options{})
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		storetest.Exec(t, model, `DROP TABLE t; CREATE TABLE t(a)`)
		text := "CREATE TABLE t(a);"
		for range rng.IntN(40) {
			sql := statements[rng.IntN(len(statements))]
			text += strings.ReplaceAll(sql, "?1", "1") + []string{";", ";\n", " ; "}[rng.IntN(3)]
			if !strings.HasPrefix(sql, "PRAGMA") {
				storetest.Exec(t, model, strings.ReplaceAll(sql, "?1", "1"))
			}
		}
		script.Piece, script.Part = 1+rng.IntN(200), 1+rng.IntN(300)
		if err := db.Import(ctx, iotest.HalfReader(strings.NewReader(text))); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		const all = `SELECT coalesce(group_concat(quote(a) ORDER BY rowid), '') FROM t`
		if got, want := storetest.Query(t, db, all)[0][0], storetest.Query(t, model, all)[0][0]; got != want {
			t.Fatalf("seed %d: got %v\nwant %v\n%s", seed, got, want, text)
		}
	}
}
