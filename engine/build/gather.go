package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Modules of go.mod that hold the sources.
const (
	amalgamation = "github.com/mattn/go-sqlite3"
	glue         = "github.com/ncruces/go-sqlite3-wasm/v6"
	libc         = "github.com/ncruces/wasm2go"
)

// gather copies all sources into work, patched, and returns the names that the
// module must export.
func gather(work string) (exports []string, err error) {
	dirs := map[string]string{}
	for _, m := range []string{amalgamation, glue, libc} {
		if dirs[m], err = moduleDir(m); err != nil {
			return nil, err
		}
	}
	sqlite := dirs[amalgamation]
	for from, to := range map[string]string{
		"sqlite3-binding.c": "sqlite3.c",
		"sqlite3-binding.h": "sqlite3.h",
		"sqlite3ext.h":      "sqlite3ext.h",
	} {
		if err := copyFile(filepath.Join(sqlite, from), filepath.Join(work, to)); err != nil {
			return nil, err
		}
	}
	build := filepath.Join(dirs[glue], "build")
	if err := copyMatching(build, work, ".c", ".h"); err != nil {
		return nil, err
	}
	if err := copyMatching(filepath.Join(dirs[libc], "libc-gen", "c"), filepath.Join(work, "libc"), ".c",
		".h"); err != nil {
		return nil, err
	}
	if err := copyMatching("csrc", work, ".c", ".h"); err != nil { // main.c replaces the glue's
		return nil, err
	}
	patches, err := filepath.Glob(filepath.Join(build, "*.patch"))
	if err != nil {
		return nil, err
	}
	if len(patches) != 3 {
		return nil, fmt.Errorf("%s has %d patches, not the 3 that were read", build, len(patches))
	}
	for _, p := range append(patches, filepath.Join("csrc", "nesting.patch")) {
		if err := applyPatch(filepath.Join(work, "sqlite3.c"), p); err != nil {
			return nil, err
		}
	}
	// csrc/blocks.c defines its own.
	tlsf := filepath.Join(work, "libc", "malloc_tlsf.c")
	if err := replaceOnce(tlsf, "#define PAGESIZE 65536\n", ""); err != nil {
		return nil, err
	}
	// csrc/memory.c defines its own of these.
	for _, f := range []string{
		"__attribute__((always_inline)) void*(memset)(void* p, int v, size_t n) {\n  return __builtin_memset(p, v, n);\n}\n",
		"__attribute__((always_inline)) void*(memcpy)(void* restrict d,\n                                             " +
			"const void* restrict s, size_t n) {\n  return __builtin_memcpy(d, s, n);\n}\n",
		"__attribute__((always_inline)) void*(memmove)(void* restrict d,\n                                              " +
			"const void* restrict s,\n                                              size_t n) {\n  return " +
			"__builtin_memmove(d, s, n);\n}\n",
	} {
		if err := replaceOnce(filepath.Join(work, "libc", "string.c"), f, ""); err != nil {
			return nil, err
		}
	}
	return readExports(filepath.Join(build, "exports.txt"))
}

// readExports returns the glue's list without its test programs, and with the
// functions that the glue exports by other means or that Heddle adds.
func readExports(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	exports := strings.Fields(`_initialize
		heddle_pack_new heddle_pack_free heddle_pack_rows heddle_pack_count heddle_pack_block
		heddle_run_rows
		heddle_tally_new heddle_tally_add heddle_tally_count heddle_tally_rows heddle_tally_taken heddle_tally_clear`)
	for _, name := range strings.Fields(string(data)) {
		if name == "__stack_pointer" || strings.HasPrefix(name, "main_") {
			continue
		}
		exports = append(exports, name)
	}
	return exports, nil
}

func copyMatching(from, to string, suffixes ...string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		for _, s := range suffixes {
			if strings.HasSuffix(path, s) {
				return copyFile(path, filepath.Join(to, rel))
			}
		}
		return nil
	})
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o666)
}

func replaceOnce(file, old, new string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(data), old); n != 1 {
		return fmt.Errorf("%s: %q is there %d times, not once", filepath.Base(file), old, n)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(data), old, new, 1)), 0o666)
}
