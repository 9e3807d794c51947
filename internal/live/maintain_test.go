package live

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
	"heddle.dev/heddle/internal/value"
)

// What becomes of a query after a write, and what its subscribers are sent.
func TestEngine_patches(t *testing.T) {
	skipped, patched, ran := Counts{Skipped: 1}, Counts{Patched: 1}, Counts{Runs: 1}
	vain := Counts{Runs: 1, Vain: 1}
	for _, test := range []struct {
		sql, write string
		want       Counts
		args       []store.Value
	}{
		{`SELECT * FROM n WHERE list = 1 ORDER BY rank, id`, `UPDATE n SET body = 'z' WHERE id = 2`, patched, nil},
		{`SELECT * FROM n WHERE list = 1 ORDER BY rank, id`, `UPDATE n SET list = 2 WHERE id = 2`, patched, nil},
		{`SELECT * FROM n WHERE list = 1 ORDER BY rank, id`, `DELETE FROM n WHERE id IN (1, 3)`, patched, nil},
		{`SELECT * FROM n WHERE list = 1 ORDER BY rank DESC`, `INSERT INTO n VALUES(9, 1, 'i', 2.5)`, patched, nil},
		{`SELECT * FROM n WHERE list = 1 ORDER BY rank DESC`, `INSERT INTO n VALUES(9, 1, 'i', 2)`, ran, nil}, // a tie
		{`SELECT body FROM n WHERE list = 1 ORDER BY rank`, `UPDATE n SET body = 'z' WHERE id = 2`, ran, nil},
		{`SELECT body FROM n WHERE body LIKE '%x' ORDER BY 1`, `UPDATE n SET body = 'z' WHERE id = 2`, skipped, nil},
		{`SELECT DISTINCT list FROM n WHERE body LIKE '%x'`, `UPDATE n SET body = 'z' WHERE id = 2`, skipped, nil},
		{`SELECT DISTINCT list FROM n`, `UPDATE n SET list = 3 WHERE id = 2`, ran, nil},
		{`SELECT DISTINCT list FROM n`, `INSERT INTO n VALUES(9, 1, 'i', 2)`, vain, nil},
		// In the order of rowids, and of an index.
		{`SELECT * FROM n WHERE body > 'a'`, `UPDATE n SET body = 'z' WHERE id = 2`, patched, nil},
		{`SELECT * FROM n WHERE body > 'a'`, `UPDATE n SET id = 9 WHERE id = 2`, patched, nil},
		{`SELECT * FROM n WHERE list = 1`, `UPDATE n SET body = 'z' WHERE id = 2`, ran, nil},
		{`SELECT * FROM n WHERE id = 2`, `UPDATE n SET body = 'z' WHERE id = 2`, patched, nil},
		{`SELECT body FROM n WHERE id = 2`, `UPDATE n SET body = 'z' WHERE id = 2`, patched, nil},
		{`SELECT body FROM n WHERE rank = 2 ORDER BY rank + 1`, `UPDATE n SET body = 'z' WHERE id = 2`, patched, nil},
		{`SELECT body FROM n WHERE id = 2`, `DELETE FROM n WHERE id = 2`, patched, nil},
		{`SELECT body FROM n WHERE id = 9`, `INSERT INTO n VALUES(9, 1, 'i', 2)`, patched, nil},
		// Windows: within, behind, at the end, and with what follows.
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 3`, `UPDATE n SET rank = 1.5 WHERE id = 2`, patched, nil},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 3`, `UPDATE n SET rank = 1.5 WHERE id = 3`, ran, nil}, // a tie
		{`SELECT id, rank FROM n ORDER BY rank, id LIMIT 3`, `UPDATE n SET rank = 1.5 WHERE id = 3`, patched, nil},
		{`SELECT id, rank, body FROM n ORDER BY rank, id LIMIT 3`, `UPDATE n SET body = 'z' WHERE id = 3`, patched, nil},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 3`, `UPDATE n SET rank = 0 WHERE id = 5`, patched, nil},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT ?`, `UPDATE n SET rank = 8 WHERE id = 5`, skipped,
			[]store.Value{int64(3)}},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 3`, `UPDATE n SET rank = 8 WHERE id = 1`, ran, nil},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 9`, `UPDATE n SET rank = 8 WHERE id = 1`, patched, nil},
		{`SELECT id, rank FROM n ORDER BY rank LIMIT 3 OFFSET 1`, `UPDATE n SET rank = 1.5 WHERE id = 3`, ran, nil},
		// Aggregates.
		{`SELECT count(*), sum(id) FROM n WHERE list = 1`, `UPDATE n SET list = 2 WHERE id = 2`, patched, nil},
		{`SELECT count(*), sum(id) FROM n WHERE list = 1`, `UPDATE n SET body = 'x' WHERE id = 2`, Counts{}, nil},
		{`SELECT sum(id) FROM n WHERE list = 2`, `UPDATE n SET list = 1 WHERE list = 2`, ran, nil},
		{`SELECT sum(rank) FROM n`, `UPDATE n SET rank = 7 WHERE id = 2`, ran, nil}, // of floats
		{`SELECT count(DISTINCT body) FROM n`, `UPDATE n SET body = 'z' WHERE id = 2`, vain, nil},
		{`SELECT min(rank), max(rank) FROM n`, `UPDATE n SET rank = 9 WHERE id = 2`, patched, nil},
		{`SELECT min(rank) FROM n`, `UPDATE n SET rank = 9 WHERE id = 1`, ran, nil},
		{`SELECT min(v) FROM k`, `INSERT INTO k VALUES('b', 1)`, patched, nil},
		{`SELECT min(v) FROM k`, `INSERT INTO k VALUES('b', 1), ('a', 1.0)`, ran, nil}, // the plan takes one
		{`SELECT min(v) FROM k`, `INSERT INTO k VALUES('b', 'x'), ('a', 'y')`, patched, nil},
		{`SELECT avg(rank) FROM n WHERE body LIKE '%x'`, `UPDATE n SET rank = 9 WHERE id = 1`, skipped, nil},
		{`SELECT list, count(*) FROM n GROUP BY list`, `UPDATE n SET list = 2 WHERE id = 2`, ran, nil},
		// Many rows at once carry no values.
		{`SELECT * FROM n ORDER BY id`, `INSERT INTO n SELECT value + 9, 1, 'a', 1 FROM ` + series(200), ran, nil},
	} {
		db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), Migrations: []string{`
			CREATE TABLE k(id TEXT PRIMARY KEY, v) WITHOUT ROWID;
			CREATE TABLE n(id INTEGER PRIMARY KEY, list INT, body TEXT, rank REAL);
			CREATE INDEX n_list ON n(list, rank);
			INSERT INTO n VALUES(1, 1, 'a', 1), (2, 1, 'b', 2), (3, 1, 'c', 3), (4, 2, 'd', 4), (5, 2, 'e', 5)`}})
		if err != nil {
			t.Fatal(err)
		}
		e := New(db)
		t.Cleanup(func() { e.Close(); db.Close() })
		s := newSink(t)
		if _, err := e.Subscribe(context.Background(), test.sql, store.Args(test.args...), s); err != nil {
			t.Fatal(err)
		}
		e.settle(t)
		exec(t, db, test.write)
		e.settle(t)
		e.mu.Lock()
		got := e.queries[keyOf(test.sql, store.Args(test.args...))].counts
		e.mu.Unlock()
		if got.Runs--; got != test.want { // the first one
			t.Errorf("%s; %s: got %+v, want %+v", test.sql, test.write, got, test.want)
		}
		s.mu.Lock()
		if want := fresh(t, db, test.sql, store.Args(test.args...)); !reflect.DeepEqual(s.rows, want) {
			t.Errorf("%s; %s: got %v, want %v", test.sql, test.write, s.rows, want)
		}
		s.mu.Unlock()
	}
}

// Which queries of a join run after a row of its other table has changed.
func TestEngine_joins(t *testing.T) {
	const names = `SELECT n.id, u.name FROM n JOIN u ON u.id = n.author WHERE n.list = ?`
	for _, test := range []struct {
		sql, write string
		run        int // how many of the queries with 1, 2, … as their parameter
		probed     bool
	}{
		{names, `UPDATE u SET name = 'z' WHERE id = 1`, 2, true},
		{names, `DELETE FROM u WHERE id = 2`, 1, true},
		{names, `UPDATE u SET id = 9 WHERE id = 3`, 0, true},
		{`SELECT n.id, u.name FROM n, u WHERE u.id = n.author AND n.list = ? AND u.name = 'q'`,
			`UPDATE u SET name = 'z' WHERE id = 1`, 0, false},
		{`SELECT n.id, u.name FROM n, u WHERE u.id = n.author AND n.list = ? AND u.name = 'a'`,
			`UPDATE u SET name = 'z' WHERE id = 1`, 2, true},
		{`SELECT n.id FROM n JOIN u ON u.name = n.label WHERE n.list = ?`, `UPDATE u SET name = '2.0' WHERE id = 1`, 0, true},
		// A limit ends the loops early, and a number of rows is not told at all.
		{`SELECT n.id, u.name FROM n JOIN u ON u.id = n.author WHERE n.list = ? LIMIT 1`,
			`UPDATE u SET name = 'z' WHERE id = 1`, 2, false},
		{`SELECT count(*), max(u.name) FROM n JOIN u ON u.id = n.author WHERE n.list = ?`,
			`UPDATE u SET name = 'z' WHERE id = 1`, 4, false},
		// Two tables change: the queries that the one concerns run for both.
		{names,
			`DELETE FROM n WHERE author = 2; DELETE FROM u WHERE id = 2`, 1, true},
		{names,
			`UPDATE n SET author = 2 WHERE id = 1; UPDATE u SET name = 'z' WHERE id = 2`, 2, true},
		// What two rows of other tables had brought together, neither of them tells.
		{`SELECT n.id FROM n, u, g WHERE u.id = n.author AND g.id = u.team AND n.list = ?`,
			`DELETE FROM u WHERE id = 2; DELETE FROM g WHERE id = 2`, 4, false},
		{`SELECT n.id FROM n, u, g WHERE u.id = n.author AND g.id = u.team AND n.list = ?`,
			`DELETE FROM g WHERE id = 2`, 1, true},
	} {
		db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), Migrations: []string{`
			CREATE TABLE g(id INTEGER PRIMARY KEY);
			CREATE TABLE u(id INTEGER PRIMARY KEY, name TEXT, team INT);
			CREATE TABLE n(id INTEGER PRIMARY KEY, list INT, author INT, label);
			INSERT INTO g VALUES(1), (2);
			INSERT INTO u VALUES(1, 'a', 1), (2, 'b', 2), (3, 'c', 1);
			INSERT INTO n VALUES(1, 1, 1, 'x'), (2, 2, 1, 'y'), (3, 2, 1, 2), (4, 3, 2, 'z')`}})
		if err != nil {
			t.Fatal(err)
		}
		e := New(db)
		t.Cleanup(func() { e.Close(); db.Close() })
		sinks := map[int64]*sink{}
		for i := int64(1); i <= 4; i++ {
			sinks[i] = newSink(t)
			if _, err := e.Subscribe(context.Background(), test.sql, store.Args(i), sinks[i]); err != nil {
				t.Fatal(err)
			}
		}
		e.settle(t)
		err = db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			for _, sql := range strings.Split(test.write, ";") {
				if _, err := tx.Exec(sql, store.Params{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		e.settle(t)
		run, probed := -4, false
		e.mu.Lock()
		for _, q := range e.queries {
			run += int(q.counts.Runs)
			probed = probed || q.st.joins.Probed > 0
		}
		e.mu.Unlock()
		if run != test.run || probed != test.probed {
			t.Errorf("%s; %s: %d run, probed: %v", test.sql, test.write, run, probed)
		}
		for i, s := range sinks {
			s.mu.Lock()
			if want := fresh(t, db, test.sql, store.Args(i)); !reflect.DeepEqual(s.rows, want) {
				t.Errorf("%s; %s: %d: got %v, want %v", test.sql, test.write, i, s.rows, want)
			}
			s.mu.Unlock()
		}
	}
}

// A long list of which one row changes is sent in three runs.
func TestEngine_patchOfALongList(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes SELECT format('n%05d', value), 'body', 0, value FROM `+series(10000))
	s := newSink(t)
	const sql = `SELECT id, body, rank FROM notes WHERE done = 0 ORDER BY rank, id`
	if _, err := e.Subscribe(context.Background(), sql, store.Params{}, s); err != nil {
		t.Fatal(err)
	}
	e.settle(t)
	exec(t, db, `UPDATE notes SET body = 'other' WHERE rank = 5000`)
	e.settle(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.updates[len(s.updates)-1]
	want := []value.Run{{Copy: true, N: 4999}, {N: 1, Rows: [][]value.Value{{"n05000", "other", int64(5000)}}},
		{Copy: true, From: 5000, N: 5000}}
	if !reflect.DeepEqual(u.Runs, want) || len(s.updates) != 2 {
		t.Errorf("got %d updates, the last %+v", len(s.updates), u)
	}
	if want := fresh(t, db, sql, store.Params{}); !reflect.DeepEqual(s.rows, want) {
		t.Error("the list is another one than a fresh run's")
	}
}

// Commits that come one after the other while a query waits are one change.
func TestPending_net(t *testing.T) {
	of := &store.Table{Name: "n", Columns: make([]store.Column, 1)}
	row := func(v int64) []value.Value { return []value.Value{v} }
	commit := func(rows ...store.RowChange) *store.TableCommit {
		return &store.TableCommit{Table: "n", Of: of, AllRows: true, Rows: rows}
	}
	var p pending
	p.add(commit(store.RowChange{RowID: 1, Old: row(1), New: row(2)}, store.RowChange{RowID: 2, New: row(5)}))
	p.add(commit(store.RowChange{RowID: 2, Old: row(5)}, store.RowChange{RowID: 3, Old: row(7), New: row(8)}))
	var later pending
	later.add(commit(store.RowChange{RowID: 1, Old: row(2), New: row(1)}))
	later.before(p)
	got, ok := later.net()
	want := []store.RowChange{{RowID: 1, Old: row(1), New: row(1)}, {RowID: 2}, {RowID: 3, Old: row(7), New: row(8)}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, ok)
	}
	later.add(commit(store.RowChange{RowID: 3, Old: row(9)}))
	if _, ok := later.net(); ok {
		t.Error("commits that do not follow on each other count")
	}
	for range maxPending {
		later.add(commit())
	}
	if !later.unfit {
		t.Error("there is no bound")
	}
}
