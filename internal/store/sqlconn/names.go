package sqlconn

import (
	"strings"
	"sync/atomic"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Names are the names that the connections of a database share: those of synced
// tables, and those of temporary ones.
type Names struct {
	HasTemp atomic.Bool // the writer may have tables that a reader has not

	synced, temps map[string]bool // in lower case
}

// NewNames returns the names of a database with these synced tables.
func NewNames(synced []string) *Names {
	n := &Names{synced: map[string]bool{}}
	for _, t := range synced {
		n.synced[strings.ToLower(t)] = true
	}
	return n
}

// Synced reports whether a table is one that sync carries.
func (n *Names) Synced(table string) bool { return n.synced[strings.ToLower(table)] }

// isTemp reports whether a name is a temporary table's: it is no other's then.
func (n *Names) isTemp(name string) bool { return n.temps[strings.ToLower(name)] }

// LoadTemp reads the names of temporary tables, of the writer.
func (n *Names) LoadTemp(writer *Conn) error {
	if !n.HasTemp.Load() {
		return nil
	}
	n.temps = map[string]bool{}
	return writer.Each(`SELECT lower(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view')`,
		func(s *sqlite3.Stmt) error {
			n.temps[s.ColumnText(0)] = true
			return nil
		})
}

// SameName reports whether SQLite takes two names for one.
func SameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// Named runs a change of the schema, and takes it back if names are then not as
// they must be. SQLite's authorizer does not say what ALTER TABLE makes of a
// name, nor which of two tables a name means.
func (c *Conn) Named(change func() error) error {
	before, err := c.OurNames()
	if err != nil {
		return err
	}
	if err := c.Control(`SAVEPOINT heddle_named`); err != nil {
		return err
	}
	err = change()
	if err == nil {
		if err = c.CheckNames(before); err == nil {
			return c.Control(`RELEASE heddle_named`)
		}
	}
	if !c.GetAutocommit() {
		c.Control(`ROLLBACK TO heddle_named`)
		c.Control(`RELEASE heddle_named`)
	}
	return err
}

// OurNames are the names of Heddle's own things, in one text.
func (c *Conn) OurNames() (value.Value, error) {
	return c.Scalar(`SELECT group_concat(name, ' ' ORDER BY name) FROM main.sqlite_schema WHERE name LIKE 'heddle\_%'
		ESCAPE '\'`)
}

// CheckNames refuses a name of Heddle's that is new or gone, and temporary things
// that stand before what other tabs use: the connection is everybody's.
func (c *Conn) CheckNames(before value.Value) error {
	if after, err := c.OurNames(); err != nil || after != before {
		if err == nil {
			err = errcode.New("SQLITE_AUTH", authOp, "names that begin with heddle_ belong to Heddle")
		}
		return err
	}
	if !c.Names.HasTemp.Load() {
		return nil
	}
	hidden, err := c.Scalar(`SELECT min(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view')
		AND lower(name) IN (SELECT lower(name) FROM main.sqlite_schema WHERE type IN ('table', 'view'))`)
	if name, ok := hidden.(string); ok && err == nil {
		err = errcode.New(errcode.Unsupported, authOp,
			"a temporary table or view "+name+" would hide the one of that name from every tab: give it another name")
	}
	if err != nil {
		return err
	}
	trigger, err := c.Scalar(`SELECT min(name) FROM temp.sqlite_schema WHERE type = 'trigger'
		AND lower(tbl_name) NOT IN (SELECT lower(name) FROM temp.sqlite_schema WHERE type IN ('table', 'view'))`)
	if name, ok := trigger.(string); ok && err == nil {
		err = errcode.New(errcode.Unsupported, authOp,
			"the temporary trigger "+name+" would fire for every tab's writes, until another tab leads: use CREATE TRIGGER")
	}
	return err
}
