package live

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"

	"github.com/ncruces/go-sqlite3"
)

var (
	steps = flag.Int("steps", 0, "comparisons of TestEngine_equalsFreshRuns; 20,000 if 0, 5,000 in short")
	seed  = flag.Uint64("seed", 1, "its first seed")
)

// TestEngine_equalsFreshRuns is the judge: over random schemas, queries and
// transactions, after each commit, what every live query has delivered is what a
// fresh run gives, in order, value by value, with types. A step is one such
// comparison.
//
// A fault of a rule may show once in a million steps: make live runs many.
func TestEngine_equalsFreshRuns(t *testing.T) {
	want := *steps
	switch {
	case want > 0:
	case testing.Short():
		want = 5000
	default:
		want = 20000
	}
	var all tally
	for s := *seed; all.steps < want; s++ {
		world := newWorld(t, s)
		world.live(t)
		world.count()
		world.close()
		if t.Failed() {
			t.Fatalf("seed %d; schema:\n%s", s, world.schema)
		}
		all.add(world.tally)
	}
	t.Logf("%+v", all)
	if all.changed*50 < all.steps || all.Patched*500 < uint64(all.steps) {
		t.Errorf("of %d comparisons %d followed a change: the test is hollow", all.steps, all.changed)
	}
}

// tally counts what the test has seen.
type tally struct {
	seeds, steps, changed, errors int
	Counts
	JoinCounts
}

func (a *tally) add(b tally) {
	a.seeds += b.seeds
	a.steps += b.steps
	a.changed += b.changed
	a.errors += b.errors
	a.Counts.sum(b.Counts)
	a.JoinCounts.sum(b.JoinCounts)
}

// world is a database with live queries.
type world struct {
	*generator
	tally
	schema string
	db     *store.DB
	e      *Engine
	lives  []*liveQuery
	log    []string
}

type liveQuery struct {
	genQuery
	sink  *sink
	sub   *Subscription
	known [][]store.Value // the result after the last commit
	bad   bool            // its last run failed
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{generator: newGenerator(seed), tally: tally{seeds: 1}}
	w.schema = w.generator.schema()
	var synced []string
	if w.chance(3) { // captured in another way
		synced = []string{"t0"}
	}
	var err error
	w.db, err = store.Open(context.Background(), store.Options{Filename: ":memory:", SingleConn: true,
		Migrations: []string{w.schema}, Synced: synced, Bounds: store.Bounds{ReadAge: await.Long, Busy: await.Long}})
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, w.schema)
	}
	w.e = New(w.db)
	return w
}

// count adds up what became of the queries.
func (w *world) count() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	seen := map[*statement]bool{nil: true}
	for _, q := range w.e.queries {
		w.Counts.sum(q.counts)
		if !seen[q.st] {
			seen[q.st] = true
			w.JoinCounts.sum(q.st.joins)
		}
	}
}

func (w *world) close() {
	w.e.Close()
	w.db.Close()
}

// live makes queries and transactions, and compares.
func (w *world) live(t testing.TB) {
	for range 10 {
		w.commit()
	}
	for range 20 + w.IntN(30) {
		w.subscribe(t)
	}
	for range 20 {
		w.commit()
		if w.chance(4) { // several commits are one change
			w.commit()
		}
		w.e.settle(t)
		w.compare(t)
		if t.Failed() {
			return
		}
		if w.chance(5) {
			w.subscribe(t)
		}
	}
}

// subscribe makes a live query, now and then many instances of one statement.
func (w *world) subscribe(t testing.TB) {
	q := w.query()
	n := 1
	if len(q.params.Positional) > 0 && w.chance(6) {
		n = 12
	}
	if strings.Contains(q.sql, "JOIN") && n == 1 && len(q.params.Positional) > 0 && w.chance(2) {
		n = 8
	}
	for range n {
		l := &liveQuery{genQuery: q, sink: newSink(t)}
		sub, err := w.e.Subscribe(context.Background(), q.sql, q.params, l.sink)
		if err != nil {
			return // a text that does not compile, as an ambiguous name
		}
		l.sub = sub
		w.lives = append(w.lives, l)
		values := make([]store.Value, len(q.params.Positional))
		for i := range values {
			values[i] = w.value()
		}
		q.params = store.Params{Positional: values}
	}
}

// commit runs a transaction. A statement that fails leaves the rest.
func (w *world) commit() {
	if w.chance(25) {
		sql := w.definition()
		_, err := w.db.Exec(context.Background(), sql, store.Params{})
		w.log = append(w.log, fmt.Sprint(sql, " -- ", err))
		return
	}
	origin := store.Origin{Kind: store.Local}
	if w.chance(4) {
		origin.Kind = store.Sync
	}
	w.log = append(w.log, "BEGIN")
	w.db.Update(context.Background(), origin, func(tx *store.Tx) error {
		for _, sql := range w.transaction() {
			_, err := tx.Exec(sql, store.Params{})
			w.log = append(w.log, fmt.Sprint(sql, " -- ", err))
		}
		return nil
	})
}

// compare holds what each query has delivered against a fresh run.
func (w *world) compare(t testing.TB) {
	w.e.settle(t)
	for _, l := range w.lives {
		want, err := w.fresh(l)
		w.steps++
		if err != nil {
			w.errors++
			l.bad = true
			continue
		}
		if !reflect.DeepEqual(want, l.known) {
			w.changed++
		}
		l.known = want
		l.sink.mu.Lock()
		got := l.sink.rows
		l.sink.mu.Unlock()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("WRONG %s %q\ngot  %#v\nwant %#v\nlast writes:\n%s", l.sql, l.params.Positional, got, want,
				strings.Join(w.log[max(0, len(w.log)-12):], "\n"))
			return
		}
	}
}

func (w *world) fresh(l *liveQuery) (rows [][]store.Value, err error) {
	err = w.db.Query(context.Background(), l.sql, l.params, nil, func(s *sqlite3.Stmt) error {
		row := make([]store.Value, s.ColumnCount())
		rows = append(rows, row)
		return store.Scan(s, row)
	})
	return rows, err
}

// TestEngine_orderLeftOpen: where a statement leaves the order open, an index
// decides it, by columns that the statement does not read.
func TestEngine_orderLeftOpen(t *testing.T) {
	for _, test := range []struct{ index, sql, write string }{
		{`done, rank`, `SELECT id, body FROM n WHERE done = 0 LIMIT 1`, `UPDATE n SET rank = 9 WHERE id = 1`},
		{`rank, body`, `SELECT body FROM n LIMIT 1`, `UPDATE n SET rank = 9 WHERE id = 1`},
		{`rank, body`, `SELECT group_concat(body) FROM n`, `UPDATE n SET rank = 9 WHERE id = 1`},
		{`rank, body`, `SELECT body FROM n`, `UPDATE n SET rank = 9 WHERE id = 1`},
		{`body COLLATE nocase, rank`, `SELECT body FROM n WHERE body LIKE ? LIMIT 1`, `UPDATE n SET rank = 9 WHERE id = 1`},
	} {
		db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), Migrations: []string{`
			CREATE TABLE n(id INTEGER PRIMARY KEY, body TEXT, done INT, rank INT);
			CREATE INDEX i ON n(` + test.index + `);
			INSERT INTO n VALUES(1, 'a', 0, 1), (2, 'A', 0, 2), (3, 'c', 0, 3)`}})
		if err != nil {
			t.Fatal(err)
		}
		e := New(db)
		t.Cleanup(func() { e.Close(); db.Close() })
		var params store.Params
		if strings.Contains(test.sql, "?") {
			params = store.Args("a%")
		}
		s := newSink(t)
		if _, err := e.Subscribe(context.Background(), test.sql, params, s); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		before := fresh(t, db, test.sql, params)
		exec(t, db, test.write)
		e.settle(t)
		want := fresh(t, db, test.sql, params)
		if reflect.DeepEqual(before, want) {
			t.Errorf("%s: the write changed nothing: the test is hollow", test.sql)
		}
		s.mu.Lock()
		if !reflect.DeepEqual(s.rows, want) {
			t.Errorf("%s: got %v, want %v", test.sql, s.rows, want)
		}
		s.mu.Unlock()
	}
}

// TestEngine_volatile: the value of such a function may be another one after any
// commit to a table that is read.
func TestEngine_volatile(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO notes VALUES('a', 'x', 0, 1)`)
	for _, test := range []struct {
		sql  string
		runs bool
	}{
		{`SELECT body, random() FROM notes WHERE id = 'b'`, true},
		{`SELECT body FROM notes WHERE id = 'b' AND body > datetime('now')`, true},
		{`SELECT body, CURRENT_TIMESTAMP FROM notes WHERE id = 'b'`, true},
		{`SELECT uuid7() FROM notes WHERE id = 'b'`, true},
		{`SELECT lower(body), count(*), max(body) FROM notes WHERE id = 'b'`, false},
	} {
		s := newSink(t)
		sub, err := e.Subscribe(context.Background(), test.sql, store.Params{}, s)
		if err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		e.settle(t)
		before := e.runCount()
		exec(t, db, `UPDATE notes SET rank = ? WHERE id = 'a'`, rand.Int64())
		e.settle(t)
		if ran := e.runCount() > before; ran != test.runs {
			t.Errorf("%s: ran %v", test.sql, ran)
		}
		sub.Stop()
	}
}
