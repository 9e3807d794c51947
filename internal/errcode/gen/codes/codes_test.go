package codes

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCodes_checkedInFilesAreFresh(t *testing.T) {
	for file, generate := range map[string]func(string) ([]byte, error){
		"web/src/shared/codes.gen.ts": TypeScript,
		"codes.gen.go":                Go,
	} {
		want, err := generate("../../errcode.go")
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../../..", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./internal/errcode", file)
		}
	}
}

func TestCodes_refuses(t *testing.T) {
	for name, src := range map[string]string{
		"a code without a comment": "package p\nconst A = \"HEDDLE_A\"\n",
		"no codes":                 "package p\nconst A = \"OTHER\" // x\n",
		"not Go":                   "packag",
	} {
		path := filepath.Join(t.TempDir(), "x.go")
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := TypeScript(path); err == nil {
			t.Errorf("%s: got %q, want an error", name, out)
		}
	}
}

func TestCodes_sortsAndQuotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	src := "package p\nconst (\n B = \"HEDDLE_B\" // says \"b\"\n A = \"HEDDLE_A\" // a\n)\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := TypeScript(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "  HEDDLE_A: \"a\",\n  HEDDLE_B: \"says \\\"b\\\"\",\n"; !strings.Contains(string(out), want) {
		t.Errorf("got %s, want it to hold %s", out, want)
	}
}
