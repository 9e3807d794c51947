package capture_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// TestCommit_rows compares the rows of commits with the difference between whole
// tables, over random transactions.
func TestCommit_rows(t *testing.T) {
	ctx := context.Background()
	for _, synced := range [][]string{nil, {"a", "w"}} {
		db := storetest.Open(t, store.Options{Synced: synced, Migrations: []string{`
			CREATE TABLE a(id TEXT PRIMARY KEY NOT NULL, x, g AS (x + 1) STORED, v AS (x));
			CREATE TABLE w(k TEXT COLLATE nocase NOT NULL, x REAL, PRIMARY KEY(k)) WITHOUT ROWID;
			CREATE TRIGGER tr AFTER UPDATE ON a BEGIN UPDATE w SET x = x + 1 WHERE k = new.id; END;`}})
		db.NewFeed().CarryRows(true)
		var commit *store.Commit
		db.OnCommit(func(c store.Commit) { commit = &c })
		r := rand.New(rand.NewPCG(1, 2))
		key := func() string { return fmt.Sprintf("%c", "abcdABCD"[r.IntN(8)]) }
		before := content(t, db)
		seen, moved := 0, 0
		for range 600 {
			commit = nil
			origin := store.Origin{Kind: store.Local}
			if r.IntN(4) == 0 {
				origin.Kind = store.Sync
			}
			db.Update(ctx, origin, func(tx *store.Tx) error {
				for range 1 + r.IntN(4) {
					sql := fmt.Sprintf([]string{
						`INSERT OR REPLACE INTO a(id, x) VALUES('%s', %d)`, `INSERT INTO a(id, x) VALUES('%s', %d), ('x', 1), ('x', 2)`,
						`UPDATE a SET id = '%s' WHERE x = %d`, `UPDATE OR REPLACE a SET rowid = x + 1 WHERE id = '%s' OR x = %d`,
						`DELETE FROM a WHERE id > '%s' AND x = %d`, `INSERT OR REPLACE INTO w VALUES('%s', %d)`,
						`UPDATE w SET k = upper(k) WHERE k = '%s' OR x = %d`, `DELETE FROM w WHERE k = '%s' AND x < %d`,
						`SAVEPOINT s; UPDATE a SET x = 9; DELETE FROM w; ROLLBACK TO s; INSERT OR IGNORE INTO w VALUES('%s', %d)`,
					}[r.IntN(9)], key(), r.IntN(4))
					tx.Exec(sql, store.Params{})
				}
				return nil
			})
			after := content(t, db)
			if commit == nil {
				if fmt.Sprint(before) != fmt.Sprint(after) {
					t.Fatal("a change without a commit")
				}
				continue
			}
			// What the commit says, done to the former state, is the new one.
			got := maps.Clone(before)
			for _, tc := range commit.Tables {
				if !tc.AllRows {
					t.Fatalf("%s: few rows, and not all are there", tc.Table)
				}
				for _, row := range tc.Rows {
					seen++
					if row.Old != nil {
						k := placeOf(tc.Of, row.RowID, row.Old)
						if !value.EqualAll(got[k], row.Old) {
							t.Fatalf("%s: before %s was %v, not %v", tc.Table, k, got[k], row.Old)
						}
						delete(got, k)
					}
				}
				for _, row := range tc.Rows {
					if row.New != nil {
						got[placeOf(tc.Of, row.RowID, row.New)] = row.New
					}
				}
				if tc.HasInsertOrDelete {
					moved++
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(after) {
				t.Fatalf("synced %v: got %v, want %v", synced, got, after)
			}
			before = after
		}
		if seen < 300 || moved < 50 {
			t.Errorf("%d rows in %d commits: the test is hollow", seen, moved)
		}
	}
}

func placeOf(t *store.Table, rowid int64, row []store.Value) string {
	if t.WithoutRowID {
		return fmt.Sprint(t.Name, row[0])
	}
	return fmt.Sprint(t.Name, rowid)
}

// content reads the rows of both tables, by their places.
func content(t *testing.T, db *store.DB) map[string][]store.Value {
	t.Helper()
	rows := map[string][]store.Value{}
	for name, sql := range map[string]string{
		"a": `SELECT rowid, id, x, g FROM a NOT INDEXED`, "w": `SELECT 0, k, x FROM w`} {
		table, _ := db.Table(name)
		err := db.Query(context.Background(), sql, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			row := make([]store.Value, s.ColumnCount())
			if err := store.Scan(s, row); err != nil {
				return err
			}
			rows[placeOf(table, row[0].(int64), row[1:])] = row[1:]
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// TestCommit_manyRows: a load is announced without its rows, and so is what nobody
// wants the rows of.
func TestCommit_manyRows(t *testing.T) {
	for _, synced := range [][]string{nil, {"t"}} {
		db := storetest.Open(t, store.Options{Synced: synced,
			Migrations: []string{`CREATE TABLE t(a INTEGER PRIMARY KEY, b)`}})
		var commit *store.Commit
		db.OnCommit(func(c store.Commit) { commit = &c })
		db.NewFeed()
		feed := db.NewFeed()
		for _, test := range []struct {
			wanted bool
			sql    string
			rows   int
		}{
			{true, `INSERT INTO t(a) VALUES(1), (2)`, 2},
			{true, `WITH RECURSIVE s(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM s WHERE n < 90)
				INSERT INTO t(a) SELECT n FROM s`, -1},
			{true, `UPDATE t SET b = zeroblob(300000) WHERE a = 1`, -1},
			{true, `UPDATE t SET b = 1 WHERE a = 2`, 1},
			{false, `UPDATE t SET b = 2 WHERE a = 2`, -1},
			{true, `UPDATE t SET b = 3 WHERE a = 2`, 1},
		} {
			feed.CarryRows(test.wanted)
			if _, err := db.Exec(context.Background(), test.sql, store.Params{}); err != nil {
				t.Fatal(err)
			}
			tc := commit.Tables[0]
			if tc.AllRows != (test.rows >= 0) || tc.AllRows && len(tc.Rows) != test.rows {
				t.Errorf("synced %v: %s: %d rows, all: %v", synced, test.sql, len(tc.Rows), tc.AllRows)
			}
		}
	}
}
