package live

import (
	"context"
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// discard is a sink of a benchmark.
type discard struct{}

func (discard) Result(value.Update) {}
func (discard) Error(error)         {}

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
				db, err := store.Open(context.Background(), store.Options{Filename: ":memory:", SingleConn: true,
					Migrations: []string{`
					CREATE TABLE notes(id INTEGER PRIMARY KEY, list INT, body TEXT, done INT, rank INT);
					CREATE TABLE tags(note INT, tag TEXT, PRIMARY KEY(note, tag)) WITHOUT ROWID;
					CREATE INDEX notes_list ON notes(list, rank); CREATE INDEX notes_rank ON notes(rank)`}})
				if err != nil {
					b.Fatal(err)
				}
				e := New(db)
				defer db.Close()
				defer e.Close()
				for i := range n {
					if _, err := e.Subscribe(context.Background(), bench.sql, store.Args(int64(i)), discard{}); err != nil {
						b.Fatal(err)
					}
				}
				e.settle(b)
				table, _ := db.Table("notes")
				row := func(i int64, body string) []value.Value { return []value.Value{i, i, body, int64(0), i} }
				found := 0
				for i := 0; b.Loop(); i++ {
					k := int64(i % n)
					e.mu.Lock()
					e.index.find(table, &store.RowChange{RowID: k, Old: row(k, "a"), New: row(k, "b")},
						func(*place) { found++ })
					e.mu.Unlock()
				}
				b.ReportMetric(float64(found)/float64(b.N), "found/op")
			})
		}
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
