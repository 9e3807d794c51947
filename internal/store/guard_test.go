package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"

	"github.com/ncruces/go-sqlite3"
)

// TestGuard_attach: no statement attaches or detaches anything, whoever runs it,
// and the writes of others go on.
func TestGuard_attach(t *testing.T) {
	ctx := context.Background()
	file := testFile(t)
	for _, single := range []bool{false, true} {
		db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}, SingleConn: single})
		for _, test := range []struct {
			sql string
			p   Params
		}{
			{`ATTACH ? AS x`, Args(file)},
			{`ATTACH :f AS x`, Params{Named: map[string]Value{"f": file}}},
			{`ATTACH ? AS x`, Args(":memory:")},
			{`ATTACH '' AS x`, Params{}},
			{`ATTACH ':memory:' AS x`, Params{}},
			{`ATTACH '` + file + `' AS x`, Params{}},
			{`ATTACH ':mem' || 'ory:' AS x`, Params{}},
			{`/* c */ attach database ? as x`, Args(file)},
			{`DETACH main`, Params{}},
			{`DETACH ?`, Args("temp")},
			{`VACUUM INTO '` + strings.TrimPrefix(file, "file:") + `'`, Params{}},
		} {
			_, err := db.Exec(ctx, test.sql, test.p)
			wantCode(t, err, errcode.Unsupported)
			if err := db.Query(ctx, test.sql, test.p, nil, nil); errcode.Of(err) != errcode.Unsupported {
				t.Errorf("query %s: got %v", test.sql, err)
			}
		}
		_, err := db.Exec(ctx, `VACUUM INTO ?`, Args(file))
		if err == nil {
			t.Error("VACUUM INTO a parameter works")
		}
		same(t, query(t, db, `SELECT group_concat(name) FROM pragma_database_list WHERE name NOT IN ('temp')`),
			[][]Value{{"main"}})
		exec(t, db, `INSERT INTO t VALUES(1)`)
		exec(t, db, `VACUUM`)
	}
	_, err := Open(ctx, Options{Filename: testFile(t), Migrations: []string{`ATTACH ':memory:' AS x`}})
	wantCode(t, err, errcode.Migration)
}

// never are pragmas that the app may not even name.
var never = map[string]bool{
	"case_sensitive_like": true, "shrink_memory": true, "temp_store_directory": true, "wal_checkpoint": true,
}

// TestGuard_pragmas goes through all pragmas that the engine knows: each is
// decided, and none that is refused changes a connection.
func TestGuard_pragmas(t *testing.T) {
	ctx := context.Background()
	for _, single := range []bool{false, true} {
		db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}, SingleConn: single})
		before := settings(t, db)
		names := []string{"checksum_verification", "nonsense", "key", "rekey", "parser_trace", "stats", "reset_database"}
		for _, row := range query(t, db, `SELECT name FROM pragma_pragma_list`) {
			name := row[0].(string)
			if sqlconn.Pragmas[name] == 0 && !never[name] {
				t.Errorf("nothing says whether the app may use PRAGMA %s", name)
			}
			names = append(names, name)
		}
		for _, name := range names {
			use := sqlconn.Pragmas[name]
			for _, form := range []string{"%s = 1", "%s(1)", "%s = ''", `%s("")`, "%s = off", "%s = 'delete'", "main.%s = 3",
				"%s /* = */ = 0", "%s -- ;\n = 0"} {
				sql := "PRAGMA " + fmt.Sprintf(form, name)
				_, err := db.Exec(ctx, sql, Params{})
				err2 := db.Query(ctx, sql, Params{}, nil, func(*sqlite3.Stmt) error { return nil })
				refused := errcode.Of(err) == "SQLITE_AUTH" && errcode.Of(err2) == "SQLITE_AUTH"
				if refused != (use&sqlconn.Set == 0) {
					t.Errorf("%s: got %v and %v", sql, err, err2)
				}
			}
			for _, form := range []string{"PRAGMA %s", "pragma\n/* x */ Main . %s ; -- y", "/* a */ PRAGMA %s -- b"} {
				sql := fmt.Sprintf(form, name)
				err := db.Query(ctx, sql, Params{}, nil, func(*sqlite3.Stmt) error { return nil })
				if refused := errcode.Of(err) == "SQLITE_AUTH"; refused != (use&sqlconn.Look == 0) {
					t.Errorf("%s: got %v", sql, err)
				}
			}
		}
		exec(t, db, `PRAGMA user_version = 0; PRAGMA application_id = 0; PRAGMA analysis_limit = 0`)
		if after := settings(t, db); after != before {
			t.Errorf("the connections changed:\n%s\nbefore:\n%s", after, before)
		}
		same(t, query(t, db, `PRAGMA user_version`), [][]Value{{int64(0)}})
		exec(t, db, `INSERT INTO t VALUES(1)`)
	}
}

// settings are the values of both connections.
func settings(t *testing.T, db *DB) string {
	t.Helper()
	var b strings.Builder
	for _, c := range []*conn{db.writerConn, db.readerConn} {
		err := db.inside(context.Background(), c, func() error {
			for _, name := range strings.Fields(`auto_vacuum automatic_index busy_timeout cache_size cache_spill cell_size_check
				checkpoint_fullfsync checksum_verification encoding foreign_keys fullfsync hard_heap_limit ignore_check_constraints
				journal_mode journal_size_limit legacy_alter_table locking_mode max_page_count mmap_size page_size query_only
				read_uncommitted recursive_triggers reverse_unordered_selects secure_delete short_column_names soft_heap_limit
				synchronous temp_store threads trusted_schema wal_autocheckpoint writable_schema`) {
				v, err := c.Scalar(`PRAGMA ` + name)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, "%s=%v ", name, v)
			}
			reserve, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, -1)
			fmt.Fprintf(&b, "reserve=%v\n", reserve)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestGuard_temporary: nothing temporary stands before what other tabs use.
func TestGuard_temporary(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a); CREATE VIEW v AS SELECT * FROM t`}})
	exec(t, db, `CREATE TEMP TABLE tmp(a); INSERT INTO tmp VALUES(7)`)
	exec(t, db, `CREATE TEMP TRIGGER fine AFTER INSERT ON tmp BEGIN INSERT INTO t VALUES(new.a); END`)
	for _, sql := range []string{
		`CREATE TEMP TABLE t(a)`,
		`CREATE TEMP TABLE "T" AS SELECT 1`,
		`CREATE TEMP VIEW t AS SELECT 1`,
		`CREATE TEMP VIEW v AS SELECT 1`,
		`CREATE TABLE temp.t(a)`,
		`CREATE VIRTUAL TABLE temp.t USING fts5(a)`,
		`ALTER TABLE tmp RENAME TO t`,
		`CREATE TABLE tmp(a)`,
		`CREATE VIEW Tmp AS SELECT 1`,
		`ALTER TABLE main.t RENAME TO tmp`,
		`CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END`,
		`CREATE TEMP TRIGGER tr INSTEAD OF INSERT ON main.v BEGIN SELECT 1; END`,
	} {
		_, err := db.Exec(ctx, sql, Params{})
		if errcode.Of(err) != errcode.Unsupported {
			t.Errorf("%s: got %v", sql, err)
		}
		if err := db.Query(ctx, sql, Params{}, nil, nil); errcode.Of(err) != errcode.Unsupported {
			t.Errorf("query %s: got %v", sql, err)
		}
	}
	// A refused one leaves the rest of the transaction.
	err := db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		if _, err := tx.Exec(`CREATE TABLE u(a); INSERT INTO u VALUES(1)`, Params{}); err != nil {
			return err
		}
		_, err := tx.Exec(`ALTER TABLE u RENAME TO heddle_u`, Params{})
		wantCode(t, err, "SQLITE_AUTH")
		_, err = tx.Exec(`INSERT INTO u VALUES(2)`, Params{})
		return err
	})
	wantCode(t, err, "")
	exec(t, db, `ALTER TABLE u RENAME COLUMN a TO heddle_a`) // a column's name is the app's
	exec(t, db, `INSERT INTO t VALUES(1)`)
	exec(t, db, `INSERT INTO tmp VALUES(8)`)
	same(t, query(t, db, `SELECT a, (SELECT count(*) FROM u) FROM t`),
		[][]Value{{int64(1), int64(2)}, {int64(8), int64(2)}})
	same(t, query(t, db, `SELECT count(*) FROM tmp`), [][]Value{{int64(2)}})
	for _, sql := range []string{`CREATE TEMP TABLE a(x); CREATE TABLE a(y)`,
		`CREATE TABLE a(x); ALTER TABLE a RENAME TO heddle_a`} {
		_, err := Open(ctx, Options{Filename: testFile(t), Migrations: []string{sql}})
		wantCode(t, err, errcode.Migration)
	}
}

// TestClass: what SQL does, by SQLite's own word, whatever the text looks like.
// The page's rule, which has the text alone, passes the same cases: see isRead.
func TestClass(t *testing.T) {
	file, err := os.ReadFile("testdata/class.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ SQL, Class string }
	if err := json.Unmarshal(file, &cases); err != nil {
		t.Fatal(err)
	}
	classes := map[string]Class{"other": Other, "read": Reads, "rows": Rows, "vacuum": Vacuum}
	for _, single := range []bool{false, true} {
		db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a, b); CREATE TABLE vacuum_cleaners(a)`},
			SingleConn: single})
		exec(t, db, `CREATE TABLE late(a)`) // by the other connection
		for _, test := range cases {
			if got := db.Class(test.SQL); got != classes[test.Class] {
				t.Errorf("%q: got %v, want %v", test.SQL, got, test.Class)
			}
		}
		for _, sql := range []string{`VACUUM main`, "/* x */ VACUUM", "-- x\nvacuum;", `;VACUUM -- y`} {
			exec(t, db, `INSERT INTO t SELECT value, randomblob(1000) FROM `+series(1000))
			exec(t, db, `DELETE FROM t`)
			before := query(t, db, `SELECT freelist_count FROM pragma_freelist_count`)[0][0].(int64)
			exec(t, db, sql)
			if after := query(t, db, `SELECT freelist_count FROM pragma_freelist_count`)[0][0].(int64); before < 100 ||
				after != 0 {
				t.Errorf("%q: %d free pages before, %d after", sql, before, after)
			}
		}
		_, err = db.Exec(context.Background(), `VACUUM; SELECT 1`, Params{})
		wantCode(t, err, errcode.Unsupported)
		_, err = db.Exec(context.Background(), `VACUUM nowhere`, Params{})
		wantCode(t, err, "SQLITE_ERROR")
	}
}
