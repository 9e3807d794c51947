package live

import (
	"fmt"
	"strings"

	"heddle.dev/heddle/internal/store"
)

// genQuery is a query with its parameters.
type genQuery struct {
	sql    string
	params store.Params
}

// args collects parameters; a nil one makes literals of all values.
type args []store.Value

// operand is a literal or a parameter.
func (g *generator) operand(a *args) string {
	if a == nil || g.chance(2) {
		return g.literal()
	}
	*a = append(*a, g.value())
	return "?"
}

// condition is one on the table t, which the query calls by the name as.
func (g *generator) condition(as string, t genTable, a *args) string {
	c := as + "." + g.column(t)
	switch g.IntN(23) {
	case 0, 1, 2, 3, 4:
		return c + pick(g, " = ", " = ", " IS ") + g.operand(a)
	case 5:
		return g.operand(a) + pick(g, " = ", " < ", " >= ") + c
	case 6, 7, 8:
		return c + pick(g, " < ", " <= ", " > ", " >= ") + g.operand(a)
	case 9:
		return c + pick(g, "", " NOT") + " BETWEEN " + g.operand(a) + " AND " + g.operand(a)
	case 10, 11:
		return fmt.Sprintf("%s IN (%s, %s, %s)", c, g.operand(a), g.operand(a), g.operand(a))
	case 12:
		return c + pick(g, " IS NULL", " IS NOT NULL", " NOT IN (1, 'a')", " IN ()")
	case 13:
		return c + " LIKE " + pick(g, "'a%'", "'%a'", "'5'", g.operand(a))
	case 14:
		return fmt.Sprintf("(%s OR %s)", g.condition(as, t, a), g.condition(as, t, a))
	case 15:
		return fmt.Sprintf("(%s.%s, %s.%s) %s (%s, %s)", as, g.column(t), as, g.column(t), pick(g, ">", "<=", "="),
			g.operand(a), g.operand(a))
	case 16:
		return c + " = " + g.operand(a) + " COLLATE " + pick(g, "NOCASE", "RTRIM", "BINARY")
	case 17:
		return "CAST(" + c + " AS " + pick(g, "TEXT", "INTEGER") + ") = " + g.operand(a)
	case 18:
		return "NOT " + c
	case 19:
		return c + " = " + as + "." + g.column(t)
	case 20:
		return "+" + c + " = " + g.operand(a)
	case 21: // a list that the plan may read in several places
		return fmt.Sprintf("(%s = %s OR %s.%s = %s) AND %s.%s IN (%s, %s)", c, g.operand(a), as, g.column(t), g.operand(a),
			as, g.column(t), g.operand(a), g.operand(a))
	default:
		return fmt.Sprintf("%s AND %s", g.condition(as, t, a), g.condition(as, t, a))
	}
}

func (g *generator) where(as string, t genTable, a *args) string {
	if g.chance(6) {
		return ""
	}
	return " WHERE " + g.condition(as, t, a)
}

// order is an ORDER BY and a LIMIT, or neither.
func (g *generator) order(as string, t genTable) (s string) {
	if !g.chance(3) {
		terms := make([]string, 1+g.IntN(2))
		for i := range terms {
			terms[i] = as + "." + g.column(t) + pick(g, "", "", " DESC", " COLLATE NOCASE", " NULLS LAST")
		}
		s = " ORDER BY " + strings.Join(terms, ", ")
	}
	if g.chance(3) {
		s += fmt.Sprintf(" LIMIT %d", 1+g.IntN(4))
		if g.chance(4) {
			s += fmt.Sprintf(" OFFSET %d", g.IntN(3))
		}
	}
	return s
}

// instances is a join with a parameter: such a query comes many times.
func (g *generator) instances(t, u genTable, a *args) string {
	join := func(as string, v genTable) string { return as + "." + g.column(v) }
	*a = append(*a, g.value())
	from, more := " FROM "+t.name+" t JOIN "+u.name+" u ON "+join("t", t)+" = "+join("u", u), ""
	if g.chance(3) {
		v := pick(g, g.tables...)
		from += " JOIN " + v.name + " v ON " + join("v", v) + " = " + pick(g, join("t", t), join("u", u))
	}
	if g.chance(3) {
		more = " AND " + g.condition("u", u, nil)
	}
	if g.chance(4) {
		*a = append(*a, g.value())
		more += " AND " + join("t", t) + " = ?"
	}
	return "SELECT " + pick(g, "", "", "", "DISTINCT ") + g.list("t", t) + ", " + join("u", u) + from + " WHERE " +
		join("t", t) + " = ?" + more + pick(g, "", "", g.order("t", t))
}

// ordered is a list whose result has the columns that order it, mostly.
func (g *generator) ordered(t genTable, a *args) string {
	first, last := "t."+g.column(t), "t."+pick(g, g.column(t), "id", "id")
	order := " ORDER BY " + first + pick(g, "", "", " DESC") + ", " + last + pick(g, "", " DESC")
	switch g.IntN(6) {
	case 0:
		order = ""
	case 1:
		order = " ORDER BY " + last
	}
	if g.chance(3) {
		order += " LIMIT " + pick(g, "1", "2", "3", "4", "8")
	}
	more := ""
	if t.rowid && g.chance(3) {
		more = ", t.rowid"
	}
	return "SELECT " + first + " AS x, " + last + ", " + g.list("t", t) + more + " FROM " + t.name + " t" +
		g.where("t", t, a) + order
}

func (g *generator) list(as string, t genTable) string {
	if g.chance(4) {
		return as + ".*"
	}
	cols := make([]string, 1+g.IntN(3))
	for i := range cols {
		cols[i] = as + "." + g.column(t)
	}
	return strings.Join(cols, ", ")
}

func (g *generator) aggregate(as string, t genTable) string {
	c := as + "." + g.column(t)
	return pick(g, "count(*)", "count("+c+")", "sum("+c+")", "total("+c+")", "avg("+c+")", "min("+c+")", "max("+c+")",
		"group_concat("+c+")", "count(DISTINCT "+c+")", "count(*) FILTER (WHERE "+c+" > 1)")
}

// query makes a query of a random shape.
func (g *generator) query() genQuery {
	a := &args{}
	sql := g.shape(a)
	return genQuery{sql, store.Params{Positional: *a}}
}

func (g *generator) shape(a *args) string {
	t, u := pick(g, g.tables...), pick(g, g.tables...)
	on := "t." + g.column(t) + " = u." + g.column(u)
	switch g.IntN(33) {
	case 30, 31, 32: // a join whose queries differ in what one column equals
		return g.instances(t, u, a)
	case 25, 26, 27: // a list, as apps have them
		return g.ordered(t, a)
	case 28, 29: // counters
		c := "t." + g.column(t)
		return "SELECT count(*), " + pick(g, "count("+c+")", "sum("+c+")", "sum(length("+c+"))", "min("+c+")", "max("+c+")") +
			" FROM " + t.name + " t" + g.where("t", t, a)
	case 0, 1, 2, 3, 4, 5:
		return "SELECT " + g.list("t", t) + " FROM " + t.name + " t" + g.where("t", t, a) + g.order("t", t)
	case 6:
		return "SELECT DISTINCT " + g.list("t", t) + " FROM " + t.name + " t" + g.where("t", t, a) + g.order("t", t)
	case 7, 8:
		return "SELECT " + g.aggregate("t", t) + ", " + g.aggregate("t", t) + " FROM " + t.name + " t" + g.where("t", t, a)
	case 9:
		c := "t." + g.column(t)
		return "SELECT " + c + ", " + g.aggregate("t", t) + " FROM " + t.name + " t" + g.where("t", t, a) + " GROUP BY " +
			c + pick(g, "", " HAVING count(*) > 1", " HAVING "+c+" IS NOT NULL", " ORDER BY 2, 1", " LIMIT 2")
	case 10, 11, 12:
		return "SELECT " + g.list("t", t) + ", " + g.list("u", u) + " FROM " + t.name + " t " +
			pick(g, "JOIN", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN") + " " + u.name + " u ON " +
			on + g.where(pick(g, "t"), t, a) + g.order("u", u)
	case 13:
		v := pick(g, g.tables...)
		return "SELECT " + g.list("t", t) + ", v.id FROM " + t.name + " t, " + u.name + " u, " + v.name + " v WHERE " + on +
			" AND u.id = v." + g.column(v) + " AND " + g.condition("t", t, a) + g.order("t", t)
	case 14:
		return "SELECT " + g.list("t", t) + " FROM " + t.name + " t WHERE t." + g.column(t) + pick(g, " IN", " NOT IN") +
			" (SELECT u." + g.column(u) + " FROM " + u.name + " u" + g.where("u", u, a) + ")" + g.order("t", t)
	case 15:
		return "SELECT " + g.list("t", t) + " FROM " + t.name + " t WHERE " + pick(g, "", "NOT ") +
			"EXISTS (SELECT 1 FROM " + u.name + " u WHERE " + on + " AND " + g.condition("u", u, a) + ")" + g.order("t", t)
	case 16:
		return "SELECT t.id, (SELECT " + g.aggregate("u", u) + " FROM " + u.name + " u WHERE " + on + ") FROM " + t.name +
			" t" + g.where("t", t, a) + g.order("t", t)
	case 17:
		return "SELECT t." + g.column(t) + " AS x FROM " + t.name + " t" + g.where("t", t, a) +
			pick(g, " UNION ALL", " UNION", " EXCEPT", " INTERSECT") + " SELECT u." + g.column(u) + " FROM " + u.name + " u" +
			g.where("u", u, a) + pick(g, "", " ORDER BY x", " LIMIT 3")
	case 18:
		return "WITH w AS (SELECT " + g.list("t", t) + ", t.id AS z FROM " + t.name + " t" + g.where("t", t, a) +
			pick(g, "", " LIMIT 3") + ") SELECT * FROM w WHERE z " + pick(g, "= ", "> ", "IS ") + g.operand(a)
	case 19:
		return "SELECT t.id, " + pick(g, "row_number()", "rank()", "count(*)", "sum(t."+g.column(t)+")") + " OVER (" +
			pick(g, "", "PARTITION BY t."+g.column(t)+" ") + "ORDER BY t." + g.column(t) + ") FROM " + t.name + " t" +
			g.where("t", t, a)
	case 20:
		if g.views > 0 {
			return fmt.Sprintf("SELECT %s FROM v%d v WHERE v.%s = %s%s", pick(g, "*", "a", "count(*)"), g.IntN(g.views),
				pick(g, "a", "b", "c"), g.operand(a), pick(g, "", " ORDER BY b", " LIMIT 2"))
		}
		return "SELECT t.id, j.value FROM " + t.name + " t, json_each('[1, 2, \"a\"]') j WHERE t." + g.column(t) +
			" = j.value"
	case 21:
		if g.search {
			return pick(g, "SELECT rowid, body FROM f WHERE f MATCH 'b' ORDER BY rowid", "SELECT count(*) FROM f")
		}
		return "SELECT min(t." + g.column(t) + ") FROM " + t.name + " t WHERE t." + g.column(t) + " > " + g.operand(a)
	case 22:
		return "SELECT a.id, b.id FROM " + t.name + " a JOIN " + t.name + " b ON a." + g.column(t) + " = b." + g.column(t) +
			" WHERE " + g.condition("a", t, a) + g.order("b", t)
	case 23: // a constant that reaches a column through another one
		c := "t." + g.column(t)
		return "SELECT t.id, u.id FROM " + t.name + " t JOIN " + u.name + " u ON " + c + " = u." + g.column(u) +
			" WHERE " + c + " = " + g.operand(a) + pick(g, "", " AND "+c+pick(g, " < ", " >= ")+"u."+g.column(u))
	default:
		return "WITH RECURSIVE r(n) AS (SELECT " + g.operand(a) + " UNION SELECT t." + g.column(t) +
			" FROM r JOIN " + t.name + " t ON t." + g.column(t) + " = r.n) SELECT n FROM r"
	}
}
