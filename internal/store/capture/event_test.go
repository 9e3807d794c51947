package capture_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
)

func TestOnCommit_tables(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: []string{`
		CREATE TABLE l(id INTEGER PRIMARY KEY, a, b);
		CREATE TABLE k(id TEXT PRIMARY KEY, a, b);
		CREATE TABLE w(x TEXT, y INT, a, PRIMARY KEY(y, x)) WITHOUT ROWID;
		CREATE TABLE n(a, b);
		CREATE TABLE s(id TEXT PRIMARY KEY, a, b, g AS (a) VIRTUAL);
		CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT);
		CREATE VIRTUAL TABLE f USING fts5(body);
		CREATE TRIGGER ktr AFTER UPDATE OF a ON k BEGIN UPDATE l SET b = new.a WHERE id = 1; END;`}, Synced: []string{"s"}})
	var got *store.Commit
	remove := db.OnCommit(func(c store.Commit) { got = &c })
	k := func(keys ...store.Value) (list [][]store.Value) {
		for _, key := range keys {
			list = append(list, []store.Value{key})
		}
		return list
	}
	one := int64(1)
	for _, test := range []struct {
		sql  string
		want []store.TableCommit
	}{
		{`INSERT INTO l VALUES(1, 1, 1), (2, 2, 2)`,
			[]store.TableCommit{{Table: "l", Inserted: k(one, int64(2)), Columns: []string{"id", "a", "b"},
				HasInsertOrDelete: true}}},
		{`UPDATE l SET a = 5 WHERE id = 1`, []store.TableCommit{{Table: "l", Updated: k(one), Columns: []string{"a"}}}},
		{`UPDATE l SET id = 3 WHERE id = 2`,
			[]store.TableCommit{{Table: "l", Inserted: k(int64(3)), Deleted: k(int64(2)), Columns: []string{"id", "a", "b"},
				HasInsertOrDelete: true}}},
		{`UPDATE l SET a = 5 WHERE id = 99`, nil},
		{`INSERT INTO l VALUES(9, 9, 9); DELETE FROM l WHERE id = 9`, nil},
		{`INSERT INTO k VALUES('x', 1, 1)`,
			[]store.TableCommit{{Table: "k", Inserted: k("x"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`UPDATE k SET a = 2`, []store.TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"a"}},
			{Table: "l", Updated: k(one), Columns: []string{"b"}}}},
		{`UPDATE k SET b = 2`, []store.TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"b"}}}},
		{`INSERT INTO k VALUES('x', 1, 1) ON CONFLICT DO UPDATE SET b = 3`,
			[]store.TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"b"}}}},
		{`REPLACE INTO k VALUES('x', 1, 1)`,
			[]store.TableCommit{{Table: "k", Updated: k("x"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`DELETE FROM k`, []store.TableCommit{{Table: "k", Deleted: k("x"), Columns: []string{"id", "a", "b"},
			HasInsertOrDelete: true}}},
		{`INSERT INTO w VALUES('x', 1, 0)`,
			[]store.TableCommit{{Table: "w", Inserted: [][]store.Value{{one, "x"}}, Columns: []string{"x", "y", "a"},
				HasInsertOrDelete: true}}},
		{`UPDATE w SET a = 1`,
			[]store.TableCommit{{Table: "w", Updated: [][]store.Value{{one, "x"}}, Columns: []string{"a"}}}},
		{`INSERT INTO n VALUES(1, 2)`,
			[]store.TableCommit{{Table: "n", Inserted: k(one), Columns: []string{"a", "b"}, HasInsertOrDelete: true}}},
		{`INSERT INTO s VALUES('a', 1, 2)`,
			[]store.TableCommit{{Table: "s", Inserted: k("a"), Columns: []string{"id", "a", "b"}, HasInsertOrDelete: true}}},
		{`UPDATE s SET a = 1, b = 3`, []store.TableCommit{{Table: "s", Updated: k("a"), Columns: []string{"b"}}}},
		{`INSERT INTO auto VALUES(NULL)`,
			[]store.TableCommit{{Table: "auto", Inserted: k(one), Columns: []string{"id"}, HasInsertOrDelete: true}}},
		{`ANALYZE`, nil},
	} {
		got = nil
		if _, err := db.Exec(ctx, test.sql, store.Params{}); err != nil {
			t.Fatalf("%s: %v", test.sql, err)
		}
		switch {
		case got == nil && test.want == nil:
		case got == nil:
			t.Errorf("%s: no commit", test.sql)
		default:
			if g, w := fmt.Sprintf("%#v", storetest.Keys(got.Tables)), fmt.Sprintf("%#v", test.want); g != w {
				t.Errorf("%s\ngot  %s\nwant %s", test.sql, g, w)
			}
		}
	}

	// A full-text index stands for its shadow tables.
	for _, sql := range []string{`INSERT INTO f VALUES('some words')`, `UPDATE f SET body = 'other'`, `DELETE FROM f`,
		`INSERT INTO f(f) VALUES('rebuild')`} {
		got = nil
		storetest.Exec(t, db, sql)
		if got == nil || len(got.Tables) != 1 || got.Tables[0].Table != "f" || !got.Tables[0].HasInsertOrDelete ||
			got.Tables[0].More == 0 {
			t.Errorf("%s: got %+v", sql, got)
		}
	}

	got = nil
	storetest.Exec(t, db, `CREATE TABLE later(a)`)
	if got == nil || !got.Schema {
		t.Errorf("after DDL: got %+v", got)
	}
	storetest.Exec(t, db, `INSERT INTO later VALUES(1)`)
	if got.Schema || got.Tables[0].Table != "later" {
		t.Errorf("got %+v", got)
	}

	for _, table := range []string{"l", "s"} {
		storetest.Exec(t, db, `INSERT INTO `+table+`(id) SELECT value + 1000 FROM `+storetest.Series(2500))
		if tc := got.Tables[0]; len(tc.Inserted) != store.MaxKeys || tc.More != 1500 || len(tc.Columns) != 3 {
			t.Errorf("%s: got %d keys and %d more", table, len(tc.Inserted), tc.More)
		}
	}
	got = nil
	remove()
	storetest.Exec(t, db, `DELETE FROM l`)
	if got != nil {
		t.Errorf("after remove: got %+v", got)
	}
}

func TestOnCommit_order(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY)`}})
	var mu sync.Mutex
	var numbers []uint64
	db.OnCommit(func(c store.Commit) {
		mu.Lock()
		defer mu.Unlock()
		numbers = append(numbers, c.Number)
		if len(numbers) == 5 { // a subscriber may call the database
			if err := db.Query(ctx, `SELECT 1`, store.Params{}, nil, func(*sqlite3.Stmt) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := db.Exec(ctx, `INSERT INTO t VALUES(NULL)`, store.Params{}); err != nil {
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

// TestCommit_moves: a row that is as it was at another rowid is announced, and so is
// what changes no row and may change every plan.
func TestCommit_moves(t *testing.T) {
	ctx := context.Background()
	for _, synced := range [][]string{nil, {"a"}} {
		db := storetest.Open(t, store.Options{Synced: synced, Migrations: []string{`
			CREATE TABLE a(id TEXT PRIMARY KEY, x, g AS (x + 1) STORED)`}})
		if _, err := db.Exec(ctx, `INSERT INTO a(rowid, id, x) VALUES(1, 'a', 1), (2, 'b', 2)`,
			store.Params{}); err != nil {
			t.Fatal(err)
		}
		var got *store.Commit
		db.OnCommit(func(c store.Commit) { got = &c })
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
			if _, err := db.Exec(ctx, test.sql, store.Params{}); err != nil {
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

// TestCommit_nullKeys: a key with NULL names no row, since several may have it.
func TestCommit_nullKeys(t *testing.T) {
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: []string{`CREATE TABLE a(id REAL PRIMARY KEY, x);
		INSERT INTO a VALUES(NULL, 1), (5, 5)`}})
	db.NewFeed().CarryRows(true)
	var got *store.Commit
	db.OnCommit(func(c store.Commit) { got = &c })
	err := db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO a VALUES(NULL, 2), (5, 3)`, store.Params{}); err == nil {
			t.Error("a key twice")
		}
		_, err := tx.Exec(`DELETE FROM a WHERE x = 1`, store.Params{})
		return err
	})
	if err != nil || got == nil || !got.Tables[0].HasInsertOrDelete || len(got.Tables[0].Rows) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}
