package conformance

// script runs statements one after the other on a database in memory.
func script(name string, statements ...string) Case {
	return Case{name, func(r *recorder) {
		db := r.memory()
		for _, s := range statements {
			r.sql(db, s)
		}
	}}
}

var languageCases = []Case{
	script("sql/constraints",
		`CREATE TABLE p(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL, c INT CHECK (c > 0)) STRICT`,
		`CREATE TABLE ch(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL)`,
		`INSERT INTO p VALUES (1, 'a', 'x', 1), (2, 'b', 'y', 2)`,
		`INSERT INTO ch VALUES (1, 1), (2, 2), (3, NULL)`,
		`INSERT INTO p VALUES (1, 'c', 'x', 1)`, `INSERT INTO p VALUES (3, 'a', 'x', 1)`,
		`INSERT INTO p VALUES (3, 'c', NULL, 1)`,
		`INSERT INTO p VALUES (3, 'c', 'x', 0)`, `INSERT INTO p VALUES (3, 'c', 'x', 'text')`,
		`INSERT INTO ch VALUES (4, 99)`,
		`INSERT OR IGNORE INTO p VALUES (1, 'z', 'z', 1); INSERT OR REPLACE INTO p VALUES (4, 'b', 'replaced', 1)`,
		`INSERT INTO p VALUES (1, 'q', 'q', 1) ON CONFLICT(id) DO UPDATE SET n = excluded.n || '!' RETURNING *`,
		`UPDATE p SET id = 10 WHERE id = 1`, `SELECT * FROM p`, `SELECT * FROM ch`, `PRAGMA foreign_key_check`),
	script("sql/triggers",
		`CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE log(id INTEGER PRIMARY KEY, what)`,
		`CREATE TRIGGER bi BEFORE INSERT ON t BEGIN INSERT INTO log(what) VALUES ('bi ' || new.b); END`,
		`CREATE TRIGGER ai AFTER INSERT ON t WHEN new.b > 1 BEGIN INSERT INTO log(what) VALUES ('ai ' || new.a); `+
			`INSERT INTO t(b) VALUES (new.b - 1); END`,
		`CREATE TRIGGER au AFTER UPDATE OF b ON t BEGIN INSERT INTO log(what) VALUES (old.b || '->' || new.b); END`,
		`CREATE TRIGGER bd BEFORE DELETE ON t WHEN old.b = 99 BEGIN SELECT RAISE(ABORT, 'not ' || old.b); END`,
		`CREATE VIEW v AS SELECT a, b FROM t`,
		`CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN INSERT INTO t(b) VALUES (new.b * 10); END`,
		`INSERT INTO t(b) VALUES (3)`, `PRAGMA recursive_triggers = ON; INSERT INTO t(b) VALUES (3)`,
		`INSERT INTO v(b) VALUES (9.9); UPDATE t SET b = 99 WHERE a = 1; UPDATE t SET a = a + 100`,
		`DELETE FROM t`, `DELETE FROM t WHERE b < 99`, `SELECT * FROM t`, `SELECT what FROM log`,
		`SELECT changes(), total_changes()`),
	script("sql/queries",
		`CREATE TABLE e(id INTEGER PRIMARY KEY, boss INT, name TEXT, pay REAL, dep TEXT)`,
		`INSERT INTO e VALUES `+
			`(1,NULL,'Ada',10.5,'x'),(2,1,'Bob',8,'x'),(3,1,'Cy',8,'y'),(4,2,'Di',3.25,'y'),(5,2,'Ed',NULL,'z')`,
		`WITH RECURSIVE under(id, depth) AS (SELECT 1, 0 UNION ALL SELECT e.id, depth + 1 FROM e JOIN under ON boss = `+
			`under.id) SELECT name, depth FROM under JOIN e USING (id) ORDER BY depth, name`,
		`SELECT dep, count(*), sum(pay), group_concat(name, '/' ORDER BY name DESC) FROM e GROUP BY dep HAVING count(pay) `+
			`> 0`,
		`SELECT name, rank() OVER w, dense_rank() OVER w, row_number() OVER w, lag(name, 1, '-') OVER w, ntile(2) OVER w, `+
			`percent_rank() OVER w FROM e WINDOW w AS (ORDER BY pay DESC NULLS LAST)`,
		`SELECT name, sum(pay) OVER (PARTITION BY dep ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), `+
			`first_value(name) OVER (ORDER BY id GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM e`,
		`SELECT count(*) FILTER (WHERE pay > 5), max(pay) FILTER (WHERE dep = 'y') FROM e`,
		`SELECT a.name, b.name FROM e a LEFT JOIN e b ON a.boss = b.id ORDER BY 1`,
		`SELECT name FROM e WHERE (dep, pay) IN (VALUES ('x', 8), ('y', 8)) ORDER BY 1`,
		`SELECT a.id, b.id FROM e a FULL JOIN (SELECT 4 AS id UNION SELECT 9) b USING (id) ORDER BY 1, 2`,
		`SELECT 1 UNION SELECT 2 INTERSECT SELECT 2 EXCEPT SELECT 3`, `VALUES (1, 'a'), (2, 'b')`,
		`SELECT * FROM e ORDER BY pay DESC, name COLLATE NOCASE LIMIT 2 OFFSET 1`,
		`SELECT iif(1, 'y', 'n'), coalesce(NULL, 2), nullif(1, 1), CASE 3 WHEN 3 THEN 'three' END, likely(1), 3 BETWEEN `+
			`1 AND 5`,
		`CREATE INDEX i ON e(dep, pay); ANALYZE; `+
			`EXPLAIN QUERY PLAN SELECT name FROM e WHERE dep = 'y' AND pay > 1 ORDER BY pay`,
		`EXPLAIN SELECT max(pay) FROM e WHERE dep = 'x'`,
		`UPDATE e SET pay = u.p FROM (SELECT 1 AS id, 99 AS p) u WHERE e.id = u.id RETURNING name, pay`),
	script("sql/schema",
		`CREATE TABLE t(a INT, b TEXT DEFAULT 'd', c AS (a + 1) STORED, d AS (b || a), PRIMARY KEY (a, b)) WITHOUT ROWID`,
		`INSERT INTO t(a) VALUES (1), (2) RETURNING *`,
		`ALTER TABLE t ADD COLUMN e REAL DEFAULT 1.5; ALTER TABLE t RENAME COLUMN e TO f; ALTER TABLE t RENAME TO u; `+
			`SELECT * FROM u`,
		`CREATE UNIQUE INDEX x ON u(f, lower(b)) WHERE a > 1; INSERT INTO u(a, b, f) VALUES (3, 'D', 1.5)`,
		`ALTER TABLE u DROP COLUMN d; PRAGMA table_xinfo(u)`,
		`SELECT name, sql FROM sqlite_schema`, `PRAGMA index_list(u)`,
		`CREATE TEMP TABLE tmp AS SELECT * FROM u; SELECT count(*) FROM tmp; SELECT count(*) FROM temp.sqlite_schema`,
		`ATTACH ':memory:' AS other; CREATE TABLE other.t(x); INSERT INTO other.t VALUES (7); `+
			`SELECT * FROM other.t, main.u; DETACH other`,
		`CREATE TABLE a(x PRIMARY KEY); CREATE TABLE a(y)`, `DROP TABLE none`, `SELECT none FROM u`,
		`VACUUM; PRAGMA integrity_check; PRAGMA quick_check`,
		`REINDEX; PRAGMA user_version = 7; PRAGMA user_version; PRAGMA application_id`),
	script("sql/transactions",
		`CREATE TABLE t(a PRIMARY KEY DEFERRABLE)`,
		`CREATE TABLE t(a PRIMARY KEY); CREATE TABLE c(a REFERENCES t DEFERRABLE INITIALLY DEFERRED)`,
		`BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); SAVEPOINT s2; INSERT INTO t VALUES (3); `+
			`ROLLBACK TO s; RELEASE s; COMMIT; SELECT * FROM t`,
		`BEGIN; INSERT INTO c VALUES (9)`, `COMMIT`, `INSERT INTO t VALUES (9); COMMIT; SELECT * FROM c`,
		`COMMIT`, `ROLLBACK`, `BEGIN; BEGIN`, `ROLLBACK; RELEASE none`,
		`BEGIN; INSERT INTO t VALUES (20); INSERT OR ROLLBACK INTO t VALUES (1)`, `SELECT count(*) FROM t`,
		`INSERT OR FAIL INTO t VALUES (30), (1), (31)`, `SELECT a FROM t ORDER BY 1`),
	script("sql/dates",
		`SELECT date('2024-02-29', '+1 year'), datetime(1700000000, 'unixepoch'), time('12:34:56.789'), `+
			`julianday('2000-01-01'), unixepoch('1969-12-31 23:59:59'), strftime('%Y-%j-%W-%w %H:%M:%f %s %u %V %G', `+
			`'2026-11-23 04:05:06.7')`,
		`SELECT date('2024-01-31', '+1 month'), date('2024-01-31', '+1 month', 'floor'), date('2024-03-10', 'weekday 0'), `+
			`date('2024-03-10', 'start of month', '-1 day'), timediff('2024-03-01', '2023-02-28'), `+
			`datetime('2024-06-01T12:00:00+02:00'), datetime('0000-01-01'), datetime('9999-12-31 23:59:59.999'), `+
			`date('2024-13-01'), datetime(1e12, 'unixepoch'), strftime('%s', 'now') > 1600000000, datetime('2024-01-01', `+
			`'subsec')`,
		`SELECT datetime(1700000000, 'unixepoch', 'localtime'), datetime(1720000000, 'unixepoch', 'localtime'), `+
			`datetime('2024-03-31 02:30:00', 'utc'), datetime('2024-10-27 02:30:00', 'utc'), unixepoch('2024-07-01 00:00', `+
			`'utc')`,
		`SELECT datetime(-3000000000, 'unixepoch', 'localtime'), datetime('1969-07-20 20:17', 'localtime'), `+
			`datetime('2100-07-01', 'localtime'), datetime('9000-01-01', 'localtime'), datetime('1000-06-01', 'localtime'), `+
			`time(0, 'unixepoch', 'localtime')`,
		`SELECT typeof(current_timestamp), length(current_date), julianday('now') > 2460000, date('now', 'localtime') IS `+
			`NOT NULL`),
}
