package linktest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	link "github.com/ncruces/go-sqlite3-wasm/v6"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/capture"
)

// counted is the linked engine's store.Engine, as wasm/rows.go has it, with
// what it was good for.
type counted struct {
	rows, others, errors int
	tally                *link.Tally
	kept                 int
}

func (c *counted) engine() store.Engine {
	return store.Engine{
		RunRows: func(stmt *sqlite3.Stmt, rows []byte, columns, max int) (store.Run, int, bool) {
			run, code, ok := link.RunRows(stmt, rows, columns, max)
			c.rows += run.Rows
			switch {
			case code == link.Other:
				c.others++
			case code != 0:
				c.errors++
			}
			return store.Run(run), code, ok
		},
		NewTally: func(conn *sqlite3.Conn, hook func(sqlite3.PreUpdateData)) capture.Tally {
			conn.PreUpdateHook(hook)
			c.tally = link.NewTally(conn)
			return tally{c.tally, c}
		},
	}
}

type tally struct {
	*link.Tally
	c *counted
}

func (t tally) Add(table string, op sqlite3.AuthorizerActionCode, rowids bool) int {
	return t.Tally.Add(table, int(op), rowids)
}

func (t tally) Count(i int) int {
	n := t.Tally.Count(i)
	t.c.kept += n
	return n
}

func (t tally) Rows(row func(int, int64)) {
	t.Tally.Rows(func(i int, rowid int64) {
		t.c.kept++
		row(i, rowid)
	})
}

type recorder struct{ seen *[]string }

func (r recorder) Record(_ *store.Tx, changes []store.Change) error {
	for _, ch := range changes {
		*r.seen = append(*r.seen, fmt.Sprintf("%s %v %v %v", ch.Table.Name, ch.Key, ch.Before, ch.After))
	}
	return nil
}

// bulkSchema has a table that is captured whole and some that are not, with
// what can refuse a row or run more than the insert.
const bulkSchema = `
	CREATE TABLE a(id INTEGER PRIMARY KEY, b UNIQUE, c);
	CREATE TABLE b(x, y, z, CHECK (x IS NOT 'bad'));
	CREATE TABLE c(x TEXT, y BLOB, z REAL, PRIMARY KEY (x, y)) WITHOUT ROWID;
	CREATE TABLE notes(n);
	CREATE TRIGGER a_notes AFTER INSERT ON a WHEN new.id % 7 = 0 BEGIN INSERT INTO notes VALUES (new.c); END;
	CREATE VIRTUAL TABLE f USING fts5(body)`

func openStore(t *testing.T, o store.Options) *store.DB {
	o.Migrations, o.Synced = []string{bulkSchema}, []string{"a", "c"}
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestBulk loads random rows by the engine's own loop and behind its tally, and
// by Go's, and compares all that can be seen of both.
func TestBulk(t *testing.T) {
	var c counted
	var dbs [2]*store.DB
	var seen [2][]string
	for i, engine := range []store.Engine{{}, c.engine()} {
		name := fmt.Sprintf("opfs-bulk%d", i)
		vfs.Register(name, opfs.New(opfs.Memory()))
		t.Cleanup(func() { vfs.Unregister(name) })
		dbs[i] = openStore(t, store.Options{Filename: "file:bulk.db?vfs=" + name, Engine: engine})
		dbs[i].SetRecorder(recorder{&seen[i]})
		dbs[i].OnCommit(func(commit store.Commit) {
			tables := slices.Clone(commit.Tables)
			for k := range tables {
				tables[k].Of = nil // each database has its own
			}
			seen[i] = append(seen[i], fmt.Sprintf("%+v", tables))
		})
	}
	statements := []string{
		`INSERT INTO a VALUES (?, ?, ?)`, `INSERT OR IGNORE INTO a VALUES (?, ?, ?)`, `REPLACE INTO a VALUES (?, ?, ?)`,
		`INSERT INTO a VALUES (?, ?, ?) RETURNING id`,
		`INSERT OR ROLLBACK INTO a VALUES (?, ?, ?)`, `INSERT OR FAIL INTO a VALUES (?, ?, ?)`,
		`INSERT INTO b VALUES (?, ?, ?)`, `INSERT INTO b VALUES (?2, ?1, upper(?3))`,
		`UPDATE b SET z = ?3 WHERE x = ?1 AND y IS ?2`, `DELETE FROM b WHERE x IS ? AND y IS ? AND z IS ?`,
		`INSERT OR IGNORE INTO c VALUES (?, ?, ?)`, `SELECT ?, ?, ?`, `INSERT INTO f SELECT ? || ? || ?`,
		`INSERT INTO b SELECT ?, ?, uuid7() IS NULL AND ?`,
	}
	rounds := 80
	failed := 0
	for round := range rounds {
		rnd := rand.New(rand.NewPCG(3, uint64(round)))
		sql := statements[rnd.IntN(len(statements))]
		columns := 3
		if rnd.IntN(12) == 0 {
			columns = 2
		}
		odd := rnd.IntN(3) == 0
		var parts []store.Batch
		for range 1 + rnd.IntN(3) {
			rows := make([][]rpc.Value, rnd.IntN(700))
			for i := range rows {
				row := make([]rpc.Value, columns)
				for k := range row {
					row[k] = randomValue(rnd, []int{0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 8}[rnd.IntN(11)])
				}
				if strings.Contains(sql, " a ") { // rowids that leave room for others
					if row[0] = nil; odd && rnd.IntN(100) == 0 {
						row[0] = int64(rnd.IntN(20_000))
					}
					if rnd.IntN(200) > 0 || !odd {
						row[1] = fmt.Sprint(rnd.Uint64())
					}
				}
				if odd && rnd.IntN(400) == 0 {
					row[rnd.IntN(columns)] = []rpc.Value{math.NaN(), "bad", int64(1), "not a number"}[rnd.IntN(4)]
				}
				rows[i] = row
			}
			parts = append(parts, rpctest.MakeRows(columns, rows).Reader())
		}
		var said [2]string
		for i, db := range dbs {
			err := db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
				res, err := tx.BulkBatches(sql, func(yield func(store.Batch) bool) {
					for k := range parts {
						p := *parts[k].(*rpc.RowReader) // each reads from the start
						if !yield(&p) {
							return
						}
					}
				})
				said[i] = fmt.Sprintf("%+v", res)
				return err
			})
			if err != nil {
				said[i] += err.Error()
				failed++
			}
			for _, table := range []string{"a", "b", "c", "notes", "f"} {
				said[i] += " " + digest(t, db, table)
			}
		}
		if said[0] != said[1] {
			t.Fatalf("round %d, %s: in Go %s, in the engine %s", round, sql, said[0], said[1])
		}
		for k := range seen[0] {
			if k >= len(seen[1]) || seen[0][k] != seen[1][k] {
				t.Fatalf("round %d, %s: seen in Go %.2000s, in the engine %.2000s", round, sql, seen[0][k:],
					seen[1][min(k, len(seen[1])):])
			}
		}
		if len(seen[0]) != len(seen[1]) {
			t.Fatalf("round %d, %s: %d things were seen in Go, %d in the engine", round, sql, len(seen[0]), len(seen[1]))
		}
		seen = [2][]string{}
	}
	t.Logf("%d rows in C, %d events kept, %d rows for Go, %d errors, %d loads failed", c.rows, c.kept, c.others, c.errors,
		failed)
	if c.rows < 20_000 || c.kept < 5_000 || c.others == 0 || c.errors == 0 || failed < 4 || failed > rounds {
		t.Error("the test is hollow")
	}
}

// digest is a short text that tells tables apart.
func digest(t *testing.T, db *store.DB, table string) (d string) {
	sql := `SELECT count(*) || ' ' || coalesce(sum(length(hex(t.x)) * 7 + unicode(typeof(t.x))), 0) FROM (SELECT quote(` +
		map[string]string{
			"a": "id) || quote(b) || quote(c", "b": "x) || quote(y) || quote(z", "c": "x) || quote(y) || quote(z", "notes": "n",
			"f": "body",
		}[table] + `) AS x FROM ` + table + `) t`
	err := db.Query(t.Context(), sql, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		d = s.ColumnText(0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
