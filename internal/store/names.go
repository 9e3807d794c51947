package store

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// named runs a change of the schema, and takes it back if names are then not as
// they must be. SQLite's authorizer does not say what ALTER TABLE makes of a
// name, nor which of two tables a name means.
func (c *conn) named(change func() error) error {
	before, err := c.ourNames()
	if err != nil {
		return err
	}
	if err := c.control(`SAVEPOINT heddle_named`); err != nil {
		return err
	}
	err = change()
	if err == nil {
		if err = c.checkNames(before); err == nil {
			return c.control(`RELEASE heddle_named`)
		}
	}
	if !c.c.GetAutocommit() {
		c.control(`ROLLBACK TO heddle_named`)
		c.control(`RELEASE heddle_named`)
	}
	return err
}

// ourNames are the names of Heddle's own things, in one text.
func (c *conn) ourNames() (Value, error) {
	return c.scalar(`SELECT group_concat(name, ' ' ORDER BY name) FROM main.sqlite_schema WHERE name LIKE 'heddle\_%'
		ESCAPE '\'`)
}

// checkNames refuses a name of Heddle's that is new or gone, and temporary things
// that stand before what other tabs use: the connection is everybody's.
func (c *conn) checkNames(before Value) error {
	if after, err := c.ourNames(); err != nil || after != before {
		if err == nil {
			err = errcode.New("SQLITE_AUTH", authOp, "names that begin with heddle_ belong to Heddle")
		}
		return err
	}
	if !c.db.temp.Load() {
		return nil
	}
	hidden, err := c.scalar(`SELECT min(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view')
		AND lower(name) IN (SELECT lower(name) FROM main.sqlite_schema WHERE type IN ('table', 'view'))`)
	if name, ok := hidden.(string); ok && err == nil {
		err = errcode.New(errcode.Unsupported, authOp,
			"a temporary table or view "+name+" would hide the one of that name from every tab: give it another name")
	}
	if err != nil {
		return err
	}
	trigger, err := c.scalar(`SELECT min(name) FROM temp.sqlite_schema WHERE type = 'trigger'
		AND lower(tbl_name) NOT IN (SELECT lower(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view'))`)
	if name, ok := trigger.(string); ok && err == nil {
		err = errcode.New(errcode.Unsupported, authOp,
			"the temporary trigger "+name+" would fire for every tab's writes, until another tab leads: use CREATE TRIGGER")
	}
	return err
}

// loadTemp reads the names of temporary tables, of the writer.
func (db *DB) loadTemp(c *conn) error {
	if !db.temp.Load() {
		return nil
	}
	db.temps = map[string]bool{}
	return c.each(`SELECT lower(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view')`,
		func(s *sqlite3.Stmt) error {
			db.temps[s.ColumnText(0)] = true
			return nil
		})
}

// isTemp reports whether a name is a temporary table's: it is no other's then.
func (db *DB) isTemp(name string) bool { return db.temps[strings.ToLower(name)] }
