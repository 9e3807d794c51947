package member

import (
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// BenchmarkOpen judges and opens 2,000 transactions of about 200 bytes, in one batch.
func BenchmarkOpen(b *testing.B) {
	const n = 2000
	s := newSpace(b)
	ada := s.founded()
	for i := range uint64(n) {
		s.write(ada.Member, writer, i+1, "what was on that day, in some words, which take as many bytes as a row does")
	}
	head := ada.Head()
	at := wire.Position{Seq: head.Seq, Chain: head.Chain}
	for b.Loop() {
		if _, err := ada.Open(b.Context(), at, s.log[head.Seq:]); err != nil {
			b.Fatal(err)
		}
		ada.mu.Lock()
		ada.rollback(head.Seq)
		ada.mu.Unlock()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/tx")
}
