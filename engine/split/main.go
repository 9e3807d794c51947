// Command split divides a program for WebAssembly into what a start needs and the
// rest: see wasmfile.Split. Of Go's program, what neither part reads is left out, as the
// tables that lead to files and lines.
//
//	split -first functions.txt -rest heddle-rest.wasm [-carry other.wasm] in.wasm heddle.wasm
//	split -numbers functions.txt -rest other.wasm sqlite3.wasm out.wasm
//	split -profile in.wasm out.wasm
//	split -names in.wasm
//
// The list of functions comes from a run of the program that -profile writes: its
// globals "entered.N" tell which functions were entered, and line N of -names how
// these are called, if the program is Go's. SQLite's functions have numbers alone, which
// are those of one build of it: see readNumbers.
//
// -carry puts a file into the rest, as the custom section "sqlite": one download brings
// the rests of both programs.
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
	carry := flag.String("carry", "", "a `file` that the second part carries")
	profile := flag.Bool("profile", false, "write a program that notes which functions were entered")
	names := flag.Bool("names", false, "print the names of the program's functions")
	flag.Parse()
	in, err := os.ReadFile(flag.Arg(0))
	switch {
	case err != nil:
	case *profile:
		err = writeProfile(in, flag.Arg(1))
	case *names:
		err = printNames(in)
	default:
		err = split(in, lists{*first, *numbers}, flag.Arg(1), *rest, *carry)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "split:", err)
		os.Exit(1)
	}
}

// writeProfile writes a first part that has all functions, so that it is loaded as
// every first part is.
func writeProfile(in []byte, out string) error {
	profiled, err := wasmfile.Profile(in)
	if err != nil {
		return err
	}
	parts, err := splitNothing(profiled)
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
	return wasmfile.Split(in, wasmfile.Plan{First: slices.Repeat([]bool{true}, n)})
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

// lists are the files that say what is in the first part: one of them is given.
type lists struct{ names, numbers string }

func (l lists) divide(in []byte) (wasmfile.Parts, error) {
	if l.numbers != "" {
		return divideByNumbers(in, l.numbers)
	}
	names, err := readNames(l.names)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	return divide(in, names)
}

func split(in []byte, by lists, first, rest, carry string) error {
	parts, err := by.divide(in)
	if err != nil {
		return err
	}
	if carry != "" {
		carried, err := os.ReadFile(carry)
		if err != nil {
			return err
		}
		parts.Rest = wasmfile.AppendCustom(parts.Rest, "sqlite", carried)
	}
	if err := os.WriteFile(rest, parts.Rest, 0o644); err != nil {
		return err
	}
	return os.WriteFile(first, parts.First, 0o644)
}

// divide splits a program of Go's: functions with one of the names go into the first
// part.
func divide(in []byte, names map[string]bool) (wasmfile.Parts, error) {
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
		plan.First = append(plan.First, names[t.name(i)])
	}
	plan.Start = t.fillBuckets()
	plan.RestData = t.divide(plan.First)
	return wasmfile.Split(in, plan)
}

func readNames(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			names[line] = true
		}
	}
	return names, nil
}
