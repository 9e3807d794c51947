package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/store"
)

// TestPin_neverHidesAChange makes random conditions: where a commit is excluded
// by a key condition, the query's result must be the same after it.
func TestPin_neverHidesAChange(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Filename: ":memory:", SingleConn: true, Migrations: []string{`
		CREATE TABLE a(id TEXT PRIMARY KEY, n INT, s TEXT);
		CREATE TABLE b(id INTEGER PRIMARY KEY, n INT, s TEXT);
		CREATE TABLE c(id INT, s TEXT COLLATE nocase, n, PRIMARY KEY(s, id)) WITHOUT ROWID;`}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var commit *store.Commit
	db.OnCommit(func(c store.Commit) { commit = &c })
	pinned, excluded := 0, 0
	rounds := 4000
	if testing.Short() {
		rounds = 500
	}
	for range rounds {
		table := pick("a", "b", "c")
		var args []store.Value
		value := func() string {
			switch r.IntN(5) {
			case 0:
				return pick("'1'", "'k2'", "'K2'", "'2'", "''")
			case 1:
				return fmt.Sprint(r.IntN(4))
			default:
				args = append(args, []store.Value{"1", "k2", "K2", int64(1), int64(2), 1.0, nil, "2"}[r.IntN(8)])
				return "?"
			}
		}
		term := func() string {
			switch r.IntN(7) {
			case 0, 1, 2:
				return pick("", "t.") + `id = ` + value()
			case 3:
				return value() + ` = "id"`
			case 4:
				return `s = ` + value()
			case 5:
				return `n BETWEEN ` + value() + ` AND id = ` + value()
			default:
				return `(n > ` + value() + pick(" OR ", " AND ") + `id = ` + value() + `)`
			}
		}
		where := term()
		for range r.IntN(3) {
			where += pick(" AND ", " AND ", " and ", " OR ", " /* OR */ AND NOT ") + term()
		}
		sql := fmt.Sprintf(`SELECT %s FROM %s%s WHERE %s%s`, pick("*", "count(*)", "id, n", "max(n)"), table,
			pick(" t", " AS t"), where, pick("", " ORDER BY 1", " LIMIT 2", " GROUP BY n"))
		params := store.Args(args...)
		deps, err := db.Deps(ctx, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		p := findPin(db, sql, params, deps)
		if p == nil {
			continue
		}
		pinned++
		before := fresh(t, db, sql, params)
		commit = nil
		key := pick("1", "2", "'1'", "'2'", "'k2'", "'K2'", "'x'")
		write := fmt.Sprintf(pick(`INSERT OR REPLACE INTO %[1]s(id, s, n) VALUES(%[2]s, %[2]s, %[3]d)`,
			`UPDATE OR IGNORE %[1]s SET n = n + 1 WHERE id = %[2]s`,
			`DELETE FROM %[1]s WHERE s = %[2]s`, `UPDATE OR IGNORE %[1]s SET id = %[2]s, n = %[3]d`), table, key, r.IntN(5))
		if _, err := db.Exec(ctx, write, store.Params{}); err != nil && !strings.Contains(err.Error(), "mismatch") {
			t.Fatalf("%s: %v", write, err)
		}
		if commit == nil || !p.excludes(&commit.Tables[0]) {
			continue
		}
		excluded++
		if after := fresh(t, db, sql, params); !reflect.DeepEqual(before, after) {
			t.Fatalf("%s %v\n%s\npinned %+v, commit %+v\nbefore %v\nafter  %v", sql, args, write, p, commit, before, after)
		}
	}
	if pinned < rounds/20 || excluded < rounds/50 {
		t.Errorf("the test is hollow: %d of %d conditions pinned, %d commits excluded", pinned, rounds, excluded)
	}
}

// A condition on one table says nothing of what is joined to it.
func TestFindPin_joins(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Filename: ":memory:", SingleConn: true, Migrations: []string{`
		CREATE TABLE a(id TEXT PRIMARY KEY, n);
		CREATE VIEW v(c) AS SELECT count(*) FROM a;`}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for sql, want := range map[string]bool{
		`SELECT n FROM a WHERE id = 'x'`:             true,
		`SELECT n FROM a b WHERE b.id = 'x'`:         true,
		`SELECT n FROM a AS b WHERE id = 'x'`:        true,
		`SELECT n, c FROM a JOIN v WHERE id = 'x'`:   false,
		`SELECT n, c FROM a, v WHERE id = 'x'`:       false,
		`SELECT n, c FROM a b JOIN v WHERE id = 'x'`: false,
	} {
		deps, err := db.Deps(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		if got := findPin(db, sql, store.Params{}, deps) != nil; got != want {
			t.Errorf("%s: pinned: %v, want %v", sql, got, want)
		}
	}
}

func FuzzScanSQL(f *testing.F) {
	for _, s := range []string{`SELECT * FROM t WHERE id = ?`, `select "a""b", [c d], x'00' -- x`,
		`:a @b $c ?12 1.5e-3 'it''s'`, `'open`, `/* open`, "`q`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		toks, ok := scanSQL(s)
		if !ok {
			return
		}
		conjuncts(toks)
		for _, tok := range toks {
			tok.value(store.Args("x"))
		}
	})
}

// TestEngine_fullText follows a search through the triggers that keep its index.
func TestEngine_fullText(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Filename: testFile(t), Synced: []string{"notes"}, Migrations: []string{`
		CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, done INT);
		CREATE VIRTUAL TABLE found USING fts5(body, content='notes');
		CREATE TRIGGER ai AFTER INSERT ON notes BEGIN INSERT INTO found(rowid, body) VALUES(new.rowid, new.body); END;
		CREATE TRIGGER ad AFTER DELETE ON notes BEGIN INSERT INTO found(found, rowid, body) VALUES('delete', old.rowid,
		old.body); END;
		CREATE TRIGGER au AFTER UPDATE OF body ON notes BEGIN
			INSERT INTO found(found, rowid, body) VALUES('delete', old.rowid, old.body);
			INSERT INTO found(rowid, body) VALUES(new.rowid, new.body);
		END;`}})
	if err != nil {
		t.Fatal(err)
	}
	e := New(db)
	defer db.Close()
	defer e.Close()
	s := newSink(t)
	const sql = `SELECT notes.id FROM found JOIN notes ON notes.rowid = found.rowid WHERE found MATCH ? ORDER BY 1`
	if _, err := e.Subscribe(ctx, sql, store.Args("loom"), s); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	for _, step := range []struct {
		write string
		want  [][]store.Value
	}{
		{`INSERT INTO notes VALUES('a', 'a loom', 0), ('b', 'a shuttle', 0)`, [][]store.Value{{"a"}}},
		{`UPDATE notes SET body = 'the other loom' WHERE id = 'b'`, [][]store.Value{{"a"}, {"b"}}},
		{`DELETE FROM notes WHERE id = 'a'`, [][]store.Value{{"b"}}},
	} {
		exec(t, db, step.write)
		s.wait(t)
		if !reflect.DeepEqual(s.rows, step.want) {
			t.Errorf("%s: got %v, want %v", step.write, s.rows, step.want)
		}
	}
	e.settle(t)
	before := e.runCount()
	exec(t, db, `UPDATE notes SET done = 1`)
	e.settle(t)
	if e.runCount() != before {
		t.Error("a column that the search does not read made it run")
	}
}
