package live

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"heddle.dev/heddle/internal/store"
)

// generator makes random schemas, queries and transactions: few values, so that
// rows meet, and many shapes.
type generator struct {
	*rand.Rand
	tables []genTable
	views  int
	search bool // there is a full-text table
	extra  int  // indexes and columns that transactions have added
}

type genTable struct {
	name    string
	columns []string // readable ones
	stored  []string // those that a write may name
	rowid   bool
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0x11e4))}
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) literal() string {
	return pick(g, `NULL`, `0`, `1`, `2`, `3`, `5`, `-1`, `1.0`, `2.5`, `'5'`, `'5.0'`, `'a'`, `'A'`, `'a '`, `'b'`, `''`,
		`x'61'`)
}

func (g *generator) value() store.Value {
	return pick[store.Value](g, nil, int64(0), int64(1), int64(2), int64(3), int64(5), int64(-1), 1.0, 2.5, "5", "5.0",
		"a", "A", "a ", "b", "", []byte("a"))
}

// schema makes the tables.
func (g *generator) schema() string {
	var b strings.Builder
	for i := range 2 + g.IntN(2) {
		g.table(&b, fmt.Sprint("t", i))
	}
	for i := range g.IntN(3) {
		t := pick(g, g.tables...)
		fmt.Fprintf(&b, "CREATE VIEW v%d AS SELECT %s AS a, %s AS b, %s AS c FROM %s WHERE %s;\n", i, g.column(t),
			g.column(t), g.column(t), t.name, g.condition(t.name, t, nil))
		g.views++
	}
	if from, to := pick(g, g.tables...), pick(g, g.tables...); g.chance(3) && from.name != to.name {
		fmt.Fprintf(&b, "CREATE TRIGGER tr AFTER %s ON %s BEGIN UPDATE OR IGNORE %s SET %s = %s WHERE %s; END;\n",
			pick(g, "INSERT", "DELETE", "UPDATE"), from.name, to.name, pick(g, to.stored...), g.literal(),
			g.condition(to.name, to, nil))
	}
	if g.search = g.chance(8); g.search {
		b.WriteString("CREATE VIRTUAL TABLE f USING fts5(body);\n")
	}
	return b.String()
}

func (g *generator) table(b *strings.Builder, name string) {
	t := genTable{name: name, rowid: true}
	types := []string{"INTEGER", "INT", "TEXT", "REAL", "BLOB", "NUMERIC", "", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM",
		"VARCHAR(9)"}
	var defs []string
	tail := ""
	switch g.IntN(6) {
	case 0, 1:
		defs = append(defs, "id INTEGER PRIMARY KEY")
	case 2:
		defs = append(defs, "id "+pick(g, types[1:]...)+" PRIMARY KEY")
	case 3:
		defs = append(defs, "id "+pick(g, types...))
	case 4:
		defs = append(defs, "id "+pick(g, types...)+" PRIMARY KEY")
		tail, t.rowid = " WITHOUT ROWID", false
	case 5:
		defs = append(defs, "id "+pick(g, types...))
		tail, t.rowid = ", PRIMARY KEY(c1, id)) WITHOUT ROWID", false
	}
	t.columns, t.stored = []string{"id"}, []string{"id"}
	for i := range 3 + g.IntN(2) {
		c := fmt.Sprint("c", i)
		defs = append(defs, c+" "+pick(g, types...))
		t.columns, t.stored = append(t.columns, c), append(t.stored, c)
	}
	if g.chance(4) {
		defs = append(defs, fmt.Sprintf("g %s AS (%s) %s", pick(g, types...),
			pick(g, "c0 || c1", "typeof(c1)", "c0 + 1", "coalesce(c1, c0)"), pick(g, "STORED", "VIRTUAL")))
		t.columns = append(t.columns, "g")
	}
	text := fmt.Sprintf("CREATE TABLE %s(%s", name, strings.Join(defs, ", "))
	if !strings.HasPrefix(tail, ",") {
		tail = ")" + tail
	}
	b.WriteString(text + tail + ";\n")
	for i := range g.IntN(4) {
		b.WriteString(g.index(t, fmt.Sprintf("%s_%d", name, i)) + ";\n")
	}
	g.tables = append(g.tables, t)
}

func (g *generator) index(t genTable, name string) string {
	cols := make([]string, 1+g.IntN(3))
	for i := range cols {
		cols[i] = pick(g, t.columns...) + pick(g, "", "", "", " DESC", " COLLATE NOCASE")
		if g.chance(10) {
			cols[i] = pick(g, "c0 + c1", "lower(c0)", "typeof(c1)")
		}
	}
	where := ""
	if g.chance(5) {
		where = " WHERE " + pick(g, t.columns...) + pick(g, " IS NOT NULL", " > 1", " = 2", " = 'a'")
	}
	return fmt.Sprintf("CREATE INDEX %s ON %s(%s)%s", name, t.name, strings.Join(cols, ", "), where)
}

// column is a column of t, or its rowid.
func (g *generator) column(t genTable) string {
	if t.rowid && g.chance(10) {
		return "rowid"
	}
	return pick(g, t.columns...)
}

// transaction makes some statements.
func (g *generator) transaction() (statements []string) {
	for range 1 + g.IntN(3) {
		statements = append(statements, g.write())
	}
	if g.chance(12) && len(statements) > 1 {
		statements = append([]string{"SAVEPOINT s"}, statements...)
		statements = append(statements, "ROLLBACK TO s", "RELEASE s", g.write())
	}
	return statements
}

func (g *generator) write() string {
	t := pick(g, g.tables...)
	or := pick(g, "", "", " OR IGNORE", " OR REPLACE")
	if g.search && g.chance(6) {
		return pick(g, "INSERT INTO f VALUES('"+pick(g, "a b", "b c", "c")+"')", "DELETE FROM f WHERE rowid = 1")
	}
	switch g.IntN(26) {
	case 20, 21, 22, 23, 24, 25: // one row
		id := "id"
		if t.rowid {
			id = "rowid"
		}
		one := fmt.Sprintf(" WHERE %s = (SELECT %s FROM %s LIMIT 1 OFFSET %d)", id, id, t.name, g.IntN(12))
		if g.chance(4) {
			return "DELETE FROM " + t.name + one
		}
		return fmt.Sprintf("UPDATE OR IGNORE %s SET %s = %s%s", t.name, pick(g, t.stored...), g.literal(), one)
	case 0:
		return "DELETE FROM " + t.name
	case 1, 2, 3:
		return "DELETE FROM " + t.name + " WHERE " + g.condition(t.name, t, nil)
	case 4, 5, 6, 7, 8, 9:
		set := make([]string, 1+g.IntN(2))
		for i := range set {
			c := pick(g, t.stored...)
			if t.rowid && g.chance(12) {
				c = "rowid"
			}
			set[i] = c + " = " + pick(g, g.literal(), g.literal(), pick(g, t.stored...), pick(g, t.stored...)+" + 1")
		}
		where := ""
		if !g.chance(8) {
			where = " WHERE " + g.condition(t.name, t, nil)
		}
		return fmt.Sprintf("UPDATE%s %s SET %s%s", or, t.name, strings.Join(set, ", "), where)
	default:
		rows := make([]string, 1+g.IntN(3))
		for i := range rows {
			values := make([]string, len(t.stored))
			for j := range values {
				values[j] = g.literal()
			}
			rows[i] = "(" + strings.Join(values, ", ") + ")"
		}
		return fmt.Sprintf("INSERT%s INTO %s(%s) VALUES%s", or, t.name, strings.Join(t.stored, ", "),
			strings.Join(rows, ", "))
	}
}

// definition changes the schema, or what the planner knows.
func (g *generator) definition() string {
	t := pick(g, g.tables...)
	g.extra++
	switch g.IntN(6) {
	case 0, 1:
		return g.index(t, fmt.Sprint("x", g.extra))
	case 2:
		return fmt.Sprintf("DROP INDEX IF EXISTS %s_%d", t.name, g.IntN(3))
	case 3:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN d%d DEFAULT %s", t.name, g.extra, pick(g, "1", "'a'", "NULL"))
	case 4:
		return "VACUUM"
	default:
		return pick(g, "ANALYZE", "PRAGMA optimize")
	}
}
