// Command split divides Go's program for WebAssembly into what a start needs and the
// rest: see wasmfile.Split. What neither part reads is left out, as the tables that
// lead to files and lines.
//
//	split -first functions.txt -rest heddle-rest.wasm in.wasm heddle.wasm
//	split -profile in.wasm out.wasm
//	split -names in.wasm
//
// The list of functions comes from a run of the program that -profile writes: its
// globals "entered.N" tell which functions were entered, and line N of -names how
// these are called.
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
	rest := flag.String("rest", "", "the `file` for the second part")
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
		err = split(in, *first, flag.Arg(1), *rest)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "split:", err)
		os.Exit(1)
	}
}

// writeProfile writes a first part that has all functions, so that it is loaded as
// every first part is.
func writeProfile(in []byte, out string) error {
	image, err := wasmfile.Image(in)
	if err != nil {
		return err
	}
	t, err := findTables(image)
	if err != nil {
		return err
	}
	profiled, err := wasmfile.Profile(in)
	if err != nil {
		return err
	}
	parts, err := wasmfile.Split(profiled, wasmfile.Plan{First: slices.Repeat([]bool{true}, t.functions)})
	if err != nil {
		return err
	}
	return os.WriteFile(out, parts.First, 0o644)
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

func split(in []byte, list, first, rest string) error {
	names, err := readNames(list)
	if err != nil {
		return err
	}
	parts, err := divide(in, names)
	if err != nil {
		return err
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
