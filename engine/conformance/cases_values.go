package conformance

import (
	"bytes"
	"io"
	"math"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

var valueCases = []Case{
	{"values/types", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(i INTEGER, r REAL, x TEXT, b BLOB, n NUMERIC, a ANY)`)
		for _, v := range []any{nil, 0, -1, 1.5, "text", "12", "1e3", "0x10", " 7 ", []byte{0, 1, 255}, []byte{}, ""} {
			r.sql(db, `INSERT INTO t VALUES (?1, ?1, ?1, ?1, ?1, ?1)
				RETURNING typeof(i), typeof(r), typeof(x), typeof(b), typeof(n), typeof(a), i, r, x, b, n, a`, v)
		}
		r.sql(db, `SELECT count(*), count(i), sum(i), total(r), avg(n), max(x), min(b) FROM t`)
		r.sql(db, `SELECT CAST('12abc' AS INTEGER), CAST('1e400' AS REAL), CAST(x'3132' AS TEXT), CAST(1e20 AS INTEGER), `+
			`CAST(-1e20 AS INTEGER), CAST('9223372036854775808' AS INTEGER)`)
		r.sql(db, `SELECT 1 < 'a', 'a' < x'61', NULL IS NULL, 1 = 1.0, '1' = 1, 5/2, 5/2.0, -5 % 3, 1/0, 1.0/0, ~5, 1 << `+
			`62, 1 << 64, -1 >> 70`)
	}},
	{"values/integers", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
		for _, v := range []int64{1<<53 - 1, 1 << 53, 1<<53 + 1, -(1<<53 + 1), math.MaxInt64, math.MinInt64,
			math.MaxInt64 - 1, 1 << 31, 1 << 32, -1 << 31} {
			r.sql(db, `INSERT INTO t VALUES (?1, ?1) RETURNING a, b, a = b, CAST(b AS TEXT), b + 0.0, -b, abs(CASE WHEN b > `+
				`-9223372036854775808 THEN b END)`, v)
		}
		r.sql(db, `SELECT a FROM t WHERE a = 9007199254740993`)
		r.sql(db, `SELECT a FROM t WHERE a > 9007199254740992.0 ORDER BY a`)
		r.sql(db, `SELECT 9223372036854775807 + 1, -9223372036854775808 - 1, 9223372036854775807 * 2, 9223372036854775808`)
		r.sql(db, `SELECT sum(a) FROM t WHERE a > 0`)
		r.sql(db, `SELECT abs(-9223372036854775808)`)
		r.sql(db, `SELECT printf('%d %x %o %u', 9223372036854775807, 255, 8, -1)`)
	}},
	{"values/floats", func(r *recorder) {
		db := r.memory()
		for _, v := range []float64{0, math.Copysign(0, -1), 0.1, 1.0 / 3, math.MaxFloat64, math.SmallestNonzeroFloat64,
			5e-324 * 3, math.Inf(1), math.Inf(-1), math.NaN(), 1e15, 1e16, 123456789.123456789, 2.5, 1e-5, 9007199254740993} {
			r.sql(db, `SELECT ?1, typeof(?1), ?1 || '', printf('%.17g', ?1), round(?1, 2), CAST(?1 AS INTEGER), printf('%.3f `+
				`%e', ?1, ?1)`, v)
		}
		r.sql(db, `SELECT 0.1 + 0.2, 1e308 * 10, -1e308 * 10, 0.1 + 0.2 = 0.3, round(2.5), round(-0.5), round(1.005, 2)`)
		r.sql(db, `SELECT '1.7976931348623157e308' + 0, '4.9e-324' + 0, '0.1' + 0, '1e-400' + 0, `+
			`'123456789012345678901234567890' + 0`)
		r.sql(db, `SELECT sum(value) FROM json_each('[0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1]')`)
	}},
	{"values/text", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(x TEXT PRIMARY KEY)`)
		for _, v := range []string{"", "a\x00b", "\x00", "a\x00", "Grüße, 世界 🌍", "\xff\xfe invalid", "e\u0301",
			strings.Repeat("long ", 100_000), "'; DROP TABLE t; --"} {
			r.sql(db, `INSERT INTO t VALUES (?1) RETURNING x, length(x), octet_length(x), hex(substr(x, 1, 4)), x = ?1, `+
				`instr(x, char(0)), unicode(x), upper(substr(x, 1, 20))`, v)
		}
		r.sql(db, `SELECT quote(x) FROM t WHERE length(CAST(x AS BLOB)) < 20 ORDER BY x`)
		r.sql(db, `SELECT x || '|' FROM t WHERE x LIKE 'a%' ORDER BY x`)
		r.sql(db, `SELECT replace('a' || char(0) || 'b', char(0), '-'), trim('  x '), substr('Grüße', -3, 2), char(71, `+
			`252, 128512), unicode('ü'), hex('ü'), unhex('C3BC')`)
		r.sql(db, `SELECT 'ABC' LIKE 'abc', 'ÄB' LIKE 'äb', 'a_c' LIKE 'a\_c' ESCAPE '\', 'abc' GLOB 'a*[a-c]', 'x' `+
			`COLLATE NOCASE = 'X', 'a ' COLLATE RTRIM = 'a'`)
		r.sql(db, `SELECT format('%s|%10s|%-5s|%q|%Q|%w|%c|%%|%05d|%,d', 'a', 'b', 'c', 'it''s', 'it''s', 'a"b', 'xyz', `+
			`42, 1234567), concat_ws('-', 1, NULL, 'x'), unistr('\u00e9')`)
	}},
	{"values/blobs", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)`)
		big := make([]byte, 9<<20)
		for i := range big {
			big[i] = byte(i * i >> 7)
		}
		r.sql(db, `INSERT INTO t VALUES (1, ?)`, big)
		r.sql(db, `SELECT length(b), b, hex(substr(b, 1000000, 8)) FROM t`)
		r.sql(db, `INSERT INTO t VALUES (2, zeroblob(100000)), (3, x''), (4, randomblob(16))`)
		r.sql(db, `SELECT a, typeof(b), length(b) FROM t`)
		blob, err := db.OpenBlob("main", "t", "b", 2, true)
		r.logf("open blob: %s, %d bytes", describe(err), blob.Size())
		n, err := blob.ReadFrom(bytes.NewReader(big[:60_000]))
		r.logf("write: %d %s", n, describe(err))
		pos, err := blob.Seek(-5, io.SeekEnd)
		r.logf("seek: %d %s", pos, describe(err))
		m, err := blob.Write([]byte("end"))
		r.logf("write: %d %s", m, describe(err))
		m, err = blob.Write([]byte("too long"))
		r.logf("write past the end: %d %s", m, describe(err))
		r.logf("reopen: %s", describe(blob.Reopen(1)))
		blob.Seek(8<<20, io.SeekStart)
		buf := make([]byte, 16)
		_, err = io.ReadFull(blob, buf)
		r.logf("read: %x %s", buf, describe(err))
		r.logf("reopen nothing: %s", describe(blob.Reopen(99)))
		blob.Close()
		r.sql(db, `SELECT b FROM t WHERE a = 2`)
		_, err = db.OpenBlob("main", "t", "none", 1, false)
		r.logf("no such column: %s", describe(err))
	}},
	{"values/binding", func(r *recorder) {
		db := r.memory()
		s, _, err := db.Prepare(`SELECT ?1, :name, @at, $dollar, ?, ?7`)
		if err != nil {
			r.logf("%s", describe(err))
			return
		}
		r.logf("%d parameters", s.BindCount())
		for i := 1; i <= s.BindCount(); i++ {
			r.logf("%d %q", i, s.BindName(i))
		}
		r.logf("%d %d", s.BindIndex(":name"), s.BindIndex("none"))
		r.logf("out of range: %s", describe(s.BindInt(8, 1)))
		r.logf("zero: %s", describe(s.BindInt(0, 1)))
		s.BindZeroBlob(1, 5)
		s.BindBool(2, true)
		s.BindRawText(3, []byte("raw\x00text"))
		for s.Step() {
			for i := range s.ColumnCount() {
				r.logf("%s %s", s.ColumnName(i), column(s, i))
			}
			r.logf("while it runs: %s", describe(s.BindInt(1, 1)))
		}
		r.logf("expanded: %q", s.ExpandedSQL())
		s.Close()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b VARCHAR(10) NOT NULL COLLATE NOCASE, c AS (a * 2))`)
		s, _, _ = db.Prepare(`SELECT a, b AS bee, c, a + 1 FROM t`)
		for i := range s.ColumnCount() {
			r.logf("%q %q %q %q %q", s.ColumnName(i), s.ColumnDeclType(i), s.ColumnTableName(i), s.ColumnOriginName(i),
				s.ColumnDatabaseName(i))
		}
		s.Close()
		decl, coll, notNull, pk, auto, err := db.TableColumnMetadata("main", "t", "b")
		r.logf("%s %s %v %v %v %s", decl, coll, notNull, pk, auto, describe(err))
		r.logf("limit %d", db.Limit(sqlite3.LIMIT_VARIABLE_NUMBER, -1))
	}},
}
