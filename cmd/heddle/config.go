package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// configure reads a file of settings: each line has the name of a flag, "=" and its
// value, as it would stand on the command line; "#" begins a comment. What the
// command line sets counts in place of the file.
func configure(flags *flag.FlagSet, file string) error {
	f, err := os.Open(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("--config %s: %w", file, err)
	}
	defer f.Close()
	line := 0
	wrong := func(format string, args ...any) error {
		return badUsage("%s:%d: %s", file, line, fmt.Sprintf(format, args...))
	}
	onCommandLine, seen := map[string]bool{}, map[string]int{}
	flags.Visit(func(f *flag.Flag) { onCommandLine[f.Name] = true })
	for lines := bufio.NewScanner(f); ; {
		if line++; !lines.Scan() {
			if lines.Err() != nil {
				return wrong("%v", lines.Err())
			}
			return nil
		}
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		set := flags.Lookup(name)
		_, several := listOf(set)
		switch {
		case !ok:
			return wrong("%q is not of the form: name = value", text)
		case set == nil || name == "config":
			return wrong("there is no setting %q%s", name, nearest(flags, name))
		case seen[name] > 0 && !several:
			return wrong("%s is set a second time: it was in line %d", name, seen[name])
		}
		seen[name] = line
		if onCommandLine[name] {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return wrong("%s = %s: %v", name, value, err)
		}
	}
}

// listOf returns what a flag collects, if it may be given several times.
func listOf(f *flag.Flag) (l *list, several bool) {
	if f == nil {
		return nil, false
	}
	l, several = f.Value.(*list)
	return l, several
}

// nearest says which flag's name is like one that there is not.
func nearest(flags *flag.FlagSet, name string) (hint string) {
	least := 3 // changes: more is another word
	flags.VisitAll(func(f *flag.Flag) {
		if d := distance(name, f.Name); d < least {
			least, hint = d, fmt.Sprintf("; is %q meant?", f.Name)
		}
	})
	return hint
}

// distance is how many letters have to be changed, added or taken away to make one
// name of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, last+1, row[j]+1)
		}
	}
	return row[len(b)]
}
