// Package tap asks SQLite which rows of its tables a statement depends on.
//
// A tap is a connection in memory whose tables are virtual tables, with the names and
// columns of those of a database. Where a statement is compiled there, the planner
// hands their xBestIndex each simple condition on a table, through views, joins,
// subqueries and compounds. By the contract of virtual tables a row that fails such a
// condition cannot matter to the result, whatever the statement's shape. No SQL text is
// parsed.
//
// https://sqlite.org/vtab.html#the_xbestindex_method
package tap

import (
	"fmt"
	"strconv"
	"strings"

	"heddle.dev/heddle/internal/store"

	"github.com/ncruces/go-sqlite3"
)

// Tap compiles statements against the tables of a database. Its methods are called
// inside SQLite: see [store.DB.Alone].
type Tap struct {
	c      *sqlite3.Conn
	tables map[string]*store.MirrorTable

	plan     planner          // of what is compiled and runs
	compiled []**sqlite3.Stmt // of probes and joins
}

// planner answers xBestIndex, and then xFilter.
type planner interface {
	best(*vtab, *sqlite3.IndexInfo)
	begin(c *cursor, idx string, args []sqlite3.Value) error
}

// planned has a planner answer until the function that it returns is called.
func (t *Tap) planned(p planner) (end func()) {
	t.plan = p
	return func() { t.plan = nil }
}

// maxCompiled bounds the probes and joins that are compiled at a time.
const maxCompiled = 128

// compile compiles a statement, unless it is.
func (t *Tap) compile(s **sqlite3.Stmt, sql string) (err error) {
	if *s != nil {
		return nil
	}
	if len(t.compiled) >= maxCompiled {
		oldest := t.compiled[0]
		(*oldest).Close()
		*oldest = nil
		t.compiled = t.compiled[1:]
	}
	if *s, _, err = t.c.Prepare(sql); err == nil {
		t.compiled = append(t.compiled, s)
	}
	return err
}

// call is what xBestIndex took of one offer. The planner names the call that it chose
// in the statement's program.
type call struct {
	table       *store.MirrorTable
	constraints []Constraint // by argument
}

const moduleName = "heddle_tap"

// Open makes a tap for a schema.
func Open(m store.Mirror) (_ *Tap, err error) {
	t := &Tap{}
	if t.c, err = sqlite3.Open(":memory:"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.c.Close()
		}
	}()
	// What is compiled must not depend on values that happen to be bound.
	if _, err := t.c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true); err != nil {
		return nil, err
	}
	tables := make(map[string]*store.MirrorTable, len(m.Tables))
	t.tables = tables
	connect := func(db *sqlite3.Conn, _, _, name string, _ ...string) (*vtab, error) {
		table := tables[name]
		if table == nil {
			return nil, fmt.Errorf("tap: no table %s", name)
		}
		if err := db.VTabConfig(sqlite3.VTAB_INNOCUOUS); err != nil { // views may read it
			return nil, err
		}
		return &vtab{t, table}, db.DeclareVTab(declaration(table))
	}
	//lint:ignore SA1019 the method that replaces it needs a later version of Go
	if err := sqlite3.CreateModule(t.c, moduleName, connect, connect); err != nil {
		return nil, err
	}
	for i := range m.Tables {
		tables[m.Tables[i].Name] = &m.Tables[i]
		if err := t.c.Exec(`CREATE VIRTUAL TABLE ` + sqlite3.QuoteIdentifier(m.Tables[i].Name) + ` USING ` +
			moduleName); err != nil {
			return nil, err
		}
	}
	for _, view := range m.Views {
		if err := t.c.Exec(view); err != nil {
			return nil, err
		}
	}
	// Values get their affinity by being stored.
	return t, t.c.Exec(`CREATE TEMP TABLE heddle_affinity(text TEXT, number NUMERIC); INSERT INTO heddle_affinity DEFAULT
		VALUES`)
}

// Close ends the tap.
func (t *Tap) Close() error {
	for _, s := range t.compiled {
		(*s).Close()
		*s = nil
	}
	t.compiled = nil
	return t.c.Close()
}

// declaration is the statement that declares a virtual table. A type is written as
// its affinity: the word HIDDEN in one would mean something.
func declaration(t *store.MirrorTable) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE x(")
	for i, c := range t.All {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(sqlite3.QuoteIdentifier(c.Name) + " " + string(affinityOf(c.Decl, t.Strict)))
		if c.Collation != "" {
			b.WriteString(" COLLATE " + sqlite3.QuoteIdentifier(c.Collation))
		}
	}
	b.WriteString(")")
	return b.String()
}

// Affinity is a column's, by the name of a type that has it.
//
// https://sqlite.org/datatype3.html#determination_of_column_affinity
type Affinity string

// The affinities.
const (
	Text    Affinity = "TEXT"
	Numeric Affinity = "NUMERIC"
	Integer Affinity = "INTEGER"
	Real    Affinity = "REAL"
	Blob    Affinity = "BLOB"
)

func affinityOf(decl string, strict bool) Affinity {
	decl = strings.ToUpper(decl)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(decl, w) {
				return true
			}
		}
		return false
	}
	switch {
	case strict && decl == "ANY":
		return Blob
	case has("INT"):
		return Integer
	case has("CHAR", "CLOB", "TEXT"):
		return Text
	case decl == "" || has("BLOB"):
		return Blob
	case has("REAL", "FLOA", "DOUB"):
		return Real
	}
	return Numeric
}

// class is what matters where values are compared.
func (a Affinity) class() Affinity {
	if a == Integer || a == Real {
		return Numeric
	}
	return a
}

type vtab struct {
	t     *Tap
	table *store.MirrorTable
}

// BestIndex has the planner answer.
func (v *vtab) BestIndex(info *sqlite3.IndexInfo) error {
	if v.t.plan == nil {
		return sqlite3.MISUSE
	}
	v.t.plan.best(v, info)
	return nil
}

// constraint describes a constraint of an offer.
func (v *vtab) constraint(info *sqlite3.IndexInfo, i int) Constraint {
	c := &info.Constraint[i]
	k := Constraint{Column: -1, Op: Op(c.Op), Collation: strings.ToUpper(info.Collation(i)), affinity: Integer}
	if c.Column >= 0 {
		col := &v.table.All[c.Column]
		k.Column, k.affinity = col.Stored, affinityOf(col.Decl, v.table.Strict)
		k.unstored = col.Stored < 0
	}
	if c.Op == sqlite3.INDEX_CONSTRAINT_EQ && info.In(i, -1) {
		k.Op = In
	}
	return k
}

// unstored reports whether a statement reads a virtual generated column of the table.
func (v *vtab) unstored(info *sqlite3.IndexInfo) bool {
	const last = 63 // its bit stands for all columns from there on
	for i := range v.table.All {
		if v.table.All[i].Stored < 0 && info.ColumnsUsed>>min(i, last)&1 != 0 {
			return true
		}
	}
	return false
}

// collector takes every condition that it knows and can use. What it plans does not
// run.
type collector struct{ calls []call }

func (p *collector) best(v *vtab, info *sqlite3.IndexInfo) {
	taken := call{table: v.table}
	for i, c := range info.Constraint {
		if !c.Usable || !known[c.Op] {
			continue
		}
		k := v.constraint(info, i)
		if k.Op == In {
			info.In(i, 1) // all at once
		}
		taken.constraints = append(taken.constraints, k)
		info.ConstraintUsage[i].ArgvIndex = len(taken.constraints)
	}
	info.IdxStr = strconv.Itoa(len(p.calls))
	// The more conditions a plan tests the better: also one in parts, as for an OR.
	info.EstimatedRows = 1 << (20 - 4*min(len(taken.constraints), 4))
	info.EstimatedCost = float64(info.EstimatedRows)
	p.calls = append(p.calls, taken)
}

func (*collector) begin(*cursor, string, []sqlite3.Value) error { return sqlite3.MISUSE }
