package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

func TestReadNumbers(t *testing.T) {
	sum, first, err := readNumbers("# a comment\nabc\n1 3-4\n6 # and 5\n9\n", 7)
	if err != nil || sum != "abc" {
		t.Fatalf("got %q, %v", sum, err)
	}
	if want := []bool{false, true, false, true, true, false, true}; !slices.Equal(first, want) {
		t.Errorf("got %v, want %v", first, want)
	}
	if _, _, err := readNumbers("abc\none", 7); err == nil {
		t.Error("a word was taken for a number")
	}
}

// A list of another build than the one in git is of no use.
func TestFirstPart_isOfThisEngine(t *testing.T) {
	module, err := os.ReadFile("../sqlite3.wasm")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../first.txt")
	if err != nil {
		t.Fatal(err)
	}
	n, err := wasmfile.Functions(module)
	if err != nil {
		t.Fatal(err)
	}
	sum, first, err := readNumbers(string(text), n)
	if err != nil {
		t.Fatal(err)
	}
	if own := sha256.Sum256(module); sum != hex.EncodeToString(own[:]) {
		t.Error("engine/first.txt is of another sqlite3.wasm: make first-part")
	}
	if !slices.Contains(first, true) || !slices.Contains(first, false) {
		t.Error("engine/first.txt divides nothing")
	}
}
