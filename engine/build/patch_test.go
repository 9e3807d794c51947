package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestApplyPatch(t *testing.T) {
	const patch = "# why\n--- a\n+++ b\n@@ -9,3 +9,3 @@\n one\n-two\n+TWO\n three\n@@ -1,2 +1,3 @@\n five\n+five and a " +
		"half\n\n"
	for name, tt := range map[string]struct{ file, want string }{
		"applies": {"zero\none\ntwo\nthree\nfour\nfive\n\nsix\n",
			"zero\none\nTWO\nthree\nfour\nfive\nfive and a half\n\nsix\n"},
		"not there": {"one\n2\nthree\nfive\n\n", ""},
		"twice":     {"one\ntwo\nthree\none\ntwo\nthree\nfive\n\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, diff := filepath.Join(dir, "file"), filepath.Join(dir, "diff")
			for path, text := range map[string]string{file: tt.file, diff: patch} {
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			err := applyPatch(file, diff)
			if tt.want == "" {
				if err == nil {
					t.Error("applied without an error")
				}
				return
			}
			got, _ := os.ReadFile(file)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestParseHunks_refuses(t *testing.T) {
	for _, text := range []string{"", "no hunk\n", "@@ -1 +1 @@\n?odd\n"} {
		if _, err := parseHunks(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
