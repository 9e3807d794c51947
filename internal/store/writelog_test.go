package store

import (
	"bytes"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/errcode"
)

func TestWriteLog_decode(t *testing.T) {
	log := &writeLog{last: 9, entries: []Entry{{Counter: 7, Result: Result{Changes: -1, LastInsertRowID: 1 << 62}},
		{Counter: 9, Reply: []byte{0, 1, 2}}}}
	whole := log.encode(log.entries)
	var back writeLog
	if err := back.decode(whole); err != nil || !reflect.DeepEqual(&back, log) ||
		!bytes.Equal(back.encode(back.entries), whole) {
		t.Errorf("got %+v, %v", back, err)
	}
	for n := range len(whole) {
		if err := new(writeLog).decode(whole[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes it is taken", n, len(whole))
		}
	}
	if err := new(writeLog).decode([]byte{99}); errcode.Of(err) != errcode.Protocol {
		t.Errorf("another version: %v", err)
	}
}

func TestWriteLog_outlivesTheProcess(t *testing.T) {
	opts := Options{Filename: testFile(t), Migrations: []string{`CREATE TABLE t(a)`}}
	write := func(db *DB, counter, ack uint64, sql string) *Entry {
		t.Helper()
		var done *Entry
		err := func() error {
			tx, err := db.Begin(t.Context(), Origin{Kind: Local})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if done, err = tx.Replay("tab", counter, ack); done != nil || err != nil {
				return err
			}
			res, err := tx.Exec(sql, Params{})
			if err != nil {
				db.LogFailure("tab", Entry{Counter: counter, Reply: []byte(errcode.Of(err))})
				return nil
			}
			return tx.CommitOnce("tab", Entry{Counter: counter, Result: res})
		}()
		wantCode(t, err, "")
		return done
	}
	db := openTest(t, opts)
	write(db, 1, 0, `INSERT INTO t VALUES(1)`)
	write(db, 2, 0, `nonsense`) // is logged with the next one
	write(db, 3, 0, `INSERT INTO t VALUES(3)`)
	write(db, 4, 0, `SELECT 1`) // changes nothing: there is nothing to keep
	for range 2 {
		if e := write(db, 2, 1, ``); e == nil || string(e.Reply) != "SQLITE_ERROR" {
			t.Errorf("the failure: got %+v", e)
		}
		if e := write(db, 3, 1, ``); e == nil || e.Result != (Result{Changes: 1, LastInsertRowID: 2}) {
			t.Errorf("the insert: got %+v", e)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, opts)
	}
	if e := write(db, 4, 3, `INSERT INTO t VALUES(4)`); e != nil {
		t.Errorf("a write that is in no transaction is done again: got %+v", e)
	}
	err := db.Update(t.Context(), Origin{Kind: Local}, func(tx *Tx) error { _, err := tx.Replay("tab", 3, 3); return err })
	wantCode(t, err, errcode.Protocol)
	wantCode(t, db.ForgetSessions(t.Context(), func(session string) bool { return session == "tab" }), "")
	same(t, query(t, db, `SELECT count(*), (SELECT count(*) FROM heddle_outcome) FROM t`), [][]Value{{int64(3), int64(0)}})
}
