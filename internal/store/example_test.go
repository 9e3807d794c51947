package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"

	"github.com/ncruces/go-sqlite3"
)

func Example() {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{
		Filename:   ":memory:",
		SingleConn: true,
		Migrations: []string{`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT)`},
		Synced:     []string{"notes"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.OnCommit(func(c store.Commit) {
		for _, t := range c.Tables {
			fmt.Println("commit", c.Number, t.Table, "inserted", t.Inserted, "updated", t.Updated, t.Columns)
		}
	})

	res, err := db.Exec(ctx, `INSERT INTO notes VALUES(?, ?), (?, ?)`, store.Args("a", "warp", "b", "weft"))
	fmt.Println(res.Changes, err)
	err = db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE notes SET body = :body WHERE id = :id`,
			store.Params{Named: map[string]store.Value{"id": "b", "body": "shuttle"}})
		return err
	})
	fmt.Println(err)
	err = db.Query(ctx, `SELECT body FROM notes ORDER BY id`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		fmt.Println(s.ColumnText(0))
		return nil
	})
	fmt.Println(err)

	_, err = db.Exec(ctx, `INSERT INTO notes VALUES('a', 'again')`, store.Params{})
	var e *errcode.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, "-", e.Message())
	}
	// Output:
	// commit 1 notes inserted [[a] [b]] updated [] [id body]
	// 2 <nil>
	// commit 2 notes inserted [] updated [[b]] [body]
	// <nil>
	// warp
	// shuttle
	// <nil>
	// SQLITE_CONSTRAINT_PRIMARYKEY - UNIQUE constraint failed: notes.id
}
