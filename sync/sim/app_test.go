package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"heddle.dev/heddle/sync/client"
)

// app is what runs on the devices: a schema in several versions, and the
// statements that it writes with.
type app struct {
	versions []string // migrations
	tables   []*table
}

type table struct {
	name    string
	since   int // the version that brought it
	key     []column
	columns []column
	index   string // a local table that triggers keep: the key and what indexed names
	indexed string
	parent  *table // where a column named parent names a row of another table
	strict  bool

	parts, options []string // of its CREATE TABLE
	create, sql    string   // which is this, and all that is made with it
}

type column struct {
	name, decl string
	since      int
	kind       string // of values that keys take
	merge      string // how it joins
}

// syncedAt returns the synced tables of a version.
func (a *app) syncedAt(version int) (all []*table) {
	for _, t := range a.tables {
		if t.since <= version {
			all = append(all, t)
		}
	}
	return all
}

func (t *table) columnsAt(version int) (all []column) {
	for _, c := range t.columns {
		if c.since <= version {
			all = append(all, c)
		}
	}
	return all
}

func names(columns []column, prefix string) string {
	var all []string
	for _, c := range columns {
		all = append(all, prefix+c.name)
	}
	return strings.Join(all, ", ")
}

// newApp makes up a schema with its versions.
func newApp(r *rand.Rand) *app {
	a := &app{versions: make([]string, 1+r.IntN(3))}
	a.tables = append(a.tables, &table{name: "marks", since: 1, key: []column{{name: "id", kind: "TEXT"}},
		columns: []column{{name: "saw", since: 1}}})
	a.versions[0] = "CREATE TABLE marks(id TEXT PRIMARY KEY, saw TEXT NOT NULL);\n"
	for v := range a.versions {
		if v > 0 {
			for _, t := range a.tables[1:] {
				if r.IntN(2) == 0 {
					c := newColumn(r, t, v+1)
					a.versions[v] += fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s;\n", t.name, c.name, c.decl)
				}
				if r.IntN(3) == 0 {
					a.versions[v] += a.rebuild(r, t, v+1)
				}
			}
		}
		n := 1 + r.IntN(3)
		if v > 0 {
			n = r.IntN(2)
		}
		for range n {
			a.versions[v] += a.newTable(r, v+1)
		}
		if a.versions[v] == "" {
			a.versions[v] = fmt.Sprintf("CREATE TABLE local%d(x);\n", v)
		}
	}
	return a
}

var keyShapes = [][]string{{"TEXT"}, {"TEXT"}, {"INTEGER"}, {"BLOB"}, {"INTEGER", "TEXT"},
	{"TEXT", "BLOB", "INTEGER"}, {"INT"}}

func (a *app) newTable(r *rand.Rand, version int) string {
	t := &table{name: fmt.Sprintf("t%d", len(a.tables)), since: version, strict: r.IntN(6) == 0}
	var parts []string
	for i, kind := range keyShapes[r.IntN(len(keyShapes))] {
		c := column{name: fmt.Sprintf("k%d", i), decl: kind, since: version, kind: kind}
		t.key = append(t.key, c)
		parts = append(parts, c.name+" "+c.decl)
	}
	for range r.IntN(4) {
		c := newColumn(r, t, version)
		parts = append(parts, c.name+" "+c.decl)
	}
	if r.IntN(4) == 0 && len(t.columns) > 0 && !t.strict {
		parts = append(parts, fmt.Sprintf("g AS (coalesce(%s, '') || 'x') %s", t.columns[0].name,
			[]string{"STORED", "VIRTUAL"}[r.IntN(2)]))
	}
	if r.IntN(5) == 0 && len(t.columns) > 0 {
		parts = append(parts, fmt.Sprintf("CHECK (%s IS NOT 'forbidden')", t.columns[0].name))
	}
	var parents []*table
	for _, p := range a.tables[1:] {
		if len(p.key) == 1 && p.key[0].kind != "BLOB" {
			parents = append(parents, p)
		}
	}
	if len(parents) > 0 && r.IntN(2) == 0 {
		t.parent = parents[r.IntN(len(parents))]
		c := column{name: "parent", decl: t.parent.key[0].decl, since: version}
		t.columns = append(t.columns, c)
		parts = append(parts, fmt.Sprintf("parent %s REFERENCES %s(k0) ON DELETE %s ON UPDATE %s %s", c.decl, t.parent.name,
			[]string{"CASCADE", "SET NULL", "NO ACTION"}[r.IntN(3)], []string{"CASCADE", "SET NULL", "NO ACTION"}[r.IntN(3)],
			[]string{"", "DEFERRABLE INITIALLY DEFERRED"}[r.IntN(2)]))
	}
	var options []string
	without := r.IntN(3) == 0
	if without {
		options = append(options, "WITHOUT ROWID")
	}
	if t.strict {
		options = append(options, "STRICT")
	}
	parts = append(parts, "PRIMARY KEY("+names(t.key, "")+")")
	sql := fmt.Sprintf("CREATE TABLE %s(%s) %s;\n", t.name, constraintsLast(parts), strings.Join(options, ", "))
	t.parts, t.options, t.create = parts, options, sql
	if r.IntN(2) == 0 {
		t.index = "idx_" + t.name
		value, values := "", ""
		if len(t.columns) > 0 {
			t.indexed = t.columns[0].name
			value, values = ", new."+t.indexed, ", v"
		}
		var decl, gone []string
		for _, c := range t.key {
			decl, gone = append(decl, c.name+" "+c.decl), append(gone, c.name+" IS old."+c.name)
		}
		put := fmt.Sprintf("INSERT OR REPLACE INTO %s(%s%s) VALUES(%s%s);", t.index, names(t.key, ""), values,
			names(t.key, "new."), value)
		drop := fmt.Sprintf("DELETE FROM %s WHERE %s;", t.index, strings.Join(gone, " AND "))
		sql += fmt.Sprintf("CREATE TABLE %s(%s%s, PRIMARY KEY(%s));\n", t.index, strings.Join(decl, ", "), values,
			names(t.key, ""))
		sql += fmt.Sprintf("CREATE TRIGGER %s_i AFTER INSERT ON %s BEGIN %s END;\n", t.index, t.name, put)
		sql += fmt.Sprintf("CREATE TRIGGER %s_u AFTER UPDATE ON %s BEGIN %s %s END;\n", t.index, t.name, drop, put)
		sql += fmt.Sprintf("CREATE TRIGGER %s_d AFTER DELETE ON %s BEGIN %s END;\n", t.index, t.name, drop)
	}
	if others := a.tables[1:]; len(others) > 0 && r.IntN(3) == 0 {
		o := others[r.IntN(len(others))]
		if len(o.key) == 1 && o.key[0].kind == "TEXT" && !strings.Contains(sql, "STRICT") {
			sql += fmt.Sprintf("CREATE TRIGGER echo_%s AFTER DELETE ON %s WHEN NOT heddle_applying() "+
				"BEGIN INSERT OR IGNORE INTO %s(k0) VALUES('gone'); END;\n", t.name, t.name, o.name)
		}
	}
	if len(t.columns) > 0 && r.IntN(3) == 0 {
		sql += fmt.Sprintf("CREATE INDEX by_%s ON %s(%s);\n", t.name, t.name, t.columns[0].name)
	}
	a.tables, t.sql = append(a.tables, t), sql
	return sql
}

// merges returns a table's policies at a version.
func (t *table) merges(version int) client.Merge {
	m := client.Merge{}
	for _, c := range t.columnsAt(version) {
		if c.merge != "" {
			m[c.name] = c.merge
		}
	}
	return m
}

// constraintsLast puts a table's CHECK behind its columns, as SQL asks.
func constraintsLast(parts []string) string {
	var columns, constraints []string
	for _, p := range parts {
		if strings.HasPrefix(p, "CHECK") || strings.HasPrefix(p, "PRIMARY KEY") {
			constraints = append(constraints, p)
		} else {
			columns = append(columns, p)
		}
	}
	return strings.Join(append(columns, constraints...), ", ")
}

var (
	decls = []string{"", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "INTEGER NOT NULL DEFAULT 7", "TEXT DEFAULT 'd'",
		"REAL NOT NULL DEFAULT 1", "BLOB DEFAULT x'00ff'", "TEXT COLLATE NOCASE", "DEFAULT 2.0", "INT DEFAULT '5'",
		"TEXT NOT NULL DEFAULT 3"}
	joinDecls = map[string][]string{
		"counter": {"INTEGER NOT NULL DEFAULT 2", "REAL", "NUMERIC DEFAULT 0.5", ""},
		"max":     {"", "INTEGER", "TEXT", "REAL DEFAULT 1"},
		"min":     {"", "INTEGER DEFAULT 5", "TEXT DEFAULT 'm'", "NUMERIC"},
		"set":     {"TEXT DEFAULT '[\"x\"]'", "TEXT", ""},
	}
	strictDecls = []string{"INTEGER", "TEXT", "REAL", "BLOB", "ANY", "INT NOT NULL DEFAULT 1"}
)

// newColumn gives a table a column. One that comes later has a default that
// old rows take.
func newColumn(r *rand.Rand, t *table, version int) column {
	c := column{name: fmt.Sprintf("c%d", len(t.columns)), decl: decls[r.IntN(len(decls))], since: version}
	if r.IntN(4) == 0 && !t.strict {
		c.merge = []string{"counter", "max", "min", "set"}[r.IntN(4)]
		some := joinDecls[c.merge]
		c.decl = some[r.IntN(len(some))]
	}
	if t.strict {
		c.decl = strictDecls[r.IntN(len(strictDecls))]
	}
	t.columns = append(t.columns, c)
	return c
}

var values = []any{nil, int64(0), int64(1), int64(2), 2.0, 1.5, 0.0, "t", "T", "", "forbidden", []byte{},
	[]byte{1, 0}, "a\x00b", "7", int64(1) << 60}

var (
	numbers = []any{nil, int64(1), int64(3), int64(-2), 0.5, 2.0, int64(1) << 62, -1e18, int64(1<<53 + 1), "t"}
	sets    = []any{nil, `["a"]`, `["b", "a"]`, `[ "c" ]`, "no set", `["x",1]`, `[]`}
)

func value(r *rand.Rand) any { return values[r.IntN(len(values))] }

// keyValue draws from few values: devices are meant to meet.
func keyValue(r *rand.Rand, kind string) any {
	if r.IntN(60) == 0 {
		return nil
	}
	switch kind {
	case "INTEGER", "INT":
		return int64(r.IntN(4))
	case "BLOB":
		return [][]byte{{}, {0}, {0xff, 1}}[r.IntN(3)]
	}
	return []string{"p", "q", "r", "", "2"}[r.IntN(5)]
}

// statement makes up a statement on a table as a version has it.
func (a *app) statement(r *rand.Rand, version int) (sql string, args []any) {
	all := a.syncedAt(version)[1:]
	t := all[r.IntN(len(all))]
	columns := t.columnsAt(version)
	or := []string{"", "", "", "OR IGNORE ", "OR REPLACE ", "OR ABORT ", "OR FAIL ", "OR ROLLBACK "}[r.IntN(8)]
	var where []string
	key := func() []any {
		var all []any
		for _, c := range t.key {
			all = append(all, keyValue(r, c.kind))
		}
		return all
	}
	for _, c := range t.key {
		where = append(where, c.name+" IS ?")
	}
	at := " WHERE " + strings.Join(where, " AND ")
	cell := func(c column) any {
		switch c.merge {
		case "counter":
			return numbers[r.IntN(len(numbers))]
		case "set":
			return sets[r.IntN(len(sets))]
		}
		if c.name == "parent" {
			return keyValue(r, t.parent.key[0].kind)
		}
		return value(r)
	}
	some := func() []column { // to write
		var some []column
		for _, c := range columns {
			if r.IntN(2) == 0 {
				some = append(some, c)
			}
		}
		return some
	}
	insert := func(or string) (string, []any) {
		some, args := some(), key()
		for _, c := range some {
			args = append(args, cell(c))
		}
		into := append(append([]column{}, t.key...), some...)
		return fmt.Sprintf("INSERT %sINTO %s(%s) VALUES(%s)", or, t.name, names(into, ""),
			strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")), args
	}
	set := func(some []column) (string, []any) {
		var sets []string
		var args []any
		for _, c := range some {
			set := c.name + " = ?"
			if c.merge == "counter" && r.IntN(2) == 0 {
				set = fmt.Sprintf("%s = coalesce(%s, 0) + ?", c.name, c.name)
			}
			sets, args = append(sets, set), append(args, cell(c))
		}
		return strings.Join(sets, ", "), args
	}
	switch r.IntN(12) {
	case 0, 1:
		return insert(or)
	case 2, 3: // an upsert
		sql, args = insert("")
		if sets, more := set(some()); sets != "" {
			return sql + " ON CONFLICT DO UPDATE SET " + sets, append(args, more...)
		}
		return sql + " ON CONFLICT DO NOTHING", args
	case 4, 5, 6:
		if sets, args := set(some()); sets != "" {
			return fmt.Sprintf("UPDATE %s%s SET %s%s", or, t.name, sets, at), append(args, key()...)
		}
	case 7: // all rows
		if sets, args := set(some()); sets != "" {
			return fmt.Sprintf("UPDATE %s%s SET %s", or, t.name, sets), args
		}
	case 8: // another key
		c := t.key[r.IntN(len(t.key))]
		return fmt.Sprintf("UPDATE %s%s SET %s = ?%s", or, t.name, c.name, at), append([]any{keyValue(r, c.kind)}, key()...)
	case 9: // and back under its key
		k := key()
		sql, args := insert("OR REPLACE ")
		copy(args, k)
		return "DELETE FROM " + t.name + at + "\x00" + sql, append(k, args...)
	case 10:
		if r.IntN(8) == 0 {
			return "DELETE FROM " + t.name, nil
		}
	}
	return "DELETE FROM " + t.name + at, key()
}
