package store

import (
	"context"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// logged returns how many pages the log has, and how many of them are in the
// database already.
func logged(t *testing.T, db *DB) (pages, done int) {
	t.Helper()
	err := db.inside(context.Background(), db.writerConn, func() (err error) {
		pages, done, err = db.writerConn.c.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages, done
}

func setCheckpointWait(t *testing.T, d time.Duration) {
	old := checkpointWait
	checkpointWait = d
	t.Cleanup(func() { checkpointWait = old })
}

// TestCheckpoint_afterTheCommit says that a large commit leaves its pages in the
// log, and that they are in the database soon after.
func TestCheckpoint_afterTheCommit(t *testing.T) {
	setCheckpointWait(t, time.Hour)
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	fill := `INSERT INTO t SELECT zeroblob(3000) FROM ` + series(2000)
	exec(t, db, fill)
	if pages, done := logged(t, db); pages < checkpointPages || done != pages {
		t.Errorf("before CheckpointLater %d of %d pages are in the database", done, pages)
	}
	db.CheckpointLater()
	exec(t, db, fill)
	if pages, done := logged(t, db); pages < checkpointPages || done != 0 {
		t.Errorf("right after the commit %d of %d pages are in the database", done, pages)
	}
	db.checkpoint()
	if pages, done := logged(t, db); done != pages {
		t.Errorf("after the checkpoint %d of %d pages are in the database", done, pages)
	}
	checkpointWait = 0
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if pages, done := logged(t, db); done > 0 && done == pages && pages >= checkpointPages {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d of %d pages are in the database", done, pages)
		}
		exec(t, db, fill)
	}
}

// TestCheckpoint_boundsTheLog keeps the checkpoint from its turn: the commits
// themselves keep the log short then.
func TestCheckpoint_boundsTheLog(t *testing.T) {
	setCheckpointWait(t, time.Hour)
	old := checkpointNow
	checkpointNow = 3000
	t.Cleanup(func() { checkpointNow = old })
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	db.CheckpointLater()
	most := 0
	for range 8 {
		exec(t, db, `INSERT INTO t SELECT zeroblob(3000) FROM `+series(1000))
		pages, _ := logged(t, db)
		most = max(most, pages)
	}
	if most < checkpointNow || most > checkpointNow+1500 {
		t.Errorf("the log grew to %d pages", most)
	}
}

// TestCheckpoint_waitsItsTurn lets an open transaction and a reader be.
func TestCheckpoint_waitsItsTurn(t *testing.T) {
	setCheckpointWait(t, 0)
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a)`}})
	db.CheckpointLater()
	exec(t, db, `INSERT INTO t SELECT zeroblob(3000) FROM `+series(2000))
	for round := range 8 {
		tx, err := db.Begin(context.Background(), Origin{Kind: Local})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`INSERT INTO t SELECT zeroblob(3000) FROM `+series(1200), Params{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(round%3) * time.Millisecond)
		if round%2 == 0 {
			err = tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
		query(t, db, `SELECT count(*) FROM t`)
	}
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(6800)}})
	same(t, query(t, db, `PRAGMA quick_check`), [][]Value{{"ok"}})
}
