package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

const schema = `
CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, done INT DEFAULT 0, rank INT);
CREATE TABLE tags(note TEXT, tag TEXT, PRIMARY KEY(note, tag)) WITHOUT ROWID;
CREATE TABLE log(x);
CREATE VIEW open_notes AS SELECT id, body FROM notes WHERE NOT done;
`

func open(t testing.TB) (*store.DB, *Engine) {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{
		Filename:   storetest.File(t),
		Migrations: []string{schema},
		Synced:     []string{"notes"},
		Bounds:     store.Bounds{ReadAge: await.Long, Busy: await.Long},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := New(db)
	t.Cleanup(func() { e.Close(); db.Close() })
	return db, e
}

func exec(t testing.TB, db *store.DB, sql string, args ...store.Value) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql, store.Args(args...)); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// sink applies updates to a copy of the result.
type sink struct {
	mu      sync.Mutex
	t       testing.TB
	rows    [][]store.Value
	cols    []string
	updates []value.Update
	errs    []error
	sent    int // new rows received
	notify  chan struct{}
}

func newSink(t testing.TB) *sink { return &sink{t: t, notify: make(chan struct{}, 10000)} }

func (s *sink) Result(u value.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = apply(s.t, s.rows, u)
	s.cols = u.Columns
	s.updates = append(s.updates, u)
	for _, r := range u.Runs {
		s.sent += len(r.Rows)
	}
	s.notify <- struct{}{}
}

func (s *sink) Error(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
	s.notify <- struct{}{}
}

func (s *sink) wait(t testing.TB) {
	t.Helper()
	await.Event(t, s.notify, "an update")
}

// apply turns a former result into the new one.
func apply(t testing.TB, old [][]store.Value, u value.Update) (rows [][]store.Value) {
	t.Helper()
	for _, r := range u.Runs {
		switch {
		case !r.Copy && r.N != len(r.Rows):
			t.Errorf("a run says %d rows and has %d", r.N, len(r.Rows))
		case !r.Copy:
			rows = append(rows, r.Rows...)
		case u.Reset:
			t.Error("a reset copies")
		default:
			rows = append(rows, old[r.From:r.From+r.N]...)
		}
	}
	if len(rows) != u.Total {
		t.Errorf("the update says %d rows and makes %d", u.Total, len(rows))
	}
	return rows
}

func fresh(t testing.TB, db *store.DB, sql string, p store.Params) (rows [][]store.Value) {
	t.Helper()
	err := db.Query(context.Background(), sql, p, nil, func(s *sqlite3.Stmt) error {
		row := make([]store.Value, s.ColumnCount())
		rows = append(rows, row)
		return store.Scan(s, row)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// settle waits until the engine has nothing to do.
func (e *Engine) settle(t testing.TB) {
	t.Helper()
	await.Poll(t, "an engine that has nothing to do", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return !e.busy && len(e.queue)+len(e.resumed) == 0 && e.feed.Empty()
	})
}

func TestEngine_updatesEqualFreshQueries(t *testing.T) {
	db, e := open(t)
	queries := []struct {
		sql string
		p   store.Params
	}{
		{`SELECT * FROM notes ORDER BY rank, id`, store.Params{}},
		{`SELECT body, count(*) FROM notes GROUP BY body`, store.Params{}},
		{`SELECT n.id, t.tag FROM notes n LEFT JOIN tags t ON t.note = n.id ORDER BY n.rank DESC, 1, 2`, store.Params{}},
		{`SELECT * FROM open_notes WHERE body > ?`, store.Args("b")},
		{`SELECT body, rank FROM notes WHERE id = ?`, store.Args("k3")},
		{`SELECT body FROM notes WHERE done = $d AND id = $id`,
			store.Params{Named: map[string]store.Value{"d": int64(0), "$id": "k5"}}},
		{`SELECT count(*) FROM log`, store.Params{}},
		{`SELECT 1 AS one UNION ALL SELECT rank FROM notes`, store.Params{}},
	}
	sinks := make([]*sink, len(queries))
	for i, q := range queries {
		sinks[i] = newSink(t)
		if _, err := e.Subscribe(context.Background(), q.sql, q.p, sinks[i]); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	key := func() string { return fmt.Sprintf("k%d", r.IntN(12)) }
	body := func() string { return string(rune('a' + r.IntN(4))) }
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		apply := db.Update
		origin := store.Origin{Kind: store.Local}
		if r.IntN(4) == 0 {
			origin.Kind = store.Sync
		}
		err := apply(context.Background(), origin, func(tx *store.Tx) error {
			for range 1 + r.IntN(4) {
				var sql string
				switch r.IntN(8) {
				case 0, 1:
					sql = fmt.Sprintf(`INSERT OR REPLACE INTO notes(id, body, rank) VALUES('%s', '%s', %d)`, key(), body(), r.IntN(20))
				case 2:
					sql = fmt.Sprintf(`UPDATE notes SET body = '%s' WHERE id = '%s'`, body(), key())
				case 3:
					sql = fmt.Sprintf(`UPDATE notes SET done = NOT done WHERE id > '%s'`, key())
				case 4:
					sql = fmt.Sprintf(`DELETE FROM notes WHERE id = '%s'`, key())
				case 5:
					sql = fmt.Sprintf(`INSERT OR IGNORE INTO tags VALUES('%s', '%s')`, key(), body())
				case 6:
					sql = fmt.Sprintf(`DELETE FROM tags WHERE note = '%s'`, key())
				default:
					sql = fmt.Sprintf(`UPDATE OR IGNORE notes SET id = '%s', rank = rank + 1 WHERE id = '%s'`, key(), key())
				}
				if _, err := tx.Exec(sql, store.Params{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if round%3 > 0 {
			continue // several commits in a row
		}
		e.settle(t)
		for i, q := range queries {
			want := fresh(t, db, q.sql, q.p)
			sinks[i].mu.Lock()
			if !reflect.DeepEqual(sinks[i].rows, want) {
				t.Fatalf("round %d: %s\ngot  %v\nwant %v", round, q.sql, sinks[i].rows, want)
			}
			sinks[i].mu.Unlock()
		}
	}
	e.settle(t)
	for i, q := range queries {
		if n := len(sinks[i].updates); n < 2 && i != 6 {
			t.Errorf("%s had %d updates: the test is hollow", q.sql, n)
		}
		if len(sinks[i].errs) > 0 {
			t.Error(sinks[i].errs)
		}
	}
}

func TestEngine_irrelevantCommitsDoNotRun(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes VALUES('a', 'x', 0, 1), ('b', 'y', 0, 2)`)
	for _, test := range []struct {
		query string
		args  []store.Value
		write string
		runs  bool
	}{
		{`SELECT body FROM notes`, nil, `UPDATE notes SET rank = rank + 1`, false},
		{`SELECT body FROM notes`, nil, `UPDATE notes SET body = body || '!'`, true},
		{`SELECT body FROM notes`, nil, `UPDATE notes SET body = body`, false}, // net nothing
		{`SELECT body FROM notes`, nil, `INSERT INTO log VALUES(1)`, false},
		{`SELECT body FROM notes ORDER BY rank`, nil, `UPDATE notes SET rank = rank + 1 WHERE id = 'a'`, true},
		{`SELECT count(*) FROM notes`, nil, `UPDATE notes SET rank = rank + 1`, false},
		{`SELECT count(*) FROM log`, nil, `UPDATE log SET x = x + 1`, false},
		{`SELECT count(*) FROM log`, nil, `INSERT INTO log VALUES(2)`, true},
		{`SELECT x FROM log`, nil, `UPDATE log SET x = x + 1`, true},
		{`SELECT id FROM open_notes`, nil, `UPDATE notes SET done = 1 WHERE id = 'b'`, true},
		{`SELECT * FROM notes WHERE id = ?`, []store.Value{"a"}, `UPDATE notes SET rank = rank + 1 WHERE id = 'b'`, false},
		{`SELECT * FROM notes n WHERE n.rank > 0 AND ? = id LIMIT 1`, []store.Value{"a"},
			`UPDATE notes SET rank = rank + 1 WHERE id = 'b'`, false},
		{`SELECT * FROM notes WHERE id = 'a' -- OR`, nil, `UPDATE notes SET rank = rank + 1 WHERE id = 'b'`, false},
		{`SELECT * FROM notes WHERE id = ? OR 1`, []store.Value{"a"}, `UPDATE notes SET rank = rank + 1 WHERE id = 'b'`,
			true},
		{`SELECT * FROM notes WHERE rank BETWEEN 0 AND id = ?`, []store.Value{"a"},
			`UPDATE notes SET rank = rank + 1 WHERE id = 'b'`, true},
		{`SELECT (SELECT count(*) FROM notes) FROM notes WHERE id = ?`, []store.Value{"a"},
			`INSERT INTO notes(id) VALUES('c')`, true},
		{`SELECT * FROM notes WHERE id = ?`, []store.Value{"a"}, `UPDATE notes SET rank = rank + 1 WHERE id = 'a'`, true},
		{`SELECT * FROM tags WHERE note = ?2 AND tag > ?1`, []store.Value{"", "n1"}, `INSERT INTO tags VALUES('n2', 't')`,
			false},
		{`SELECT * FROM tags WHERE note = ?2 AND tag > ?1`, []store.Value{"", "n1"}, `INSERT INTO tags VALUES('n1', 't')`,
			true},
		{`SELECT 1`, nil, `INSERT INTO log VALUES(3)`, false},
		// Conditions on any column, through views, joins and subqueries.
		{`SELECT * FROM notes WHERE rank > ?`, []store.Value{int64(100)}, `UPDATE notes SET rank = 50 WHERE id = 'b'`, false},
		{`SELECT * FROM notes WHERE rank > ?`, []store.Value{int64(40)}, `UPDATE notes SET rank = 51 WHERE id = 'b'`, true},
		{`SELECT * FROM notes WHERE rank > 60`, nil, `UPDATE notes SET rank = 61 WHERE id = 'b'`, true},
		{`SELECT * FROM notes WHERE rank > 60`, nil, `UPDATE notes SET rank = 1 WHERE id = 'b'`, true},
		{`SELECT count(*) FROM notes WHERE rank BETWEEN 70 AND 80`, nil, `DELETE FROM notes WHERE id = 'c'`, false},
		{`SELECT * FROM notes WHERE body IN ('q', ?)`, []store.Value{"r"},
			`INSERT INTO notes(id, body) VALUES('d', 's')`, false},
		{`SELECT * FROM notes WHERE body IN ('q', ?)`, []store.Value{"r"},
			`INSERT INTO notes(id, body) VALUES('e', 'r')`, true},
		{`SELECT id FROM open_notes WHERE body = 'q'`, nil, `INSERT INTO notes(id, body) VALUES('f', 's')`, false},
		{`SELECT * FROM notes n JOIN tags t ON t.note = n.id WHERE n.id = ?`, []store.Value{"a"},
			`INSERT INTO tags VALUES('n3', 't')`, false},
		{`SELECT * FROM notes n JOIN tags t ON t.note = n.id WHERE n.id = ?`, []store.Value{"a"},
			`INSERT INTO tags VALUES('a', 't')`, true},
		{`SELECT count(*) FROM log WHERE x IS NULL`, nil, `INSERT INTO log VALUES(4)`, false},
		// The columns of each row count, not those of all rows.
		{`SELECT body FROM notes WHERE id = 'a'`, nil,
			`UPDATE notes SET rank = rank + (id = 'a'), body = CASE id WHEN 'b' THEN 'new' ELSE body END`, false},
	} {
		s := newSink(t)
		sub, err := e.Subscribe(context.Background(), test.query, store.Args(test.args...), s)
		if err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		e.settle(t)
		before := e.runCount()
		exec(t, db, test.write)
		e.settle(t)
		if ran := e.runCount() > before; ran != test.runs {
			t.Errorf("%s\n%s: ran %v, want %v", test.query, test.write, ran, test.runs)
		}
		sub.Stop()
	}
}

func TestEngine_smallChangeSmallPatch(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes SELECT format('n%05d', value), 'body ' || value, 0, value FROM `+series(5000))
	s := newSink(t)
	if _, err := e.Subscribe(context.Background(), `SELECT * FROM notes ORDER BY rank, id`, store.Params{},
		s); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	for _, test := range []struct {
		write string
		sent  int
	}{
		{`UPDATE notes SET body = 'new' WHERE id = 'n02500'`, 1},
		{`DELETE FROM notes WHERE rank BETWEEN 1000 AND 2000`, 0},
		{`INSERT INTO notes VALUES('x', 'x', 0, 1500), ('y', 'y', 0, 0)`, 2},
		{`UPDATE notes SET rank = 99999 WHERE id = 'x'`, 1},
		{`UPDATE notes SET done = 1 WHERE rank % 500 = 0`, 8},
	} {
		s.mu.Lock()
		s.sent = 0
		s.mu.Unlock()
		exec(t, db, test.write)
		s.wait(t)
		if s.sent != test.sent {
			t.Errorf("%s: sent %d rows, want %d", test.write, s.sent, test.sent)
		}
		if want := fresh(t, db, `SELECT * FROM notes ORDER BY rank, id`, store.Params{}); !reflect.DeepEqual(s.rows, want) {
			t.Errorf("%s: the results differ", test.write)
		}
	}
	// Rows that move travel as copies.
	s.sent = 0
	m := newSink(t)
	if _, err := e.Subscribe(context.Background(), `SELECT id FROM notes ORDER BY rank`, store.Params{}, m); err != nil {
		t.Fatal(err)
	}
	m.wait(t)
	m.sent = 0
	exec(t, db, `UPDATE notes SET rank = -rank`)
	m.wait(t)
	if m.sent != 0 {
		t.Errorf("moved rows: sent %d", m.sent)
	}
}

func TestEngine_sharedRuns(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO log VALUES(1)`)
	var sinks []*sink
	for range 5 {
		s := newSink(t)
		if _, err := e.Subscribe(context.Background(), `SELECT x FROM log WHERE x > ?`, store.Args(int64(0)), s); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		sinks = append(sinks, s)
	}
	e.settle(t)
	before := e.runCount()
	exec(t, db, `INSERT INTO log VALUES(2)`)
	for _, s := range sinks {
		s.wait(t)
		if len(s.rows) != 2 || len(s.updates) != 2 {
			t.Errorf("got %d rows in %d updates", len(s.rows), len(s.updates))
		}
	}
	if n := e.runCount() - before; n != 1 {
		t.Errorf("five subscribers cost %d runs", n)
	}
}

func TestEngine_errorsAndSchema(t *testing.T) {
	db, e := open(t)
	ctx := context.Background()
	if _, err := e.Subscribe(ctx, `SELECT * FROM nowhere`, store.Params{}, newSink(t)); errcode.Of(err) != "SQLITE_ERROR" {
		t.Errorf("no such table: got %v", err)
	}
	if _, err := e.Subscribe(ctx, `INSERT INTO log VALUES(1) RETURNING x`, store.Params{},
		newSink(t)); errcode.Of(err) != errcode.Unsupported {
		t.Errorf("a write: got %v", err)
	}
	bad := newSink(t)
	if _, err := e.Subscribe(ctx, `SELECT x FROM log WHERE x = ?`, store.Params{}, bad); err != nil {
		t.Fatal(err)
	}
	bad.wait(t)
	if len(bad.errs) != 1 || errcode.Of(bad.errs[0]) != errcode.BadParam {
		t.Errorf("a missing parameter: got %v", bad.errs)
	}

	exec(t, db, `CREATE TABLE extra(a)`)
	exec(t, db, `INSERT INTO extra VALUES(1)`)
	s := newSink(t)
	sub, err := e.Subscribe(ctx, `SELECT * FROM extra`, store.Params{}, s)
	if err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	exec(t, db, `ALTER TABLE extra ADD COLUMN b DEFAULT 2`)
	s.wait(t)
	if !reflect.DeepEqual(s.rows, [][]store.Value{{int64(1), int64(2)}}) || len(s.cols) != 2 {
		t.Errorf("after ALTER TABLE: got %v %v", s.cols, s.rows)
	}
	exec(t, db, `DROP TABLE extra`)
	s.wait(t)
	if len(s.errs) != 1 || errcode.Of(s.errs[0]) != "SQLITE_ERROR" {
		t.Errorf("after DROP TABLE: got %v", s.errs)
	}
	exec(t, db, `CREATE TABLE extra(c); INSERT INTO extra VALUES('back')`)
	s.wait(t)
	if !reflect.DeepEqual(s.rows, [][]store.Value{{"back"}}) {
		t.Errorf("after CREATE TABLE: got %v", s.rows)
	}
	e.settle(t)
	n := len(s.updates)
	sub.Stop()
	exec(t, db, `INSERT INTO extra VALUES('unseen')`)
	e.settle(t)
	if len(s.updates) != n {
		t.Error("updates came without a change or after Stop")
	}
}

// runCount is how many times queries were due so far: they ran, or were patched.
func (e *Engine) runCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs
}

// TestEngine_concurrent: subscribers come and go while several goroutines
// write; what stays subscribed ends with the right result, and a burst of
// commits costs fewer runs than commits.
func TestEngine_concurrent(t *testing.T) {
	db, e := open(t)
	ctx := context.Background()
	const sql = `SELECT id, rank FROM notes ORDER BY id`
	stay := newSink(t)
	if _, err := e.Subscribe(ctx, sql, store.Params{}, stay); err != nil {
		t.Fatal(err)
	}
	stay.wait(t)
	e.settle(t)
	before := e.runCount()
	const writers, each = 4, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := db.Exec(ctx, `INSERT OR REPLACE INTO notes(id, rank) VALUES(?, ?)`,
					store.Args(fmt.Sprint("k", i%7), int64(w*each+i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 30 {
			s := newSink(t)
			sub, err := e.Subscribe(ctx, fmt.Sprintf(`SELECT count(*) FROM notes WHERE rank > %d`, i%3), store.Params{}, s)
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				s.wait(t)
			}
			sub.Stop()
		}
	})
	wg.Wait()
	e.settle(t)
	if want := fresh(t, db, sql, store.Params{}); !reflect.DeepEqual(stay.rows, want) {
		t.Errorf("got %v, want %v", stay.rows, want)
	}
	if n := e.runCount() - before; n < 2 || n > 2*writers*each {
		t.Errorf("%d commits cost %d runs", writers*each, n)
	}
	e.Close()
	e.Close()
	if _, err := e.Subscribe(ctx, sql, store.Params{}, newSink(t)); errcode.Of(err) != errcode.Closed {
		t.Errorf("subscribe after close: %v", err)
	}
}

// series is the numbers from 1 to n as a table with the column value: the
// browser's engine has no generate_series.
func series(n int) string {
	return fmt.Sprintf(`(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < %d)
		SELECT value FROM s)`, n)
}
