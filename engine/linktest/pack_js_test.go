package linktest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ncruces/go-sqlite3"
	link "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle.dev/heddle/internal/rpc"
)

// randomValue makes a value, now and then an odd one.
func randomValue(rnd *rand.Rand, kind int) any {
	switch kind {
	case 0:
		return nil
	case 1:
		return []int64{0, 1, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, 1 << 53, 1<<53 + 1, -1 << 53, -(1<<53 + 1),
			math.MaxInt64, math.MinInt64}[rnd.IntN(12)]
	case 2:
		return int64(rnd.IntN(1000))
	case 3:
		return rnd.NormFloat64()
	case 4:
		return []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1e300, 5e-324}[rnd.IntN(6)]
	case 5:
		return fmt.Sprintf("row %d", rnd.IntN(1e6))
	case 6:
		return []string{"", "\ufeffmark", "a\x00b", "Grüße 世界 🌍 and more, to go on", "\U0010ffff"}[rnd.IntN(5)]
	case 7: // broken UTF-8
		b := make([]byte, rnd.IntN(12))
		for i := range b {
			b[i] = []byte{'a', 0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xA0, 0xE2, 0x82, 0xED, 0xF0, 0x90, 0xF4, 0x8F, 0xF5,
				0xFF}[rnd.IntN(16)]
		}
		return string(b)
	case 8:
		b := make([]byte, rnd.IntN(40))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	panic("no such kind")
}

// TestPacker packs random results in C and in Go: the bytes must be the same.
func TestPacker(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		db := open(t, ":memory:")
		columns := 1 + rnd.IntN(6)
		kinds := make([][]int, columns) // of each column: few, so that forms come up
		for i := range kinds {
			kinds[i] = rnd.Perm(9)[:1+rnd.IntN(2+rnd.IntN(3))]
		}
		create, insert := "CREATE TABLE t(c0 ANY", "INSERT INTO t VALUES (?"
		for i := 1; i < columns; i++ {
			create += fmt.Sprintf(", c%d ANY", i)
			insert += ", ?"
		}
		exec(t, db, create+") STRICT; BEGIN")
		s, _, err := db.Prepare(insert + ")")
		if err != nil {
			t.Fatal(err)
		}
		for range rnd.IntN(1500) {
			for i := range columns {
				switch v := randomValue(rnd, kinds[i][rnd.IntN(len(kinds[i]))]).(type) {
				case nil:
					s.BindNull(i + 1)
				case int64:
					s.BindInt64(i+1, v)
				case float64:
					s.BindFloat(i+1, v)
				case string:
					s.BindText(i+1, v)
				case []byte:
					s.BindBlob(i+1, v)
				}
			}
			if err := s.Exec(); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		exec(t, db, "COMMIT")
		maxRows, steps, base := 1+rnd.IntN(700), 1+rnd.IntN(400), rnd.IntN(17)
		inC, inGo := packC(t, db, columns, maxRows, steps, base), packGo(t, db, columns, maxRows, base)
		if len(inC) != len(inGo) {
			t.Fatalf("round %d: %d blocks in C, %d in Go", round, len(inC), len(inGo))
		}
		for i := range inC {
			if !bytes.Equal(inC[i], inGo[i]) {
				t.Fatalf("round %d, kinds %v: block %d differs:\n%x\n%x", round, kinds, i, inC[i], inGo[i])
			}
		}
		stackIsBack(t)
	}
}

func packC(t testing.TB, db *sqlite3.Conn, columns, maxRows, steps, base int) (blocks [][]byte) {
	s, _, err := db.Prepare(`SELECT * FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := link.NewPacker(s, columns)
	if p == nil {
		t.Fatal("no packer: where does this version of go-sqlite3 keep its handles?")
	}
	defer p.Close()
	onRow := s.Step()
	for more := onRow; more; {
		switch code := p.Read(s, onRow, maxRows, rpc.MaxBytes, steps); code {
		case link.Row:
		case link.Done:
			more = false
		default:
			t.Fatal(sqlite3.ExtendedErrorCode(code))
		}
		onRow = false
		if p.Rows() >= maxRows || !more && p.Rows() > 0 {
			// The flags that stand before are the caller's.
			block, ok := p.AppendTo(make([]byte, base+1))
			if !ok {
				t.Fatal("no memory")
			}
			blocks = append(blocks, block)
		}
	}
	return blocks
}

func packGo(t testing.TB, db *sqlite3.Conn, columns, maxRows, base int) (blocks [][]byte) {
	s, _, err := db.Prepare(`SELECT * FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var p rpc.Packer
	p.BeginBare(columns)
	for s.Step() {
		p.Row(s)
		if p.Rows() >= maxRows {
			blocks = append(blocks, p.AppendTo(make([]byte, base)))
		}
	}
	if p.Rows() > 0 {
		blocks = append(blocks, p.AppendTo(make([]byte, base)))
	}
	return blocks
}

// TestPacker_errors checks that an error in a step comes out, and that a row
// that is too large for memory is one.
func TestPacker_errors(t *testing.T) {
	db := open(t, ":memory:")
	s, _, err := db.Prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT CASE WHEN i = 100 ` +
		`THEN json('{') ELSE i END FROM n`)
	if err != nil {
		t.Fatal(err)
	}
	p := link.NewPacker(s, 1)
	if code := p.Read(s, false, 4096, rpc.MaxBytes, 4096); code != 1 || p.Rows() != 99 {
		t.Errorf("got code %d after %d rows, want 1 after 99", code, p.Rows())
	}
	if err := s.Reset(); err == nil || err.Error() != "sqlite3: SQL logic error: malformed JSON" {
		t.Errorf("Reset reports %v", err)
	}
	p.Close()
	p.Close()
	s.Close()

	s, _, err = db.Prepare(`SELECT zeroblob(20000000)`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p = link.NewPacker(s, 1)
	defer p.Close()
	link.SetMemoryLimit(link.MemoryUsed() + 30<<20)
	defer link.SetMemoryLimit(1 << 30)
	if code := p.Read(s, false, 4096, rpc.MaxBytes, 10); code != 7 {
		t.Errorf("got code %d, want 7", code)
	}
	if link.NewPacker("no statement", 1) != nil || link.NewPacker((*sqlite3.Stmt)(nil), 1) != nil {
		t.Error("a packer for no statement")
	}
}

func benchPack(b *testing.B, pack func(b *testing.B, db *sqlite3.Conn)) {
	db := open(b, ":memory:")
	fill(b, db)
	for b.Loop() {
		pack(b, db)
	}
}

func BenchmarkPackGo100k(b *testing.B) {
	benchPack(b, func(b *testing.B, db *sqlite3.Conn) { packGo(b, db, 4, 4096, 5) })
}

func BenchmarkPackC100k(b *testing.B) {
	benchPack(b, func(b *testing.B, db *sqlite3.Conn) { packC(b, db, 4, 4096, 256, 5) })
}
