// Command go-client is a notes program for the command line, which works offline
// and syncs with browsers and other Go programs:
//
//	go-client [flags] add TEXT     writes a note, syncs, and says if the server refused it
//	go-client [flags] list         syncs and prints all notes
//	go-client [flags] watch        prints the number of notes now and after each change
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"heddle.dev/heddle"
)

var migrations = []string{`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT NOT NULL DEFAULT '')`}

func run(ctx context.Context, server, space, file string, args []string) error {
	db, err := heddle.Open(ctx, heddle.Options{
		File:       file,
		Migrations: migrations,
		Sync:       &heddle.SyncOptions{URL: server, Space: space, Tables: heddle.Tables{"notes": nil}},
	})
	if err != nil {
		return err
	}
	defer db.Close()
	switch {
	case len(args) == 2 && args[0] == "add":
		return add(ctx, db, args[1])
	case len(args) == 1 && args[0] == "list":
		return list(ctx, db)
	case len(args) == 1 && args[0] == "watch":
		return watch(ctx, db)
	}
	flag.Usage()
	return errors.New("add TEXT, list or watch is needed")
}

func add(ctx context.Context, db *heddle.DB, text string) error {
	if _, err := db.Exec(ctx, `INSERT INTO notes(body) VALUES (?)`, text); err != nil {
		return err
	}
	if err := syncNow(ctx, db); err != nil {
		return err
	}
	rejected, err := db.Sync().Rejected(ctx)
	if err != nil {
		return err
	}
	if len(rejected) == 0 {
		return nil
	}
	if _, err := db.Sync().Discard(ctx, rejected[0].ID); err != nil {
		return err
	}
	return fmt.Errorf("the server has refused the note: %s", rejected[0].Code)
}

func list(ctx context.Context, db *heddle.DB) error {
	if err := syncNow(ctx, db); err != nil {
		return err
	}
	rows, err := db.Query(ctx, `SELECT body FROM notes ORDER BY id`)
	if err != nil {
		return err
	}
	for _, row := range rows.Values {
		fmt.Println(row[0])
	}
	seq, digest, err := db.Sync().Digest(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("digest at entry %d: %x\n", seq, digest)
	return nil
}

func watch(ctx context.Context, db *heddle.DB) error {
	stop, err := db.Live(ctx, func(rows *heddle.Rows, err error) {
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println("notes:", rows.Values[0][0])
	}, `SELECT count(*) FROM notes`)
	if err != nil {
		return err
	}
	defer stop()
	<-ctx.Done()
	return nil
}

// syncNow syncs. Without a network that is not an error: the note is on disk,
// and is sent the next time.
func syncNow(ctx context.Context, db *heddle.DB) error {
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := db.Sync().Now(limited)
	if heddle.Code(err) == heddle.CodeNetwork {
		fmt.Fprintln(os.Stderr, "offline:", err)
		return nil
	}
	return err
}

func main() {
	server := flag.String("server", "http://127.0.0.1:8787", "the server's address")
	space := flag.String("space", "family", "the space's name")
	file := flag.String("db", "notes.db", "the database file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *server, *space, *file, flag.Args()); err != nil {
		log.Fatal("go-client: ", err)
	}
}
