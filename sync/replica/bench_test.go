package replica

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// BenchmarkRecord is a small durable commit with what sync adds to it.
func BenchmarkRecord(b *testing.B) {
	for _, synced := range []bool{false, true} {
		b.Run(fmt.Sprintf("synced=%v", synced), func(b *testing.B) {
			r := newReplica(b, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v); CREATE TABLE plain(id TEXT PRIMARY KEY, v)`},
				"t")
			sql := `INSERT INTO plain VALUES(uuid7(), 'some text of a note')`
			if synced {
				sql = `INSERT INTO t VALUES(uuid7(), 'some text of a note')`
			}
			for b.Loop() {
				r.must(sql)
			}
		})
	}
}

// BenchmarkApply is one foreign row, of a transaction of many.
func BenchmarkApply(b *testing.B) {
	r := newReplica(b, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, a TEXT, b REAL, c INTEGER)`}, "t")
	shape := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"a", "b", "c"}, Joins: make([]wire.Join, 3)}
	prev, seq := wire.Hash{}, uint64(0)
	b.ReportAllocs()
	for done := 0; done < b.N; {
		b.StopTimer()
		n := min(10_000, b.N-done)
		body := &wire.Body{Shapes: []*wire.Shape{shape}}
		if seq == 0 {
			body.Schema = []wire.TableSchema{r.c.tables["t"].Schema}
		}
		for i := range n {
			body.Ops = append(body.Ops, wire.Op{Shape: shape, Key: []wire.Value{fmt.Sprintf("key %08d", done+i)},
				Cells: []wire.Value{"some text", 1.5, int64(i)}})
		}
		data := body.Marshal()
		seq++
		e := wire.Entry{Seq: seq, Client: wire.ClientID{9}, Counter: seq, BodyHash: wire.HashBody(data), Body: data}
		e.Chain = e.ChainAfter(prev)
		prev = e.Chain
		b.StartTimer()
		if _, err := r.c.Apply(b.Context(), r.c.View().Client, wire.Epoch{1}, []wire.Entry{e}); err != nil {
			b.Fatal(err)
		}
		done += n
	}
}

var _ store.Recorder = (*recorder)(nil)
