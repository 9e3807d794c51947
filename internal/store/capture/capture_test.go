package capture_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// captureSchema has each kind of table that capture treats differently.
const captureSchema = `
CREATE TABLE plain(id TEXT PRIMARY KEY, a INT, b, u INT UNIQUE);
CREATE TABLE num(id INTEGER PRIMARY KEY, v INT AS (a + 1) VIRTUAL, a INT, s TEXT AS ('s' || a) STORED, b REAL);
CREATE TABLE pair(x INT, a BLOB, y TEXT, b, PRIMARY KEY(y, x));
CREATE TABLE norow(v AS (b) VIRTUAL, y TEXT, a INT, x INT, b, PRIMARY KEY(x, y)) WITHOUT ROWID;
CREATE INDEX norow_a ON norow(a);
CREATE TABLE child(id INTEGER PRIMARY KEY DESC, a INT, b REFERENCES plain(id) ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE quiet(k TEXT PRIMARY KEY, n INT);
CREATE TABLE nokey(a, b);
CREATE TRIGGER plain_ins AFTER INSERT ON plain WHEN new.a % 3 = 0 BEGIN
	INSERT OR REPLACE INTO num(id, a, b) VALUES(new.a, new.a, 0.5);
	UPDATE norow SET a = coalesce(a, 0) + 1 WHERE x = new.a;
END;
CREATE TRIGGER plain_del AFTER DELETE ON plain BEGIN
	DELETE FROM pair WHERE x = old.a;
	INSERT INTO quiet VALUES(old.id, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
`

var captured = []string{"plain", "num", "pair", "norow", "child"}

// gen makes random statements over few keys, so that they collide.
type gen struct{ r *rand.Rand }

func (g gen) n(n int) int { return g.r.IntN(n) }

func (g gen) pick(s ...string) string { return s[g.n(len(s))] }

func (g gen) key() string {
	return g.pick("'a'", "'b'", "'c'", "'d'", "'e'", "'é'", "'f'", "'g'")
}

func (g gen) val() string {
	return g.pick("NULL", "0", "1", "2", "-5", "1.5", "2.0", "'1'", "'t'", "x'00ff'", "x''", "''", "9223372036854775807",
		fmt.Sprint(g.n(9)))
}

func (g gen) or() string {
	return g.pick("", "", "", " OR REPLACE", " OR IGNORE", " OR FAIL", " OR ABORT")
}

func (g gen) stmt() string {
	if g.n(12) == 0 {
		return g.rare()
	}
	switch table := g.pick("plain", "num", "pair", "norow", "child"); table {
	case "plain":
		switch g.n(5) {
		case 0:
			return fmt.Sprintf(`INSERT%s INTO plain VALUES(%s, %d, %s, %d), (%s, %d, %s, %s)`,
				g.or(), g.key(), g.n(6), g.val(), g.n(5), g.key(), g.n(6), g.val(), g.pick("NULL", "1", "2"))
		case 1:
			return fmt.Sprintf(`INSERT INTO plain VALUES(%s, %d, %s, NULL) ON CONFLICT(id) DO UPDATE SET b = excluded.b, a =
				a + 1`, g.key(), g.n(6), g.val())
		case 2:
			return fmt.Sprintf(`UPDATE%s plain SET a = %d, b = %s, u = %d WHERE id >= %s`, g.or(), g.n(6), g.val(), g.n(5),
				g.key())
		case 3:
			return fmt.Sprintf(`UPDATE%s plain SET id = %s WHERE id = %s`, g.or(), g.key(), g.key())
		default:
			return fmt.Sprintf(`DELETE FROM plain WHERE id = %s`, g.key())
		}
	case "num":
		switch g.n(4) {
		case 0:
			return fmt.Sprintf(`INSERT%s INTO num(id, a, b) VALUES(%s, %d, %d)`, g.or(), g.pick("NULL", "1", "2", "3", "4"),
				g.n(6), g.n(3))
		case 1:
			return fmt.Sprintf(`UPDATE%s num SET id = id + %d, a = %s WHERE id < %d`, g.or(), g.n(3)-1, g.val(), g.n(6))
		case 2:
			return fmt.Sprintf(`UPDATE num SET b = %s`, g.val())
		default:
			return fmt.Sprintf(`DELETE FROM num WHERE id = %d`, g.n(6))
		}
	case "pair", "norow":
		switch g.n(4) {
		case 0:
			return fmt.Sprintf(`INSERT%s INTO %s(x, y, a, b) VALUES(%d, %s, %s, %s), (%d, %s, %s, %s)`, g.or(), table,
				g.n(3), g.key(), g.val(), g.val(), g.n(3), g.key(), g.val(), g.val())
		case 1:
			return fmt.Sprintf(`UPDATE%s %s SET x = %d WHERE y < %s`, g.or(), table, g.n(3), g.key())
		case 2:
			return fmt.Sprintf(`UPDATE%s %s SET y = %s, a = %s WHERE x = %d`, g.or(), table, g.key(), g.val(), g.n(3))
		default:
			return fmt.Sprintf(`DELETE FROM %s WHERE x = %d`, table, g.n(3))
		}
	default:
		return fmt.Sprintf(`INSERT%s INTO child(id, a, b) SELECT %d, a, id FROM plain WHERE id = %s`, g.or(), g.n(20),
			g.key())
	}
}

func (g gen) rare() string {
	switch g.n(9) {
	case 0:
		return `DELETE FROM ` + g.pick(captured...) // the truncate optimisation
	case 1:
		return `REPLACE INTO plain SELECT id, a + 1, b, NULL FROM plain`
	case 2:
		return `INSERT OR IGNORE INTO norow(x, y, a, b) SELECT x, y, a, b FROM pair`
	case 3:
		return `UPDATE plain SET rowid = rowid + 100`
	case 4:
		return `INSERT OR ROLLBACK INTO num(id, a) VALUES(1, 1)`
	case 5:
		return `UPDATE plain SET a = a` // nothing changes
	case 6:
		return `DELETE FROM num WHERE id IN (SELECT id FROM num LIMIT 1); INSERT INTO num(id, a) VALUES(3, 3)`
	case 7:
		return `INSERT INTO nokey VALUES(1, 2); DELETE FROM nokey WHERE rowid % 2`
	default:
		return `INSERT OR FAIL INTO pair(x, y) VALUES(7, 'q'), (7, 'r'), (7, 'q')`
	}
}

// image reads a table as key → row, in the columns' order of Table.
func image(t testing.TB, db *store.DB, name string) map[string][]store.Value {
	tab, ok := db.Table(name)
	if !ok {
		t.Fatal("no table", name)
	}
	var cols []string
	for _, c := range tab.Columns {
		cols = append(cols, c.Name)
	}
	rows := map[string][]store.Value{}
	for _, row := range storetest.Query(t, db, `SELECT `+strings.Join(cols, ", ")+` FROM `+name) {
		rows[string(value.AppendAll(nil, tab.KeyOf(row, 0)))] = row
	}
	return rows
}

// TestCapture_matchesCopies runs random transactions and compares the changes
// with copies of the tables before and after.
func TestCapture_matchesCopies(t *testing.T) {
	t.Run("hook", func(t *testing.T) { captureMatchesCopies(t, store.Engine{}) })
	t.Run("tally", func(t *testing.T) {
		engine, kept := tallyEngine(t)
		captureMatchesCopies(t, engine)
		if *kept < 50 {
			t.Errorf("the tally kept %d events from the hook", *kept)
		}
	})
}

func captureMatchesCopies(t *testing.T, engine store.Engine) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	ctx := context.Background()
	db := storetest.Open(t, store.Options{Migrations: []string{captureSchema}, Synced: captured, Engine: engine})
	var changes []store.Change
	db.SetRecorder(storetest.RecorderFunc(func(_ *store.Tx, ch []store.Change) error { changes = ch; return nil }))
	var commit *store.Commit
	db.OnCommit(func(c store.Commit) { commit = &c })

	before := map[string]map[string][]store.Value{}
	for _, name := range captured {
		before[name] = image(t, db, name)
	}
	nonempty, failed := 0, 0
	for round := range rounds {
		g := gen{rand.New(rand.NewPCG(7, uint64(round)))}
		changes, commit = nil, nil
		var script []string
		tx, err := db.Begin(ctx, store.Origin{Kind: store.Local, Tab: "t"})
		if err != nil {
			t.Fatal(err)
		}
		depth := 0
		for range 1 + g.n(8) {
			sql := g.stmt()
			switch n := g.n(10); {
			case n == 0:
				sql = fmt.Sprintf("SAVEPOINT s%d", depth)
				depth++
			case n == 1 && depth > 0:
				sql = fmt.Sprintf("ROLLBACK TO s%d", depth-1)
			case n == 2 && depth > 0:
				depth--
				sql = fmt.Sprintf("RELEASE s%d", depth)
			}
			script = append(script, sql)
			if _, err := tx.Exec(sql, store.Params{}); err != nil {
				script = append(script, "-- "+err.Error())
				failed++
			}
		}
		if g.n(6) == 0 {
			blobWrite(t, tx)
			script = append(script, "-- blob write")
		}
		if err := tx.Commit(); err != nil {
			changes = nil
			script = append(script, "-- commit: "+err.Error())
		}
		if len(changes) > 0 {
			nonempty++
		}
		got := map[string]map[string]store.Change{}
		for _, ch := range changes {
			if got[ch.Table.Name] == nil {
				got[ch.Table.Name] = map[string]store.Change{}
			}
			k := string(value.AppendAll(nil, ch.Key))
			if _, twice := got[ch.Table.Name][k]; twice {
				t.Errorf("%s: key %v named twice", ch.Table.Name, ch.Key)
			}
			got[ch.Table.Name][k] = ch
		}
		for _, name := range captured {
			now := image(t, db, name)
			compareCapture(t, name, before[name], now, got[name])
			before[name] = now
		}
		checkEvent(t, commit, changes)
		if t.Failed() {
			t.Fatalf("round %d:\n%s", round, strings.Join(script, "\n"))
		}
	}
	if nonempty < rounds/3 || failed < rounds/10 {
		t.Errorf("the test is hollow: %d of %d transactions changed something, %d statements failed", nonempty, rounds,
			failed)
	}
}

// TestOnCommit_matchesCopies is the same for tables that are not captured
// whole: the keys announced as inserted and deleted are exactly those, and
// every row that changed is named.
func TestOnCommit_matchesCopies(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	db := storetest.Open(t, store.Options{Migrations: []string{captureSchema}})
	var commit *store.Commit
	db.OnCommit(func(c store.Commit) { commit = &c })
	before := map[string]map[string][]store.Value{}
	named := 0
	for round := range rounds {
		g := gen{rand.New(rand.NewPCG(11, uint64(round)))}
		commit = nil
		var script []string
		err := db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			for range 1 + g.n(8) {
				sql := g.stmt()
				if g.n(5) == 0 {
					sql = "SAVEPOINT s; " + sql + "; " + g.stmt() + "; ROLLBACK TO s; RELEASE s"
				}
				_, err := tx.Exec(sql, store.Params{})
				script = append(script, fmt.Sprint(sql, " -- ", err))
			}
			return nil
		})
		if err != nil && errcode.Of(err) != errcode.TxClosed {
			t.Fatal(err)
		}
		for _, name := range captured {
			now := image(t, db, name)
			var tc store.TableCommit
			if commit != nil {
				for _, c := range commit.Tables {
					if c.Table == name {
						tc = c
					}
				}
			}
			keys := func(list [][]store.Value) map[string]bool {
				m := map[string]bool{}
				for _, k := range list {
					m[string(value.AppendAll(nil, k))] = true
				}
				return m
			}
			inserted, deleted, updated := keys(tc.Inserted), keys(tc.Deleted), keys(tc.Updated)
			named += len(inserted) + len(deleted)
			for k, row := range now {
				old, was := before[name][k]
				if inserted[k] == was || was && !value.EqualAll(old, row) && !updated[k] {
					t.Errorf("%s: %v → %v is announced as %+v", name, old, row, tc)
				}
				delete(inserted, k)
			}
			for k, old := range before[name] {
				if _, is := now[k]; deleted[k] == is {
					t.Errorf("%s: %v is there: %v; announced as %+v", name, old, is, tc)
				}
				delete(deleted, k)
			}
			if len(inserted)+len(deleted) > 0 {
				t.Errorf("%s: keys without rows are announced: %+v", name, tc)
			}
			before[name] = now
		}
		if t.Failed() {
			t.Fatalf("round %d:\n%s", round, strings.Join(script, "\n"))
		}
	}
	if named < rounds {
		t.Errorf("the test is hollow: %d keys in %d rounds", named, rounds)
	}
}

// blobWrite changes a BLOB in place, which the hook reports as a delete.
func blobWrite(t *testing.T, tx *store.Tx) {
	err := tx.Inside(func(c *sqlite3.Conn) error {
		s, _, err := c.Prepare(`SELECT rowid FROM pair WHERE typeof(a) = 'blob' AND length(a) > 0`)
		if err != nil {
			return err
		}
		defer s.Close()
		if !s.Step() {
			return s.Err()
		}
		b, err := c.OpenBlob("main", "pair", "a", s.ColumnInt64(0), true)
		if err != nil {
			return err
		}
		_, err = b.Write([]byte{0x77})
		b.Close()
		return err
	})
	if err != nil && errcode.Of(err) != errcode.TxClosed {
		t.Error(err)
	}
}

func compareCapture(t *testing.T, name string, before, now map[string][]store.Value, got map[string]store.Change) {
	t.Helper()
	for k, b := range before {
		n, ok := now[k]
		ch, changed := got[k]
		switch {
		case ok && value.EqualAll(b, n):
			if changed {
				t.Errorf("%s: %v is the same and was reported", name, b)
			}
		case !changed:
			t.Errorf("%s: %v became %v and was not reported", name, b, n)
		case !value.EqualAll(ch.Before, b) || !value.EqualAll(ch.After, n) || (ch.After == nil) != (n == nil):
			t.Errorf("%s: got %v → %v, want %v → %v", name, ch.Before, ch.After, b, n)
		}
	}
	for k, n := range now {
		if _, ok := before[k]; ok {
			continue
		}
		if ch, ok := got[k]; !ok || ch.Before != nil || !value.EqualAll(ch.After, n) {
			t.Errorf("%s: new row %v: got %v (reported: %v)", name, n, ch, ok)
		}
	}
	for k, ch := range got {
		if before[k] == nil && now[k] == nil {
			t.Errorf("%s: %v never was and was reported", name, ch.Key)
		}
	}
}

// checkEvent makes sure that what is announced covers the changes.
func checkEvent(t *testing.T, commit *store.Commit, changes []store.Change) {
	t.Helper()
	for _, ch := range changes {
		if commit == nil {
			t.Error("no commit was announced")
			return
		}
		found := false
		for _, tc := range commit.Tables {
			if tc.Table != ch.Table.Name {
				continue
			}
			keys := tc.Updated
			switch {
			case ch.Before == nil:
				keys = tc.Inserted
			case ch.After == nil:
				keys = tc.Deleted
			}
			for _, k := range keys {
				found = found || value.EqualAll(k, ch.Key)
			}
		}
		if !found {
			t.Errorf("the commit %v does not announce %s %v", commit, ch.Table.Name, ch.Key)
		}
	}
}
