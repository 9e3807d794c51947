package linktest

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// The work of the table in which the engines were compared: milliseconds are
// per operation. Run with
//
//	GOOS=js GOARCH=wasm go test -c -o bench.wasm . && node run.mjs bench.wasm -test.run=- -test.bench=.

func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

func fill(b *testing.B, db *sqlite3.Conn) {
	must(b, db.Exec(`DROP TABLE IF EXISTS t; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL, grp `+
		`INTEGER); BEGIN`))
	s, _, err := db.Prepare(`INSERT INTO t(name, score, grp) VALUES (?, ?, ?)`)
	must(b, err)
	for i := range 100_000 {
		s.BindText(1, fmt.Sprintf("name %d of them", i*7919%100_000))
		s.BindFloat(2, float64(i)*1.25)
		s.BindInt(3, i%1000)
		must(b, s.Exec())
	}
	must(b, s.Close())
	must(b, db.Exec(`COMMIT`))
}

func BenchmarkInsert100k(b *testing.B) {
	db := open(b, ":memory:")
	for b.Loop() {
		fill(b, db)
	}
}

func BenchmarkIndex(b *testing.B) {
	db := open(b, ":memory:")
	fill(b, db)
	for b.Loop() {
		must(b, db.Exec(`DROP INDEX IF EXISTS i; CREATE INDEX i ON t(name)`))
	}
}

func BenchmarkRead100k(b *testing.B) {
	db := open(b, ":memory:")
	fill(b, db)
	for b.Loop() {
		s, _, err := db.Prepare(`SELECT id, name, score FROM t`)
		must(b, err)
		n := int64(0)
		for s.Step() {
			n += s.ColumnInt64(0) + int64(len(s.ColumnRawText(1))) + int64(s.ColumnFloat(2))
		}
		must(b, s.Close())
	}
}

func BenchmarkPoint20k(b *testing.B) {
	db := open(b, ":memory:")
	fill(b, db)
	s, _, err := db.Prepare(`SELECT name FROM t WHERE id = ?`)
	must(b, err)
	defer s.Close()
	for b.Loop() {
		for i := range 20_000 {
			s.BindInt(1, i*5)
			s.Step()
			s.ColumnRawText(0)
			s.Reset()
		}
	}
}

func benchSQL(b *testing.B, sql string) {
	db := open(b, ":memory:")
	fill(b, db)
	for b.Loop() {
		must(b, db.Exec(sql))
	}
}

func BenchmarkJoin(b *testing.B) {
	benchSQL(b, `SELECT count(*), sum(a.score) FROM t a JOIN t c ON c.id = a.grp + 1 JOIN t d ON d.id = c.id + 5 WHERE `+
		`a.id % 3 = 0`)
}

func BenchmarkLike(b *testing.B) {
	benchSQL(b, `SELECT grp % 10, count(*), sum(score) FROM t WHERE name LIKE '%99%' GROUP BY 1`)
}

func BenchmarkSort(b *testing.B) {
	benchSQL(b, `SELECT sum(r) FROM (SELECT row_number() OVER (ORDER BY name DESC) AS r FROM t)`)
}

// BenchmarkCross is one call from Go to SQLite and back.
func BenchmarkCross(b *testing.B) {
	db := open(b, ":memory:")
	for b.Loop() {
		db.GetAutocommit()
	}
}

// BenchmarkCallback is one call of an SQL function in Go, a thousand a query.
func BenchmarkCallback(b *testing.B) {
	db := open(b, ":memory:")
	must(b, db.CreateFunction("f", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(1) }))
	s, _, err := db.Prepare(
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT sum(f()) FROM n`)
	must(b, err)
	defer s.Close()
	for b.Loop() {
		s.Exec()
	}
}

func BenchmarkOpenClose(b *testing.B) {
	for b.Loop() {
		db, err := sqlite3.Open(":memory:")
		must(b, err)
		must(b, db.Close())
	}
}
