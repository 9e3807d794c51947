package ts

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerate_checkedInFileIsFresh(t *testing.T) {
	want, err := Generate("../../errcode.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../../web/src/shared/codes.gen.ts")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("web/src/shared/codes.gen.ts is stale: run go generate ./internal/errcode")
	}
}

func TestGenerate_refuses(t *testing.T) {
	for name, src := range map[string]string{
		"a code without a comment": "package p\nconst A = \"HEDDLE_A\"\n",
		"no codes":                 "package p\nconst A = \"OTHER\" // x\n",
		"not Go":                   "packag",
	} {
		path := filepath.Join(t.TempDir(), "x.go")
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := Generate(path); err == nil {
			t.Errorf("%s: got %q, want an error", name, out)
		}
	}
}

func TestGenerate_sortsAndQuotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	src := "package p\nconst (\n B = \"HEDDLE_B\" // says \"b\"\n A = \"HEDDLE_A\" // a\n)\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := Generate(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "  HEDDLE_A: \"a\",\n  HEDDLE_B: \"says \\\"b\\\"\",\n"; !strings.Contains(string(out), want) {
		t.Errorf("got %s, want it to hold %s", out, want)
	}
}
