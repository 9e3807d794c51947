package conformance

import (
	"fmt"
	"math/rand/v2"

	"github.com/ncruces/go-sqlite3"
)

var workloadCases = []Case{
	{"workload/random", func(r *recorder) {
		for seed := range uint64(4) {
			r.workload(seed)
		}
	}},
	{"workload/file", func(r *recorder) {
		var disk memoryVFS
		defer disk.register("conformance-file")()
		db := r.open("file:w.db?vfs=conformance-file")
		r.sql(db, `PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA encoding = 'UTF-8'; `+
			`CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t(b)`)
		r.sql(db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT i, `+
			`hex(i * 7919 % 3001) FROM n`)
		r.sql(db, `DELETE FROM t WHERE a % 3 = 0; PRAGMA incremental_vacuum(50); PRAGMA page_count; PRAGMA freelist_count`)
		r.logf("file %d bytes", len(disk.files["w.db"].data))
		r.sql(db, `VACUUM`)
		// The same statements give the same file, byte for byte.
		r.sql(db, `SELECT ?`, append([]byte{}, disk.files["w.db"].data...))
		r.sql(db, `VACUUM INTO 'file:copy.db?vfs=conformance-file'`)
		r.logf("backup: %s", describe(db.Backup("main", "file:backup.db?vfs=conformance-file")))
		for _, name := range []string{"copy.db", "backup.db"} {
			copied := r.open("file:" + name + "?vfs=conformance-file")
			r.sql(copied, `SELECT count(*), sum(a), max(b) FROM t; PRAGMA integrity_check`)
		}
		fresh := r.memory()
		r.logf("restore: %s", describe(fresh.Restore("main", "file:backup.db?vfs=conformance-file")))
		r.sql(fresh, `SELECT count(*), sum(a), max(b) FROM t`)
		cur, high, err := fresh.Status(sqlite3.DBSTATUS_SCHEMA_USED, false)
		r.logf("status: %v %v %s", cur > 0, high, describe(err))
	}},
}

// workload runs pseudo-random statements and writes down a digest of each
// hundred results, and the whole of the tables at the end.
func (r *recorder) workload(seed uint64) {
	db := r.memory()
	rnd := rand.New(rand.NewPCG(seed, 1))
	r.sql(db, `CREATE TABLE a(id INTEGER PRIMARY KEY, k TEXT, n NUMERIC, b BLOB); `+
		`CREATE TABLE b(k TEXT PRIMARY KEY, a REFERENCES a(id) ON DELETE SET NULL, x REAL) WITHOUT ROWID; `+
		`CREATE INDEX ak ON a(k, n); CREATE INDEX an ON a(n) WHERE n > 50`)
	value := func() any {
		switch rnd.IntN(6) {
		case 0:
			return nil
		case 1:
			return rnd.Int64N(1 << 60)
		case 2:
			return float64(rnd.IntN(2000)-1000) / 8
		case 3:
			return fmt.Sprint(rnd.IntN(100))
		case 4:
			return []byte(fmt.Sprintf("%08x", rnd.Uint32()))
		}
		return fmt.Sprintf("k%d", rnd.IntN(30))
	}
	statements := []func() (string, []any){
		func() (string, []any) {
			return `INSERT OR REPLACE INTO a VALUES (?, ?, ?, ?)`, []any{rnd.IntN(200), value(), rnd.IntN(100), value()}
		},
		func() (string, []any) {
			return `INSERT INTO b VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET x = x + excluded.x`,
				[]any{fmt.Sprintf("k%d", rnd.IntN(40)), rnd.IntN(220), float64(rnd.IntN(64)) / 4}
		},
		func() (string, []any) { return `UPDATE a SET n = n + ? WHERE n > ?`, []any{1, rnd.IntN(100)} },
		func() (string, []any) { return `UPDATE a SET k = ? WHERE id = ?`, []any{value(), rnd.IntN(200)} },
		func() (string, []any) { return `DELETE FROM a WHERE n BETWEEN ?1 AND ?1 + 2`, []any{rnd.IntN(100)} },
		func() (string, []any) {
			return `SELECT k, count(*), sum(n), min(b) FROM a WHERE n < ? GROUP BY k ORDER BY k`, []any{rnd.IntN(100)}
		},
		func() (string, []any) {
			return `SELECT a.id, b.k, b.x FROM b LEFT JOIN a ON a.id = b.a WHERE b.x > ? ORDER BY b.k`,
				[]any{float64(rnd.IntN(64))}
		},
		func() (string, []any) {
			return `SELECT id, n, sum(n) OVER (PARTITION BY k ORDER BY id) FROM a WHERE k > ? ORDER BY id`,
				[]any{fmt.Sprintf("k%d", rnd.IntN(30))}
		},
	}
	digest := &recorder{opts: r.opts}
	for i := range 1500 {
		sql, args := statements[rnd.IntN(len(statements))]()
		if err := digest.try(db, sql, args...); err != nil {
			digest.logf("! %s", describe(err))
		}
		if i%100 == 99 {
			r.logf("%d: %d bytes, digest %08x", i+1, digest.out.Len(), fnv(digest.out.String()))
		}
	}
	r.sql(db, `SELECT count(*), total(n), group_concat(quote(k), ';' ORDER BY id) FROM a`)
	r.sql(db, `SELECT count(*), total(x), total(a) FROM b; PRAGMA integrity_check; PRAGMA foreign_key_check`)
}

func fnv(s string) (h uint32) {
	h = 2166136261
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
