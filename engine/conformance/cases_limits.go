package conformance

import (
	"fmt"
	"strings"
)

// repeat joins n copies, each formatted with its number from 1 on.
func repeat(n int, format, sep string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteString(sep)
		}
		if strings.Contains(format, "%") {
			fmt.Fprintf(&b, format, i)
		} else {
			b.WriteString(format)
		}
	}
	return b.String()
}

// limits runs each statement on a connection of its own.
func limits(name string, before string, statements ...string) Case {
	return Case{name, func(r *recorder) {
		for _, s := range statements {
			r.isolated(before, s)
		}
	}}
}

// The limits are SQLite's defaults: what is deepest without an error, and what
// is one too many. https://sqlite.org/limits.html
var limitCases = []Case{
	limits("limit/expressions", "",
		`SELECT `+repeat(999, "1", "+"), `SELECT `+repeat(1001, "1", "+"), `SELECT `+strings.Repeat("(",
			90)+"1"+strings.Repeat(")", 90), `SELECT `+strings.Repeat("(", 2000)+"1"+strings.Repeat(")", 2000),
		`SELECT `+strings.Repeat("- ", 900)+" 1", `SELECT `+strings.Repeat("NOT ", 998)+"1",
		`SELECT `+strings.Repeat("CASE WHEN 1 THEN ", 400)+"1"+strings.Repeat(" END", 400), `SELECT `+strings.Repeat("abs(",
			90)+"1"+strings.Repeat(")", 90), `SELECT 1 IN (`+repeat(20000, "%d", ",")+`)`, `SELECT `+repeat(900, "'a'", "||")),
	limits("limit/selects", "",
		repeat(500, "SELECT %d", " UNION ALL "), repeat(501, "SELECT %d", " UNION ALL "),
		`SELECT count(*) FROM `+repeat(64, "(SELECT %d)", ","), `SELECT count(*) FROM `+repeat(65, "(SELECT %d)", ","),
		strings.Repeat("SELECT * FROM (", 90)+"SELECT 1"+strings.Repeat(")", 90), strings.Repeat("SELECT (",
			90)+"SELECT 1"+strings.Repeat(")", 90), `WITH `+repeat(100, "c%[1]d AS (SELECT %[1]d)", ",")+` SELECT * FROM c100`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT count(*), sum(i) FROM n`,
		`SELECT * FROM (VALUES `+repeat(5000, "(%d)", ",")+`) LIMIT 1 OFFSET 4999`),
	script("limit/tables",
		`CREATE TABLE t(`+repeat(2000, "c%d", ",")+`)`, `CREATE TABLE u(`+repeat(2001, "c%d", ",")+`)`,
		`INSERT INTO t(c1, c2000) VALUES (1, 2); SELECT c1 + c2000 FROM t`, `SELECT `+repeat(2001, "1", ","),
		`CREATE INDEX i ON t(`+repeat(2000, "c%d", ",")+`)`,
		`SELECT count(*) FROM t`,
		`ATTACH ':memory:' AS a1; ATTACH ':memory:' AS a2; ATTACH ':memory:' AS a3; ATTACH ':memory:' AS a4; `+
			`ATTACH ':memory:' AS a5; ATTACH ':memory:' AS a6; ATTACH ':memory:' AS a7; ATTACH ':memory:' AS a8; `+
			`ATTACH ':memory:' AS a9; ATTACH ':memory:' AS a10`, `ATTACH ':memory:' AS a11`,
		`SELECT ?32766`, `SELECT ?32767`, `SELECT max(`+repeat(1000, "%d", ",")+`)`,
		`SELECT max(`+repeat(1001, "%d", ",")+`)`),
	limits("limit/patterns", "",
		`SELECT printf('%.*c', 100, 'a') LIKE printf('%.*c', 50000, '%')`, `SELECT 'a' LIKE printf('%.*c', 50001, 'a')`,
		`SELECT length(printf('%.*c', 10000000, 'x'))`, `SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa' GLOB '*a*a*a*a*b'`,
		`SELECT length(hex(zeroblob(5000000)))`),
	limits("limit/recursion", `PRAGMA recursive_triggers = ON; CREATE TABLE t(a INTEGER PRIMARY KEY); `+
		`CREATE TABLE c(id INTEGER PRIMARY KEY, up REFERENCES c ON DELETE CASCADE)`,
		`CREATE TRIGGER tr AFTER INSERT ON t WHEN new.a < 500 BEGIN INSERT INTO t VALUES (new.a + 1); END; `+
			`INSERT INTO t VALUES (1); SELECT count(*) FROM t`,
		`CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t VALUES (new.a + 1); END; INSERT INTO t VALUES (1)`,
		chainOfViews(100)+`; SELECT count(*) FROM w100`, chainOfViews(300)+`; SELECT count(*) FROM w300`,
		chainOfTriggers(200)+`; INSERT INTO g0 VALUES (1); SELECT count(*) FROM g200`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO c SELECT i, nullif(i - `+
			`1, 0) FROM n; DELETE FROM c WHERE id = 1; SELECT count(*) FROM c`),
}

// chainOfViews makes views w1 … wn, each on the one before.
func chainOfViews(n int) string {
	var b strings.Builder
	b.WriteString(`CREATE TABLE w0(x); INSERT INTO w0 VALUES (1)`)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `; CREATE VIEW w%d AS SELECT x FROM w%d`, i, i-1)
	}
	return b.String()
}

// chainOfTriggers makes tables g0 … gn, an insert into each of which inserts
// into the next.
func chainOfTriggers(n int) string {
	var b strings.Builder
	b.WriteString(`CREATE TABLE g0(x)`)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `; CREATE TABLE g%[1]d(x); `+
			`CREATE TRIGGER h%[1]d AFTER INSERT ON g%[2]d BEGIN INSERT INTO g%[1]d VALUES (new.x); END`, i, i-1)
	}
	return b.String()
}
