package heddle

import (
	"fmt"
	"testing"
	"time"
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
