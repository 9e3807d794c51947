package store

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// authMode is on whose behalf a statement is prepared.
type authMode uint8

const (
	trusted   authMode = iota // Heddle's own
	userRead                  // the app's, on the reading connection
	userWrite                 // the app's, in a transaction
	migration                 // the app's migrations
	vacuuming                 // a VACUUM of the app's, while it runs
	scripted                  // a text that is imported
)

// authorize is SQLite's authorizer. It notes what the statement being prepared
// does and refuses what is not the app's to do.
//
// https://sqlite.org/c3ref/set_authorizer.html
func (c *conn) authorize(action sqlite3.AuthorizerActionCode, a3, a4, schema, _ string) sqlite3.AuthorizerReturnCode {
	if c.col != nil {
		c.note(action, a3, a4, schema)
	}
	if action == sqlite3.AUTH_ANALYZE {
		c.analyzed = true // here or in PRAGMA optimize, which asks while it runs
	}
	if c.mode == trusted {
		return sqlite3.AUTH_OK
	}
	if c.mode == scripted {
		return c.script.admit(action, a3)
	}
	if err := c.refuse(action, a3, a4, schema); err != nil {
		c.denied = err
		return sqlite3.AUTH_DENY
	}
	return sqlite3.AUTH_OK
}

func (c *conn) note(action sqlite3.AuthorizerActionCode, a3, a4, schema string) {
	col := c.col
	col.acts = true
	col.more = col.more || !rowAction[action]
	if c.mode == migration {
		col.migrates.note(action, a3, a4, schema)
	}
	switch action {
	case sqlite3.AUTH_READ:
		// SQLite names no schema where only the number of rows matters.
		if schema == "main" || schema == "" && !c.db.isTemp(a3) {
			col.add(&col.reads, a3, a4)
		} else {
			col.writer, col.temp = true, true
		}
	case sqlite3.AUTH_UPDATE:
		if schema == "main" {
			col.add(&col.updates, a3, a4)
		}
	case sqlite3.AUTH_FUNCTION:
		if col.functions == nil {
			col.functions = map[string]bool{}
		}
		col.functions[a4] = true
		switch strings.ToLower(a4) {
		case "changes", "total_changes", "last_insert_rowid", "heddle_applying":
			col.writer = true
		}
	case sqlite3.AUTH_CREATE_TABLE, sqlite3.AUTH_CREATE_INDEX, sqlite3.AUTH_CREATE_TRIGGER,
		sqlite3.AUTH_CREATE_VIEW, sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_TABLE, sqlite3.AUTH_DROP_INDEX,
		sqlite3.AUTH_DROP_TRIGGER, sqlite3.AUTH_DROP_VIEW, sqlite3.AUTH_DROP_VTABLE, sqlite3.AUTH_ALTER_TABLE,
		sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_TRIGGER, sqlite3.AUTH_CREATE_TEMP_VIEW,
		sqlite3.AUTH_CREATE_TEMP_INDEX, sqlite3.AUTH_DROP_TEMP_TABLE, sqlite3.AUTH_DROP_TEMP_TRIGGER,
		sqlite3.AUTH_DROP_TEMP_VIEW, sqlite3.AUTH_DROP_TEMP_INDEX:
		col.schema = true
		col.alters = col.alters || action == sqlite3.AUTH_ALTER_TABLE
		if schema == "temp" {
			c.db.temp.Store(true)
		}
	case sqlite3.AUTH_SAVEPOINT:
		col.savepoint, col.savepointName = a3, a4
	}
}

// rowAction are what SQLite asks about before rows are read and written.
var rowAction = map[sqlite3.AuthorizerActionCode]bool{
	sqlite3.AUTH_SELECT: true, sqlite3.AUTH_READ: true, sqlite3.AUTH_FUNCTION: true, sqlite3.AUTH_RECURSIVE: true,
	sqlite3.AUTH_INSERT: true, sqlite3.AUTH_UPDATE: true, sqlite3.AUTH_DELETE: true,
}

const authOp = "store: authorize"

// refuse returns why the app may not do this, or nil.
func (c *conn) refuse(action sqlite3.AuthorizerActionCode, a3, a4, schema string) error {
	if c.mode == vacuuming {
		return refuseVacuum(action, a3)
	}
	switch action {
	case sqlite3.AUTH_TRANSACTION:
		return errcode.New(errcode.TxControl, authOp, a3+" is not for SQL to say: "+
			"use transaction(), which begins and ends it, and import for the text of a dump")
	case sqlite3.AUTH_SAVEPOINT:
		if c.mode == userRead {
			return errcode.New(errcode.TxControl, authOp, "SAVEPOINT works inside transaction() only")
		}
		if ours(a4) {
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
		case ours(a3):
			return notOurs("table", a3)
		case c.mode == migration && c.db.isSynced(a3) && !equalFold(c.dropOK, a3):
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
		// SQLite does not say the new name: see checkNames.
		return c.refuseDDL(a4, a4, a3)
	case sqlite3.AUTH_CREATE_INDEX, sqlite3.AUTH_CREATE_TRIGGER, sqlite3.AUTH_DROP_INDEX, sqlite3.AUTH_DROP_TRIGGER,
		sqlite3.AUTH_CREATE_TEMP_TRIGGER:
		return c.refuseDDL(a3, a4, "main")
	}
	return nil
}

// refuseDDL refuses what touches Heddle's tables, and synced ones outside
// migrations. name is the new or old thing's, table the one it is on.
func (c *conn) refuseDDL(name, table, schema string) error {
	switch {
	case schema != "main":
	case ours(table):
		return notOurs("table", table)
	case ours(name):
		return notOurs("name", name)
	case c.mode != migration && c.db.isSynced(table):
		return errcode.New(errcode.SyncSchema, authOp,
			"the schema of the synced table "+table+" changes in migrations only: every device has to run the same")
	}
	return nil
}

func ours(name string) bool {
	return len(name) >= 7 && equalFold(name[:7], "heddle_")
}

func notOurs(what, name string) error {
	return errcode.New("SQLITE_AUTH", authOp, "the "+what+" "+name+" belongs to Heddle")
}

func (db *DB) isSynced(table string) bool { return db.synced[strings.ToLower(table)] }

// refuseVacuum stands before what VACUUM does by itself: it attaches a temporary
// file without a name, VACUUM INTO one that the app names.
func refuseVacuum(action sqlite3.AuthorizerActionCode, file string) error {
	if action == sqlite3.AUTH_ATTACH && file != "" {
		return errcode.New(errcode.Unsupported, authOp,
			"VACUUM INTO is not supported: export hands out a copy of the database")
	}
	return nil
}
