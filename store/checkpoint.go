package store

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// checkpointPages is the length of the log, in pages, that is worth a
// checkpoint: SQLite's own default.
const checkpointPages = 1000

// Tests change these.
var (
	// checkpointWait is how long after a commit the log is emptied into the
	// database. SQLite would do it inside the commit, which then answers late by as
	// much as all the rest of a large one took.
	checkpointWait = 30 * time.Millisecond
	// checkpointNow is a length of the log that does not wait, so that a busy
	// writer's does not grow without end: 64 MiB.
	checkpointNow = 16 << 10
)

// CheckpointLater has the log emptied between transactions from now on, by a
// goroutine of its own, and not within the commit that finds it long. Whoever
// uses connections besides this database's must have done with them: that
// goroutine enters SQLite when it likes.
func (db *DB) CheckpointLater() { db.later.Store(true) }

// watchLog takes the place of SQLite's own checkpoints. The commit is in the log,
// and flushed, when the hook is called.
func (db *DB) watchLog(c *sqlite3.Conn) {
	c.WALHook(func(c *sqlite3.Conn, schema string, pages int) error {
		switch {
		case pages < checkpointPages || schema != "main":
		case pages >= checkpointNow, !db.later.Load():
			// What does not succeed, the next one does: as with SQLite's own.
			_, _, _ = c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		case db.checkpointing.CompareAndSwap(false, true):
			time.AfterFunc(checkpointWait, db.checkpoint)
		}
		return nil
	})
}

// checkpoint empties the log between two transactions, as far as readers let it.
func (db *DB) checkpoint() {
	defer db.checkpointing.Store(false)
	c, err := db.turn(context.Background(), db.writer, "store: checkpoint")
	if err != nil {
		return // closed: the last connection empties the log
	}
	defer func() { db.writer <- c }()
	_ = db.inside(context.Background(), c, func() error {
		_, _, err := c.c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		return err
	})
}
