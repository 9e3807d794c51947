package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// sound checks that a replica's digest is the log's, and that its rows, counted
// anew, have that digest.
func (r *replica) sound(l *memoryLog) {
	r.t.Helper()
	seq, digest, err := r.c.Digest(context.Background())
	if err != nil || seq != uint64(len(l.entries)) || digest != l.digest() {
		r.t.Fatalf("at %d of %d: the digest is not the log's: %v", seq, len(l.entries), err)
	}
	err = r.db.Apply(context.Background(), func(tx *store.Tx) error {
		a, err := r.c.begin(tx)
		if err != nil {
			return err
		}
		a.digest = &fold.Digest{}
		if err := a.countRows(); err != nil {
			return err
		}
		if a.digest.Sum() != digest {
			r.t.Error("the rows do not have the digest that was kept")
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// held lists the quarantined rows: key, kind and constraint.
func (r *replica) held() (all []string) {
	r.t.Helper()
	rows, err := r.c.Quarantined(context.Background(), 100)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, q := range rows {
		all = append(all, fmt.Sprint(q.Key.Key[0], " ", q.Code, " ", q.Constraint))
	}
	return all
}

// text runs a query and joins its rows.
func (r *replica) text(sql string) string {
	r.t.Helper()
	var all []string
	err := r.db.Query(context.Background(), sql, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		var row []string
		for i := range s.ColumnCount() {
			row = append(row, s.ColumnText(i))
		}
		all = append(all, strings.Join(row, " "))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

func (r *replica) sync(l *memoryLog) {
	r.t.Helper()
	r.push(l, 100, func() string { return "" })
	r.pull(l, 1000)
}

// reopen opens the database with one migration more.
func (r *replica) reopen(migration ...string) {
	r.t.Helper()
	r.close()
	r.opts.Migrations = append(slices.Clone(r.opts.Migrations), migration...)
	r.open()
}

const looseTable = `CREATE TABLE t(id TEXT PRIMARY KEY, n, body) WITHOUT ROWID`

// refusals are tables that hold the row (good, 1, '{"a":1}') and not another
// one, each for a reason of its own.
var refusals = map[string]struct {
	schema, n, body string // what the table cannot hold
	want            string
}{
	"NOT NULL": {`CREATE TABLE t(id TEXT PRIMARY KEY, n NOT NULL DEFAULT 7, body)`, `NULL`, `'{}'`,
		`SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.n`},
	"NOT NULL, rolls back": {`CREATE TABLE t(id TEXT PRIMARY KEY, n NOT NULL ON CONFLICT ROLLBACK DEFAULT 7, body)`,
		`NULL`, `'{}'`, `SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.n`},
	"NOT NULL, ignores": {`CREATE TABLE t(id TEXT PRIMARY KEY, n NOT NULL ON CONFLICT IGNORE DEFAULT 7, body)`, `NULL`,
		`'{}'`, `SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.n`},
	"NOT NULL, replaces": {`CREATE TABLE t(id TEXT PRIMARY KEY, n NOT NULL ON CONFLICT REPLACE DEFAULT 7, body)`, `NULL`,
		`'{}'`, `SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.n`},
	"STRICT integer": {`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, body TEXT) STRICT`, `'x'`, `'{}'`,
		`SQLITE_CONSTRAINT_DATATYPE cannot store TEXT value in INTEGER column t.n`},
	"STRICT blob": {`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, body TEXT) STRICT`, `1`, `x'00'`,
		`SQLITE_CONSTRAINT_DATATYPE cannot store BLOB value in TEXT column t.body`},
	"expression index": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body);
		CREATE INDEX i ON t(json_extract(body, '$.a'))`, `1`, `'{'`, `SQLITE_ERROR malformed JSON`},
	"partial index": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body);
		CREATE INDEX i ON t(n) WHERE json_extract(body, '$.a') > 0`, `1`, `'{'`, `SQLITE_ERROR malformed JSON`},
	"generated, stored": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body, a AS (json_extract(body, '$.a')) STORED)`, `1`,
		`'{'`, `SQLITE_ERROR malformed JSON`},
	"generated NOT NULL": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body, a AS (json_extract(body, '$.a')) NOT NULL)`,
		`1`, `'{"b":1}'`, `SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.a`},
	"generated, indexed": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body, a AS (abs(n))); CREATE INDEX i ON t(a)`,
		`-9223372036854775808`, `1`, `SQLITE_ERROR integer overflow`},
	"text of an integer": {`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, body)`, `'12'`, `'{}'`,
		`SQLITE_MISMATCH datatype mismatch: t.n is INTEGER and would store another value`},
	"integer of a text": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body TEXT)`, `1`, `5`,
		`SQLITE_MISMATCH datatype mismatch: t.body is TEXT and would store another value`},
	"trigger's function": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body); CREATE TABLE l(a);
		CREATE TRIGGER ti AFTER INSERT ON t BEGIN INSERT INTO l VALUES('insert');
			INSERT INTO l VALUES(json_extract(new.body, '$.a')); END;
		CREATE TRIGGER tu AFTER UPDATE ON t BEGIN INSERT INTO l VALUES('update');
			INSERT INTO l VALUES(json_extract(new.body, '$.a')); END`, `1`, `'{'`, `SQLITE_ERROR malformed JSON`},
	"trigger's table": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body); CREATE TABLE l(n UNIQUE);
		INSERT INTO l VALUES(5); CREATE TRIGGER tu BEFORE UPDATE ON t BEGIN INSERT INTO l VALUES(new.n); END;
		CREATE TRIGGER ti BEFORE INSERT ON t BEGIN INSERT INTO l VALUES(new.n);
			END`, `5`, `'{}'`, `SQLITE_CONSTRAINT_UNIQUE UNIQUE constraint failed: l.n`},
	"trigger's rowid": {`CREATE TABLE t(id TEXT PRIMARY KEY, n, body); CREATE TABLE l(id INTEGER PRIMARY KEY);
		CREATE TRIGGER ti BEFORE INSERT ON t WHEN new.n = 5 BEGIN INSERT INTO l VALUES(new.n || 'x'); END;
		CREATE TRIGGER tu BEFORE UPDATE ON t WHEN new.n = 5 BEGIN INSERT INTO l VALUES(new.n || 'x');
			END`, `5`, `'{}'`, `SQLITE_MISMATCH datatype mismatch`},
	"trigger's delete": {`CREATE TABLE t(id TEXT PRIMARY KEY, n NOT NULL DEFAULT 1, body);
		CREATE TRIGGER td AFTER DELETE ON t BEGIN SELECT json_extract('{', '$.a') WHERE old.n = 2;
			END`, `NULL`, `'{}'`, `SQLITE_CONSTRAINT_NOTNULL NOT NULL constraint failed: t.n`},
}

// A row that a table cannot hold is quarantined, whether it was there before, is
// new, or comes with a snapshot. It is shown when a change makes it fit.
func TestQuarantine_constraints(t *testing.T) {
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			author := newReplica(t, []string{looseTable}, "t")
			strict := newReplica(t, strings.Split(c.schema, "\x00"), "t")
			author.must(`INSERT INTO t VALUES('fits', 1, '{"a":1}'), ('was', 2, '{"a":1}')`)
			author.sync(l)
			strict.sync(l)
			if got := strict.text(`SELECT id, n FROM t ORDER BY id`); got != "fits 1, was 2" {
				t.Fatalf("got %s", got)
			}
			author.must(`UPDATE t SET n = ` + c.n + `, body = ` + c.body + ` WHERE id = 'was'`)
			author.must(`INSERT INTO t VALUES('new', ` + c.n + `, ` + c.body + `)`)
			author.must(`INSERT INTO t VALUES('later', 3, '{"a":1}')`)
			author.sync(l)
			strict.pull(l, 100)
			strict.sound(l)
			if got := strict.text(`SELECT id, n FROM t ORDER BY id`); got != "fits 1, later 3" {
				t.Fatalf("the table has %s", got)
			}
			want := []string{"new " + c.want, "was " + c.want}
			if got := strict.held(); !slices.Equal(got, want) {
				t.Fatalf("quarantined: %q, want %q", got, want)
			}
			if len(strict.events) != 1 {
				t.Fatalf("events: %v", strict.events)
			}
			e := strict.events[0].(Conflict)
			if e.Reason != ConflictConstraint || e.Code+" "+e.Constraint != c.want || len(e.Keys) != 2 {
				t.Fatalf("event: %+v", e)
			}
			strict.reopen()
			strict.sound(l)
			if got := strict.held(); !slices.Equal(got, want) {
				t.Fatalf("after opening again: %q", got)
			}

			author.must(`UPDATE t SET n = 8, body = '{"a":2}' WHERE id = 'was'`)
			author.must(`DELETE FROM t WHERE id = 'new'`)
			author.sync(l)
			strict.pull(l, 100)
			strict.sound(l)
			if got := strict.text(`SELECT id, n FROM t ORDER BY id`); got != "fits 1, later 3, was 8" || strict.held() != nil {
				t.Fatalf("the table has %s, quarantined: %q", got, strict.held())
			}
		})
	}
}

// A pending change and a quarantined row: what is decided shows, and what the
// app writes over the row is an insert.
func TestQuarantine_local(t *testing.T) {
	l := newMemoryLog(t)
	author := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, body)`}, "t")
	strict := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, body)`}, "t")
	for _, r := range []*replica{author, strict} {
		r.close()
		r.cfg.Tables["t"] = Merge{"n": "counter"}
		r.open()
	}
	author.must(`INSERT INTO t VALUES('a', 5, 'x'), ('b', 5, 'x'), ('c', 5, 'x')`)
	author.sync(l)
	strict.sync(l)
	author.must(`UPDATE t SET n = NULL`)
	author.sync(l)
	strict.must(`UPDATE t SET body = 'mine' WHERE id = 'b'`)
	strict.pull(l, 100)
	if got := strict.text(`SELECT id FROM t`); got != "" {
		t.Fatalf("the table has %s", got)
	}

	strict.must(`INSERT INTO t VALUES('a', 3, 'again')`)
	strict.must(`INSERT INTO t VALUES('c', 1, 'gone')`)
	strict.must(`DELETE FROM t WHERE id = 'c'`)
	if got := strict.text(`SELECT id, n, body FROM t`); got != "a 3 again" {
		t.Fatalf("the table has %s", got)
	}
	author.must(`UPDATE t SET body = 'other' WHERE id = 'a'`)
	author.sync(l)
	strict.pull(l, 100)
	if got := strict.text(`SELECT id, n, body FROM t`); got != "a 3 again" {
		t.Fatalf("with another's change the table has %s", got)
	}
	strict.sync(l)
	strict.sound(l)
	author.pull(l, 100)
	author.sound(l)
	if got := author.text(`SELECT id, coalesce(n, 'NULL'), body FROM t`); got != "a 3 again, b NULL mine" {
		t.Fatalf("the author has %s", got)
	}
	if got := strict.held(); len(got) != 1 || !strings.HasPrefix(got[0], "b SQLITE_CONSTRAINT_NOTNULL") {
		t.Fatalf("quarantined: %q", got)
	}
	strict.must(`INSERT INTO t VALUES('b', 9, 'mine')`)
	strict.push(l, 100, func() string { return "HEDDLE_NO" })
	strict.pull(l, 100)
	strict.sound(l)
	if got := strict.text(`SELECT id, n, body FROM t`); got != "a 3 again" || len(strict.held()) != 1 {
		t.Fatalf("after the rejection: %s, quarantined: %q", got, strict.held())
	}
}

// With another schema the rows are tried again.
func TestQuarantine_reopened(t *testing.T) {
	l := newMemoryLog(t)
	author := newReplica(t, []string{looseTable}, "t")
	author.must(`INSERT INTO t VALUES('a', 1, '{'), ('b', 1, '{}')`)
	author.sync(l)
	strict := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, n, body)`,
		`CREATE INDEX i ON t(json_extract(body, '$.a'))`}, "t")
	strict.pull(l, 100)
	if got := strict.held(); len(got) != 1 {
		t.Fatalf("quarantined: %q", got)
	}
	strict.reopen(`DROP INDEX i`)
	strict.sound(l)
	if got := strict.text(`SELECT id FROM t ORDER BY id`); got != "a, b" || strict.held() != nil {
		t.Fatalf("the table has %s, quarantined: %q", got, strict.held())
	}
}

// Keys that a table would change are other rows to the log.
func TestQuarantine_keys(t *testing.T) {
	for name, schema := range map[string]string{
		"rowid":   `CREATE TABLE t(id INTEGER PRIMARY KEY, n, body)`,
		"integer": `CREATE TABLE t(id INTEGER PRIMARY KEY, n, body) WITHOUT ROWID`,
		"blob":    `CREATE TABLE t(id BLOB PRIMARY KEY, n, body)`,
		"text":    `CREATE TABLE t(id TEXT PRIMARY KEY, n, body)`,
		"numeric": `CREATE TABLE t(id DATE PRIMARY KEY, n, body)`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			r := newReplica(t, []string{schema}, "t")
			keys := []wire.Value{int64(5), 5.0, "5", " 5", "5.0", []byte("5"), 5.5, "x", "2026-01-01"}
			other := wire.ClientID{7}
			insert := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"n"}, Joins: []wire.Join{wire.JoinLast}}
			update := &wire.Shape{Kind: wire.Update, Table: "t", Columns: []string{"n"}, Joins: []wire.Join{wire.JoinLast}}
			gone := &wire.Shape{Kind: wire.Delete, Table: "t"}
			for round, shape := range []*wire.Shape{insert, update, gone} {
				for i, key := range keys {
					b := &wire.Body{Shapes: []*wire.Shape{shape}, Ops: []wire.Op{{Shape: shape, Key: []wire.Value{key}}}}
					if shape.Kind != wire.Delete {
						b.Ops[0].Cells = []wire.Value{int64(10*round + i)}
					}
					if round+i == 0 {
						b.Schema = []wire.TableSchema{{Table: "t", Key: []string{"id"},
							Columns: []wire.ColumnSchema{{Name: "n", Group: 1}, {Name: "body", Group: 1}}}}
					}
					l.decide(other, l.decided[other]+1, b.Marshal(), "")
					r.pull(l, 10)
					if key != any(5.0) { // it counts as 5 in the digest
						r.sound(l)
					}
				}
				fits := r.text(`SELECT n, typeof(id), id FROM t ORDER BY n`)
				t.Log(fits, r.held())
				if n := len(r.held()) + strings.Count(fits, ",") + len(fits)/max(1, len(fits)); shape != gone && n != len(keys) {
					t.Errorf("%d rows of %d: %s, %q", n, len(keys), fits, r.held())
				}
			}
			if got := r.text(`SELECT count(*) FROM t`); got != "0" || r.held() != nil {
				t.Errorf("%s rows are left, quarantined: %q", got, r.held())
			}
		})
	}
}
