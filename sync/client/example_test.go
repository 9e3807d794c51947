package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

// A native program is a device like any other: a laptop and a phone share a
// space through a server.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "heddle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// The server, as `heddle serve --dev` runs it.
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: filepath.Join(dir, "server")})
	if err != nil {
		log.Fatal(err)
	}
	defer kept.Close()
	srv, err := server.New(server.Options{Store: kept, Dev: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	hs := httptest.NewServer(srv)
	defer hs.Close()

	open := func(name string) (*store.DB, *client.Client) {
		config := client.Config{
			URL:    hs.URL,
			Space:  "family",
			Tables: map[string]client.Merge{"notes": nil},
			HTTP:   nethttp.Doer{},
		}
		db, err := store.Open(ctx, store.Options{
			Filename:      "file:" + filepath.Join(dir, name+".db"),
			Migrations:    []string{`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT)`},
			Synced:        []string{"notes"},
			MigrationHook: client.MigrationHook(config),
		})
		if err != nil {
			log.Fatal(err)
		}
		c, err := client.Open(ctx, db, config)
		if err != nil {
			log.Fatal(err)
		}
		return db, c
	}
	laptop, laptopSync := open("laptop")
	defer laptop.Close()
	defer laptopSync.Close()
	phone, phoneSync := open("phone")
	defer phone.Close()
	defer phoneSync.Close()

	// Writes are local, and work without a network.
	err = laptop.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO notes VALUES('1', ?)`, store.Args("hello from the laptop"))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pending on the laptop:", laptopSync.Status().Pending)

	// Run(ctx) would follow the log; Now syncs once.
	if err := laptopSync.Now(ctx); err != nil {
		log.Fatal(err)
	}
	if err := phoneSync.Now(ctx); err != nil {
		log.Fatal(err)
	}
	err = phone.Query(ctx, `SELECT body FROM notes`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		fmt.Println("on the phone:", s.ColumnText(0))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	_, a, _ := laptopSync.Digest(ctx)
	seq, b, _ := phoneSync.Digest(ctx)
	fmt.Println("the same at entry", seq, a == b)

	// Output:
	// pending on the laptop: 1
	// on the phone: hello from the laptop
	// the same at entry 1 true
}
