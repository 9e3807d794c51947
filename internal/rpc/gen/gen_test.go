package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerate_checkedInFilesAreFresh(t *testing.T) {
	files, err := Generate("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("../../..", name)); err != nil || string(got) != string(want) {
			t.Errorf("%s is stale: run go generate ./internal/rpc (%v)", name, err)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	const head = "version 2\nstruct T\n  a  u8\n"
	for name, c := range map[string]struct{ text, says string }{
		"no version":              {"struct T\n  a  u8", "no version"},
		"a number that is taken":  {head + "method 1 a read () T\nmethod 1 b read () T", "method 1 is declared twice"},
		"a name that is taken":    {head + "event 1 a - T\nevent 2 a - T", "event a is declared twice"},
		"an unknown type":         {head + "  b  u9", `"u9"`},
		"an unknown reply":        {head + "method 1 a read () U", `"U"`},
		"an unknown lane":         {head + "method 1 a slow () T", "messages.spec:4"},
		"a field of two types":    {head + "method 1 a read (x u8) T\nmethod 2 b read (x u16) T", "x is a u8 and a u16"},
		"a field without a type":  {head + "method 1 a read (x) T", "not a field"},
		"what declares nothing":   {head + "metod 1 a read () T", "not a declaration"},
		"a field before a struct": {"  a  u8", "not a field"},
	} {
		if _, err := Parse(c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.says)
		}
	}
}
