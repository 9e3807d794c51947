// Package store is the local database: SQLite with a writing and a reading
// connection, transactions that take turns, migrations, and an exact account
// of what each transaction changed.
//
// # Connections
//
// One goroutine is inside SQLite at a time, over both connections: DB holds
// one mutex during each call into SQLite, and never while it waits for
// anything. A long read releases the mutex between batches of rows.
//
// Reads run on the reading connection, each on a snapshot of its own, and do
// not wait for an open transaction. Writers take turns, first come, first
// served.
//
// # Capture
//
// The pre-update hook reports which rows a transaction touched, and their
// images at the first touch. Before COMMIT each touched row of a synced table
// is read again: the net difference is what the transaction did, whatever
// statements failed, savepoints were rolled back and triggers fired (package
// capture). A [Recorder]
// gets it inside the same transaction. After the commit every subscriber of
// [DB.OnCommit] gets the tables, columns and keys.
//
// # Exactly once
//
// A tab sends a write again if its reply was lost. [Tx.CommitOnce] logs the reply
// in the write's own transaction, and [Tx.Replay] finds it: see writelog.go.
//
// # Names
//
// Tables whose names begin with heddle_ belong to Heddle: SQL from outside may
// read them and not write them, and no event names them.
//
// # Packages below
//
//	sqlconn   one connection: compiled statements, the authorizer, pragmas, limits
//	schema    the tables of the main schema
//	capture   what a transaction changed
//	migrate   the app's migrations
//	script    the text of a database, on its way in
//	dbfile    the file format as bytes: header and checksums
//	scratch   temporary files, and those in memory
//	sqlerr    SQLite's errors
//	salvage   rows out of a damaged file; it stands above this package
//	storetest what tests open databases with
//
// # Differences between builds
//
// The browser's engine has FTS5 and R-Tree compiled in. A native program that
// wants them registers go-sqlite3's ext/fts5 and ext/rtree with
// sqlite3.AutoExtension before Open.
package store
