// Package heddle is Heddle for Go programs: a local SQLite database that works
// offline, keeps the results of queries up to date, and syncs with the other
// devices of its space, browsers or Go programs alike.
//
//	db, err := heddle.Open(ctx, heddle.Options{
//		File:       "notes.db",
//		Migrations: []string{`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT)`},
//		Sync:       &heddle.SyncOptions{URL: "https://sync.example", Space: "family", Tables: heddle.Tables{"notes": nil}},
//	})
//	…
//	defer db.Close()
//	_, err = db.Exec(ctx, `INSERT INTO notes(body) VALUES (?)`, "Buy thread")
//
// docs/GO.md is a tour. The server is an http.Handler, in package
// heddle.dev/heddle/sync/server.
//
// # Values
//
// A parameter is nil, a bool, an integer (int, int32, int64, uint32), a
// float64, a string or a []byte. A result's values are nil, int64, float64,
// string and []byte, and belong to the caller. [Named] gives parameters by name.
//
// # Errors
//
// An error of Heddle's is an [*Error], perhaps wrapped, with a code: one of the
// Code constants, or SQLite's own extended name, such as
// SQLITE_CONSTRAINT_PRIMARYKEY. [Code] returns it. The same codes travel on
// the wire and reach JavaScript. A context that ends is HEDDLE_ABORTED or
// HEDDLE_TIMEOUT.
//
// # Concurrency
//
// All methods of a [DB] and of its [Sync] may be called by several goroutines.
// Reads do not wait for an open transaction; writes take turns. One process at
// a time may have a synced file open.
//
// # Differences from the browser
//
// This package needs an operating system and links net/http; it does not build
// into the browser's binary. FTS5 and R-Tree are available in both.
package heddle
