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

	"heddle.dev/heddle"
)

// config is what arrives on standard input.
type config struct {
	Migrations []string      `json:"migrations"`
	Tables     []string      `json:"tables"`
	Merge      heddle.Tables `json:"merge"` // by table
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
	tables := heddle.Tables{}
	for _, name := range cfg.Tables {
		tables[name] = cfg.Merge[name]
	}
	db, err := heddle.Open(ctx, heddle.Options{
		File: file, Migrations: cfg.Migrations, Sync: &heddle.SyncOptions{URL: server, Space: space, Tables: tables},
	})
	if err != nil {
		return err
	}
	defer db.Close()
	if driven {
		return drive(ctx, db, lines, out)
	}
	if err := db.Sync().Now(ctx); err != nil {
		return err
	}
	rep := report{Pending: uint64(db.Sync().Status().Pending), Rows: map[string]int64{}}
	seq, digest, err := db.Sync().Digest(ctx)
	if err != nil {
		return err
	}
	rep.Seq, rep.Digest = seq, hex.EncodeToString(digest[:])
	for _, name := range cfg.Tables {
		rows, err := db.Query(ctx, `SELECT count(*) FROM `+sqlite3.QuoteIdentifier(name))
		if err != nil {
			return err
		}
		rep.Rows[name] = rows.Values[0][0].(int64)
	}
	return json.NewEncoder(out).Encode(rep)
}
