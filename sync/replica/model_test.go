package replica

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// checkVisible holds a replica, at any moment, against the definition: its rows
// are the fold of the prefix with its pending transactions on top.
func (r *replica) checkVisible(l *memoryLog) {
	r.t.Helper()
	m := newMemoryLog(r.t)
	for _, e := range l.entries[:r.c.View().Position.Seq] {
		m.decide(e.Client, e.Counter, e.Body, e.Outcome)
	}
	r.checkPrefix(m)
	want := newMemoryLog(r.t)
	want.entries, want.schema, want.rows, want.keys = m.entries, m.schema, m.rows, m.keys
	pending := map[int64][]byte{}
	var ids []int64
	err := r.db.Query(context.Background(), `SELECT id, bytes FROM heddle_pending ORDER BY id, part`, store.Params{}, nil,
		func(s *sqlite3.Stmt) error {
			id := s.ColumnInt64(0)
			if pending[id] == nil {
				ids = append(ids, id)
			}
			pending[id] = append(pending[id], s.ColumnRawBlob(1)...)
			return nil
		})
	if err != nil {
		r.t.Fatal(err)
	}
	for i, id := range ids {
		want.decide(wire.ClientID{255}, uint64(i+1), pending[id], "")
	}
	for _, tab := range []struct {
		name, key string
		columns   []string
	}{{"a", "id", []string{"x", "y", "z"}}, {"b", "k1, k2", []string{"v"}}, {"n", "id", []string{"v"}}, {"m", "id",
		modelColumns}} {
		if got, want := r.dump(tab.name, tab.key, tab.columns), want.dump(tab.name, tab.columns); !slices.Equal(got, want) {
			r.t.Fatalf("table %s with %d entries and %d pending:\ngot  %v\nwant %v", tab.name, len(m.entries), len(ids), got,
				want)
		}
	}
}

// TestClient_randomHistories holds replicas against the definition: with
// nothing pending, the rows are the fold of the log, and the digest its digest;
// and an own pending write always shows.
func TestClient_randomHistories(t *testing.T) {
	n := *historyCount
	if testing.Short() {
		n = 10
	}
	t.Cleanup(func() {
		h := &histories
		t.Logf("%d histories: %d transactions ok, %d void; %d rejections and %d conflicts told", n, h.ok.Load(),
			h.void.Load(), h.rejected.Load(), h.conflicts.Load())
		if h.ok.Load() == 0 || h.conflicts.Load() == 0 || h.void.Load() != h.rejected.Load() {
			t.Error("the histories do not show what they are for")
		}
	})
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			randomHistory(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

// -histories 3000 looks longer for what is wrong.
var historyCount = flag.Int("histories", 60, "how many random histories to try")

var histories struct{ ok, void, rejected, conflicts atomic.Int64 }

const randomSchema = `
CREATE TABLE a(id TEXT PRIMARY KEY, x, y INTEGER NOT NULL DEFAULT 7, z BLOB);
CREATE TABLE b(k1 INTEGER, k2 TEXT, v, PRIMARY KEY(k1, k2)) WITHOUT ROWID;
CREATE TABLE c(id BLOB PRIMARY KEY);
CREATE TABLE n(id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE m(id TEXT PRIMARY KEY, cnt INTEGER NOT NULL DEFAULT 2, r REAL, num NUMERIC DEFAULT 0.5, hi,
	lo DEFAULT 5, tags TEXT DEFAULT '["x"]', v);
-- An index that the app keeps by triggers: they fire for others' writes too.
CREATE TABLE idx(id TEXT PRIMARY KEY, x);
CREATE TRIGGER a_ins AFTER INSERT ON a BEGIN INSERT OR REPLACE INTO idx VALUES(new.id, new.x); END;
CREATE TRIGGER a_upd AFTER UPDATE OF id, x ON a BEGIN
	DELETE FROM idx WHERE id = old.id; INSERT OR REPLACE INTO idx VALUES(new.id, new.x); END;
CREATE TRIGGER a_del AFTER DELETE ON a BEGIN DELETE FROM idx WHERE id = old.id; END;
CREATE TRIGGER a_to_c AFTER DELETE ON a WHEN NOT heddle_applying() BEGIN
	INSERT OR IGNORE INTO c VALUES(CAST(old.id AS BLOB)); END;
`

// The app's next version: new columns and a new table.
const randomSchema2 = `
ALTER TABLE a ADD COLUMN w TEXT NOT NULL DEFAULT 'none';
ALTER TABLE b ADD COLUMN u;
CREATE TABLE d(id TEXT PRIMARY KEY, v);
`

var modelMerge = Merge{"cnt": "counter", "r": "counter", "num": "counter", "hi": "max", "lo": "min", "tags": "set"}

var modelColumns = []string{"cnt", "r", "num", "hi", "lo", "tags", "v"}

func (r *replica) version() int { return len(r.opts.Migrations) }

// upgrade opens the replica with the app's next version.
func (r *replica) upgrade() {
	r.t.Helper()
	r.close()
	r.opts.Migrations = []string{randomSchema, randomSchema2}
	r.opts.Synced = []string{"a", "b", "c", "n", "m", "d"}
	r.cfg.Tables = map[string]Merge{"a": nil, "b": nil, "c": nil, "n": nil, "m": modelMerge, "d": nil}
	r.open()
}

func randomHistory(t *testing.T, rng *rand.Rand) {
	l := newMemoryLog(t)
	var all []*replica
	for range 2 + rng.IntN(2) {
		r := newReplica(t, []string{randomSchema}, "a", "b", "c", "n", "m")
		r.close()
		r.cfg.Tables["m"] = modelMerge
		r.open()
		if all = append(all, r); rng.IntN(2) == 0 {
			r.upgrade()
		}
	}
	outcome := func() string {
		if rng.IntN(5) == 0 {
			return "HEDDLE_REJECTED"
		}
		return ""
	}
	compare := func(r *replica) {
		t.Helper()
		for _, tab := range []struct {
			name, key string
			columns   []string
		}{{"a", "id", []string{"x", "y", "z", "w"}}, {"b", "k1, k2", []string{"v", "u"}}, {"c", "id", nil}, {"n", "id",
			[]string{"v"}}, {"m", "id", modelColumns}, {"d", "id", []string{"v"}}} {
			columns := tab.columns
			if columns == nil {
				columns = []string{"1"}
			}
			got, want := r.dump(tab.name, tab.key, columns), l.dump(tab.name, tab.columns)
			if tab.columns == nil {
				for i := range got {
					got[i] = strings.TrimSuffix(got[i], " int64:1")
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("table %s at %d:\ngot  %v\nwant %v", tab.name, len(l.entries), got, want)
			}
		}
		if got, want := r.dump("idx", "id", []string{"x"}), r.dump("a", "id", []string{"x"}); !slices.Equal(got, want) {
			t.Fatalf("the index that triggers keep:\ngot  %v\nwant %v", got, want)
		}
		seq, digest, err := r.c.Digest(context.Background())
		if err != nil || seq != uint64(len(l.entries)) || digest != l.digest() {
			t.Fatalf("digest at %d differs (err %v)", seq, err)
		}
		for _, table := range []string{"heddle_row", "heddle_pending", "heddle_overflow"} {
			if got := r.dump(table, "count(*)", []string{"1"}); got[0] != "int64:0 int64:1" {
				t.Fatalf("%s is not empty: %v", table, got)
			}
		}
	}
	for range 60 {
		r := all[rng.IntN(len(all))]
		switch rng.IntN(8) {
		case 0, 1, 2, 3:
			randomWrite(r, rng)
		case 4:
			r.push(l, 1+rng.IntN(3), outcome)
		case 5, 6:
			r.pull(l, 1+rng.IntN(5))
			r.checkVisible(l)
		case 7:
			switch rng.IntN(6) {
			case 0:
				r.upgrade()
			case 1, 2:
				r.close()
				r.open()
			}
		}
	}
	for _, r := range all {
		r.push(l, 1<<30, outcome)
	}
	ok, void := 0, 0
	for _, e := range l.entries {
		if e.Outcome == "" {
			ok++
		} else {
			void++
		}
	}
	histories.ok.Add(int64(ok))
	histories.void.Add(int64(void))
	for _, r := range all {
		r.pull(l, 1<<30)
		if _, digest, err := r.c.Digest(context.Background()); err != nil || digest != l.digest() {
			t.Fatalf("digest of version %d differs (err %v)", r.version(), err)
		}
		r.upgrade()
		compare(r)
		for _, e := range r.events {
			switch e.(type) {
			case Rejected:
				histories.rejected.Add(1)
			case Conflict:
				histories.conflicts.Add(1)
			}
		}
	}
}

func randomWrite(r *replica, rng *rand.Rand) {
	values := []any{nil, int64(rng.IntN(3)), float64(rng.IntN(3)), 1.5, "t", "", []byte{}, []byte{1, 0}, "a\x00b",
		int64(1) << 60}
	value := func() any { return values[rng.IntN(len(values))] }
	id := func() any { return []any{"p", "q", "r"}[rng.IntN(3)] }
	k1 := func() any { return int64(rng.IntN(2)) }
	// Errors of constraints are part of the history.
	_ = r.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		for range 1 + rng.IntN(3) {
			var err error
			if rng.IntN(4) == 0 {
				err = randomMerge(tx, rng, id())
				if err != nil {
					return err
				}
				continue
			}
			n := 11
			if r.version() == 2 {
				n = 14
			}
			switch rng.IntN(n) {
			case 9:
				_, err = tx.Exec(`INSERT INTO n VALUES(?, ?) ON CONFLICT DO UPDATE SET v = v || excluded.v`, store.Args(k1(), id()))
			case 10:
				_, err = tx.Exec(`UPDATE OR IGNORE n SET id = id + 1 WHERE id = ?`, store.Args(k1()))
			case 11:
				_, err = tx.Exec(`UPDATE a SET w = ? WHERE id = ?`, store.Args([]any{"none", "some", "more"}[rng.IntN(3)], id()))
			case 12:
				_, err = tx.Exec(`UPDATE b SET u = ? WHERE k2 = ?`, store.Args(value(), id()))
			case 13:
				_, err = tx.Exec(`INSERT INTO d VALUES(?, ?) ON CONFLICT DO UPDATE SET v = excluded.v`, store.Args(id(), value()))
			case 0:
				_, err = tx.Exec(`INSERT INTO a(id, x, z) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET x = excluded.x`,
					store.Args(id(), value(), value()))
			case 1:
				_, err = tx.Exec(`INSERT OR REPLACE INTO a(id, x) VALUES(?, ?)`, store.Args(id(), value()))
			case 2:
				_, err = tx.Exec(`UPDATE a SET y = ? WHERE id = ?`, store.Args(int64(rng.IntN(9)), id()))
			case 3:
				_, err = tx.Exec(`UPDATE a SET z = ?, x = ?`, store.Args(value(), value()))
			case 4:
				_, err = tx.Exec(`DELETE FROM a WHERE id = ?`, store.Args(id()))
			case 5:
				_, err = tx.Exec(`UPDATE OR IGNORE a SET id = ? WHERE id = ?`, store.Args(id(), id()))
			case 6:
				_, err = tx.Exec(`INSERT INTO b VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET v = excluded.v`,
					store.Args(k1(), id(), value()))
			case 7:
				_, err = tx.Exec(`UPDATE OR REPLACE b SET k1 = 1 - k1 WHERE k2 = ?`, store.Args(id()))
			case 8:
				_, err = tx.Exec(`DELETE FROM b WHERE k1 = ?`, store.Args(k1()))
			}
			if err != nil {
				return err
			}
		}
		if rng.IntN(6) == 0 {
			return fmt.Errorf("roll back")
		}
		return nil
	})
}

// randomMerge writes to the table whose columns have policies.
func randomMerge(tx *store.Tx, rng *rand.Rand, id any) (err error) {
	numbers := []any{nil, int64(rng.IntN(9) - 4), float64(rng.IntN(7)) / 2, "t", int64(1) << 62, -1e18, int64(1<<53 + 1)}
	number := func() any { return numbers[rng.IntN(len(numbers))] }
	sets := []any{nil, `["a"]`, `["b", "a"]`, `[ "c" ]`, "no set", `["x",1]`}
	set := func() any { return sets[rng.IntN(len(sets))] }
	switch rng.IntN(7) {
	case 0:
		_, err = tx.Exec(`INSERT INTO m(id, cnt, hi, tags) VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET cnt = cnt + 1,
			num = num + 0.5`, store.Args(id, int64(rng.IntN(5)), number(), set()))
	case 1:
		_, err = tx.Exec(`INSERT OR REPLACE INTO m(id, lo, tags, r) VALUES(?, ?, ?, ?)`, store.Args(id, number(), set(), 0.5))
	case 2:
		_, err = tx.Exec(`UPDATE m SET cnt = cnt + ?, r = coalesce(r, 0) + 0.1, num = num + ? WHERE id = ?`,
			store.Args(int64(rng.IntN(5)-2), int64(rng.IntN(3)), id))
	case 3:
		_, err = tx.Exec(`UPDATE m SET hi = ?, lo = ? WHERE id = ?`, store.Args(number(), number(), id))
	case 4:
		_, err = tx.Exec(`UPDATE m SET tags = ?, v = ? WHERE id = ?`, store.Args(set(), number(), id))
	case 5:
		_, err = tx.Exec(`UPDATE OR IGNORE m SET r = ?, num = ?, cnt = ? WHERE id = ?`,
			store.Args(number(), number(), number(), id))
	case 6:
		_, err = tx.Exec(`DELETE FROM m WHERE id = ?`, store.Args(id))
	}
	return err
}
