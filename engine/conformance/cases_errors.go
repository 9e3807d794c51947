package conformance

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

var errorCases = []Case{
	script("error/statements",
		`SELEC 1`, `SELECT 1 +`, `SELECT "none"`, `SELECT * FROM none`, `SELECT nofunc(1)`,
		`SELECT count(*) FROM (SELECT 1) WHERE count(*) > 0`, `SELECT abs()`, `CREATE TABLE t(a, a)`,
		`CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)`, `INSERT INTO t VALUES (1)`, `INSERT INTO t VALUES ('x', 1)`,
		`INSERT INTO t(a, b) VALUES (1, 1), (2, 1)`, `SELECT 1; SELECT 2; bad; SELECT 3`, "SELECT 'unclosed",
		`SELECT * FROM t LIMIT 'x'`, `INSERT INTO t(none) VALUES (1)`, `UPDATE t SET none = 1`, `SELECT (SELECT 1, 2)`,
		`SELECT 1 UNION SELECT 1, 2`, `PRAGMA journal_mode = nonesuch`, `ATTACH 'file:none?mode=ro&vfs=nonesuch' AS x`,
		`DETACH none`,
		`SELECT zeroblob(2000000000)`, `SELECT randomblob(1000000001)`,
		`CREATE VIEW v AS SELECT * FROM none; SELECT * FROM v`,
		`CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT * FROM a; SELECT * FROM a`,
		`SELECT RAISE(ABORT, 'x')`,
		`CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT RAISE(FAIL, 'raised'); END; INSERT INTO t VALUES (50, 50)`,
		`SELECT count(*) FROM t`, `CREATE TABLE sqlite_x(a)`, `DELETE FROM sqlite_schema`),
	{"error/codes", func(r *recorder) {
		var disk memoryVFS
		defer disk.register("conformance-codes")()
		const uri = "file:a.db?vfs=conformance-codes"
		r.open(uri + "&mode=ro")
		db := r.open(uri)
		r.sql(db, `PRAGMA journal_mode; CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)`)
		ro := r.open(uri + "&mode=ro")
		r.sql(ro, `SELECT count(*) FROM t`)
		r.sql(ro, `INSERT INTO t VALUES (3)`)
		r.sql(db, `PRAGMA max_page_count = 3; INSERT INTO t VALUES (zeroblob(10000))`)
		r.sql(db, `PRAGMA max_page_count = 1000; PRAGMA query_only = 1; INSERT INTO t VALUES (1)`)
		r.sql(db, `PRAGMA query_only = 0`)

		s, _, _ := db.Prepare(`SELECT a FROM t`)
		s.Step()
		r.sql(db, `DROP TABLE t`)
		s.Close()

		s, _, _ = db.Prepare(`SELECT ?`)
		r.logf("range: %s", describe(s.BindInt(9, 1)))
		s.Close()

		ctx, cancel := context.WithCancel(context.Background())
		old := db.SetInterrupt(ctx)
		n := 0
		db.CreateFunction("stop", 1, 0, func(c sqlite3.Context, _ ...sqlite3.Value) {
			if n++; n == 50 {
				cancel()
			}
			c.ResultInt(n)
		})
		r.sql(db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(stop(i)) FROM n`)
		db.SetInterrupt(old)
		r.sql(db, `SELECT count(*) FROM t`)

		f := disk.files["a.db"]
		good := append([]byte{}, f.data...)
		copy(f.data, "This is not a database, at all. ")
		other := r.bare(uri)
		r.sql(other, `SELECT count(*) FROM t`)
		f.data = append(f.data[:0], good...)
		for i := 4096; i < len(f.data); i++ {
			f.data[i] = 0xAA
		}
		other = r.bare(uri)
		r.sql(other, `SELECT count(*) FROM t`)
		r.sql(other, `PRAGMA integrity_check`)
	}},
	{"error/i-o", func(r *recorder) {
		codes := map[string]error{
			"open": sqlite3.CANTOPEN, "read": sqlite3.IOERR_READ, "write": sqlite3.IOERR_WRITE,
			"truncate": sqlite3.IOERR_TRUNCATE, "sync": sqlite3.IOERR_FSYNC,
			"size": sqlite3.IOERR_FSTAT, "lock": sqlite3.BUSY, "unlock": sqlite3.IOERR_UNLOCK,
			"reserved": sqlite3.IOERR_CHECKRESERVEDLOCK, "delete": sqlite3.IOERR_DELETE, "access": sqlite3.IOERR_ACCESS,
		}
		for _, op := range []string{"open", "read", "write", "write full", "truncate", "sync", "size", "lock", "unlock",
			"reserved", "delete", "access"} {
			for at := 1; at <= 4; at++ {
				r.fault(op, at, codes)
			}
		}
	}},
	{"error/memory", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)`)
		r.sql(db, `PRAGMA hard_heap_limit = 4000000`)
		for range 3 {
			err := r.try(db, `BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t(b) SELECT `+
				`randomblob(1000) FROM n`)
			r.logf("fill: %s, autocommit %v", describe(err), db.GetAutocommit())
			if !db.GetAutocommit() {
				r.sql(db, `ROLLBACK`)
			}
			r.sql(db, `SELECT count(*) FROM t`)
		}
		r.logf("big value: %s", describe(r.try(db, `SELECT length(hex(zeroblob(8000000)))`)))
		r.logf("sort: %s", describe(r.try(db, `PRAGMA temp_store = MEMORY; `+
			`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT count(*) FROM (SELECT `+
			`randomblob(500) AS x FROM n ORDER BY x LIMIT -1 OFFSET 19999)`)))
		r.sql(db, `PRAGMA hard_heap_limit = 100000000; INSERT INTO t(b) VALUES ('still here'); SELECT b FROM t; `+
			`PRAGMA integrity_check`)
	}},
}

// fault lets the at-th operation of a kind fail, in a transaction on a file, and
// writes down what came of it.
func (r *recorder) fault(op string, at int, codes map[string]error) {
	var disk memoryVFS
	defer disk.register("conformance-fault")()
	db := r.open("file:f.db?vfs=conformance-fault")
	if err := r.try(db,
		`CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, zeroblob(20000))`); err != nil {
		r.logf("%s", describe(err))
		return
	}
	seen := 0
	disk.fail = func(now string) error {
		switch {
		case op == "write full" && now == "write", op == now:
			if seen++; seen != at {
				return nil
			}
		default:
			return nil
		}
		if op == "write full" {
			return sqlite3.FULL
		}
		return codes[op]
	}
	err := r.try(db, `PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN; INSERT INTO t(b) VALUES (zeroblob(30000)); `+
		`UPDATE t SET b = 'x' WHERE a = 1; INSERT INTO t(b) VALUES (zeroblob(9000)); COMMIT`)
	disk.fail = nil
	if !db.GetAutocommit() {
		r.try(db, `ROLLBACK`)
	}
	hit := ""
	if seen < at {
		hit = fmt.Sprintf(" (only %d times)", seen)
	}
	r.logf("%s %d%s: %s", op, at, hit, describe(err))
	if err := r.try(db, `SELECT a, length(b) FROM t; PRAGMA integrity_check`); err != nil {
		r.logf("! %s", describe(err))
	}
}
