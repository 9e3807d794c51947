package synced

import (
	"errors"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
)

// TestRefused_kinds makes SQLite refuse a row for each reason that is the row's, and
// tells them from failures that are not.
func TestRefused_kinds(t *testing.T) {
	for _, c := range []struct{ name, setup, insert, code, text string }{
		{"unique", `CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES(1)`, `INSERT INTO t VALUES(1)`,
			"SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed: t.a"},
		{"mismatch", `CREATE TABLE t(a INTEGER PRIMARY KEY)`, `INSERT INTO t VALUES('x')`, "SQLITE_MISMATCH",
			"datatype mismatch"},
		{"a function", `CREATE TABLE t(a); CREATE INDEX i ON t(json_extract(a, '$'))`, `INSERT INTO t VALUES('{')`,
			"SQLITE_ERROR", "malformed JSON"},
		// Larger than this connection takes, as a row of a device with other limits is.
		{"too big", `CREATE TABLE t(a, b)`, `INSERT INTO t VALUES(zeroblob(700), zeroblob(700))`, "SQLITE_TOOBIG",
			"string or blob too big"},
		// What the full-text index has of a row is not what the row had.
		{"an index of its own", `CREATE TABLE t(id INTEGER PRIMARY KEY, a);
			CREATE VIRTUAL TABLE f USING fts5(a, content=t, content_rowid=id);
			CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO f(f, rowid, a) VALUES('delete', old.id, old.a); END;
			INSERT INTO t VALUES(1, 'one'); INSERT INTO f(rowid, a) VALUES(1, 'another');
			DELETE FROM f_data WHERE id = 10; DELETE FROM f_data WHERE id > 1000`, `DELETE FROM t`,
			"SQLITE_CORRUPT_VTAB", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := sqlite3.Open(":memory:")
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if err := errors.Join(fts5.Register(raw), raw.Exec(c.setup)); err != nil {
				t.Fatal(err)
			}
			raw.Limit(sqlite3.LIMIT_LENGTH, 1000)
			err = raw.Exec(c.insert)
			why := Refused(err)
			if why == nil || why.Code != c.code || !strings.Contains(why.Text, c.text) {
				t.Errorf("%v: got %+v, want %s %q", err, why, c.code, c.text)
			}
		})
	}
	others := []error{nil, sqlite3.FULL, sqlite3.NOMEM, sqlite3.INTERRUPT, sqlite3.CORRUPT, errors.New("other")}
	for _, err := range others {
		if why := Refused(err); why != nil {
			t.Errorf("%v: got %+v", err, why)
		}
	}
}
