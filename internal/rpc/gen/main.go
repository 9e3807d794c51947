// Command gen writes what internal/rpc/messages.spec declares, in Go and in TypeScript.
//
//	go run ./internal/rpc/gen        # from the root of the repository; or go generate ./internal/rpc
//	go run ./internal/rpc/gen -check # fails if a file is stale
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
		fmt.Fprintln(os.Stderr, "rpc/gen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	files, err := Generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
			continue
		}
		if check {
			return fmt.Errorf("%s is stale: run go generate ./internal/rpc", name)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// Generate returns the files by their names in the repository.
func Generate(root string) (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "internal/rpc/messages.spec"))
	if err != nil {
		return nil, err
	}
	spec, err := Parse(string(text))
	if err != nil {
		return nil, err
	}
	leader, err := spec.Leader()
	if err != nil {
		return nil, err
	}
	page, err := spec.Page()
	return map[string][]byte{
		"internal/rpc/messages.gen.go":         leader,
		"internal/rpc/rpctest/messages.gen.go": page,
		"web/src/rpc/messages.gen.ts":          spec.TypeScript(),
	}, err
}
