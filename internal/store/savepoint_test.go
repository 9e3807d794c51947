package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/errcode"
)

func TestTx_partsAreRecordedAndAnnouncedOneByOne(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT UNIQUE)`},
		Synced: []string{"t"}})
	var recorded, announced []string
	db.SetRecorder(recorderFunc(func(_ *Tx, changes []Change) error {
		for _, ch := range changes {
			if ch.After[1] == "refused" {
				return errcode.New(errcode.Internal, "test", "the recorder does not like it")
			}
			recorded = append(recorded, fmt.Sprint(ch.Key[0], "=", ch.After[1]))
		}
		return nil
	}))
	defer db.OnCommit(func(c Commit) { announced = append(announced, fmt.Sprint(c.Number, ":", c.Tables[0].Inserted)) })()

	tx, err := db.Begin(t.Context(), Origin{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	insert := func(ctx context.Context, sql string) error {
		return tx.Savepoint(ctx, func() error {
			_, err := tx.Exec(sql, Params{})
			return err
		})
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, step := range []struct {
		ctx  context.Context
		sql  string
		code string
	}{
		{t.Context(), `INSERT INTO t VALUES(1, 'a')`, ""},
		{t.Context(), `INSERT INTO t VALUES(2, 'b'); INSERT INTO t VALUES(3, 'a')`, "SQLITE_CONSTRAINT_UNIQUE"},
		{t.Context(), `INSERT INTO t VALUES(4, 'refused')`, errcode.Internal},
		{stopped, `INSERT INTO t VALUES(5, 'e')`, errcode.Aborted},
		{t.Context(), `INSERT INTO t VALUES(2, 'c')`, ""},
	} {
		if err := insert(step.ctx, step.sql); step.code == "" && err != nil || step.code != "" &&
			errcode.Of(err) != step.code {
			t.Errorf("%s: got %v, want %q", step.sql, err, step.code)
		}
		if !tx.Whole() {
			t.Fatalf("%s ended the transaction", step.sql)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	same(t, recorded, []string{"1=a", "2=c"})
	same(t, announced, []string{"1:[[1]]", "2:[[2]]"})
	same(t, query(t, db, `SELECT id, v FROM t`), [][]Value{{int64(1), "a"}, {int64(2), "c"}})
}

func TestTx_aPartThatPanicsEndsTheTransaction(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(id INTEGER PRIMARY KEY)`}})
	tx, err := db.Begin(t.Context(), Origin{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		tx.Savepoint(t.Context(), func() error {
			tx.Exec(`INSERT INTO t VALUES(1)`, Params{})
			panic(errors.New("a fault"))
		})
	}()
	if tx.Whole() {
		t.Error("the transaction goes on")
	}
	wantCode(t, tx.Commit(), errcode.TxClosed)
	same(t, query(t, db, `SELECT count(*) FROM t`), [][]Value{{int64(0)}})
}
