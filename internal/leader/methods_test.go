package leader

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

// A method that is declared has a handler here and a caller in the page's half. That it has a vector is package rpc's
// to test.
func TestMethods(t *testing.T) {
	calls := pageSource(t)
	for m, name := range rpctest.Methods {
		if methods[m].do == nil && m.Lane() != rpc.LaneLoad {
			t.Errorf("%s has no handler", name)
		}
		if name == "export" { // a word of JavaScript
			name = "exportAll"
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(calls) {
			t.Errorf("no page sends %s", name)
		}
	}
	for m := range methods {
		if _, declared := rpctest.Methods[rpc.Method(m)]; !declared && methods[m].do != nil {
			t.Errorf("method %d has a handler, and is not declared", m)
		}
	}
}

// pageSource is the code by hand of web/src that uses the declared messages, without comments.
func pageSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"api", "rpc", "sealed"} {
		err := filepath.WalkDir(filepath.Join("../../web/src", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".gen.ts") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "messages.gen.js") {
				all.Write(regexp.MustCompile(`(?m)^\s*(//|\*|/\*).*$`).ReplaceAll(text, nil))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
