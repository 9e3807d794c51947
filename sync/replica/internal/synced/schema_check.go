package synced

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// SchemaError refuses a table, with the reason and the way out.
func SchemaError(table, why string) error {
	return errcode.New(errcode.SyncSchema, "sync: open", "table "+Quoted(table)+": "+why)
}

// Quoted puts s in quotes for people, shortened where it is long.
func Quoted(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return `"` + s + `"`
}

// CheckSchema refuses synced tables that could not be the same everywhere.
func CheckSchema(c *Conn, tables map[string]*Table, integerKey bool) error {
	encoding := ""
	err := c.Query(`PRAGMA encoding`, nil, func(s *sqlite3.Stmt) error {
		encoding = s.ColumnText(0)
		return nil
	})
	if err != nil {
		return err
	}
	if encoding != "UTF-8" {
		return errcode.New(errcode.SyncSchema, "sync: open",
			"the database is "+encoding+", and synced ones are UTF-8: remove PRAGMA encoding and make the database anew")
	}
	for _, t := range tables {
		for _, check := range []func() error{
			func() error { return checkKey(t, integerKey) },
			func() error { return checkColumns(t) },
			func() error { return checkUnique(c, t) },
		} {
			if err := check(); err != nil {
				return err
			}
		}
	}
	if err := checkSize(tables); err != nil {
		return err
	}
	return checkTriggers(c, tables)
}

// checkSize refuses more tables and columns than a space takes.
func checkSize(tables map[string]*Table) error {
	all := MergedSchema(&fold.Schema{}, tables)
	err := all.Fits(&fold.Schema{}, all.Tables())
	if err == nil {
		return nil
	}
	return errcode.New(errcode.SyncSchema, "sync: open",
		errcode.From(err, "sync").Message()+": sync fewer, tables: { … } says which")
}

func checkKey(t *Table, integerKey bool) error {
	info := t.Info
	switch {
	case info.Virtual:
		return SchemaError(t.Name, "it is a virtual table: sync the table it indexes, and fill it by triggers")
	case len(t.Key) == 0:
		return SchemaError(t.Name,
			"it has no explicit primary key: give it one, for example id TEXT PRIMARY KEY filled by uuid7()")
	case len(t.Key) > wire.MaxKeyColumns:
		return SchemaError(t.Name,
			"its primary key has "+strconv.Itoa(len(t.Key))+" columns, and that of a synced table at "+
				"most "+strconv.Itoa(wire.MaxKeyColumns)+": use a key of fewer columns, for example id TEXT filled by uuid7()")
	case info.RowIDKey && !integerKey:
		return SchemaError(t.Name,
			"INTEGER PRIMARY KEY lets two offline devices make the same key: use id TEXT PRIMARY KEY filled by uuid7(), or "+
				"open with { integerKey: true } if the app hands keys out itself")
	}
	for _, i := range info.Key {
		col := &info.Columns[i]
		switch {
		case col.Generated:
			return SchemaError(t.Name, "key column "+Quoted(col.Name)+" is generated: make it a plain column")
		case !strings.EqualFold(col.Collation, "BINARY") && col.Collation != "":
			return SchemaError(t.Name,
				"key column "+Quoted(col.Name)+" is collated "+col.Collation+", under which different bytes are one key: "+
					"remove its COLLATE")
		}
		switch decl := strings.TrimSpace(col.Decl); {
		case decl == "" || strings.EqualFold(decl, "ANY"):
			return SchemaError(t.Name,
				"key column "+Quoted(col.Name)+" has no type, so that 1 and 1.0 would be one key: declare it TEXT, INTEGER or BLOB")
		case affinityOf(decl) == affinityReal:
			return SchemaError(t.Name,
				"key column "+Quoted(col.Name)+" is "+col.Decl+", and numbers with a fraction are no keys: declare it TEXT, "+
					"INTEGER or BLOB")
		}
	}
	return nil
}

// checkColumns looks at columns that were added after their table was made:
// replicas without them must know their value in existing rows.
func checkColumns(t *Table) error {
	if len(t.Columns)+len(t.Key) > wire.MaxColumns {
		return SchemaError(t.Name, "it has too many columns")
	}
	first := 0
	for i := range t.Info.Columns {
		if m := t.Info.Columns[i].Migration; i == 0 || m < first {
			first = m
		}
	}
	for _, i := range t.At {
		col := &t.Info.Columns[i]
		if col.Migration == first {
			continue
		}
		if later := laterColumn(col); later != "" {
			return SchemaError(t.Name,
				"column "+Quoted(col.Name)+" was added by migration "+strconv.Itoa(col.Migration)+" and "+later)
		}
	}
	return nil
}

func laterColumn(col *store.Column) string {
	switch {
	case col.HasDefault && col.Default == nil:
		return "its default is an expression, which each device would compute for itself: give it a constant default"
	case col.NotNull && col.Default == nil:
		return "is NOT NULL without a default: give it a constant default"
	}
	return ""
}

// checkUnique refuses UNIQUE beside the key: two devices may write rows that
// are unique on each, and no order of the log could keep both.
func checkUnique(c *Conn, t *Table) error {
	var name string
	err := c.Query(`SELECT name FROM pragma_index_list(?) WHERE "unique" AND origin <> 'pk'`, []any{t.Name},
		func(s *sqlite3.Stmt) error {
			name = s.ColumnText(0)
			return nil
		})
	if err != nil || name == "" {
		return err
	}
	var columns []string
	err = c.Query(`SELECT coalesce(name, 'an expression') FROM pragma_index_info(?) ORDER BY seqno`, []any{name},
		func(s *sqlite3.Stmt) error {
			columns = append(columns, s.ColumnText(0))
			return nil
		})
	if err != nil {
		return err
	}
	return SchemaError(t.Name, "UNIQUE on ("+strings.Join(columns,
		", ")+") cannot be kept by devices that are offline: make these columns the primary key, or use an index that is "+
		"not UNIQUE")
}

// checkTriggers refuses triggers that fire while entries are applied and write
// synced tables, since their effects are in the log already, or that raise errors,
// which the author of the entry would not see. Other failures of a trigger
// quarantine the row.
func checkTriggers(c *Conn, tables map[string]*Table) error {
	trees, err := syncedTrees(c, tables)
	if err != nil {
		return err
	}
	for _, t := range Sorted(tables) {
		writes := false
		for _, sql := range t.writes() {
			all, err := c.programs(sql)
			if why := Refused(err); why != nil {
				return SchemaError(t.Name,
					"SQLite cannot write it ("+why.Text+"): mend its triggers, indexes and generated columns")
			}
			if err == nil {
				err = fired(all, func(trigger string, op *instruction) error {
					writes = writes || op.code == "OpenWrite" || op.code == "VUpdate"
					return checkFired(t, trigger, op, trees)
				})
			}
			if err != nil {
				return err
			}
		}
		if err := checkClauses(c, t, writes); err != nil {
			return err
		}
	}
	return nil
}

// syncedTrees returns the names of the synced tables by the root pages of their
// trees, as programs name them.
func syncedTrees(c *Conn, tables map[string]*Table) (map[int]string, error) {
	trees := map[int]string{}
	err := c.Query(`SELECT rootpage, tbl_name FROM main.sqlite_schema WHERE rootpage > 0`, nil,
		func(s *sqlite3.Stmt) error {
			for _, t := range tables {
				if strings.EqualFold(t.Name, s.ColumnText(1)) {
					trees[s.ColumnInt(0)] = t.Name
				}
			}
			return nil
		})
	return trees, err
}

// checkFired looks at an instruction of a trigger that fires when t is written.
func checkFired(t *Table, trigger string, op *instruction, trees map[int]string) error {
	const guard = "add WHEN NOT heddle_applying() to the trigger"
	written := ""
	switch {
	case op.code == "OpenWrite" && op.p3 == 0:
		written = trees[op.p2]
	case op.code == "Clear" && op.p2 == 0:
		written = trees[op.p1]
	}
	if written != "" {
		return SchemaError(written, "trigger "+Quoted(trigger)+" writes it, and would do so again on each device: "+guard)
	}
	if op.code != "Halt" && op.code != "HaltIfNull" {
		return nil
	}
	switch {
	case op.p1 == haltTrigger, op.p1 == 0 && op.p2 == onIgnore:
		return SchemaError(t.Name,
			"trigger "+Quoted(trigger)+" may raise an error (RAISE), and changes of other devices are not refused here: "+guard)
	case op.p2 == onRollback, op.p2 == onFail:
		return SchemaError(t.Name,
			"trigger "+Quoted(trigger)+" has a statement that may end the transaction, or leave half of itself behind (OR "+
				"ROLLBACK, OR FAIL): "+guard+", or write OR IGNORE or OR REPLACE")
	}
	return nil
}

// checkClauses looks for ON CONFLICT clauses in a table's constraints. They bind
// the author alone, but its own OR ABORT, by which a replica leaves them out,
// would bind the statements of triggers as well.
func checkClauses(c *Conn, t *Table, triggers bool) error {
	plain, err := c.programs(t.InsertSQL)
	if err != nil {
		return err
	}
	t.overrule(true)
	abort, err := c.programs(t.InsertSQL)
	if err != nil {
		return err
	}
	if slices.Equal(plain[0].ops, abort[0].ops) {
		t.overrule(false)
		return nil
	}
	if triggers {
		return SchemaError(t.Name,
			"a constraint has an ON CONFLICT clause, which binds who writes alone, and triggers that write beside it: put "+
				"OR … into the app's statements instead")
	}
	return nil
}

// disputed reports whether the log knows t with another key.
func disputed(t *Table, s *fold.Schema) bool {
	key := s.Key(t.Name)
	return key != nil && !slices.Equal(key, t.Key)
}

// Undisputed returns the tables that are not disputed.
func Undisputed(tables map[string]*Table, s *fold.Schema) map[string]*Table {
	var rest map[string]*Table
	for name, t := range tables {
		if !disputed(t, s) {
			continue
		}
		if rest == nil {
			rest = maps.Clone(tables)
		}
		delete(rest, name)
	}
	if rest == nil {
		return tables
	}
	return rest
}

// CheckKeys refuses a table whose key a migration of this app has changed: the
// log keeps the one that it had.
func CheckKeys(tables map[string]*Table, before map[string]wire.TableSchema, s *fold.Schema) error {
	for _, t := range Sorted(tables) {
		if disputed(t, s) && slices.Equal(before[t.Name].Key, s.Key(t.Name)) {
			return KeyError(t, s.Key(t.Name))
		}
	}
	return nil
}

func KeyError(t *Table, known []string) error {
	return SchemaError(t.Name, "its primary key is ("+strings.Join(t.Key, ", ")+"), and the space knows it with ("+
		strings.Join(known, ", ")+"): a synced table keeps its key; make a new table")
}
