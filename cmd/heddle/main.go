// Command heddle is Heddle's server and its tools. See heddle help.
//
// Tested by main_test.go (every command), spaces_test.go (commands on spaces),
// access_test.go (who gets in, and what is served), tls_test.go (certificates,
// HTTP/2), config_test.go (limits and the file of settings), bounds_test.go (limits
// of a connection), kill_test.go (a killed server) and operate_test.go (the --admin
// listener, a store that does not answer, the end of a server).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do its work, or found a fault
	exitUsage  = 2 // the command line makes no sense
)

// env is what a command may use of the world.
type env struct {
	ctx    context.Context // ends at an interrupt
	stdout io.Writer
	stderr io.Writer
	// For tests.
	bounds bounds
	store  func(logstore.Store) logstore.Store // what stands before the store, if anything does
}

type command struct {
	name, args, short string
	long              string
	run               func(*env, *flag.FlagSet, []string) error
}

func commands() []command {
	return []command{serveCommand, spacesCommand, showCommand, digestCommand, inspectCommand, backupCommand, copyCommand,
		repairCommand, cutCommand, deleteCommand, kickCommand, tokenCommand, typesCommand, evidenceCommand}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(&env{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes a command line, without the program's name.
func run(e *env, args []string) int {
	if len(args) == 0 {
		usage(e.stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) == 0 {
			usage(e.stdout)
			return exitOK
		}
		name, rest = rest[0], []string{"--help"}
	case "version", "--version":
		fmt.Fprintln(e.stdout, version())
		return exitOK
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		err := c.run(e, flags, rest)
		var wrong usageError
		switch {
		case err == nil:
			return exitOK
		case errors.Is(err, flag.ErrHelp):
			c.help(e.stdout, flags)
			return exitOK
		case errors.As(err, &wrong):
			fmt.Fprintf(e.stderr, "heddle %s: %v\n\n", name, err)
			c.help(e.stderr, flags)
			return exitUsage
		}
		if code := errcode.Of(err); code != errcode.Internal {
			fmt.Fprintf(e.stderr, "heddle %s: %v (%s)\n", name, err, code)
		} else {
			fmt.Fprintf(e.stderr, "heddle %s: %v\n", name, err)
		}
		return exitFailed
	}
	fmt.Fprintf(e.stderr, "heddle: there is no command %q\n\n", name)
	usage(e.stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w,
		"Heddle: SQLite in the browser, the same on every device.\n\nUsage: heddle COMMAND [flags]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.short)
	}
	fmt.Fprintf(w, "  %-9s %s\n", "version", "print the version of this program")
	fmt.Fprint(w, "\nheddle help COMMAND tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.\n")
}

func (c *command) help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "Usage: heddle %s %s\n\n%s\n", c.name, c.args, strings.TrimSpace(c.long))
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\nFlags:\n")
			first = false
		}
		kind, text := flag.UnquoteUsage(f)
		if kind != "" {
			kind = " " + kind
		}
		fmt.Fprintf(w, "  --%s%s\n        %s", f.Name, kind, text)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func badUsage(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// parse reads flags and demands a number of arguments beside them.
func parse(flags *flag.FlagSet, args []string, want int, what string) error {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return usageError{err}
	case flags.NArg() < want:
		return badUsage("%s is missing", what)
	case flags.NArg() > want:
		return badUsage("unexpected argument %q", flags.Arg(want))
	}
	return nil
}

// given says whether a flag was set.
func given(flags *flag.FlagSet, name string) (yes bool) {
	flags.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// list is a flag that may be given several times, or once with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

func version() string {
	v, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return "heddle " + v + revision
}
