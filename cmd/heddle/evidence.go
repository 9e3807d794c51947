package main

import (
	"flag"
	"fmt"
	"os"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

var evidenceCommand = command{
	name:  "evidence",
	args:  "FILE",
	short: "check what a device of a sealed space has found of its server",
	long: `
Checks a file of space.evidence(), or of Sync.Evidence of the Go package: that the
space's members are who the file says, from the entry that began it, and that what
is signed in it is signed by them. It says in words what that shows. A server signs
nothing: that it has sent an entry is the word of the device whose file it is. That
two members follow two histories is proven, where both have signed so.`,
	run: evidence,
}

func evidence(e *env, flags *flag.FlagSet, args []string) error {
	if err := parse(flags, args, 1, "FILE"); err != nil {
		return err
	}
	data, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	found, err := seal.UnmarshalEvidence(data)
	if err != nil {
		return err
	}
	finding, err := found.Check(e.ctx, native.Suite{})
	if err != nil {
		return err
	}
	for _, line := range finding.Text {
		fmt.Fprintln(e.stdout, line)
	}
	return nil
}
