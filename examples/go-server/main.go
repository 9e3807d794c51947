// Command go-server embeds Heddle's server in a program of its own, with a rule
// about what it accepts. It takes no tokens: docs/GO.md says how to check them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
	"unicode/utf8"

	"heddle.dev/heddle"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

const maxNote = 280 // characters

// decide rejects a transaction that writes a note that is too long. The device
// that wrote it takes the transaction back and keeps the code.
func decide(_ context.Context, d *server.Decision) error {
	for _, row := range d.Rows {
		if row.Table != "notes" || row.After == nil {
			continue
		}
		if body, _ := row.After.Cells["body"].(string); utf8.RuneCountInString(body) > maxNote {
			return heddle.NewError("APP_NOTE_TOO_LONG", "notes", fmt.Sprintf("a note has at most %d characters", maxNote))
		}
	}
	return nil
}

func run(ctx context.Context, addr, dir string) error {
	store, err := sqlitestore.Open(sqlitestore.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer store.Close()
	srv, err := server.New(server.Options{Store: store, Dev: true, Decide: decide})
	if err != nil {
		return err
	}
	defer srv.Close()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	hs := &http.Server{Handler: srv, ReadHeaderTimeout: 10 * time.Second}
	hs.RegisterOnShutdown(srv.Drain) // the streams of devices do not end by themselves
	fmt.Printf("http://%s\n", listener.Addr())
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- hs.Shutdown(limited)
	}()
	if err := hs.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8787", "where to listen")
	dir := flag.String("data", "data", "where spaces are kept")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *dir); err != nil {
		log.Fatal("go-server: ", err)
	}
}
