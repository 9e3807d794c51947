package store

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
)

// notifications collects those of each commit.
func notifications(db *DB) (take func() []string) {
	var got []string
	db.OnCommit(func(c Commit) {
		for _, n := range c.Notifications {
			got = append(got, fmt.Sprintf("%s:%s in %d", n.Channel, n.Payload, len(c.Tables)))
		}
	})
	return func() []string {
		defer func() { got = nil }()
		return got
	}
}

func TestTx_notify(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a PRIMARY KEY)`}})
	take := notifications(db)
	for _, c := range []struct {
		name string
		do   func(tx *Tx) error
		want []string
	}{
		{"alone", func(tx *Tx) error { return tx.Notify("c", "1") }, []string{"c:1 in 0"}},
		{"with rows", func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO t VALUES (1)`, Params{})
			return firstOf(err, tx.Notify("c", "1"), tx.Notify("d", "2"))
		}, []string{"c:1 in 1", "d:2 in 1"}},
		{"rolled back", func(tx *Tx) error { return firstOf(tx.Notify("c", "1"), tx.Rollback()) }, nil},
		{"rolled back to a savepoint", func(tx *Tx) error {
			return firstOf(tx.Notify("c", "1"), run(tx, `SAVEPOINT a`), tx.Notify("c", "2"), run(tx, `SAVEPOINT b`),
				tx.Notify("c", "3"),
				run(tx, `ROLLBACK TO A`), tx.Notify("c", "4"), run(tx, `ROLLBACK TO a`), tx.Notify("c", "5"))
		}, []string{"c:1 in 0", "c:5 in 0"}},
		{"a savepoint that was released", func(tx *Tx) error {
			return firstOf(run(tx, `SAVEPOINT a`), tx.Notify("c", "1"), run(tx, `SAVEPOINT b`), run(tx, `RELEASE b`),
				run(tx, `RELEASE a`),
				tx.Notify("c", "2"))
		}, []string{"c:1 in 0", "c:2 in 0"}},
	} {
		tx, err := db.Begin(t.Context(), Origin{Kind: Local})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.do(tx); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		tx.Commit() // does nothing after a rollback
		if got := take(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTx_notifyOfASavepointThatFails(t *testing.T) {
	db := openTest(t, Options{Migrations: []string{`CREATE TABLE t(a PRIMARY KEY)`}})
	take := notifications(db)
	err := db.Update(t.Context(), Origin{Kind: Local}, func(tx *Tx) error {
		for i, fail := range []error{nil, errcode.New("APP_NO", "test", "no"), nil} {
			err := tx.Savepoint(t.Context(), func() error { return firstOf(tx.Notify("c", fmt.Sprint(i)), fail) })
			if err != nil && fail == nil {
				return err
			}
		}
		return nil
	})
	if got, want := take(), []string{"c:0 in 0", "c:2 in 0"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestTx_notifyTooMuch(t *testing.T) {
	db := openTest(t, Options{})
	err := db.Update(t.Context(), Origin{Kind: Local}, func(tx *Tx) error {
		for range 4 {
			if err := tx.Notify("", strings.Repeat("x", MaxNotified/4)); err != nil {
				return err
			}
		}
		return tx.Notify("", "x")
	})
	if errcode.Of(err) != errcode.TooBig {
		t.Errorf("got %v, want %s", err, errcode.TooBig)
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func run(tx *Tx, sql string) error {
	_, err := tx.Exec(sql, Params{})
	return err
}
