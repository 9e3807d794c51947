package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/natshints"
	"heddle.dev/heddle/sync/logstore/pgstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
)

// recheckEvery is how often a server over a database that others write to looks at the
// heads of all spaces that are followed: a lost hint costs as much.
const recheckEvery = 2 * time.Second

// openStore opens a store by its name on the command line: a data directory, with o,
// or a database's URL.
func openStore(ctx context.Context, name string, o sqlitestore.Options) (logstore.Store, error) {
	switch {
	case pgstore.IsURL(name):
		return pgstore.Open(ctx, pgstore.Options{URL: name, Logger: o.Logger})
	case strings.Contains(name, "://"):
		return nil, badUsage("it is no store that this program knows: a data directory is one, or postgres://…")
	}
	if o.Shared {
		files, err := sqlitestore.Files(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".space.db") {
				return nil, fmt.Errorf("%s is of an earlier version: start a server on the directory once, "+
					"which takes it over", file)
			}
		}
	}
	o.Dir = name
	return sqlitestore.Open(o)
}

// place says on a command line where spaces are kept: in a directory or a database.
type place struct {
	data, url string
	hints     string // of servers; "": those that the store has itself
}

const placeArgs = "(--data DIR | --store URL)"

func newPlace(flags *flag.FlagSet) *place {
	p := &place{}
	p.define(flags, "the server's data `directory`")
	return p
}

func (p *place) define(flags *flag.FlagSet, data string) {
	flags.StringVar(&p.data, "data", "", data)
	flags.StringVar(&p.url, "store", "", "`URL` of the PostgreSQL database for the spaces, in place of --data: "+
		"postgres://USER@HOST/NAME; a password comes of the environment's PGPASSWORD or PGPASSFILE")
}

func (p *place) check() error {
	switch {
	case (p.data == "") == (p.url == ""):
		return badUsage("either --data or --store is needed")
	case p.url != "" && !pgstore.IsURL(p.url):
		return badUsage("--store is the URL of a database: postgres://USER@HOST/NAME")
	case p.hints != "" && p.url == "":
		return badUsage("--hints is for --store: no other server uses a directory")
	case p.hints != "" && !natshints.IsURL(p.hints) && !pgstore.IsURL(p.hints):
		return badUsage("--hints is the URL of a NATS server, nats://HOST:4222, or of the database itself")
	}
	return nil
}

// open opens the store; o is for a directory.
func (p *place) open(ctx context.Context, o sqlitestore.Options, log *slog.Logger) (logstore.Store, error) {
	o.Logger = log
	if p.hints == "" {
		return openStore(ctx, p.data+p.url, o)
	}
	hints, err := openHints(p.hints, log)
	if err != nil {
		return nil, err
	}
	s, err := pgstore.Open(ctx, pgstore.Options{URL: p.url, Hints: hints, Logger: log})
	if err != nil {
		return nil, errors.Join(err, hints.Close())
	}
	return s, nil
}

// openHints opens hints by their name on the command line.
func openHints(name string, log *slog.Logger) (logstore.Hints, error) {
	if natshints.IsURL(name) {
		return natshints.Open(natshints.Options{URL: name, Logger: log})
	}
	return pgstore.OpenHints(name, log)
}

// run runs f on a store that servers may be using.
func (p *place) run(e *env, f func(logstore.Store) error) error {
	if err := p.check(); err != nil {
		return err
	}
	s, err := p.open(e.ctx, sqlitestore.Options{Shared: true}, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

// where says where a store keeps its spaces, without secrets.
func where(s logstore.Store, data string) string {
	if s, ok := s.(*pgstore.Store); ok {
		return s.Where()
	}
	return data
}
