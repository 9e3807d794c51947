package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateTypes = flag.Bool("update", false, "write the golden files")

func TestTypes(t *testing.T) {
	for name, args := range map[string][]string{"rows.ts": nil, "kysely.ts": {"--kysely"}} {
		golden := filepath.Join("testdata", "types", name)
		got := works(t, append([]string{"types", "--migrations", filepath.Join("testdata", "types")}, args...)...)
		if *updateTypes {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || got != string(want) {
			t.Errorf("%s differs (%v):\n%s", name, err, got)
		}
	}
}

func TestTypes_errors(t *testing.T) {
	dir := t.TempDir()
	fails := func(code int, text string, args ...string) {
		t.Helper()
		if got, _, err := heddle(t, append([]string{"types"}, args...)...); got != code || !strings.Contains(err, text) {
			t.Errorf("exit %d: %s", got, err)
		}
	}
	fails(exitUsage, "--migrations is missing")
	fails(exitFailed, "no file named *.sql", "--migrations", dir)
	if err := os.WriteFile(filepath.Join(dir, "1.sql"), []byte("CREATE TABEL t(a)"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails(exitFailed, "HEDDLE_MIGRATION", "--migrations", dir)
}

func TestRowName(t *testing.T) {
	for table, want := range map[string]string{"notes": "NotesRow", "note_tags": "NoteTagsRow", "a pair": "APairRow",
		"2024": "_2024Row", "Ä-b": "ÄBRow"} {
		if got := rowName(table); got != want {
			t.Errorf("%q: got %s, want %s", table, got, want)
		}
	}
}
