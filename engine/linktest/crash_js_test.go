package linktest

import (
	"os"
	"strings"
	"testing"
)

// TestCrash_stack leaves SQLite 512 bytes of stack and has it parse an expression.
// The program is to die, which TestCrash_stackOverflow checks from outside.
func TestCrash_stack(t *testing.T) {
	if os.Getenv("HEDDLE_CRASH") != "stack" {
		t.Skip("kills the program; run by TestCrash_stackOverflow")
	}
	db := open(t, ":memory:")
	expect(t, db, `SELECT 1`, "1")
	engine.Call("shortenStacks", 512)
	rows, err := query(db, `SELECT `+strings.Repeat("(", 90)+`1`+strings.Repeat(")", 90))
	t.Errorf("SQLite went on: %q, %v", rows, err)
}
