package sqlconn

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// Action is something that a statement does, as SQLite asks about it: the third to
// the fifth argument of the authorizer belong to the code.
type Action struct {
	Code           sqlite3.AuthorizerActionCode
	A3, A4, Schema string
}

// Mode is on whose behalf a statement is prepared.
type Mode uint8

const (
	Trusted   Mode = iota // Heddle's own
	UserRead              // the app's, on the reading connection
	UserWrite             // the app's, in a transaction
	Migration             // the app's migrations
	Vacuuming             // a VACUUM of the app's, while it runs
	Scripted              // a text that is imported
)

// authorize is SQLite's authorizer. It notes what the statement being prepared
// does and refuses what is not the app's to do.
//
// https://sqlite.org/c3ref/set_authorizer.html
func (c *Conn) authorize(action sqlite3.AuthorizerActionCode, a3, a4, schema, _ string) sqlite3.AuthorizerReturnCode {
	if c.effects != nil {
		c.note(action, a3, a4, schema)
	}
	if action == sqlite3.AUTH_ANALYZE {
		c.Analyzed = true // here or in PRAGMA optimize, which asks while it runs
	}
	if c.Mode == Trusted {
		return sqlite3.AUTH_OK
	}
	if c.Mode == Scripted {
		return c.Admit(Action{action, a3, a4, schema})
	}
	if err := c.refuse(action, a3, a4, schema); err != nil {
		c.Denied = err
		return sqlite3.AUTH_DENY
	}
	return sqlite3.AUTH_OK
}

func (c *Conn) note(action sqlite3.AuthorizerActionCode, a3, a4, schema string) {
	e := c.effects
	e.acts = true
	e.more = e.more || !rowAction[action]
	if c.Mode == Migration && c.Note != nil {
		c.Note(Action{action, a3, a4, schema})
	}
	switch action {
	case sqlite3.AUTH_READ:
		// SQLite names no schema where only the number of rows matters.
		if schema == "main" || schema == "" && !c.Names.isTemp(a3) {
			add(&e.Reads, a3, a4)
		} else {
			e.Writer, e.Temp = true, true
		}
	case sqlite3.AUTH_UPDATE:
		if schema == "main" {
			add(&e.Updates, a3, a4)
		}
	case sqlite3.AUTH_FUNCTION:
		if e.functions == nil {
			e.functions = map[string]bool{}
		}
		e.functions[a4] = true
		switch strings.ToLower(a4) {
		case "changes", "total_changes", "last_insert_rowid", "heddle_applying":
			e.Writer = true
		}
	case sqlite3.AUTH_CREATE_TABLE, sqlite3.AUTH_CREATE_INDEX, sqlite3.AUTH_CREATE_TRIGGER,
		sqlite3.AUTH_CREATE_VIEW, sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_TABLE, sqlite3.AUTH_DROP_INDEX,
		sqlite3.AUTH_DROP_TRIGGER, sqlite3.AUTH_DROP_VIEW, sqlite3.AUTH_DROP_VTABLE, sqlite3.AUTH_ALTER_TABLE,
		sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_TRIGGER, sqlite3.AUTH_CREATE_TEMP_VIEW,
		sqlite3.AUTH_CREATE_TEMP_INDEX, sqlite3.AUTH_DROP_TEMP_TABLE, sqlite3.AUTH_DROP_TEMP_TRIGGER,
		sqlite3.AUTH_DROP_TEMP_VIEW, sqlite3.AUTH_DROP_TEMP_INDEX:
		e.Schema = true
		if schema == "temp" {
			c.Names.HasTemp.Store(true)
		}
	case sqlite3.AUTH_SAVEPOINT:
		e.Savepoint, e.SavepointName = a3, a4
	}
}

// rowAction are what SQLite asks about before rows are read and written.
var rowAction = map[sqlite3.AuthorizerActionCode]bool{
	sqlite3.AUTH_SELECT: true, sqlite3.AUTH_READ: true, sqlite3.AUTH_FUNCTION: true, sqlite3.AUTH_RECURSIVE: true,
	sqlite3.AUTH_INSERT: true, sqlite3.AUTH_UPDATE: true, sqlite3.AUTH_DELETE: true,
}

const authOp = "store: authorize"

// refuse returns why the app may not do this, or nil.
func (c *Conn) refuse(action sqlite3.AuthorizerActionCode, a3, a4, schema string) error {
	if c.Mode == Vacuuming {
		return refuseVacuum(action, a3)
	}
	switch action {
	case sqlite3.AUTH_TRANSACTION:
		return errcode.New(errcode.TxControl, authOp, a3+" is not for SQL to say: "+
			"use transaction(), which begins and ends it, and import for the text of a dump")
	case sqlite3.AUTH_SAVEPOINT:
		if c.Mode == UserRead {
			return errcode.New(errcode.TxControl, authOp, "SAVEPOINT works inside transaction() only")
		}
		if Ours(a4) {
			return notOurs("savepoint", a4)
		}
	case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH:
		// All tabs share the connection: what one attaches stays for all, and a
		// file that fails to commit fails everybody's writes.
		return errcode.New(errcode.Unsupported, authOp,
			"ATTACH and DETACH are not supported: open another database for other data, or use CREATE TEMP TABLE")
	case sqlite3.AUTH_PRAGMA:
		return refusePragma(strings.ToLower(a3), a4 != "" || !bare(c.sql))
	case sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE:
		switch {
		case schema != "main":
		case Ours(a3):
			return notOurs("table", a3)
		case c.Mode == Migration && c.Names.Synced(a3) && !SameName(c.dropOK, a3):
			return errcode.New(errcode.SyncSchema, authOp,
				"a migration may not write rows of the synced table "+a3+": it would run once on each device; write them after "+
					"open()")
		}
	case sqlite3.AUTH_CREATE_TABLE, sqlite3.AUTH_CREATE_VIEW, sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_VIEW:
		return c.refuseDDL(a3, a3, schema)
	case sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_VIEW:
		// A temporary thing hides the table of the same name.
		return c.refuseDDL(a3, a3, "main")
	case sqlite3.AUTH_DROP_TABLE, sqlite3.AUTH_DROP_VTABLE:
		// SQLite asks about DELETE next.
		c.dropOK = a3
		return c.refuseDDL(a3, a3, schema)
	case sqlite3.AUTH_ALTER_TABLE:
		// SQLite does not say the new name: see CheckNames.
		return c.refuseDDL(a4, a4, a3)
	case sqlite3.AUTH_CREATE_INDEX, sqlite3.AUTH_CREATE_TRIGGER, sqlite3.AUTH_DROP_INDEX, sqlite3.AUTH_DROP_TRIGGER,
		sqlite3.AUTH_CREATE_TEMP_TRIGGER:
		return c.refuseDDL(a3, a4, "main")
	}
	return nil
}

// refuseDDL refuses what touches Heddle's tables, and synced ones outside
// migrations. name is the new or old thing's, table the one it is on.
func (c *Conn) refuseDDL(name, table, schema string) error {
	switch {
	case schema != "main":
	case Ours(table):
		return notOurs("table", table)
	case Ours(name):
		return notOurs("name", name)
	case c.Mode != Migration && c.Names.Synced(table):
		return errcode.New(errcode.SyncSchema, authOp,
			"the schema of the synced table "+table+" changes in migrations only: every device has to run the same")
	}
	return nil
}

// Ours reports whether a name is one of Heddle's own things.
func Ours(name string) bool {
	return len(name) >= 7 && SameName(name[:7], "heddle_")
}

func notOurs(what, name string) error {
	return errcode.New("SQLITE_AUTH", authOp, "the "+what+" "+name+" belongs to Heddle")
}

// refuseVacuum stands before what VACUUM does by itself: it attaches a temporary
// file without a name, VACUUM INTO one that the app names.
func refuseVacuum(action sqlite3.AuthorizerActionCode, file string) error {
	if action == sqlite3.AUTH_ATTACH && file != "" {
		return errcode.New(errcode.Unsupported, authOp,
			"VACUUM INTO is not supported: export hands out a copy of the database")
	}
	return nil
}
