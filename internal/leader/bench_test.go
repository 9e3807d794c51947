package leader

import (
	"fmt"
	"testing"
	"time"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

const benchRows = 20000

func BenchmarkBulk(b *testing.B) {
	p := connect(b, openLeader(b, nil), "a")
	p.ask(exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL, d TEXT)")).ok()
	parts := make([]rpc.BulkRows, 0, benchRows/2000)
	for from := 0; from < benchRows; from += 2000 {
		var rows [][]rpc.Value
		for i := from; i < from+2000; i++ {
			rows = append(rows, []rpc.Value{int64(i), fmt.Sprint("row number ", i), float64(i) * 1.5, nil})
		}
		parts = append(parts, rpctest.MakeRows(4, rows))
	}
	for b.Loop() {
		p.ask(exec("DELETE FROM t")).ok()
		load := p.send(bulkBegin("INSERT INTO t VALUES(?,?,?,?)"))
		for _, part := range parts {
			p.ask(rpc.Request{Method: rpc.MethodBulkRows, Target: load, Rows: part}).ok()
		}
		p.send(end(rpc.MethodBulkEnd, load))
		p.wait(load).ok()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkQuery(b *testing.B) {
	p := connect(b, openLeader(b, nil), "a")
	q := query(fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT i, 'row "+
		"number '||i, i*1.5, NULL FROM n", benchRows))
	for b.Loop() {
		p.ask(q).ok()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// A point look-up, all the way from a tab's message to its answer.
func BenchmarkPointQuery(b *testing.B) {
	p := connect(b, openLeader(b, nil), "a")
	p.ask(exec(insertNotes, "k", "body", int64(1))).ok()
	q := query("SELECT * FROM notes WHERE id = ?", "k")
	for b.Loop() {
		p.ask(q).ok()
	}
}

func BenchmarkExec(b *testing.B) {
	p := connect(b, openLeader(b, nil), "a")
	p.ask(exec(insertNotes, "k", "body", int64(1))).ok()
	q := exec("UPDATE notes SET n = n + 1 WHERE id = ?", "k")
	for b.Loop() {
		p.ask(q).ok()
	}
}

// BenchmarkExec_outcome shows what it costs that the outcome of a write is kept
// in the write's own transaction: the same commits with and without, in turn.
func BenchmarkExec_outcome(b *testing.B) {
	p := connect(b, openLeader(b, nil), "a")
	p.ask(exec(insertNotes, "k", "body", int64(1))).ok()
	q := exec("UPDATE notes SET n = n + 1 WHERE id = ?", "k")
	var with, without time.Duration
	for b.Loop() {
		start := time.Now()
		p.wait(p.sendAs(named(q, 0))).ok()
		middle := time.Now()
		p.ask(q).ok()
		without += middle.Sub(start)
		with += time.Since(middle)
	}
	b.ReportMetric(float64(without.Nanoseconds())/float64(b.N), "ns/without")
	b.ReportMetric(float64(with.Nanoseconds())/float64(b.N), "ns/with")
	b.ReportMetric(100*(float64(with)/float64(without)-1), "%")
}
