package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Evidence of a device is checked, and altered evidence is none.
func TestEvidence(t *testing.T) {
	data, err := os.ReadFile("../../sync/seal/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Evidence struct{ Hex string } }
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	found, err := hex.DecodeString(vectors.Evidence.Hex)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "evidence")
	for _, altered := range []bool{false, true} {
		if altered {
			found[len(found)/2] ^= 1
		}
		if err := os.WriteFile(file, found, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, problems := heddle(t, "evidence", file)
		if want := "follows another history up to entry 1"; strings.Contains(out, want) == altered ||
			(code == exitOK) == altered {
			t.Errorf("altered %v: %d, got %s%s", altered, code, out, problems)
		}
	}
}
