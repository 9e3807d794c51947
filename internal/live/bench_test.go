package live

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// discard is a sink of a benchmark.
type discard struct{}

func (discard) Result(value.Update) {}
func (discard) Error(error)         {}

// timer measures each operation of a benchmark.
type timer struct {
	began time.Time
	all   []time.Duration
}

func (t *timer) begin() { t.began = time.Now() }
func (t *timer) end()   { t.all = append(t.all, time.Since(t.began)) }

func (t *timer) report(b *testing.B) {
	slices.Sort(t.all)
	micro := func(part int) float64 { return float64(t.all[len(t.all)*part/100].Nanoseconds()) / 1000 }
	b.ReportMetric(micro(50), "p50-µs")
	b.ReportMetric(micro(95), "p95-µs")
}

// benchmarks are statements whose instances differ in their parameter.
var benchmarks = []struct{ name, sql string }{
	{"key", `SELECT * FROM notes WHERE id = ?`},
	{"list", `SELECT * FROM notes WHERE list = ? AND done = 0 ORDER BY rank, id`},
	{"count", `SELECT count(*), sum(rank) FROM notes WHERE list = ? AND done = 0`},
	{"range", `SELECT id, body FROM notes WHERE rank >= ?1 AND rank <= ?1 ORDER BY rank LIMIT 50`},
	{"join", `SELECT * FROM notes n JOIN tags t ON t.note = n.id WHERE n.id = ?`},
}

// BenchmarkDecide measures what it takes to find the queries that a commit of one row
// concerns, by the number of live queries.
func BenchmarkDecide(b *testing.B) {
	for _, bench := range benchmarks {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, n), func(b *testing.B) {
				db, e := openBench(b)
				for i := range n {
					if _, err := e.Subscribe(context.Background(), bench.sql, store.Args(int64(i)), discard{}); err != nil {
						b.Fatal(err)
					}
				}
				e.settle(b)
				table, _ := db.Table("notes")
				row := func(i int64, body string) []value.Value { return []value.Value{i, i, body, int64(0), i} }
				found := 0
				var t timer
				for i := 0; b.Loop(); i++ {
					k := int64(i % n)
					t.begin()
					e.mu.Lock()
					e.index.find(table, &store.RowChange{RowID: k, Old: row(k, "a"), New: row(k, "b")},
						func(*place) { found++ })
					e.mu.Unlock()
					t.end()
				}
				t.report(b)
				b.ReportMetric(float64(found)/float64(b.N), "found/op")
			})
		}
	}
}

// BenchmarkPatch measures the new result after a commit of one row that a query shows,
// by the number of its rows, and what of it is sent.
func BenchmarkPatch(b *testing.B) {
	for _, bench := range []struct{ name, sql string }{
		{"list", `SELECT id, body, rank FROM notes WHERE body LIKE 'a%' ORDER BY rank, id`},
		{"table", `SELECT * FROM notes WHERE done = 0`},
		{"window", `SELECT id, body, rank FROM notes WHERE done = 0 ORDER BY rank, id LIMIT 50`},
		{"count", `SELECT count(*), sum(rank) FROM notes WHERE body LIKE 'a%'`},
	} {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, n), func(b *testing.B) {
				db, e := openBench(b)
				exec(b, db, `INSERT INTO notes SELECT value, 1, 'a', 0, value FROM `+series(n))
				if _, err := e.Subscribe(context.Background(), bench.sql, store.Params{}, discard{}); err != nil {
					b.Fatal(err)
				}
				e.settle(b)
				q := e.queries[keyOf(bench.sql, store.Params{})]
				read, err := db.BeginRead(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				defer read.Close()
				table, _ := db.Table("notes")
				row := func(rank int64) []value.Value { return []value.Value{int64(7), int64(1), "a", int64(0), rank} }
				sent := 0
				var t timer
				for i := int64(0); b.Loop(); i++ {
					from, to := 7+i%2, 7+(i+1)%2
					t.begin()
					d := e.maintain(read, q, &pending{tables: []*store.TableCommit{{Table: "notes", Of: table, AllRows: true,
						Rows: []store.RowChange{{RowID: 7, Old: row(from), New: row(to)}}}}})
					if d == nil {
						b.Fatal("it runs")
					}
					t.end()
					q.rows, q.kept = d.hashes, d.kept
					sent += len(d.runs)
				}
				t.report(b)
				b.ReportMetric(float64(sent)/float64(b.N), "runs/op")
			})
		}
	}
}

func openBench(b *testing.B) (*store.DB, *Engine) {
	db, err := store.Open(context.Background(), store.Options{Filename: ":memory:", SingleConn: true,
		Migrations: []string{`
			CREATE TABLE notes(id INTEGER PRIMARY KEY, list INT, body TEXT, done INT, rank INT);
			CREATE TABLE tags(note INT, tag TEXT, PRIMARY KEY(note, tag)) WITHOUT ROWID;
			CREATE INDEX notes_list ON notes(list, rank); CREATE INDEX notes_rank ON notes(rank)`}})
	if err != nil {
		b.Fatal(err)
	}
	e := New(db)
	b.Cleanup(func() { e.Close(); db.Close() })
	return db, e
}

// BenchmarkJoin measures what tells the queries of a join that a changed row of its
// other table concerns, by their number.
func BenchmarkJoin(b *testing.B) {
	const sql = `SELECT n.id, n.body, u.name FROM notes n JOIN users u ON u.id = n.author WHERE n.list = ?`
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, e := openBench(b)
			exec(b, db, `CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
				ALTER TABLE notes ADD COLUMN author INT; CREATE INDEX notes_author ON notes(author)`)
			exec(b, db, `INSERT INTO users SELECT value, 'u' FROM `+series(10000))
			exec(b, db, `INSERT INTO notes(id, list, body, author) SELECT value, value % 10000, 'a', value % 10000 FROM `+
				series(100000))
			for i := range n {
				if _, err := e.Subscribe(context.Background(), sql, store.Args(int64(i)), discard{}); err != nil {
					b.Fatal(err)
				}
			}
			e.settle(b)
			read, err := db.BeginRead(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			defer read.Close()
			users, _ := db.Table("users")
			found := 0
			var t timer
			for i := int64(0); b.Loop(); i++ {
				t.begin()
				user := 1 + i%int64(n-1)
				e.decide([]store.Commit{{Tables: []store.TableCommit{{Table: "users", Of: users, AllRows: true,
					Rows: []store.RowChange{{RowID: user, Old: []value.Value{user, "u"}, New: []value.Value{user, "v"}}}}}}})
				e.resolve(read)
				tasks, _ := e.take()
				found += len(tasks)
				t.end()
			}
			t.report(b)
			b.ReportMetric(float64(found)/float64(b.N), "found/op")
		})
	}
}

// BenchmarkSubscribe measures subscriptions of one statement with their first runs.
func BenchmarkSubscribe(b *testing.B) {
	db, e := open(b)
	exec(b, db, `INSERT INTO notes SELECT format('n%05d', value), 'body', 0, value FROM `+series(1000))
	for i := 0; b.Loop(); i++ {
		if _, err := e.Subscribe(context.Background(), `SELECT * FROM notes WHERE rank = ?`, store.Args(int64(i)),
			discard{}); err != nil {
			b.Fatal(err)
		}
	}
	e.settle(b)
}
