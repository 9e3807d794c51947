package heddle_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"heddle.dev/heddle"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

var migrations = []string{`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT)`}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "heddle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := heddle.Open(ctx, heddle.Options{File: filepath.Join(dir, "notes.db"), Migrations: migrations})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	err = db.Transaction(ctx, func(tx *heddle.Tx) error {
		for _, body := range []string{"Buy thread", "Warp the loom"} {
			if _, err := tx.Exec(`INSERT INTO notes(body) VALUES (?)`, body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := db.Query(ctx, `SELECT body FROM notes WHERE body LIKE :like`, heddle.Named{"like": "%thread"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows.Columns, rows.Values)

	_, err = db.Exec(ctx, `INSERT INTO notes(id) SELECT id FROM notes`)
	fmt.Println(heddle.Code(err), errors.Is(err, &heddle.Error{Code: "SQLITE_CONSTRAINT_PRIMARYKEY"}))

	// Output:
	// [body] [[Buy thread]]
	// SQLITE_CONSTRAINT_PRIMARYKEY true
}

// A laptop and a phone share a space through a server that has a rule of its own.
func Example_sync() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "heddle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: filepath.Join(dir, "server")})
	if err != nil {
		log.Fatal(err)
	}
	defer kept.Close()
	srv, err := server.New(server.Options{
		Store: kept,
		Dev:   true,
		Decide: func(_ context.Context, d *server.Decision) error {
			for _, row := range d.Rows {
				if row.After == nil {
					return heddle.NewError("APP_NOTES_STAY", "notes", "a note is not deleted")
				}
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	hs := httptest.NewServer(srv)
	defer hs.Close()

	open := func(name string) *heddle.DB {
		db, err := heddle.Open(ctx, heddle.Options{
			File:       filepath.Join(dir, name+".db"),
			Migrations: migrations,
			Sync:       &heddle.SyncOptions{URL: hs.URL, Space: "family", Tables: heddle.Tables{"notes": nil}},
		})
		if err != nil {
			log.Fatal(err)
		}
		return db
	}
	sync := func(db *heddle.DB) {
		if err := db.Sync().Now(ctx); err != nil {
			log.Fatal(err)
		}
	}
	laptop, phone := open("laptop"), open("phone")
	defer laptop.Close()
	defer phone.Close()

	// Writes are local, and work without a network.
	if _, err := laptop.Exec(ctx, `INSERT INTO notes(body) VALUES (?)`, "hello from the laptop"); err != nil {
		log.Fatal(err)
	}
	sync(laptop)
	sync(phone)
	if _, err := phone.Exec(ctx, `DELETE FROM notes`); err != nil {
		log.Fatal(err)
	}
	sync(phone)
	rejected, err := phone.Sync().Rejected(ctx)
	if err != nil {
		log.Fatal(err)
	}
	rows, err := phone.Query(ctx, `SELECT body FROM notes`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rejected[0].Code, rows.Values)

	sync(laptop)
	_, a, _ := laptop.Sync().Digest(ctx)
	seq, b, _ := phone.Sync().Digest(ctx)
	fmt.Println("the same at entry", seq, a == b)

	// Output:
	// APP_NOTES_STAY [[hello from the laptop]]
	// the same at entry 2 true
}
