package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
)

// rebuild makes up a migration that rebuilds a table with other rows than it had:
// values changed, rows left out, rows made up. To the log it changes none. How
// many it would have changed is in the local table rebuilt.
func (a *app) rebuild(r *rand.Rand, t *table, version int) string {
	for _, o := range a.tables {
		if strings.Contains(o.sql, "INTO "+t.name+"(") {
			return "" // SQLite refuses a rename while a trigger writes what is not there
		}
	}
	parts, columns := slices.Clone(t.parts), t.columnsAt(version)
	for _, c := range columns {
		if c.since > t.since {
			parts = append(parts, c.name+" "+c.decl)
		}
	}
	into := names(append(slices.Clone(t.key), columns...), "")
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS rebuilt(n);\n")
	fmt.Fprintf(&b, "CREATE TABLE next(%s) %s;\n", constraintsLast(parts), strings.Join(t.options, ", "))
	if from := t.otherRows(r, columns); from != "" {
		fmt.Fprintf(&b, "INSERT %sINTO next(%s) %s;\n", []string{"", "", "OR IGNORE ", "OR REPLACE "}[r.IntN(4)], into, from)
	}
	fmt.Fprintf(&b, "INSERT INTO rebuilt SELECT count(*) FROM (SELECT %s FROM %s EXCEPT SELECT %s FROM next);\n", into,
		t.name, into)
	fmt.Fprintf(&b, "DROP TABLE %s;\nALTER TABLE next RENAME TO %s;\n", t.name, t.name)
	for _, sql := range strings.SplitAfter(strings.TrimPrefix(t.sql, t.create), ";\n") {
		if !strings.HasPrefix(sql, "CREATE TABLE") {
			b.WriteString(sql)
		}
	}
	if t.index != "" {
		value, v := "", ""
		if t.indexed != "" {
			value, v = ", "+t.indexed, ", v"
		}
		fmt.Fprintf(&b, "DELETE FROM %s;\nINSERT INTO %s(%s%s) SELECT %s%s FROM %s;\n", t.index, t.index, names(t.key, ""),
			v, names(t.key, ""), value, t.name)
	}
	return b.String()
}

// otherRows makes up a query for the rows of the new table, "" for none.
func (t *table) otherRows(r *rand.Rand, columns []column) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	var from []string
	for _, c := range t.key {
		if r.IntN(12) == 0 {
			other := one(c.name+" || 'x'", "upper("+c.name+")", "1")
			if t.index == "" || c.kind != "INTEGER" { // the index may have it as its rowid, which is no text
				c.name = other
			}
		}
		from = append(from, c.name)
	}
	for _, c := range columns {
		other := columns[r.IntN(len(columns))].name
		from = append(from, one(c.name, c.name, c.name, "coalesce("+c.name+", '')", "NULL", "'all'", "5", other,
			"CAST("+c.name+" AS TEXT)"))
	}
	sql := "SELECT " + strings.Join(from, ", ") + " FROM " + t.name
	switch r.IntN(6) {
	case 0:
		return ""
	case 1:
		sql += " WHERE " + t.key[0].name + " > 'q'"
	case 2:
		sql += " WHERE rowid % 2"
		if strings.Contains(strings.Join(t.options, " "), "WITHOUT") {
			return strings.Replace(sql, "rowid % 2", "length("+t.key[0].name+") = 1", 1)
		}
	}
	return sql
}

// countRebuilt notes how many rows migrations would have changed.
func (d *device) countRebuilt() error {
	total := 0
	err := d.db.Query(context.Background(), `SELECT count(*) FROM sqlite_schema WHERE name = 'rebuilt'`, store.Params{},
		nil, func(s *sqlite3.Stmt) error {
			total = s.ColumnInt(0)
			return nil
		})
	if err != nil || total == 0 {
		return err
	}
	err = d.db.Query(context.Background(), `SELECT sum(n) FROM rebuilt`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		total = s.ColumnInt(0)
		return nil
	})
	if total > d.rebuilt {
		d.s.tally("rows that migrations did not change", total-d.rebuilt)
		d.rebuilt = total
	}
	return err
}
