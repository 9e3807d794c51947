package sqlconn

import "github.com/ncruces/go-sqlite3"

// Limits bound what one statement can ask of the engine, which all tabs share. A
// statement beyond one is refused with SQLite's error, before it runs wherever
// that is possible.
//
// The number of instructions (SQLITE_LIMIT_VDBE_OP) is not bounded here: SQLite
// calls that "out of memory", and the length of the text bounds it as well.
//
// https://sqlite.org/c3ref/c_limit_attached.html,
// https://sqlite.org/security.html section 1.1
var Limits = map[sqlite3.LimitCategory]int{
	// A value or a row is held in memory several times on its way to a page. The
	// largest of Heddle's own, a transaction to be pushed, has half of that.
	sqlite3.LIMIT_LENGTH: MaxValue,
	// Of one statement; exec takes any number. go-sqlite3 reads names of columns
	// and tables up to this length, and no name is longer than its statement.
	sqlite3.LIMIT_SQL_LENGTH: MaxSQL,
	// LIKE and GLOB recurse once for each wildcard: a search text of 25,000 "%a"
	// overflows the stack of the browser's thread, which ends the worker.
	sqlite3.LIMIT_LIKE_PATTERN_LENGTH: 1000,
	// Each level is a stack frame or more. Chains of OR, as some programs build
	// them, are as deep as they are long.
	sqlite3.LIMIT_EXPR_DEPTH:      1000,
	sqlite3.LIMIT_PARSER_DEPTH:    2500,
	sqlite3.LIMIT_COMPOUND_SELECT: 500,
	// The engine bears 300 programs inside one another, views among them.
	sqlite3.LIMIT_TRIGGER_DEPTH: 250,
	// The planner's time grows with the square of the columns.
	sqlite3.LIMIT_COLUMN:       2000,
	sqlite3.LIMIT_FUNCTION_ARG: 1000,
	// ?32766 makes SQLite allocate that many parameters.
	sqlite3.LIMIT_VARIABLE_NUMBER: 32766,
	// VACUUM attaches one; the app's SQL none.
	sqlite3.LIMIT_ATTACHED: 1,
	// The engine has one thread.
	sqlite3.LIMIT_WORKER_THREADS: 0,
}

const (
	// MaxValue is how many bytes a value, and a row, may have.
	MaxValue = 64 << 20
	// MaxSQL is how many bytes the text of one statement may have.
	MaxSQL = 1_000_000
)
