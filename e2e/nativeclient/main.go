// Command nativeclient is a device that is a Go program: it opens a database
// with the migrations it reads from its standard input, syncs it with a server
// until it holds all of the space, and prints what it holds. The browser tests
// compare that with what browsers hold. With -drive it does what it is told line
// by line instead, while sync runs, until its input ends or it is killed.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
)

// config is what arrives on standard input.
type config struct {
	Migrations []string                `json:"migrations"`
	Tables     []string                `json:"tables"`
	Merge      map[string]client.Merge `json:"merge"` // by table
}

// report is what goes to standard output.
type report struct {
	Seq     uint64           `json:"seq"`
	Digest  string           `json:"digest"`
	Pending uint64           `json:"pending"`
	Rows    map[string]int64 `json:"rows"`
}

func main() {
	server := flag.String("server", "", "the server's URL")
	space := flag.String("space", "", "the space's name")
	file := flag.String("db", "", "the database file")
	driven := flag.Bool("drive", false, "do what standard input says")
	limit := flag.Duration("limit", time.Hour, "how long all of it may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, *server, *space, *file, *driven, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nativeclient:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, space, file string, driven bool, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil && err != io.EOF {
		return err
	}
	var cfg config
	if err := json.Unmarshal(line, &cfg); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	// The browser's SQLite has FTS5 compiled in; a native one is given it.
	sqlite3.AutoExtension(fts5.Register)
	tables := make(map[string]client.Merge, len(cfg.Tables))
	for _, name := range cfg.Tables {
		tables[name] = cfg.Merge[name]
	}
	synced := client.Config{URL: server, Space: space, Tables: tables, HTTP: nethttp.Doer{}}
	db, err := store.Open(ctx, store.Options{
		Filename: "file:" + file, Migrations: cfg.Migrations, Synced: cfg.Tables, MigrationHook: client.MigrationHook(synced),
	})
	if err != nil {
		return err
	}
	defer db.Close()

	c, err := client.Open(ctx, db, synced)
	if err != nil {
		return err
	}
	defer c.Close()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	if driven {
		err = drive(ctx, db, c, lines, out)
	} else {
		err = c.Now(ctx)
	}
	stop()
	<-ended
	if err != nil || driven {
		return err
	}

	rep := report{Pending: uint64(c.Status().Pending), Rows: map[string]int64{}}
	seq, digest, err := c.Digest(ctx)
	if err != nil {
		return err
	}
	rep.Seq, rep.Digest = seq, hex.EncodeToString(digest[:])
	for _, name := range cfg.Tables {
		count := func(s *sqlite3.Stmt) error { rep.Rows[name] = s.ColumnInt64(0); return nil }
		if err := db.Query(ctx, `SELECT count(*) FROM `+sqlite3.QuoteIdentifier(name), store.Params{}, nil, count); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(rep)
}
