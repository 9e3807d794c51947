package rpc_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

// safeInteger is the largest n for which every integer up to n is a float64.
const safeInteger = 1 << 53

func database(t testing.TB) *sqlite3.Conn {
	t.Helper()
	db, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// query packs a statement's rows as a leader does, and unpacks the blocks.
func query(t testing.TB, db *sqlite3.Conn, sql string, args ...rpc.Value) (columns []string, rows [][]rpc.Value,
	blocks [][]byte) {
	t.Helper()
	stmt, _, err := db.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for i, arg := range args {
		switch arg := arg.(type) {
		case nil:
			err = stmt.BindNull(i + 1)
		case int64:
			err = stmt.BindInt64(i+1, arg)
		case float64:
			err = stmt.BindFloat(i+1, arg)
		case string:
			err = stmt.BindText(i+1, arg)
		case []byte:
			err = stmt.BindBlob(i+1, arg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range stmt.ColumnCount() {
		columns = append(columns, stmt.ColumnName(i))
	}
	var p rpc.Packer
	p.Begin(columns)
	flush := func(kind rpc.Kind) { blocks = append(blocks, p.AppendTo(rpc.Reply(1, kind))) }
	for stmt.Step() {
		if p.Full() {
			flush(rpc.KindChunk)
		}
		p.Row(stmt)
	}
	if err := stmt.Err(); err != nil {
		t.Fatal(err)
	}
	flush(rpc.KindResult)
	for i, b := range blocks {
		m, err := rpctest.DecodeMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		names, more, err := m.Payload.Rows()
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if (i == 0) != (names != nil) || (i == 0 && !reflect.DeepEqual(names, columns)) {
			t.Errorf("block %d has columns %q", i, names)
		}
		rows = append(rows, more...)
	}
	return columns, rows, blocks
}

// plain is v as JavaScript has it: INTEGER up to 2^53 and REAL are one type.
func plain(v rpc.Value) rpc.Value {
	if n, ok := v.(int64); ok && n >= -safeInteger && n <= safeInteger {
		return float64(n)
	}
	return v
}

func equalRows(t *testing.T, got, want [][]rpc.Value) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i := range want {
		for j := range want[i] {
			g, w := plain(got[i][j]), plain(want[i][j])
			if gb, ok := g.([]byte); ok {
				if wb, ok := w.([]byte); !ok || !bytes.Equal(gb, wb) {
					t.Fatalf("row %d column %d: got %v, want %v", i, j, g, w)
				}
			} else if g != w {
				t.Fatalf("row %d column %d: got %T %v, want %T %v", i, j, g, g, w, w)
			}
		}
	}
}

// Random rows through a real statement: what comes out is what went in.
func TestPacker_randomRowsOfAStatement(t *testing.T) {
	texts := []string{"", "a", "über", "€uro", "😀😀", "\ufeffbom", "nul\x00inside", strings.Repeat("long ", 300)}
	value := func(r *rand.Rand, kind int) rpc.Value {
		switch kind {
		case 0:
			return int64(r.Int32()) - 1<<30
		case 1:
			return int64(r.Uint64())
		case 2:
			return r.NormFloat64()
		case 3:
			return texts[r.IntN(len(texts))]
		case 4:
			return bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(9))
		case 5:
			return []rpc.Value{int64(safeInteger), int64(safeInteger + 1), int64(-safeInteger - 1), math.Inf(-1),
				int64(math.MinInt64)}[r.IntN(5)]
		default:
			return nil
		}
	}
	seeds := uint64(30)
	if runtime.GOOS == "js" {
		seeds = 6 // SQLite as Go code inside wasm is slow, and the packer the same
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		db := database(t)
		n, width := []int{0, 1, 7, 8, 511, 512, 513, 6000}[r.IntN(8)], 1+r.IntN(6)
		names := make([]string, width)
		for i := range names {
			names[i] = fmt.Sprintf("c%d", i)
		}
		if err := db.Exec("CREATE TABLE t(" + strings.Join(names, ",") + ")"); err != nil {
			t.Fatal(err)
		}
		insert, _, err := db.Prepare("INSERT INTO t VALUES(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")")
		if err != nil {
			t.Fatal(err)
		}
		kinds := make([]int, width)
		for i := range kinds {
			kinds[i] = r.IntN(9) // 7: mixed, 8: the kind or NULL
		}
		var want [][]rpc.Value
		if err := db.Exec("BEGIN"); err != nil {
			t.Fatal(err)
		}
		for range n {
			row := make([]rpc.Value, width)
			for i, kind := range kinds {
				switch kind {
				case 7:
					kind = r.IntN(7)
				case 8:
					kind = []int{3, 6}[r.IntN(2)]
				}
				row[i] = value(r, kind)
				switch v := row[i].(type) {
				case nil:
					err = insert.BindNull(i + 1)
				case int64:
					err = insert.BindInt64(i+1, v)
				case float64:
					err = insert.BindFloat(i+1, v)
				case string:
					err = insert.BindText(i+1, v)
				case []byte:
					err = insert.BindBlob(i+1, v)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := insert.Exec(); err != nil {
				t.Fatal(err)
			}
			want = append(want, row)
		}
		insert.Close()
		_, rows, blocks := query(t, db, "SELECT * FROM t ORDER BY rowid")
		equalRows(t, rows, want)
		for i, b := range blocks {
			if len(b) > rpc.MaxBytes+64<<10 {
				t.Errorf("seed %d: block %d has %d bytes", seed, i, len(b))
			}
		}
	}
}

func TestPacker_invalidTextOfAStatement(t *testing.T) {
	db := database(t)
	_, rows, _ := query(t, db, `
		SELECT CAST(x'61ff62' AS TEXT), CAST(x'f09f98' AS TEXT), 'after', CAST(x'eda080' AS TEXT), 'end'`)
	want := []rpc.Value{"a\uFFFDb", "\uFFFD", "after", "\uFFFD\uFFFD\uFFFD", "end"}
	equalRows(t, rows, [][]rpc.Value{want})
}

func TestPacker_noRowsAndNoColumns(t *testing.T) {
	db := database(t)
	columns, rows, blocks := query(t, db, "SELECT 1 AS a, 2 AS a WHERE 0")
	if len(rows) != 0 || len(blocks) != 1 || !reflect.DeepEqual(columns, []string{"a", "a"}) {
		t.Errorf("got %q, %v, %d blocks", columns, rows, len(blocks))
	}
	var p rpc.Packer
	p.Begin(nil)
	m, err := rpctest.DecodeMessage(p.AppendTo(rpc.Reply(1, rpc.KindResult)))
	if err != nil {
		t.Fatal(err)
	}
	if columns, rows, err := m.Payload.Rows(); err != nil || columns == nil || len(columns) != 0 || len(rows) != 0 {
		t.Errorf("got %v, %v, %v", columns, rows, err)
	}
}

func TestPacker_bigRowsMakeSmallBlocks(t *testing.T) {
	db := database(t)
	_, rows, blocks := query(t, db,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20) SELECT i, zeroblob(100000) FROM n`)
	if len(rows) != 20 || len(blocks) < 6 {
		t.Errorf("got %d rows in %d blocks", len(rows), len(blocks))
	}
}

func TestPacker_reuseLeavesNothingBehind(t *testing.T) {
	var p rpc.Packer
	p.Begin([]string{"a", "b", "c"})
	p.Values([]rpc.Value{"left over", []byte{1}, int64(math.MaxInt64)})
	p.AppendTo(nil)
	p.Begin([]string{"x"})
	p.Values([]rpc.Value{int64(1)})
	var fresh rpc.Packer
	fresh.Begin([]string{"x"})
	fresh.Values([]rpc.Value{int64(1)})
	if got, want := p.AppendTo(rpc.Reply(1, rpc.KindResult)),
		fresh.AppendTo(rpc.Reply(1, rpc.KindResult)); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestPacker_allocatesNothingPerValue(t *testing.T) {
	db := database(t)
	stmt, _, err := db.Prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400)
		SELECT i, i*1.5, 'text '||i, x'00ff' FROM n`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	var p rpc.Packer
	columns := []string{"a", "b", "c", "d"}
	run := func() {
		p.Begin(columns)
		for stmt.Step() {
			p.Row(stmt)
		}
		if err := stmt.Reset(); err != nil {
			t.Fatal(err)
		}
		if p.Rows() != 400 {
			t.Fatalf("got %d rows", p.Rows())
		}
	}
	run()
	if n := testing.AllocsPerRun(5, run); n > 40 {
		t.Errorf("%v allocations for 1,600 values", n)
	}
}

func BenchmarkPacker_row(b *testing.B) {
	db := database(b)
	stmt, _, err := db.Prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000)
		SELECT i, i*1.5, 'text '||i, NULL FROM n`)
	if err != nil {
		b.Fatal(err)
	}
	defer stmt.Close()
	var p rpc.Packer
	for b.Loop() {
		p.Begin([]string{"a", "b", "c", "d"})
		for stmt.Step() {
			if p.Full() {
				p.AppendTo(rpc.Reply(1, rpc.KindChunk))
			}
			p.Row(stmt)
		}
		if err := stmt.Reset(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100000/b.Elapsed().Seconds(), "rows/s")
}
