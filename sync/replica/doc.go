// Package replica is the local half of sync: it records each local transaction
// as it commits, keeps what the server has not decided yet, and keeps the tables
// equal to the fold of the space's log with the pending transactions on top. It
// knows no network: package client gives it entries and snapshots, and takes the
// pending transactions from it.
//
// It is portable: it runs in the browser's worker and in native programs, over
// a store.DB.
//
// # What is kept where
//
// All of a replica's sync state is in the app's own database, in tables whose
// names begin with heddle_, and changes in the same transaction as the rows that
// it describes:
//
//   - heddle_meta: the client's id, the epoch, the cursor and its chain hash,
//     the folded schema.
//   - heddle_pending: the transactions without an entry at or before the
//     cursor, in parts as they are sent.
//   - heddle_sent: the last of those that the log holds, for a server that loses
//     its end.
//   - heddle_row: one row for each key that a pending transaction touches, with
//     its base image (the row in the log's prefix) and the operations on it.
//   - heddle_overflow: cells of tables and columns that this app's version does
//     not know yet, and rows that its tables cannot hold: see conflict.go.
//   - heddle_digest: the sums behind Digest.
//   - heddle_seen: keys that a snapshot has named, while one is being applied.
//   - heddle_rejected: transactions that the server decided void, with their
//     operations, until the app retries or discards them.
//
// # The rule
//
// A row is its base image, then the pending operations on it, in order. A key
// without pending operations is the prefix itself. See apply.go.
//
// # Ownership
//
// The state in memory belongs to the holder of the store's writer and is loaded
// again after a transaction that failed: see Replica.invalidate. All others see
// the View that was published after the last commit; an Observer is called with it.
//
// # Caveats
//
// A table that is synced needs an explicit primary key, and more; Open names
// each rule that a table breaks. Foreign keys, CHECK, NOT NULL and other
// constraints bind the author of a write alone.
//
// Tested by model_test.go (random histories against the fold of the log),
// releases_test.go (random migrations), and the test of each file's name. What
// needs a server is tested through it in package client: bootstrap_test.go,
// resend_test.go, restore_test.go, accept_test.go, rescue_test.go, place_test.go
// (forks and imports), release_test.go; and by package sim.
package replica
