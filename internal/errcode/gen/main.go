// Command gen writes errcode's constants as TypeScript, or as package heddle's
// constants where FILE ends in .go: go run ./gen FILE.
package main

import (
	"fmt"
	"os"
	"strings"

	"heddle.dev/heddle/internal/errcode/gen/codes"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE (from internal/errcode)")
		os.Exit(2)
	}
	generate := codes.TypeScript
	if strings.HasSuffix(os.Args[1], ".go") {
		generate = codes.Go
	}
	text, err := generate("errcode.go")
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
