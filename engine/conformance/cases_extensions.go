package conformance

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

var extensionCases = []Case{
	script("extension/fts5",
		`CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize = 'porter unicode61 remove_diacritics 2', prefix = '2 3')`,
		`INSERT INTO f VALUES ('First', 'The running dogs jumped over the lazy fox'), ('Second', 'A dog runs; `+
			`naïve café'), ('Third', 'nothing to see'), ('Übung', 'macht den Meister — 世界')`,
		`SELECT rowid, title FROM f WHERE f MATCH 'run' ORDER BY rank`,
		`SELECT highlight(f, 1, '<', '>') FROM f WHERE f MATCH 'dog NOT lazy'`,
		`SELECT snippet(f, -1, '[', ']', '…', 4) FROM f WHERE f MATCH '"lazy fox"'`,
		`SELECT title FROM f WHERE f MATCH 'NEAR(dogs fox, 6)'`,
		`SELECT title FROM f WHERE f MATCH 'title : sec* OR body : ubung'`,
		`SELECT title FROM f WHERE f MATCH 'cafe naive'`, `SELECT title FROM f('uebung OR übung')`,
		`SELECT round(bm25(f, 2.0, 1.0), 9) FROM f WHERE f MATCH 'dog' ORDER BY 1`,
		`SELECT title FROM f WHERE f MATCH 'un"balanced'`, `SELECT title FROM f WHERE f MATCH 'none : x'`,
		`UPDATE f SET body = 'changed' WHERE rowid = 3; DELETE FROM f WHERE rowid = 1; `+
			`INSERT INTO f(f) VALUES ('optimize'); INSERT INTO f(f) VALUES ('integrity-check'); SELECT rowid, body FROM f`,
		`CREATE VIRTUAL TABLE tri USING fts5(x, tokenize = trigram); INSERT INTO tri VALUES ('abcdefg'), ('xcdey'); `+
			`SELECT x FROM tri WHERE x LIKE '%cde%'; SELECT x FROM tri WHERE tri MATCH 'def'`,
		`CREATE TABLE src(id INTEGER PRIMARY KEY, t); INSERT INTO src VALUES (5, 'external words'); `+
			`CREATE VIRTUAL TABLE ext USING fts5(t, content = src, content_rowid = id); `+
			`INSERT INTO ext(ext) VALUES ('rebuild'); SELECT rowid FROM ext WHERE ext MATCH 'words'`,
		`CREATE VIRTUAL TABLE voc USING fts5vocab(f, row); SELECT * FROM voc ORDER BY term`,
		`CREATE VIRTUAL TABLE bad USING fts5(x, tokenize = 'nonesuch')`, `SELECT count(*) FROM f_data`),
	script("extension/rtree",
		`CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +label)`,
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) INSERT INTO r SELECT i, i % 25, i `+
			`% 25 + 0.5, i / 25, i / 25 + 0.5, 'box ' || i FROM n`,
		`SELECT id, label FROM r WHERE x0 >= 3 AND x1 <= 4.5 AND y0 >= 2 AND y1 <= 3.5 ORDER BY id`,
		`SELECT count(*), min(x0), max(y1) FROM r`,
		`DELETE FROM r WHERE id % 2 = 0; UPDATE r SET x1 = x1 + 10 WHERE id = 1; SELECT count(*), sum(x1) FROM r; `+
			`SELECT rtreecheck('r')`,
		`INSERT INTO r VALUES (1000, 2, 1, 0, 0, 'wrong')`,
		`CREATE VIRTUAL TABLE ri USING rtree_i32(id, a, b); INSERT INTO ri VALUES (1, -5, 2147483647); SELECT * FROM ri`),
	script("extension/json",
		`SELECT json(' {"a" : [1, 2.50, "x", null, true]} '), json_extract('{"a":{"b":[10,20]}}', '$.a.b[1]'), `+
			`'{"a":[1,2]}' -> 'a', '{"a":"t"}' ->> 'a', json_array(1, 'two', NULL, 3.5, json('[4]')), json_object('k', 1, `+
			`'l', json_array())`,
		`SELECT json_set('{"a":1}', '$.b', json('[2]')), json_insert('[1]', '$[#]', 9), json_replace('{"a":1}', '$.a', `+
			`'z'), json_remove('[0,1,2]', '$[1]'), json_patch('{"a":1,"b":2}', '{"a":null,"c":3}'), json_type('{"a":1.5}', `+
			`'$.a'), json_valid('{bad}'), json_valid('{a:1}', 2), json_quote('q"'), json_array_length('[1,2,3]'), `+
			`json_error_position('[1,,2]'), json_pretty('{"a":[1]}')`,
		`SELECT key, value, type, atom, id, parent, fullkey, path FROM json_tree('{"a":[1,{"b":"c"}],"d":null}')`,
		`SELECT key, value FROM json_each('[5,"6",7.5]')`,
		`SELECT json_group_array(value), json_group_object(key, value) FROM json_each('{"x":1,"y":[2]}')`,
		`SELECT hex(jsonb('{"a":[1,2]}')), json(jsonb('{"a":[1,2]}')), jsonb_extract(jsonb('[1,[2]]'), '$[1]')`,
		`SELECT json('{')`, `SELECT json_extract('{}', 'nope')`,
		`SELECT json('[1e999, 9223372036854775808, 0x10, Infinity, +1, .5]')`,
		`SELECT '{"a":9007199254740993}' ->> 'a', '{"ü":"\u00fc\ud83d\ude00"}' ->> 'ü'`,
		`SELECT length(json(printf('%.*c', 1000, '[') || printf('%.*c', 1000, ']')))`,
		`SELECT json(printf('%.*c', 1001, '[') || printf('%.*c', 1001, ']'))`),
	script("extension/math",
		`SELECT format('%.12g %.12g %.12g %.12g %.12g', sin(1), cos(1), tan(1), asin(0.5), acos(0.5)), format('%.12g `+
			`%.12g %.12g', atan(1), atan2(1, -1), sinh(1)), format('%.12g %.12g %.12g', cosh(1), tanh(1), asinh(1)), `+
			`format('%.12g %.12g', acosh(2), atanh(0.5))`,
		`SELECT format('%.12g %.12g %.12g %.12g %.12g %.12g', exp(1), ln(10), log(10), log10(1000), log2(8), log(2, 32)), `+
			`pow(2, 10), power(2, -1), sqrt(2), mod(-7, 3), mod(7.5, 2), pi(), degrees(pi()), radians(180), ceil(1.2), `+
			`floor(-1.2), trunc(-1.7), sign(-3)`,
		`SELECT sqrt(-1), ln(0), acos(2), pow(0, -1), exp(1000), log(-1), mod(1, 0), ceil('x'), atanh(1)`),
	{"extension/schema", func(r *recorder) {
		db := r.memory()
		r.sql(db, `SELECT DISTINCT name, narg, type, enc FROM pragma_function_list`+without(
			AbsentFunctions)+` ORDER BY 1, 2, 3`)
		r.sql(db, `SELECT DISTINCT name FROM pragma_module_list`+without(AbsentModules)+` ORDER BY 1`)
		r.sql(db, `SELECT name FROM pragma_collation_list`+without(AbsentCollations)+` ORDER BY 1`)
		r.sql(db, `SELECT sqlite_version(), sqlite_source_id()`)
		r.logf("limits %d %d %d", db.Limit(sqlite3.LIMIT_LENGTH, -1), db.Limit(sqlite3.LIMIT_EXPR_DEPTH, -1),
			db.Limit(sqlite3.LIMIT_TRIGGER_DEPTH, -1))
	}},
}

func without(names []string) string {
	return ` WHERE name NOT IN ('` + strings.Join(names, `', '`) + `')`
}
