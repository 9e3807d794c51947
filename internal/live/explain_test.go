package live

import (
	"context"
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/store"
)

func TestEngine_Explain(t *testing.T) {
	_, e := open(t)
	for _, test := range []struct{ sql, want string }{
		{`SELECT * FROM notes WHERE id = ?`, `[{notes id value}] `},
		{`SELECT id, rank FROM notes WHERE done = 0 AND body = ? ORDER BY rank, id`, `[{notes body value}] `},
		{`SELECT id FROM notes WHERE done = 0 AND body = ? ORDER BY rank`,
			`[{notes body value}] ORDER BY what is not a column of the result, or under another collation`},
		{`SELECT count(*) FROM notes WHERE rank > ?`, `[{notes rank range}] `},
		{`SELECT body FROM notes WHERE body LIKE ?`, `[{notes  all}] no ORDER BY`},
		{`SELECT body, count(*) FROM notes WHERE done = ? GROUP BY body`,
			`[{notes done value}] GROUP BY, or DISTINCT with ORDER BY`},
		{`SELECT n.id, t.tag FROM notes n JOIN tags t ON t.note = n.id WHERE n.body = ?`,
			`[{notes body value} {tags  family}] a join`},
		{`SELECT random() FROM notes WHERE id = ?`,
			`[{notes  all}] a function whose value depends on more than its arguments`},
	} {
		s, err := e.Explain(context.Background(), test.sql, argsOf(test.sql))
		if got := fmt.Sprint(s.Places, " ", s.Why); err != nil || got != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.sql, got, err, test.want)
		}
	}
	if _, err := e.Explain(context.Background(), `SELECT * FROM nowhere`, store.Params{}); err == nil {
		t.Error("what does not compile is explained")
	}
}

func TestEngine_Statements(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes VALUES('a', 'x', 0, 1), ('b', 'x', 0, 2)`)
	const list, one = `SELECT * FROM notes WHERE body = ? ORDER BY rank`, `SELECT rank FROM notes WHERE id = ?`
	for _, body := range []string{"x", "y"} {
		for _, sql := range []string{list, one} {
			if _, err := e.Subscribe(context.Background(), sql, store.Args(body), newSink(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.settle(t)
	exec(t, db, `UPDATE notes SET rank = 3 WHERE id = 'a'`)
	e.settle(t)
	all := e.Statements()
	if len(all) != 2 || all[0].SQL != list || all[0].Queries != 2 || all[0].Counts != (Counts{Patched: 1, Runs: 2}) ||
		all[1].Counts != (Counts{Runs: 2}) {
		t.Errorf("got %+v", all)
	}
}

// argsOf are values for the parameters of a text with one or none.
func argsOf(sql string) store.Params {
	for _, c := range sql {
		if c == '?' {
			return store.Args("x")
		}
	}
	return store.Params{}
}

// TestEngine_vain: each commit is counted by what it cost, and who shows a query that
// runs in vain is told once.
func TestEngine_vain(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes VALUES('a', 'x', 0, 1), ('b', 'y', 0, 2)`)
	e.settle(t) // that commit is not counted
	var vain []Statement
	g := e.NewGroup(func(uint64) {}, func(s Statement) { vain = append(vain, s) })
	const runs, idle = `SELECT (SELECT max(rank) FROM notes) > 0`, `SELECT * FROM log`
	for _, sql := range []string{runs, idle} {
		s := newSink(t)
		if _, err := g.Subscribe(context.Background(), sql, store.Params{}, s); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
	}
	const commits = 150
	for i := range commits {
		exec(t, db, `UPDATE notes SET rank = ? WHERE id = 'a'`, int64(i+10))
		e.settle(t)
	}
	stats := map[string]Statement{}
	for _, s := range e.Statements() {
		stats[s.SQL] = s
	}
	if s := stats[runs]; s.Queries != 1 || s.Commits != commits || s.Runs != commits+1 || s.Vain != commits ||
		s.Took <= 0 {
		t.Errorf("what runs in vain: %+v", s)
	}
	if s := stats[idle]; s.Commits != commits || s.Counts != (Counts{Runs: 1}) {
		t.Errorf("what no commit concerns: %+v", s)
	}
	if len(vain) != 1 || vain[0].SQL != runs || vain[0].Vain != vainRuns || vain[0].Why == "" {
		t.Errorf("told of %+v", vain)
	}
}
