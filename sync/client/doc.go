// Package client is a replica's half of sync: it records each local
// transaction as it commits, sends it, follows the space's log, and keeps the
// tables equal to the fold of that log with the replica's own pending
// transactions on top.
//
// It is portable: it runs in the browser's worker and in native programs, over
// a store.DB and a Doer (package nethttp has the native one).
//
// # What is kept where
//
// All of a replica's sync state is in the app's own database, in tables whose
// names begin with heddle_, and changes in the same transaction as the rows it
// speaks of:
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
//     not know yet, and rows that its tables cannot hold: see quarantine.go.
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
// # Caveats
//
// A table that is synced needs an explicit primary key, and more; Open names
// each rule that a table breaks. Foreign keys, CHECK, NOT NULL and other
// constraints bind the author of a write alone.
package client
