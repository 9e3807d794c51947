// Command gen writes what must agree with engine/sqlite3.wasm: the stubs of
// engine/link and of engine/wazero/link, and web/src/worker/engine-modules.gen.ts.
//
//	go run ./engine/gen        # from the root of the repository
//	go run ./engine/gen -check # fails if a file is stale
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the root of the repository")
	check := flag.Bool("check", false, "write nothing; fail if a file would change")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "engine/gen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	files, err := Generate(filepath.Join(root, "engine", "sqlite3.wasm"))
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, content) {
			continue
		}
		if check {
			return fmt.Errorf("%s is stale: run go run ./engine/gen", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			return err
		}
	}
	return nil
}
