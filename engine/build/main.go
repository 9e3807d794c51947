// Command build compiles engine/sqlite3.wasm: SQLite, as a position-independent
// WebAssembly side module, from sources in the Go module cache. Beside it comes
// simd.wasm, what C does with SIMD.
//
//	cd engine/build && go run . -o ../sqlite3.wasm
//
// It needs clang-19 and wasm-ld-19 (Debian: clang-19 lld-19) and, for the check
// of the shadow stack, wasm-opt of the npm package binaryen 132. The same
// sources and tools give the same bytes. See ../README.md.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("o", "../sqlite3.wasm", "where to write the module; simd.wasm and their SHA-256 go beside it")
	keep := flag.String("work", "", "keep the intermediate files in this directory")
	wasmOpt := flag.String("wasm-opt", "",
		"wasm-opt of binaryen 132 (default: node_modules of this directory or of the root)")
	flag.Parse()
	if err := run(*out, *keep, *wasmOpt); err != nil {
		fmt.Fprintln(os.Stderr, "engine/build:", err)
		os.Exit(1)
	}
}

func run(out, work, wasmOpt string) error {
	if work == "" {
		dir, err := os.MkdirTemp("", "heddle-engine-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		work = dir
	}
	if err := os.MkdirAll(work, 0o777); err != nil {
		return err
	}
	opt, err := findWasmOpt(wasmOpt)
	if err != nil {
		return err
	}
	exports, err := gather(work)
	if err != nil {
		return err
	}
	var steps [][]string
	for unit, flag := range units {
		steps = append(steps, append(append([]string{"clang-19"}, compileFlags...), flag, "-c", unit+".c", "-o", unit+".o"))
	}
	steps = append(steps, linkCommand(exports), append([]string{"wasm-opt"}, optimizeFlags...))
	for _, step := range append(steps, simdSteps...) {
		tool := step[0]
		if tool == "wasm-opt" {
			tool = opt
		}
		cmd := exec.Command(tool, step[1:]...)
		cmd.Dir = work
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(step[0]), err)
		}
	}
	module, err := os.ReadFile(filepath.Join(work, "sqlite3.wasm"))
	if err != nil {
		return err
	}
	if module, err = allowInlining(module); err != nil {
		return err
	}
	simd, err := os.ReadFile(filepath.Join(work, "simd.wasm"))
	if err != nil {
		return err
	}
	if err := write(filepath.Join(filepath.Dir(out), "simd.wasm"), simd); err != nil {
		return err
	}
	return write(out, module)
}

// write writes a module, and its SHA-256 beside it.
func write(out string, module []byte) error {
	if err := os.WriteFile(out, module, 0o666); err != nil {
		return err
	}
	sum := fmt.Sprintf("%x  %s\n", sha256.Sum256(module), filepath.Base(out))
	fmt.Printf("%s %d bytes\n", strings.TrimSpace(sum), len(module))
	return os.WriteFile(out+".sha256", []byte(sum), 0o666)
}

// findWasmOpt looks for binaryen 132, whose version is part of the recipe.
func findWasmOpt(given string) (string, error) {
	candidates := []string{given}
	if given == "" {
		candidates = []string{
			"node_modules/binaryen/bin/wasm-opt",
			"../../node_modules/binaryen/bin/wasm-opt",
		}
	}
	for _, c := range candidates {
		path, err := filepath.Abs(c)
		if err != nil {
			return "", err
		}
		version, err := exec.Command(path, "--version").Output()
		if err != nil {
			continue
		}
		if !bytes.Contains(version, []byte("version 132")) {
			return "", fmt.Errorf("%s is %s, the recipe wants version 132", path, bytes.TrimSpace(version))
		}
		return path, nil
	}
	return "", fmt.Errorf("no wasm-opt in %s: install the npm package binaryen 132", strings.Join(candidates, ", "))
}

// moduleDir returns where the go command keeps a module of go.mod, verified
// against go.sum.
func moduleDir(path string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", path)
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w", path, err)
	}
	var mod struct{ Dir, Error string }
	if err := json.Unmarshal(data, &mod); err != nil {
		return "", err
	}
	if mod.Error != "" {
		return "", fmt.Errorf("go mod download %s: %s", path, mod.Error)
	}
	return mod.Dir, nil
}
