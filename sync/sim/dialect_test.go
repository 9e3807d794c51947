package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/wire"
)

// dialect is how the app on one device declares the tables: under the same names
// and with other constraints, as another version of it does, or a client that
// others wrote. What such a table cannot hold, the log has all the same.
type dialect struct {
	versions []string
	clauses  map[string]bool // tables whose constraints have ON CONFLICT clauses
}

// newDialect changes some of the app's tables, in some version; a later one may
// take constraints back.
func (a *app) newDialect(r *rand.Rand) *dialect {
	d := &dialect{versions: slices.Clone(a.versions), clauses: map[string]bool{}}
	for _, t := range a.tables[1:] {
		if r.IntN(3) == 0 {
			continue
		}
		sql := a.declare(r, d, t)
		extra, undo := t.constrain(r, sql, !d.clauses[t.name])
		if extra != "" {
			if later := t.since + r.IntN(3); undo != "" && later > t.since && later <= len(d.versions) {
				d.versions[later-1] += undo
			}
		}
		d.versions[t.since-1] = strings.Replace(d.versions[t.since-1], t.create, sql+extra, 1)
	}
	return d
}

// declare writes a table's CREATE TABLE with other types and constraints.
func (a *app) declare(r *rand.Rand, d *dialect, t *table) string {
	parts := slices.Clone(t.parts)
	strict := !t.strict && r.IntN(5) == 0 && !strings.Contains(t.create, "g AS") && t.columnsAt(t.since) != nil &&
		len(t.columnsAt(t.since)) == len(t.columns)
	for i, c := range append(slices.Clone(t.key), t.columns...) {
		if i >= len(parts) || !strings.HasPrefix(parts[i], c.name+" ") && parts[i] != c.name+" " {
			break // those of later versions
		}
		decl := strings.TrimPrefix(parts[i], c.name+" ")
		switch key := i < len(t.key); {
		case key && t.index == "" && !a.isParent(t) && len(t.key) == 1 && r.IntN(8) == 0:
			decl = []string{"TEXT", "BLOB", "INTEGER", "DATE"}[r.IntN(4)]
			if t.strict && decl == "DATE" {
				decl = "INTEGER"
			}
		case key || c.merge != "" || strings.Contains(decl, "DEFAULT"):
		case !t.strict && !strict && r.IntN(4) == 0:
			decl = []string{"", "INTEGER", "TEXT", "REAL", "NUMERIC"}[r.IntN(5)]
		}
		if strict && !strictType(decl) {
			strict = false
		}
		if i >= len(t.key) && !strings.Contains(decl, "NOT NULL") && c.name != "parent" && r.IntN(5) == 0 {
			decl += " NOT NULL"
			if t.index == "" && r.IntN(2) == 0 {
				decl += " ON CONFLICT " + []string{"IGNORE", "ROLLBACK", "FAIL", "REPLACE"}[r.IntN(4)]
				d.clauses[t.name] = true
			}
		}
		parts[i] = c.name + " " + decl
	}
	options := slices.Clone(t.options)
	if strict {
		options = append(options, "STRICT")
	}
	return fmt.Sprintf("CREATE TABLE %s(%s) %s;\n", t.name, constraintsLast(parts), strings.Join(options, ", "))
}

func strictType(decl string) bool {
	first, rest, _ := strings.Cut(decl, " ")
	return slices.Contains([]string{"INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"}, first) &&
		!strings.Contains(rest, "DEFAULT")
}

func (a *app) isParent(t *table) bool {
	return slices.ContainsFunc(a.tables,
		func(o *table) bool { return o.parent == t || strings.Contains(o.sql, "INTO "+t.name+"(") })
}

// constrain makes up what refuses rows beside the columns of a declared table, and what takes it back.
func (t *table) constrain(r *rand.Rand, declared string, writing bool) (sql, undo string) {
	if len(t.columns) == 0 || t.columns[0].since > t.since {
		return "", ""
	}
	c := t.columns[0].name
	switch name := "odd_" + t.name; r.IntN(9) {
	case 0: // not for what is no JSON
		return fmt.Sprintf("CREATE INDEX %s ON %s(json_extract(%s, '$'));\n", name, t.name,
			c), "DROP INDEX IF EXISTS " + name + ";\n"
	case 1:
		return fmt.Sprintf("CREATE INDEX %s ON %s(%s) WHERE json_type(%s) IS NULL;\n", name, t.name, t.key[0].name,
			c), "DROP INDEX IF EXISTS " + name + ";\n"
	case 2: // one that fails as the app's own statements do
		when := "BEFORE"
		for column := range strings.SplitSeq(declared, ", ") {
			if strings.HasPrefix(column, c+" ") && strings.Contains(column, "DEFAULT") && strings.Contains(column, "NOT NULL") {
				when = "AFTER" // UPDATE OR REPLACE makes the default of NULL after what is before
			}
		}
		return fmt.Sprintf("CREATE TRIGGER %s_i AFTER INSERT ON %s BEGIN SELECT json_extract(new.%s, '$'); END;\n", name,
				t.name, c) +
				fmt.Sprintf("CREATE TRIGGER %s_u %s UPDATE ON %s BEGIN SELECT json_extract(new.%s, '$'); END;\n", name,
					when, t.name, c),
			fmt.Sprintf("DROP TRIGGER IF EXISTS %s_i; DROP TRIGGER IF EXISTS %s_u;\n", name, name)
	case 3: // one that fails half way
		if !writing {
			break
		}
		return fmt.Sprintf("CREATE TABLE %s(v);\n", name) +
				fmt.Sprintf("CREATE TRIGGER %s_i AFTER INSERT ON %s "+
					"BEGIN INSERT INTO %s VALUES('seen'), (json_extract(new.%s, '$')); END;\n", name, t.name, name, c) +
				fmt.Sprintf("CREATE TRIGGER %s_u AFTER UPDATE ON %s "+
					"BEGIN INSERT INTO %s VALUES('seen'), (json_extract(new.%s, '$')); END;\n", name, t.name, name, c),
			fmt.Sprintf("DROP TRIGGER IF EXISTS %s_i; DROP TRIGGER IF EXISTS %s_u;\n", name, name)
	case 4, 5: // a guard, which binds the author
		return fmt.Sprintf("CREATE TRIGGER %s_i BEFORE INSERT ON %s WHEN NOT heddle_applying() AND new.%s = 2 "+
				"BEGIN SELECT RAISE(%s, 'guarded'); END;\n",
				name, t.name, c, []string{"ABORT", "FAIL", "ROLLBACK"}[r.IntN(3)]) +
				fmt.Sprintf("CREATE TRIGGER %s_u BEFORE UPDATE OF %s ON %s WHEN NOT heddle_applying() AND new.%s = 2 "+
					"BEGIN SELECT RAISE(IGNORE); END;\n", name, c, t.name, c),
			fmt.Sprintf("DROP TRIGGER IF EXISTS %s_i; DROP TRIGGER IF EXISTS %s_u;\n", name, name)
	}
	return "", ""
}

// holder tells which rows a device's tables can hold, by a database of its own:
// each is inserted into a table that has no other.
type holder struct {
	db      *sqlite3.Conn
	dialect *dialect
}

func newHolder(d *dialect, version int) *holder {
	db, err := sqlite3.Open(":memory:")
	if err == nil {
		err = db.CreateFunction("heddle_applying", 0, sqlite3.INNOCUOUS,
			func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultBool(true) })
	}
	if err == nil {
		err = db.Exec(strings.Join(d.versions[:version], "\n") +
			"; PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off")
	}
	if err != nil {
		panic(err)
	}
	return &holder{db, d}
}

// hold returns a row as the table has it, false if it cannot.
func (h *holder) hold(t *table, columns []column, values []wire.Value) (stored []wire.Value, ok bool) {
	or := ""
	if h.dialect.clauses[t.name] {
		or = "OR ABORT "
	}
	if err := h.db.Exec("SAVEPOINT h"); err != nil {
		panic(err)
	}
	defer h.db.Exec("ROLLBACK TO h; RELEASE h")
	insert, _, err := h.db.Prepare(fmt.Sprintf("INSERT %sINTO %s(%s) VALUES(%s)", or, t.name, names(columns, ""),
		strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")))
	if err != nil {
		panic(err)
	}
	defer insert.Close()
	for i, v := range values {
		if b, isBlob := v.([]byte); isBlob && len(b) == 0 {
			err = insert.BindZeroBlob(i+1, 0)
		} else {
			err = bindAny(insert, i+1, v)
		}
		if err != nil {
			panic(err)
		}
	}
	if insert.Exec() != nil {
		return nil, false
	}
	read, _, err := h.db.Prepare("SELECT " + names(columns, "") + " FROM " + t.name)
	if err != nil {
		panic(err)
	}
	defer read.Close()
	if !read.Step() {
		return nil, false
	}
	stored = make([]wire.Value, len(columns))
	for i := range stored {
		stored[i] = columnAny(read, i)
		same := show(stored[i]) == show(values[i])
		if i >= len(t.key) {
			same = show(whole(stored[i])) == show(whole(values[i]))
		}
		if !same {
			return nil, false
		}
	}
	return stored, true
}

func bindAny(s *sqlite3.Stmt, i int, v wire.Value) error {
	switch v := v.(type) {
	case int64:
		return s.BindInt64(i, v)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		return s.BindBlob(i, v)
	}
	return s.BindNull(i)
}

func columnAny(s *sqlite3.Stmt, i int) wire.Value {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return s.ColumnInt64(i)
	case sqlite3.FLOAT:
		return s.ColumnFloat(i)
	case sqlite3.TEXT:
		return s.ColumnText(i)
	case sqlite3.BLOB:
		return s.ColumnBlob(i, []byte{})
	}
	return nil
}
