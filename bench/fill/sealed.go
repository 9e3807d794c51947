package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"heddle.dev/heddle"
)

// patience bounds the wait for the snapshot.
const patience = 10 * time.Minute

func fillSealed() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-fill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	key, err := heddle.NewSpace(ctx, *space, "fill")
	if err != nil {
		return err
	}
	db, err := heddle.Open(ctx, heddle.Options{
		File:       filepath.Join(dir, "fill.db"),
		Migrations: []string{`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, n INTEGER NOT NULL DEFAULT 0)`},
		Sync:       &heddle.SyncOptions{URL: *url, Space: *space, Key: key, Tables: heddle.Tables{"notes": nil}},
	})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Sync().Now(ctx); err != nil {
		return err
	}
	code, err := db.Sync().NewRecoveryCode(ctx)
	if err != nil {
		return err
	}
	// What is sent in one go is in the snapshot nearly whole: the server asks for one when it has most.
	if err := db.Sync().Pause(ctx, false); err != nil {
		return err
	}
	for _, n := range []int{*rows, *rows / 3} {
		for from := 0; from < n; from += part {
			if err := write(ctx, db, from, min(n, from+part)); err != nil {
				return err
			}
		}
	}
	if err := snapshotted(ctx, db); err != nil {
		return err
	}
	fmt.Println(code)
	return nil
}

func write(ctx context.Context, db *heddle.DB, from, to int) error {
	const sql = `INSERT INTO notes VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body || ' '`
	return db.Transaction(ctx, func(tx *heddle.Tx) error {
		for i := from; i < to; i++ {
			id, text, n := row(i)
			if _, err := tx.Exec(sql, id, text, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// snapshotted sends all, and waits for a snapshot of most of it that is proved: new devices begin with such a one. The
// server asks for none of less than 4 MiB.
func snapshotted(ctx context.Context, db *heddle.DB) error {
	if err := db.Sync().Now(ctx); err != nil {
		return err
	}
	if err := db.Sync().Resume(ctx); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	defer db.Sync().OnStatus(func(heddle.Status) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for s := db.Sync().Status(); !s.Snapshot.Proved || 2*s.Snapshot.Seq < s.Seq; s = db.Sync().Status() {
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("there is no snapshot: %+v: %w", db.Sync().Status(), ctx.Err())
		}
	}
	return nil
}
