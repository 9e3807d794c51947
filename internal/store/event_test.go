package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func TestOnCommit_tables(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE l(id INTEGER PRIMARY KEY, a, b);
		CREATE TABLE k(id TEXT PRIMARY KEY, a, b);
		CREATE TABLE w(x TEXT, y INT, a, PRIMARY KEY(y, x)) WITHOUT ROWID;
		CREATE TABLE n(a, b);
		CREATE TABLE s(id TEXT PRIMARY KEY, a, b, g AS (a) VIRTUAL);
		CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT);
		CREATE VIRTUAL TABLE f USING fts5(body);
		CREATE TRIGGER ktr AFTER UPDATE OF a ON k BEGIN UPDATE l SET b = new.a WHERE id = 1; END;`}, Synced: []string{"s"}})
	var got *Commit
	remove := db.OnCommit(func(c Commit) { got = &c })
	k := func(keys ...Value) (list [][]Value) {
		for _, key := range keys {
			list = append(list, []Value{key})
		}
		return list
	}
	one := int64(1)
	for _, test := range []struct {
		sql  string
		want []TableCommit
	}{
		{`INSERT INTO l VALUES(1, 1, 1), (2, 2, 2)`,
			[]TableCommit{{Table: "l", Inserted: k(one, int64(2)), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`UPDATE l SET a = 5 WHERE id = 1`, []TableCommit{{Table: "l", Updated: k(one), Columns: []string{"a"}}}},
		{`UPDATE l SET id = 3 WHERE id = 2`,
			[]TableCommit{{Table: "l", Inserted: k(int64(3)), Deleted: k(int64(2)), Columns: []string{"id", "a", "b"},
				HasInsertOrDelete: true}}},
		{`UPDATE l SET a = 5 WHERE id = 99`, nil},
		{`INSERT INTO l VALUES(9, 9, 9); DELETE FROM l WHERE id = 9`, nil},
		{`INSERT INTO k VALUES('x', 1, 1)`,
			[]TableCommit{{Table: "k", Inserted: k("x"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`UPDATE k SET a = 2`, []TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"a"}},
			{Table: "l", Updated: k(one), Columns: []string{"b"}}}},
		{`UPDATE k SET b = 2`, []TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"b"}}}},
		{`INSERT INTO k VALUES('x', 1, 1) ON CONFLICT DO UPDATE SET b = 3`,
			[]TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"b"}}}},
		{`REPLACE INTO k VALUES('x', 1, 1)`,
			[]TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`DELETE FROM k`, []TableCommit{{Table: "k", Deleted: k("x"), Columns: []string{"id", "a", "b"},
			HasInsertOrDelete: true}}},
		{`INSERT INTO w VALUES('x', 1, 0)`,
			[]TableCommit{{Table: "w", Inserted: [][]Value{{one, "x"}}, Columns: []string{"x", "y", "a"},
				HasInsertOrDelete: true}}},
		{`UPDATE w SET a = 1`, []TableCommit{{Table: "w", Updated: [][]Value{{one, "x"}}, Columns: []string{"a"}}}},
		{`INSERT INTO n VALUES(1, 2)`,
			[]TableCommit{{Table: "n", Inserted: k(one), Columns: []string{"a", "b"}, HasInsertOrDelete: true}}},
		{`INSERT INTO s VALUES('a', 1, 2)`,
			[]TableCommit{{Table: "s", Inserted: k("a"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`UPDATE s SET a = 1, b = 3`, []TableCommit{{Table: "s", Updated: k("a"), Columns: []string{"b"}}}},
		{`INSERT INTO auto VALUES(NULL)`,
			[]TableCommit{{Table: "auto", Inserted: k(one), Columns: []string{"id"}, HasInsertOrDelete: true}}},
		{`ANALYZE`, nil},
	} {
		got = nil
		if _, err := db.Exec(ctx, test.sql, Params{}); err != nil {
			t.Fatalf("%s: %v", test.sql, err)
		}
		switch {
		case got == nil && test.want == nil:
		case got == nil:
			t.Errorf("%s: no commit", test.sql)
		default:
			if g, w := fmt.Sprintf("%#v", got.Tables), fmt.Sprintf("%#v", test.want); g != w {
				t.Errorf("%s\ngot  %s\nwant %s", test.sql, g, w)
			}
		}
	}

	// A full-text index stands for its shadow tables.
	for _, sql := range []string{`INSERT INTO f VALUES('some words')`, `UPDATE f SET body = 'other'`, `DELETE FROM f`,
		`INSERT INTO f(f) VALUES('rebuild')`} {
		got = nil
		exec(t, db, sql)
		if got == nil || len(got.Tables) != 1 || got.Tables[0].Table != "f" || !got.Tables[0].HasInsertOrDelete ||
			got.Tables[0].More == 0 {
			t.Errorf("%s: got %+v", sql, got)
		}
	}

	got = nil
	exec(t, db, `CREATE TABLE later(a)`)
	if got == nil || !got.Schema {
		t.Errorf("after DDL: got %+v", got)
	}
	exec(t, db, `INSERT INTO later VALUES(1)`)
	if got.Schema || got.Tables[0].Table != "later" {
		t.Errorf("got %+v", got)
	}

	for _, table := range []string{"l", "s"} {
		exec(t, db, `INSERT INTO `+table+`(id) SELECT value + 1000 FROM `+series(2500))
		if tc := got.Tables[0]; len(tc.Inserted) != MaxKeys || tc.More != 1500 || len(tc.Columns) != 3 {
			t.Errorf("%s: got %d keys and %d more", table, len(tc.Inserted), tc.More)
		}
	}
	got = nil
	remove()
	exec(t, db, `DELETE FROM l`)
	if got != nil {
		t.Errorf("after remove: got %+v", got)
	}
}

func TestOnCommit_order(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY)`}})
	var mu sync.Mutex
	var numbers []uint64
	db.OnCommit(func(c Commit) {
		mu.Lock()
		defer mu.Unlock()
		numbers = append(numbers, c.Number)
		if len(numbers) == 5 { // a subscriber may call the database
			if err := db.Query(ctx, `SELECT 1`, Params{}, nil, func(*sqlite3.Stmt) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := db.Exec(ctx, `INSERT INTO t VALUES(NULL)`, Params{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(numbers) != 80 || db.CommitNumber() != 80 {
		t.Errorf("got %d commits, number %d", len(numbers), db.CommitNumber())
	}
	for i, n := range numbers {
		if n != uint64(i+1) {
			t.Fatalf("commit %d came as %d", n, i+1)
		}
	}
}

func TestDeps_reads(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE a(id TEXT PRIMARY KEY, x, y, v AS (x || y));
		CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a(id));
		CREATE VIEW av AS SELECT id, x FROM a WHERE y > 0;
		CREATE VIRTUAL TABLE f USING fts5(body, content='a', content_rowid='rowid');`}})
	for _, test := range []struct {
		sql   string
		ro    bool
		reads map[string]map[string]bool
	}{
		{`SELECT x FROM a`, true, map[string]map[string]bool{"a": {"x": true}}},
		{`SELECT count(*) FROM a`, true, map[string]map[string]bool{"a": {}}},
		{`SELECT x FROM av`, true, map[string]map[string]bool{"a": {"id": true, "x": true, "y": true}}},
		{`SELECT v FROM A`, true, map[string]map[string]bool{"a": {"id": true, "x": true, "y": true}}},
		{`SELECT 1 FROM b WHERE a IN (SELECT id FROM a ORDER BY y)`, true,
			map[string]map[string]bool{"b": {"a": true}, "a": {"id": true, "y": true}}},
		{`SELECT rowid FROM b`, true, map[string]map[string]bool{"b": {"id": true}}},
		{`SELECT rowid FROM f WHERE f MATCH 'word'`, true, map[string]map[string]bool{"f": {}}},
		{`SELECT value FROM json_each('[1]')`, true, map[string]map[string]bool{}},
		{`UPDATE a SET x = y`, false, map[string]map[string]bool{"a": {"y": true, "x": true}}},
	} {
		deps, err := db.Deps(ctx, test.sql)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]map[string]bool{}
		for name, c := range deps.Reads {
			got[name] = c
		}
		if test.sql == `SELECT x FROM av` || !test.ro {
			// SQLite may leave out or add a column that it prunes.
			if !got["a"]["x"] && !got["a"]["y"] {
				t.Errorf("%s: got %v", test.sql, got)
			}
		} else if fmt.Sprint(got) != fmt.Sprint(test.reads) {
			t.Errorf("%s: got %v, want %v", test.sql, got, test.reads)
		}
		if deps.ReadOnly != test.ro {
			t.Errorf("%s: read-only %v", test.sql, deps.ReadOnly)
		}
	}
}

// TestCommit_moves: a row that is as it was at another rowid is announced, and so is
// what changes no row and may change every plan.
func TestCommit_moves(t *testing.T) {
	ctx := context.Background()
	for _, synced := range [][]string{nil, {"a"}} {
		db := openTest(t, Options{Synced: synced, Migrations: []string{`
			CREATE TABLE a(id TEXT PRIMARY KEY, x, g AS (x + 1) STORED)`}})
		if _, err := db.Exec(ctx, `INSERT INTO a(rowid, id, x) VALUES(1, 'a', 1), (2, 'b', 2)`, Params{}); err != nil {
			t.Fatal(err)
		}
		var got *Commit
		db.OnCommit(func(c Commit) { got = &c })
		for _, test := range []struct {
			sql     string
			moved   bool
			columns string
			schema  bool
		}{
			{`UPDATE a SET rowid = 9 WHERE id = 'a'`, true, "[id x g]", false},
			{`INSERT OR REPLACE INTO a(id, x) VALUES('b', 2)`, true, "[id x g]", false},
			{`UPDATE a SET x = 5 WHERE id = 'a'`, false, "[x g]", false},
			{`ANALYZE`, false, "", true},
			{`VACUUM`, false, "", true},
		} {
			got = nil
			if _, err := db.Exec(ctx, test.sql, Params{}); err != nil {
				t.Fatal(err)
			}
			switch {
			case got == nil || got.Schema != test.schema:
				t.Errorf("%s: got %+v", test.sql, got)
			case test.schema:
			case len(got.Tables) != 1 || got.Tables[0].HasInsertOrDelete != test.moved ||
				fmt.Sprint(got.Tables[0].Columns) != test.columns:
				t.Errorf("synced %v, %s: got %+v", synced, test.sql, got.Tables)
			}
		}
	}
}

func TestPlan_indexColumns(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`
		CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT, y, z, v AS (y));
		CREATE INDEX ay ON a(y, z); CREATE INDEX ax ON a(x COLLATE nocase, z);
		CREATE TABLE e(x, y, z); CREATE INDEX ee ON e(x + 1)`}})
	for _, test := range []struct {
		sql    string
		params Params
		want   map[string]map[string]bool
	}{
		{`SELECT id FROM a WHERE y = 1`, Params{}, map[string]map[string]bool{"a": {"id": true, "y": true, "z": true}}},
		{`SELECT id FROM a WHERE id = 1`, Params{}, map[string]map[string]bool{"a": {"id": true}}},
		{`SELECT v FROM a WHERE x LIKE ? AND id > 0`, Args("b%"),
			map[string]map[string]bool{"a": {"id": true, "x": true, "y": true, "z": true}}},
		{`SELECT id FROM a WHERE x LIKE ?`, Args("b%"), map[string]map[string]bool{"a": {"id": true, "x": true, "z": true}}},
		{`SELECT x FROM e WHERE x + 1 = 3`, Params{}, map[string]map[string]bool{"e": {"x": true, "y": true, "z": true}}},
	} {
		deps, err := db.Deps(ctx, test.sql)
		if err == nil {
			err = db.Plan(ctx, test.sql, test.params, &deps)
		}
		if err != nil || fmt.Sprint(deps.Reads) != fmt.Sprint(test.want) {
			t.Errorf("%s %v: got %v, %v, want %v", test.sql, test.params, deps.Reads, err, test.want)
		}
	}
}
