package capture_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/capture"
	"heddle.dev/heddle/internal/store/storetest"
	"heddle.dev/heddle/internal/value"
)

// hookTally is a Tally in Go, of little room, so that the room runs out.
type hookTally struct {
	adds  []kept
	noted []struct {
		i     int
		rowid int64
	}
	kept *int
}

type kept struct {
	table  string
	op     sqlite3.AuthorizerActionCode
	rowids bool
	count  int
}

// tallyEngine makes an Engine with such a tally, used from the first row on, and
// counts what it keeps from the hook.
func tallyEngine(t *testing.T) (engine store.Engine, n *int) {
	old := capture.TallyAfter
	capture.TallyAfter = 1
	t.Cleanup(func() { capture.TallyAfter = old })
	n = new(int)
	return store.Engine{NewTally: func(c *sqlite3.Conn, hook func(sqlite3.PreUpdateData)) capture.Tally {
		tally := &hookTally{kept: n}
		c.PreUpdateHook(func(d sqlite3.PreUpdateData) {
			if d.Schema != "main" || d.BlobWrite() >= 0 || !tally.take(&d) {
				hook(d)
			}
		})
		return tally
	}}, n
}

func (t *hookTally) take(d *sqlite3.PreUpdateData) bool {
	for i := range t.adds {
		k := &t.adds[i]
		if k.table != d.Table || k.op != d.Op {
			continue
		}
		if k.rowids {
			if len(t.noted) == 7 {
				return false
			}
			t.noted = append(t.noted, struct {
				i     int
				rowid int64
			}{i, d.NewRowID})
		} else {
			k.count++
		}
		*t.kept++
		return true
	}
	return false
}

func (t *hookTally) Add(table string, op sqlite3.AuthorizerActionCode, rowids bool) int {
	if len(t.adds) == 4 {
		return -1
	}
	t.adds = append(t.adds, kept{table: table, op: op, rowids: rowids})
	return len(t.adds) - 1
}

func (t *hookTally) Count(i int) int { return t.adds[i].count }

func (t *hookTally) Rows(row func(int, int64)) {
	noted := t.noted
	t.noted = nil
	for _, e := range noted {
		row(e.i, e.rowid)
	}
}

func (t *hookTally) Clear() { t.adds, t.noted = nil, nil }

// many makes statements that touch more rows than a commit names.
func (g gen) many() string {
	table := g.pick("num", "quiet", "nokey", "norow", "f")
	from := g.n(3000)
	rows := fmt.Sprintf(`(WITH RECURSIVE s(value) AS (SELECT %d UNION ALL SELECT value + 1 FROM s WHERE value < %d)
		SELECT value FROM s)`, from, from+g.n(2500))
	switch table {
	case "num":
		return g.pick(`INSERT OR IGNORE INTO num(id, a) SELECT value, value FROM `+rows, `UPDATE num SET b = a + 1`,
			`UPDATE num SET a = 1, b = 2 WHERE id > 500`,
			`REPLACE INTO num(id, b) SELECT value, 'new' FROM `+rows, `DELETE FROM num WHERE id % 3 = 0`)
	case "quiet":
		return g.pick(`INSERT OR IGNORE INTO quiet SELECT value, 1 FROM `+rows, `UPDATE quiet SET n = n + 1`,
			`DELETE FROM quiet`, `UPDATE OR IGNORE quiet SET k = k + 1`)
	case "nokey":
		return g.pick(`INSERT INTO nokey SELECT value, 1 FROM `+rows, `UPDATE nokey SET a = a + 1`,
			`UPDATE nokey SET b = b + 1 WHERE a > 100`, `DELETE FROM nokey WHERE rowid % 2`)
	case "norow":
		return g.pick(`INSERT OR IGNORE INTO norow(x, y) SELECT value, 'y' FROM `+rows, `UPDATE norow SET b = 1`)
	default:
		return g.pick(`INSERT INTO f SELECT 'some words ' || value FROM `+rows, `DELETE FROM f`)
	}
}

// TestTally_changesNothing runs the same transactions with a tally and without,
// and compares what is recorded and announced.
func TestTally_changesNothing(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 12
	}
	engine, n := tallyEngine(t)
	type seen struct{ changes, tables string }
	run := func(o store.Options) (all []seen) {
		o.Migrations, o.Synced = []string{captureSchema, `CREATE VIRTUAL TABLE f USING fts5(body)`}, []string{"num", "norow",
			"plain"}
		db := storetest.Open(t, o)
		var last seen
		recorded := 0
		db.SetRecorder(storetest.RecorderFunc(func(tx *store.Tx, ch []store.Change) error {
			last.changes = fmt.Sprintf("%d %x", len(ch), describe(ch))
			recorded++
			return tx.Conn().Exec(`INSERT INTO quiet VALUES('recorded', 1) ON CONFLICT DO UPDATE SET n = n + 1`)
		}))
		db.OnCommit(func(c store.Commit) { last.tables = fmt.Sprintf("%#v", storetest.Keys(c.Tables)) })
		for round := range rounds {
			g := gen{rand.New(rand.NewPCG(5, uint64(round)))}
			last = seen{}
			err := db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
				for range 1 + g.n(5) {
					sql := g.many()
					switch g.n(5) {
					case 0:
						sql = g.stmt()
					case 1:
						sql = "SAVEPOINT s; " + sql + "; ROLLBACK TO s; RELEASE s"
					}
					tx.Exec(sql, store.Params{}) // some fail
				}
				return nil
			})
			last.tables += fmt.Sprint(err)
			all = append(all, last)
		}
		if recorded < rounds/3 {
			t.Errorf("the test is hollow: %d transactions were recorded", recorded)
		}
		return all
	}
	want, got := run(store.Options{}), run(store.Options{Engine: engine})
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("round %d: with a tally\n%.3000s\n%.3000s\nwithout\n%.3000s\n%.3000s", i, got[i].changes, got[i].tables,
				want[i].changes, want[i].tables)
		}
	}
	if *n < 1000*rounds {
		t.Errorf("the test is hollow: the tally kept %d events from the hook", *n)
	}
}

// describe is a short text that tells lists of changes apart.
func describe(changes []store.Change) []byte {
	var b []byte
	for _, ch := range changes {
		b = append(b, ch.Table.Name...)
		for _, row := range [][]store.Value{ch.Key, ch.Before, ch.After} {
			b = value.AppendAll(append(b, byte(len(row))), row)
		}
	}
	if len(b) > 4000 {
		b = append(b[:2000], b[len(b)-2000:]...)
	}
	return b
}
