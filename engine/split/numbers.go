package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// divideByNumbers splits a program whose functions have no names. A list of another
// build says nothing: the first part has everything then, until make first-part.
func divideByNumbers(in []byte, list string) (wasmfile.Parts, error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	n, err := wasmfile.Functions(in)
	if err != nil {
		return wasmfile.Parts{}, err
	}
	sum, first, err := readNumbers(string(text), n)
	if err != nil {
		return wasmfile.Parts{}, fmt.Errorf("%s: %w", list, err)
	}
	if own := sha256.Sum256(in); sum != hex.EncodeToString(own[:]) {
		fmt.Fprintf(os.Stderr, "split: %s is of another build, so all is in the first part: make first-part\n", list)
		return splitNothing(in)
	}
	return wasmfile.Split(in, wasmfile.Plan{First: first})
}

// readNumbers reads a list of numbers, counted from the first function that the program
// defines: lines of numbers and of ranges, as 7-12, behind one of the program's SHA-256.
// A # begins a comment.
func readNumbers(text string, functions int) (sum string, first []bool, err error) {
	first = make([]bool, functions)
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, word := range strings.Fields(line) {
			if sum == "" {
				sum = word
				continue
			}
			from, to := 0, 0
			if _, err := fmt.Sscanf(word, "%d-%d", &from, &to); err != nil {
				if _, err := fmt.Sscanf(word, "%d", &from); err != nil {
					return "", nil, fmt.Errorf("%q is no number", word)
				}
				to = from
			}
			for i := from; i <= to && i < functions; i++ {
				first[i] = true
			}
		}
	}
	return sum, first, nil
}
