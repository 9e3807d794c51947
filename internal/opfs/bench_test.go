package opfs

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// counting is a directory in memory that counts the writes it is handed.
type counting struct {
	*MemoryDirectory
	writes, bytes int
}

type countingHandle struct {
	Handle
	d *counting
}

func (d *counting) Open(name string) (Handle, error) {
	h, err := d.MemoryDirectory.Open(name)
	return countingHandle{h, d}, err
}

func (h countingHandle) WriteAt(p []byte, off int64) (int, error) {
	h.d.writes++
	h.d.bytes += len(p)
	return h.Handle.WriteAt(p, off)
}

// openCounting opens a database in WAL, gathering runs of up to maxRun bytes.
func openCounting(tb testing.TB, maxRun int) (*sqlite3.Conn, *counting) {
	tb.Helper()
	d := &counting{MemoryDirectory: Memory()}
	v := New(d)
	v.maxRun = maxRun
	name := fmt.Sprintf("opfs-bench%d", maxRun)
	vfs.Register(name, v)
	c, err := sqlite3.Open("file:bench.db?vfs=" + name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close(); vfs.Unregister(name) })
	if err := c.Exec(`PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
		CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, d)`); err != nil {
		tb.Fatal(err)
	}
	d.writes, d.bytes = 0, 0
	return c, d
}

const (
	insert100k = `INSERT INTO t WITH RECURSIVE v(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM v WHERE n<100000)
		SELECT NULL, 'a row of four columns', n, n*0.5 FROM v`
	insertOne = "INSERT INTO t VALUES (NULL, 'a note', 1, 2.5)"
)

// TestGather_writes holds the gathering to what it is for.
func TestGather_writes(t *testing.T) {
	for _, c := range []struct {
		name, sql            string
		gathered, ungathered int // at most, at least
	}{
		{name: "100k rows", sql: insert100k, gathered: 20, ungathered: 1000},
		{name: "one row", sql: insertOne, gathered: 3, ungathered: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts := map[int]int{}
			for _, maxRun := range []int{0, MaxRun} {
				conn, d := openCounting(t, maxRun)
				if err := conn.Exec(c.sql); err != nil {
					t.Fatal(err)
				}
				counts[maxRun] = d.writes
			}
			t.Logf("%d writes ungathered, %d gathered", counts[0], counts[MaxRun])
			if counts[MaxRun] > c.gathered || counts[0] < c.ungathered {
				t.Errorf("got %d writes ungathered and %d gathered, want %d and %d", counts[0], counts[MaxRun], c.ungathered,
					c.gathered)
			}
		})
	}
}

// BenchmarkGather reports the writes that one statement costs: in a browser
// each is a call of 10 µs and more.
func BenchmarkGather(b *testing.B) {
	for _, work := range []struct{ name, sql string }{{"100k-rows", insert100k}, {"commit", insertOne}} {
		for _, run := range []struct {
			name string
			max  int
		}{{"ungathered", 0}, {"gathered", MaxRun}} {
			b.Run(work.name+"/"+run.name, func(b *testing.B) {
				c, d := openCounting(b, run.max)
				for b.Loop() {
					if err := c.Exec(work.sql); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(d.writes)/float64(b.N), "writes/op")
				b.ReportMetric(float64(d.bytes)/float64(b.N), "B-written/op")
			})
		}
	}
}
