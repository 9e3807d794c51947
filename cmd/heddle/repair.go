package main

import (
	"flag"
	"fmt"

	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/wire"
)

var repairCommand = command{
	name:  "repair",
	args:  "--data DIR --space SPACE",
	short: "rebuild the damaged file of a space",
	long: `
Rebuilds the file that holds a space, with every space in it, while no server
uses the data directory. Where a log is whole, the rows and the digest are folded
from it, and devices notice nothing. Where entries of the log are lost, or its beginning was cut off, the
stored rows are taken, and the log is cut behind the last entry that is lost:
devices that were away for longer take the rows in place of the log. Where the
log's end is lost, devices give it back what they wrote. The file as it was is
kept beside the new one. heddle inspect tells whether a file is damaged.`,
	run: repair,
}

func repair(e *env, flags *flag.FlagSet, args []string) error {
	data := flags.String("data", "", "the server's data `directory`")
	space := flags.String("space", "", "the `space`'s name")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	switch {
	case *data == "":
		return badUsage("--data is needed")
	case !wire.ValidSpace(*space):
		return badUsage("--space: %q cannot be a space's name", *space)
	}
	all, err := sqlitestore.Repair(*data, *space)
	if err != nil {
		return err
	}
	for _, done := range all {
		for _, problem := range done.Problems {
			fmt.Fprintf(e.stdout, "found   %s: %s\n", done.Space, problem)
		}
		how := "folded from the log"
		if !done.FromLog {
			how = "the stored ones"
		}
		fmt.Fprintf(e.stdout, "space   %s\nlog     %d to %d\nrows    %d, %s\ndigest  %x\n",
			done.Space, done.Horizon+1, done.Seq, done.Rows, how, done.Digest)
	}
	_, err = fmt.Fprintf(e.stdout, "before  %s\n", all[0].Damaged)
	return err
}
