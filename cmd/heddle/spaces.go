package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/wire"
)

// eachSpace calls f with each space of a store.
func eachSpace(ctx context.Context, s logstore.Store, f func(*logstore.Info) error) error {
	const page = 1000
	for after := ""; ; {
		infos, err := s.Spaces(ctx, after, page)
		if err != nil || len(infos) == 0 {
			return err
		}
		for i := range infos {
			if err := f(&infos[i]); err != nil {
				return err
			}
		}
		after = infos[len(infos)-1].Space
	}
}

var spacesCommand = command{
	name:  "spaces",
	args:  placeArgs,
	short: "list a server's spaces",
	long: `
Lists the spaces of a data directory or a database: for each the log's end, the rows, and the
bytes of the rows and of the log. The server may go on meanwhile.`,
	run: func(e *env, flags *flag.FlagSet, args []string) error {
		kept := newPlace(flags)
		if err := parse(flags, args, 0, ""); err != nil {
			return err
		}
		return kept.run(e, func(s logstore.Store) error {
			n := 0
			err := eachSpace(e.ctx, s, func(i *logstore.Info) error {
				n++
				if i.Gone {
					_, err := fmt.Fprintf(e.stdout, "%s deleted\n", i.Space)
					return err
				}
				_, err := fmt.Fprintf(e.stdout, "%s at %d, %d rows of %d bytes, log from %d of %d bytes\n",
					i.Space, i.Head.Seq, i.Rows, i.Live, i.Horizon+1, i.Logged)
				return err
			})
			if err == nil {
				_, err = fmt.Fprintf(e.stdout, "%d spaces\n", n)
			}
			return err
		})
	},
}

// ofSpace makes a command on one space of a store that servers may be using.
func ofSpace(name, short, long string, run func(e *env, s logstore.Store, space string) error) command {
	return command{name: name, args: placeArgs + " --space SPACE", short: short, long: long,
		run: func(e *env, flags *flag.FlagSet, args []string) error {
			kept := newPlace(flags)
			space := flags.String("space", "", "the `space`'s name")
			if err := parse(flags, args, 0, ""); err != nil {
				return err
			}
			if !wire.ValidSpace(*space) {
				return badUsage("--space: %q cannot be a space's name", *space)
			}
			return kept.run(e, func(s logstore.Store) error { return run(e, s, *space) })
		}}
}

var showCommand = ofSpace("show", "show what a server has of a space", `
Prints the state of a space: the log's end and where it begins, the rows, the
digest, the tables, the clients with their last decided transaction and the
subject that they belong to, and unfinished uploads. The server may go on
meanwhile.`, func(e *env, s logstore.Store, space string) error {
	return s.Read(e.ctx, space, func(v logstore.View) error { return show(e, space, v) })
})

func show(e *env, space string, v logstore.View) error {
	m, err := v.Meta()
	if err != nil {
		return err
	}
	data, err := v.Schema()
	if err != nil {
		return err
	}
	schema, err := fold.UnmarshalSchema(data)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range schema.Tables() {
		names = append(names, t.Table)
	}
	fmt.Fprintf(e.stdout, "space   %s\nepoch   %x\nlog     %d to %d, %d bytes\nchain   %x\n", space, m.Head.Epoch,
		m.Horizon+1, m.Head.Seq, m.Logged, m.Head.Chain)
	fmt.Fprintf(e.stdout, "rows    %d, %d bytes\ndigest  %x\ntables  %s\n", m.RowCount, m.Live, m.Digest,
		strings.Join(names, ", "))
	for c, err := range v.AllClients() {
		if err != nil {
			return err
		}
		owner := ""
		if c.Owned {
			owner = fmt.Sprintf(", of %q", c.Owner)
		}
		fmt.Fprintf(e.stdout, "client  %x, %d decided%s\n", c.ID, c.Decided, owner)
	}
	uploads, err := v.Uploads()
	for _, u := range uploads {
		fmt.Fprintf(e.stdout, "upload  %x, transaction %d, %d of %d parts\n", u.Client, u.Counter, u.Held, u.Total)
	}
	return err
}

var cutCommand = ofSpace("cut", "take the beginning of a space's log off", `
Takes the log of a space off up to its end: values that were changed or deleted
are in the log no more, nor in the server's files. Devices that have not seen all
of what is cut take the rows in place of the log. The server may go on meanwhile.
Backups keep what they have.`, func(e *env, s logstore.Store, space string) error {
	if err := refuseSealed(e, s, space); err != nil {
		return err
	}
	if err := s.Cut(e.ctx, space, math.MaxInt64); err != nil {
		return err
	}
	return s.Read(e.ctx, space, func(v logstore.View) error {
		m, err := v.Meta()
		if err == nil {
			_, err = fmt.Fprintf(e.stdout, "%s: the log begins after %d and ends at %d\n", space, m.Horizon, m.Head.Seq)
		}
		return err
	})
})

// refuseSealed keeps a sealed space's log: devices start from what its members have proved, and from nothing else.
func refuseSealed(e *env, s logstore.Store, space string) error {
	return s.Read(e.ctx, space, func(v logstore.View) error {
		first, err := v.Entries(0, 1, wire.ClientID{})
		if err == nil && len(first) > 0 && wire.Sealed(first[0].Body) {
			err = errcode.New(errcode.Sealed, "heddle cut",
				"the space is sealed: its server cuts the log behind a snapshot that its members have proved")
		}
		return err
	})
}

var deleteCommand = ofSpace("delete", "erase a space for good", `
Erases a space from the server: its rows, its log, what is known of its clients.
Its name stays, so that no device makes it anew: each gets HEDDLE_GONE, and keeps
its own copy. Open streams end within seconds. The server may go on meanwhile.
Backups keep what they have.`, func(e *env, s logstore.Store, space string) error {
	if err := s.Delete(e.ctx, space); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s is deleted\n", space)
	return err
})

var kickCommand = ofSpace("kick", "end the open streams of a space", `
Has a server that runs end the streams of a space within seconds. Devices connect
again, with their tokens as they are by then.`, func(e *env, s logstore.Store, space string) error {
	if err := s.Kick(e.ctx, space); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s: its streams end\n", space)
	return err
})

var copyCommand = command{
	name:  "copy",
	args:  "--from STORE --to STORE [--space SPACE] [flags]",
	short: "copy spaces from one store to another",
	long: `
Copies each space of a store, or one, into another store, as it is at one moment,
with its epoch: devices go on where they are, at the other one. A store is a data
directory, or a database as postgres://USER@HOST/NAME. Servers may be using the one
that is copied from, and the other one if it is a database. A space that is there
already is left as it is, and is an error. A directory with one copied space is
that space as files, which heddle inspect reads.`,
	run: copySpaces,
}

func copySpaces(e *env, flags *flag.FlagSet, args []string) error {
	from := flags.String("from", "", "the `store` to copy from: a data directory, or postgres://…")
	to := flags.String("to", "", "the `store` to copy into: a data directory, which is made if missing, or postgres://…")
	only := flags.String("space", "", "copy this `space` alone")
	checksums := flags.Bool("page-checksums", true, "new files get page checksums; =false beside Litestream")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	switch {
	case *from == "" || *to == "":
		return badUsage("--from and --to are needed")
	case *only != "" && !wire.ValidSpace(*only):
		return badUsage("--space: %q cannot be a space's name", *only)
	}
	source, err := openStore(e.ctx, *from, sqlitestore.Options{Shared: true})
	if err != nil {
		return err
	}
	target, err := openStore(e.ctx, *to, sqlitestore.Options{Bare: !*checksums})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	if *only != "" {
		err = copySpace(e, source, target, *only)
	} else {
		err = eachSpace(e.ctx, source, func(i *logstore.Info) error {
			if i.Gone {
				return nil
			}
			return copySpace(e, source, target, i.Space)
		})
	}
	return errors.Join(err, target.Close(), source.Close())
}

func copySpace(e *env, source, target logstore.Store, space string) error {
	var copied logstore.Meta
	err := source.Read(e.ctx, space, func(v logstore.View) (err error) {
		if copied, err = v.Meta(); err != nil {
			return err
		}
		return target.Import(e.ctx, space, v)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", space, err)
	}
	_, err = fmt.Fprintf(e.stdout, "%s at %d, %d rows\n", space, copied.Head.Seq, copied.RowCount)
	return err
}
