package heddle

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"heddle.dev/heddle/sync/server"
)

// BenchmarkSealed compares a sealed space with a plain one: 2,000 transactions of one
// row are committed, pushed, and pulled by another device.
func BenchmarkSealed(b *testing.B) {
	const n = 2000
	for _, sealed := range []bool{false, true} {
		b.Run(fmt.Sprintf("sealed=%v", sealed), func(b *testing.B) {
			var commit, push, pull time.Duration
			for range b.N {
				s := newSealedSpace(b)
				var key *Key
				if sealed {
					var err error
					key, err = NewSpace(b.Context(), "family", "laptop")
					s.must(err)
				}
				writer, reader := s.open(key, ""), s.open(key, "")
				s.now(writer, reader)
				began := time.Now()
				for i := range n {
					s.write(writer, fmt.Sprint(i), "what was on that day, in some words")
				}
				commit += time.Since(began)
				began = time.Now()
				s.now(writer)
				push += time.Since(began)
				began = time.Now()
				s.now(reader)
				pull += time.Since(began)
				s.same(n, writer, reader)
			}
			for name, d := range map[string]time.Duration{"commit": commit, "push": push, "pull": pull} {
				b.ReportMetric(float64(d.Microseconds())/float64(b.N)/n, name+"-µs/tx")
			}
		})
	}
}

var bootstrapRows = flag.Int("bootstrap.rows", 20_000, "rows of BenchmarkSealed_bootstrap")

// BenchmarkSealed_bootstrap compares how new devices start from a snapshot of rows of 200
// bytes, in a plain and in a sealed space, in turns. It also says what making the sealed
// one takes a device.
func BenchmarkSealed_bootstrap(b *testing.B) {
	var spaces [2]*sealedSpace
	var keys [2]*Key
	for i := range spaces {
		s := newSealedSpaceWith(b, func(o *server.Options) { o.Limits.SealedBytes = 1 << 10 })
		spaces[i] = s
		if i == 1 {
			var err error
			keys[i], err = NewSpace(b.Context(), "family", "laptop")
			s.must(err)
		}
		writer := s.open(keys[i], "")
		fill := func(sql string, from, to int) {
			const part = 20_000
			for ; from < to; from += part {
				_, err := writer.Exec(b.Context(), sql, from, min(from+part, to))
				s.must(err)
				s.now(writer)
			}
		}
		const series = `WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2) `
		fill(series+`INSERT INTO diary SELECT printf('%020d', i), hex(randomblob(85)) FROM n`, 0,
			*bootstrapRows)
		if i == 0 { // so that the log is larger than the rows
			fill(`UPDATE diary SET text = text || 'x' WHERE day >= printf('%020d', ?1) AND day < printf('%020d', ?2)`, 0,
				*bootstrapRows/3)
			continue
		}
		began := time.Now()
		s.follow("a snapshot", s.hasSnapshot, writer)
		b.ReportMetric(time.Since(began).Seconds(), "make-s")
	}
	var took [2]time.Duration
	for range b.N {
		for i, s := range spaces {
			reader := s.open(keys[i], "")
			began := time.Now()
			s.now(reader)
			took[i] += time.Since(began)
			rows, err := reader.Query(b.Context(), `SELECT count(*) FROM diary`)
			if s.must(err); fmt.Sprint(rows.Values[0][0]) != fmt.Sprint(*bootstrapRows) {
				b.Fatalf("%v rows", rows.Values)
			}
			s.must(reader.Close())
		}
	}
	b.ReportMetric(took[0].Seconds()/float64(b.N), "plain-s")
	b.ReportMetric(took[1].Seconds()/float64(b.N), "sealed-s")
	b.ReportMetric(float64(took[1])/float64(took[0]), "sealed/plain")
}
