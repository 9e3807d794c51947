// Command split divides a program for WebAssembly into what a start needs and the
// rest: see wasmfile.Split. Of Go's program, what neither part reads is left out, as the
// tables that lead to files and lines.
//
//	split -first functions.txt -rest heddle-rest.wasm [-third prefixes.txt -third-part heddle-sealed.wasm]
//	    [-carry name=other.wasm]… in.wasm heddle.wasm
//	split -numbers functions.txt -rest other.wasm sqlite3.wasm out.wasm
//	split -profile in.wasm out.wasm
//	split -whole in.wasm out.wasm
//	split -names in.wasm
//
// The list of functions comes from a run of the program that -profile writes: its
// globals "entered.N" tell which functions were entered, and line N of -names how
// these are called, if the program is Go's. SQLite's functions have numbers alone, which
// are those of one build of it: see readNumbers.
//
// -third names the functions of a third part by what their names begin with. What of them is in the first part stays
// there: a package's init runs at every start.
//
// -carry puts a file into the rest, as the custom section of that name: one download brings
// the rests of both programs, and the cipher.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

func main() {
	first := flag.String("first", "", "the `file` with the names of the first part's functions, one a line")
	numbers := flag.String("numbers", "", "the `file` with the numbers of the first part's functions")
	rest := flag.String("rest", "", "the `file` for the second part")
	third := flag.String("third", "", "the `file` with the beginnings of the names of the third part's functions")
	thirdPart := flag.String("third-part", "", "the `file` for the third part")
	var carry []string
	flag.Func("carry", "`name=file`, which the second part carries as a section of that name", func(s string) error {
		carry = append(carry, s)
		return nil
	})
	profile := flag.Bool("profile", false, "write a program that notes which functions were entered")
	whole := flag.Bool("whole", false, "write a first part that has all functions")
	names := flag.Bool("names", false, "print the names of the program's functions")
	flag.Parse()
	in, err := os.ReadFile(flag.Arg(0))
	switch {
	case err != nil:
	case *profile:
		err = writeProfile(in, flag.Arg(1))
	case *whole:
		err = writeWhole(in, flag.Arg(1))
	case *names:
		err = printNames(in)
	default:
		err = split(in, lists{*first, *numbers, *third}, files{flag.Arg(1), *rest, *thirdPart, carry})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "split:", err)
		os.Exit(1)
	}
}

// writeProfile writes a whole program that notes which functions were entered.
func writeProfile(in []byte, out string) error {
	profiled, err := wasmfile.Profile(in)
	if err != nil {
		return err
	}
	return writeWhole(profiled, out)
}

// writeWhole writes a first part that has all functions, so that it is loaded as
// every first part is.
func writeWhole(in []byte, out string) error {
	parts, err := splitNothing(in)
	if err != nil {
		return err
	}
	return os.WriteFile(out, parts.First, 0o644)
}

// splitNothing makes parts of which the first has everything.
func splitNothing(in []byte) (wasmfile.Parts, error) {
	n, err := wasmfile.Functions(in)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	return wasmfile.Split(in, wasmfile.Plan{First: slices.Repeat([]bool{true}, n), Third: make([]bool, n)})
}

func printNames(in []byte) error {
	image, err := wasmfile.Image(in)
	if err != nil {
		return err
	}
	t, err := findTables(image)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for i := range t.functions {
		fmt.Fprintln(out, t.name(i))
	}
	return out.Flush()
}

// lists are the files that say what is in the first part, one of the first two, and in the third.
type lists struct{ names, numbers, third string }

func (l lists) divide(in []byte) (wasmfile.Parts, error) {
	if l.numbers != "" {
		return divideByNumbers(in, l.numbers)
	}
	names, err := readLines(l.names)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	var third []string
	if l.third != "" {
		if third, err = readLines(l.third); err != nil {
			return wasmfile.Parts{}, err
		}
	}
	return divide(in, names, third)
}

// files are those that the parts are written to, and those that the rest carries, after their names.
type files struct {
	first, rest, third string
	carry              []string
}

func split(in []byte, by lists, to files) error {
	parts, err := by.divide(in)
	if err != nil {
		return err
	}
	for _, carry := range to.carry {
		name, file, _ := strings.Cut(carry, "=")
		carried, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		parts.Rest = wasmfile.AppendCustom(parts.Rest, name, carried)
	}
	if parts.Third != nil {
		if err := os.WriteFile(to.third, parts.Third, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(to.rest, parts.Rest, 0o644); err != nil {
		return err
	}
	return os.WriteFile(to.first, parts.First, 0o644)
}

// divide splits a program of Go's: functions with one of the names go into the first
// part, others whose names begin with a prefix into the third.
func divide(in []byte, names, prefixes []string) (wasmfile.Parts, error) {
	inFirst := map[string]bool{}
	for _, name := range names {
		inFirst[name] = true
	}
	plan := wasmfile.Plan{}
	var err error
	if plan.Image, err = wasmfile.Image(in); err != nil {
		return wasmfile.Parts{}, err
	}
	t, err := findTables(plan.Image)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	for i := range t.functions {
		name := t.name(i)
		plan.First = append(plan.First, inFirst[name])
		if len(prefixes) > 0 {
			plan.Third = append(plan.Third, slices.ContainsFunc(prefixes, func(p string) bool {
				return strings.HasPrefix(name, p)
			}))
		}
	}
	plan.Start = t.fillBuckets()
	plan.RestData, plan.ThirdData = t.divide(plan.First, plan.Third)
	return wasmfile.Split(in, plan)
}

// readLines reads a list, without what begins with #.
func readLines(path string) (all []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all, nil
}
